"""TRUST RES-I: killed at each fail point of an ingest and run again, the workspace is that of a clean run."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ingestion.artifacts import MANIFEST, verify
from ingestion.failpoints import LOG_VARIABLE, VARIABLE
from ingestion.ingest import ingest
from ingestion.mapping import load_mapping
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace
from tests.builders import START, random_rows, transaction
from tests.ingestion.tables import write_source

pytestmark = [pytest.mark.spark, pytest.mark.slow]

POINTS = ("ingest.after_read", "ingest.after_features", "snapshot.before_publish", "snapshot.after_publish")
ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
from pathlib import Path
from ingestion.ingest import ingest
from ingestion.mapping import load_mapping
from ingestion.workspace import Workspace
ingest(Workspace.open(sys.argv[1]), Path(sys.argv[2]), load_mapping("ringfence"), max_bad_share=1)
"""


def in_a_child(workspace: Workspace, source: Path, point: str, log: Path) -> int:
    """Ingest in a process of its own that dies at the point; returns its exit code."""
    variables = os.environ | {VARIABLE: f"{point}:kill", LOG_VARIABLE: str(log)}
    command = [sys.executable, "-c", PROGRAM, str(workspace.root), str(source)]
    return subprocess.run(command, env=variables, cwd=ROOT, capture_output=True, timeout=240, check=False).returncode


def state(workspace: Workspace) -> dict[str, Any]:
    """All that a reader can see: the pointer, each snapshot byte for byte, the vault."""
    snapshots = sorted(workspace.snapshots.glob("snap-*"))
    for path in snapshots:
        verify(path)
    with sqlite3.connect(workspace.vault_db) as vault:
        originals = vault.execute("SELECT * FROM originals ORDER BY token").fetchall()
    hidden = [path.name for path in workspace.snapshots.iterdir() if path.name.startswith(".")]
    return {
        "current": workspace.current_snapshot(),
        "manifests": [(path / MANIFEST).read_bytes() for path in snapshots],
        "vault": originals,
        "left over": hidden + [path.name for path in workspace.cache.iterdir()],
    }


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory, spark: object) -> tuple[Workspace, Path, dict[str, Any]]:
    """A workspace with a first snapshot, a second source, and the state after a clean ingest of it."""
    folder = tmp_path_factory.mktemp("kill")
    workspace = Workspace.open(folder / "workspace")
    first = [transaction(f"first-{index}", START + index, "account:DE1", "merchant:m") for index in range(50)]
    mapping = load_mapping("ringfence")
    ingest(workspace, write_source(folder / "first", first), mapping)
    source = write_source(folder / "second", *random_rows(400, seed=2))
    clean = Workspace.open(folder / "clean")
    shutil.copytree(workspace.root, clean.root, dirs_exist_ok=True)
    ingest(clean, source, mapping, max_bad_share=1)
    return workspace, source, state(clean)


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_and_a_second_run_end_as_a_clean_run(
    before: tuple[Workspace, Path, dict[str, Any]], tmp_path: Path, point: str
) -> None:
    original, source, clean = before
    workspace = Workspace.open(tmp_path / "workspace")
    shutil.copytree(original.root, workspace.root, dirs_exist_ok=True)
    in_force = workspace.current_snapshot()
    log = tmp_path / "points"
    assert in_a_child(workspace, source, point, log) == -signal.SIGKILL
    assert log.read_text().splitlines()[-1] == point, "the fail point was reached"
    assert workspace.current_snapshot() == in_force
    assert Snapshot.open(workspace).id == in_force, "the snapshot in force is whole"
    ingest(workspace, source, load_mapping("ringfence"), max_bad_share=1)
    assert state(workspace) == clean
