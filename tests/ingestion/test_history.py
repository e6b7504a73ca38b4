"""`data snapshot`: the tree, what is shared, what differs, and what pruning may never take."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ingestion.artifacts import MANIFEST, verify
from ingestion.errors import RetryLater, UsageError
from ingestion.failpoints import VARIABLE
from ingestion.history import difference, prune, snapshots
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace
from serving.cli import app
from tests.builders import DAY, START, build_snapshot, label, transaction

ROOT = Path(__file__).resolve().parents[2]


def rows(first: int, last: int) -> list[dict[str, Any]]:
    """Rows number first … last - 1, an hour apart."""
    return [
        transaction(f"t{at:03d}", START + at * DAY // 24, f"account:a{at % 7}", f"merchant:m{at % 3}")
        for at in range(first, last)
    ]


@pytest.fixture
def chain(tmp_path: Path) -> tuple[Workspace, list[Snapshot]]:
    """Five nights, a second lineage beside them, and the pointer on the fourth night."""
    workspace = Workspace.open(tmp_path)
    made: list[Snapshot] = []
    for night in range(5):
        new = rows(40 * night, 40 * night + 40)
        labels = [label(f"t{40 * night:03d}", START + (night + 1) * 2 * DAY)]
        made.append(build_snapshot(workspace, new, labels=labels, parent=made[-1] if made else None))
        share(made)
    made.append(build_snapshot(workspace, rows(0, 30), lineage="lineage-other"))
    workspace.set_current_snapshot(made[3].id)
    for age, snapshot in enumerate(reversed(made)):  # a day between them, the oldest first
        os.utime(snapshot.path, (1_700_000_000 - age * 86_400,) * 2)
    return workspace, made


def share(made: list[Snapshot]) -> None:
    """Entities that did not change are one file, as an increment leaves them."""
    if len(made) > 1:
        before, after = (snapshot.path / "entities" / "part-0.parquet" for snapshot in made[-2:])
        if before.read_bytes() == after.read_bytes():
            after.unlink()
            os.link(before, after)


def release(workspace: Workspace, snapshot: Snapshot, name: str) -> None:
    """A release file that binds a snapshot; the pointer does not name it."""
    workspace.releases.mkdir(exist_ok=True)
    (workspace.releases / f"{name}.json").write_text(json.dumps({"id": name, "snapshot_id": snapshot.id}))


def test_the_tree(chain: tuple[Workspace, list[Snapshot]]) -> None:
    workspace, made = chain
    release(workspace, made[1], "release-b")
    entries = {entry.id: entry for entry in snapshots(workspace)}
    assert [entry for entry in entries if entry in {one.id for one in made[:5]}] == [one.id for one in made[:5]]
    assert [entries[one.id].depth for one in made] == [0, 1, 2, 3, 4, 0]
    assert [entries[one.id].batch for one in made] == [1, 2, 3, 4, 5, 1]
    assert [entries[one.id].transactions for one in made] == [40, 80, 120, 160, 200, 30]
    assert [one.id for one in made if entries[one.id].is_current] == [made[3].id]
    assert entries[made[1].id].released_by == ("release-b",)
    size = (made[2].path / "entities" / "part-0.parquet").stat().st_size
    assert entries[made[2].id].shared_bytes == size > 0
    assert entries[made[5].id].shared_bytes == 0
    (made[4].path / MANIFEST).write_text("{")
    damaged = {entry.id: entry.damaged for entry in snapshots(workspace)}
    assert "damaged" in str(damaged[made[4].id])
    assert damaged[made[3].id] is None


def test_what_differs(chain: tuple[Workspace, list[Snapshot]]) -> None:
    workspace, made = chain
    found = difference(workspace, made[0].id, made[2].id)
    assert found["transactions"] == {"added": 80, "removed": 0}
    assert found["entities"] == {"account": 0, "merchant": 0}
    matured = made[2].labels().num_rows - made[0].labels().num_rows
    assert found["labels"] == {"added": matured, "changed": 0, "removed": 0}
    assert found["same_lineage"] and found["same_feature_spec"]
    assert found["drift"]["current"]["transactions"] == 80
    back = difference(workspace, made[2].id, made[0].id)
    assert back["transactions"] == {"added": 0, "removed": 80}
    assert not difference(workspace, made[0].id, made[5].id)["same_lineage"]


def test_a_label_that_was_corrected_is_changed(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path)
    before = build_snapshot(workspace, rows(0, 30), labels=[label("t001", START + DAY)], maturity_days=90)
    later = [label("t001", START + 2 * DAY, "legitimate"), label("t002", START + 2 * DAY)]
    after = build_snapshot(workspace, rows(30, 31), labels=later, parent=before, maturity_days=90)
    found = difference(workspace, before.id, after.id)["labels"]
    assert found == {"added": 1, "changed": 1, "removed": 0}


def test_pruning_spares_what_is_needed(chain: tuple[Workspace, list[Snapshot]]) -> None:
    workspace, made = chain
    dry = prune(workspace, keep=0, dry_run=True)
    assert dry["removed"] == [made[4].id, made[5].id], "the oldest first"
    assert all(one.path.exists() for one in made)
    assert dry["kept"][made[3].id] == "current"
    assert dry["kept"][made[0].id] == f"ancestor of {made[3].id}"
    release(workspace, made[4], "release-x")
    assert prune(workspace, keep=0, dry_run=True)["removed"] == [made[5].id]
    assert prune(workspace, keep=1)["removed"] == []
    found = prune(workspace, keep=0)
    size = sum(path.stat().st_size for path in made[4].path.rglob("*") if path.is_file())
    assert found["bytes_freed"] == dry["bytes_freed"] - exclusive(made[4]) and size > 0
    assert not made[5].path.exists()
    for snapshot in made[:5]:
        verify(snapshot.path)


def exclusive(snapshot: Snapshot) -> int:
    """Bytes in files of its own."""
    files = [path.stat() for path in snapshot.path.rglob("*") if path.is_file()]
    return sum(file.st_size for file in files if file.st_nlink == 1)


def test_shared_files_are_not_freed_and_survive(chain: tuple[Workspace, list[Snapshot]]) -> None:
    workspace, made = chain
    workspace.set_current_snapshot(made[1].id)
    found = prune(workspace, keep=0)
    assert set(found["removed"]) == {one.id for one in (*made[2:5], made[5])}
    verify(made[1].path)
    assert Snapshot.open(workspace).entities().num_rows == 10


def test_age_and_number(chain: tuple[Workspace, list[Snapshot]]) -> None:
    workspace, made = chain
    os.utime(made[5].path)  # made just now
    assert prune(workspace, keep=0, older_than_days=1, dry_run=True)["removed"] == [made[4].id]
    with pytest.raises(UsageError, match="fewer than none"):
        prune(workspace, keep=-1)
    with workspace.lock(doing="another job"), pytest.raises(RetryLater):
        in_another_process(workspace)


def in_another_process(workspace: Workspace) -> None:
    """Prune where the lock is another's."""
    program = (
        "import sys; from ingestion.history import prune; from ingestion.workspace import Workspace; "
        "prune(Workspace.open(sys.argv[1]), keep=0)"
    )
    command = [sys.executable, "-c", program, str(workspace.root)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    if "RetryLater" in done.stderr:
        raise RetryLater("locked", remedy="wait")
    assert done.returncode == 0, done.stderr


def test_killed_while_pruning_nothing_half_is_left(chain: tuple[Workspace, list[Snapshot]]) -> None:
    workspace, made = chain
    program = (
        "import sys; from ingestion.history import prune; from ingestion.workspace import Workspace; "
        "prune(Workspace.open(sys.argv[1]), keep=0)"
    )
    variables = os.environ | {VARIABLE: "prune.after_rename:kill"}
    command = [sys.executable, "-c", program, str(workspace.root)]
    done = subprocess.run(command, env=variables, cwd=ROOT, capture_output=True, timeout=120, check=False)
    assert done.returncode == -9
    left = {entry.id for entry in snapshots(workspace)}
    assert left == {one.id for one in made} - {made[4].id}, "one was renamed away, whole"
    for name in left:
        verify(workspace.snapshots / name)
    assert prune(workspace, keep=0)["removed"] == [made[5].id]
    assert sorted(path.name for path in workspace.snapshots.iterdir() if path.is_dir()) == sorted(
        one.id for one in made[:4]
    )


def test_the_commands(chain: tuple[Workspace, list[Snapshot]]) -> None:
    workspace, made = chain

    def run(*words: str) -> Any:
        done = CliRunner().invoke(app, ["data", "snapshot", *words, "--workspace", str(workspace.root), "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    assert len(run("list")["snapshots"]) == 6
    assert run("show")["manifest"]["id"] == made[3].id
    assert run("diff", made[0].id)["after"] == made[3].id
    assert run("prune", "--keep", "0", "--dry-run")["removed"] == [made[4].id, made[5].id]
    told = CliRunner().invoke(app, ["data", "snapshot", "list", "--workspace", str(workspace.root)])
    assert "current" in told.stdout
    missing = CliRunner().invoke(app, ["data", "snapshot", "show", "snap-0", "--workspace", str(workspace.root)])
    assert missing.exit_code != 0
