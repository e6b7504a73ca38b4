"""TRUST PUB: killed at every fail point of a publication, 20 times each; a reader sees old or new, never neither."""

import os
import signal
from pathlib import Path

import pytest

from ingestion import artifacts
from ingestion.workspace import Workspace

POINTS = (
    "snapshot.before_publish",
    "snapshot.after_publish",
    "release.before_write",
    "release.before_pointer",
    "release.after_pointer",
)


def publish_release(workspace: Workspace, number: int) -> None:
    """An artefact and a release that binds it, as the nightly job makes them."""
    name = f"snap-{number:04d}"
    with artifacts.staging(workspace.snapshots, prefix="snap") as folder:
        (folder / "data.bin").write_bytes(bytes([number % 256]) * 4096)
        target = artifacts.publish(folder, workspace.snapshots / name, {"id": name}, fail_point="snapshot")
    workspace.set_current_release(
        {"id": f"release-{number:04d}", "snapshot_id": name, "digest": artifacts.digest(target)}
    )


def in_a_child(workspace: Workspace, number: int, point: str) -> int:
    """Publish in a forked process that dies at the point; returns the signal that ended it, 0 for none."""
    child = os.fork()
    if child == 0:
        os.environ["RINGFENCE_FAILPOINT"] = f"{point}:kill"
        try:
            publish_release(workspace, number)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def read(workspace: Workspace) -> int:
    """Number of the release in force, after the check that it binds a whole artefact."""
    release = workspace.current_release()
    assert release is not None, "neither the old nor the new release is there"
    artifacts.verify(workspace.snapshots / release["snapshot_id"], expected_digest=release["digest"])
    return int(release["id"].removeprefix("release-"))


@pytest.mark.parametrize("point", POINTS)
def test_old_or_new_never_neither_never_mixed(tmp_path: Path, point: str) -> None:
    workspace = Workspace.open(tmp_path)
    publish_release(workspace, 0)
    for repeat in range(1, 21):
        before = read(workspace)
        assert in_a_child(workspace, repeat, point) == signal.SIGKILL, f"{point} was not reached"
        assert read(workspace) == (repeat if point == "release.after_pointer" else before)
        publish_release(workspace, repeat)  # run again: all is well
        assert read(workspace) == repeat
    assert not [path for path in workspace.snapshots.iterdir() if path.name.startswith(".tmp")]
