"""One small training for all tests of models."""

from __future__ import annotations

import pytest

from tests.graphml.trained import Trained, shared_training


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Read it only: it is shared."""
    return shared_training(tmp_path_factory)
