from pathlib import Path

import pytest

from tests.retrieval.worlds import World, story


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The story's world; tests read it and change nothing."""
    return World(Path(tmp_path_factory.mktemp("retrieval")), *story())
