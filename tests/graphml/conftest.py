"""One small training for all tests of models."""

from __future__ import annotations

import pytest

from ingestion.workspace import Workspace
from tests.graphml.trained import Trained, train_small


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Read it only: it is shared."""
    return train_small(Workspace.open(tmp_path_factory.mktemp("trained")))
