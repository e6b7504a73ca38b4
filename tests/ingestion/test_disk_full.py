"""A full disk at each stage of an ingest, and a read-only one: a clear error, nothing changed, the same command works.

A small file system is mounted where that is allowed; fail points raise ENOSPC everywhere.
"""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestion.disk import DiskRefused, disk_errors
from ingestion.failpoints import VARIABLE
from ingestion.ingest import ingest
from ingestion.mapping import load_mapping
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace
from tests.builders import START, random_rows, transaction
from tests.ingestion.tables import write_source

MAPPING = load_mapping("ringfence")


def visible(workspace: Workspace) -> list[str]:
    return sorted(str(path.relative_to(workspace.root)) for path in workspace.snapshots.rglob("*"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root and the right to mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.spark
@pytest.mark.usefixtures("spark")
def test_a_full_and_a_read_only_file_system(small_disk: Path, tmp_path: Path) -> None:
    workspace = Workspace.open(small_disk / "workspace")
    first = [transaction(f"first-{index}", START + index, "account:DE1", "merchant:m") for index in range(50)]
    ingest(workspace, write_source(tmp_path / "first", first), MAPPING)
    in_force, before = workspace.current_snapshot(), visible(workspace)
    source = write_source(tmp_path / "second", *random_rows(400, seed=2))
    ballast = small_disk / "ballast"
    free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
    for left in (4_096, 60_000, 160_000):  # full while reading, while building, while publishing
        ballast.write_bytes(bytes(max(free - left, 0)))
        with pytest.raises(DiskRefused, match=r"no space left .*MB free, about .*MB needed") as caught:
            ingest(workspace, source, MAPPING, max_bad_share=1)
        assert caught.value.exit_code == 75 and str(workspace.root) in caught.value.what
        ballast.unlink()
        assert (workspace.current_snapshot(), visible(workspace)) == (in_force, before)
    sealed = small_disk.with_name("sealed")
    sealed.mkdir()
    subprocess.run(["mount", "--bind", str(small_disk), str(sealed)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(sealed)], check=True)
        with pytest.raises(DiskRefused, match="read-only"):
            ingest(Workspace.open(sealed / "workspace"), source, MAPPING, max_bad_share=1)
    finally:
        subprocess.run(["umount", "-l", str(sealed)], check=True)
    result = ingest(workspace, source, MAPPING, max_bad_share=1)
    assert Snapshot.open(workspace).id == result.snapshot_id != in_force


@pytest.mark.spark
@pytest.mark.usefixtures("spark")
@pytest.mark.parametrize("point", ["ingest.after_read", "ingest.after_features", "snapshot.before_publish"])
def test_full_at_a_fail_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    workspace = Workspace.open(tmp_path / "workspace")
    rows = [transaction(f"t{index}", START + index, "account:DE1", "merchant:m") for index in range(50)]
    source = write_source(tmp_path / "source", rows)
    with monkeypatch.context() as patch:
        patch.setenv(VARIABLE, f"{point}:enospc")
        with pytest.raises(DiskRefused):
            ingest(workspace, source, MAPPING)
    assert workspace.current_snapshot() is None
    assert not list(workspace.snapshots.glob("*")) and not list(workspace.cache.glob("*"))
    assert ingest(workspace, source, MAPPING).num_new == 50


def test_what_is_no_matter_of_the_disk_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(KeyError), disk_errors(tmp_path, needed_bytes=1):
        raise KeyError("other")
    with pytest.raises(DiskRefused, match="no space left"), disk_errors(tmp_path, needed_bytes=1):
        try:
            raise OSError(errno.EDQUOT, "over quota")
        except OSError as error:
            raise RuntimeError("wrapped") from error
