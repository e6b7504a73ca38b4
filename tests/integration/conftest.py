"""The served workspace of `tests/serving`, and one made by the main job itself, by its commands."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.conftest import api, built, served

__all__ = ["api", "built", "served"]


#: Of a nightly's training: these tests ask what a run leaves behind, not how good the model is.
SHORT = {"RINGFENCE_TRAIN_EPOCHS": "2"}


def ringfence(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the command line and check that it ended well."""
    command = [sys.executable, "-m", "serving", *words]
    run = subprocess.run(command, env=os.environ | SHORT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, f"{words}: {run.returncode}\n{run.stdout[-2000:]}\n{run.stderr[-4000:]}"
    return run


@pytest.fixture(scope="session")
def small_bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated bank of 6,000 transactions, 2 % of them fraud."""
    folder = tmp_path_factory.mktemp("bank")
    ringfence("data", "simulate", str(folder), "--scale", "6000", "--days", "56", "--fraud-rate", "0.02")
    return folder


@pytest.fixture(scope="session")
def small_workspace(small_bank: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What `ringfence nightly` makes of it; the graph server is stopped at the end."""
    root = tmp_path_factory.mktemp("nightly") / "workspace"
    table = str(small_bank / "transactions.parquet")
    try:
        ringfence("nightly", table, "--mapping", "ringfence", "--workspace", str(root), "--json")
        yield root
    finally:
        subprocess.run([sys.executable, "-m", "serving", "graph", "stop", "--workspace", str(root)], check=False)
