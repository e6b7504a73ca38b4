"""Workspace, settings and secrets."""

import subprocess
import sys
from pathlib import Path

import pytest

from ingestion.config import load_settings
from ingestion.errors import ArtifactError, RetryLater, UsageError
from ingestion.workspace import Workspace


def test_flag_beats_environment_beats_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ringfence.toml").write_text("[train]\nseed = 1\nepochs = 9\ntest_days = 5\n")
    monkeypatch.setenv("RINGFENCE_TRAIN_SEED", "2")
    monkeypatch.setenv("RINGFENCE_TRAIN_EPOCHS", "8")
    train = load_settings(tmp_path, train={"seed": 3, "epochs": None}).train
    assert (train.seed, train.epochs, train.test_days, train.validation_days) == (3, 8, 5, 7)


def test_graph_uri_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RINGFENCE_GRAPH_URI", "bolt://elsewhere:7687")
    assert load_settings(tmp_path).graph.uri == "bolt://elsewhere:7687"


@pytest.mark.parametrize(
    "text",
    [
        "[graph]\nurl = 'x'\n",
        "[grph]\n",
        "[train]\nalert_budget = 2\n",
        "[train\n",
        "[train]\nnetworks = ['gat', 'gat']\n",
    ],
)
def test_a_bad_file_names_the_key_and_the_remedy(tmp_path: Path, text: str) -> None:
    (tmp_path / "ringfence.toml").write_text(text)
    with pytest.raises(UsageError) as caught:
        load_settings(tmp_path)
    assert caught.value.exit_code == 2
    assert "ringfence.toml" in str(caught.value)


def test_secrets_are_made_once_and_private(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "w")
    assert workspace.secret("token.key") == workspace.secret("token.key")
    assert (workspace.secrets / "token.key").stat().st_mode & 0o777 == 0o600
    assert workspace.root.stat().st_mode & 0o777 == 0o700


def test_a_second_writer_is_told_to_retry(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path)
    script = (
        "import sys; from ingestion.workspace import Workspace; from ingestion.errors import RetryLater\n"
        f"try:\n    with Workspace.open({str(tmp_path)!r}).lock(doing='x'): sys.exit(0)\n"
        "except RetryLater as error: sys.exit(error.exit_code)"
    )
    with workspace.lock(doing="the first"):
        assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 75
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_the_release_pointer_survives_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path)
    assert workspace.current_release() is None
    workspace.set_current_release({"id": "release-1", "snapshot_id": "snap-1"})
    assert workspace.current_release() == {"id": "release-1", "snapshot_id": "snap-1"}
    (tmp_path / "current.json").write_text("{")
    with pytest.raises(ArtifactError):
        workspace.current_release()


def test_the_lock_is_released_after_an_error(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path)
    with pytest.raises(ZeroDivisionError), workspace.lock(doing="x"):
        raise ZeroDivisionError
    try:
        with workspace.lock(doing="y"):
            pass
    except RetryLater:
        pytest.fail("the lock was kept")
