"""The log of decisions: durable, append-only, and it notices when a line was changed."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from ingestion.errors import ArtifactError
from ingestion.resolution.decisions import DecisionLog, by_link
from ingestion.workspace import Workspace

FIELDS: dict[str, Any] = {
    "at": 5,
    "entity": "account",
    "a": "A",
    "b": "B",
    "rule": "same_device",
    "who": "ada",
    "reason": "siblings",
    "recorded_at": 6,
}


@pytest.fixture
def log(tmp_path: Path) -> DecisionLog:
    found = DecisionLog.of(Workspace.open(tmp_path))
    found.append(action="revoke", **FIELDS)
    found.append(action="restore", **FIELDS)
    return found


def test_what_was_written_is_read(log: DecisionLog) -> None:
    decisions = log.read()
    assert [(item.number, item.action, item.who) for item in decisions] == [(1, "revoke", "ada"), (2, "restore", "ada")]
    assert by_link(decisions) == {("same_device", "account", "A", "B"): decisions}
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o600


def test_a_workspace_without_decisions_has_none(tmp_path: Path) -> None:
    assert DecisionLog.of(Workspace.open(tmp_path)).read() == []


def test_a_line_cut_by_a_crash_was_never_said(log: DecisionLog) -> None:
    """It does not count, and the next one takes its place."""
    before = log.path.read_bytes()
    log.path.write_bytes(before + b'{"action":"revoke","a":"A","at"')
    assert len(log.read()) == 2
    log.append(action="revoke", **FIELDS)
    assert log.path.read_bytes().startswith(before)
    assert [item.number for item in log.read()] == [1, 2, 3]


@pytest.mark.parametrize("change", ["reason", "drop", "swap", "damage"])
def test_a_changed_line_is_noticed(log: DecisionLog, change: str) -> None:
    log.append(action="revoke", **FIELDS)
    lines = log.path.read_text().splitlines()
    if change == "reason":
        lines[0] = json.dumps(json.loads(lines[0]) | {"reason": "other"}, sort_keys=True, separators=(",", ":"))
    elif change == "drop":
        del lines[1]
    elif change == "swap":
        lines[0], lines[1] = lines[1], lines[0]
    else:
        lines[1] = lines[1][:-5]
    log.path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ArtifactError, match="Line"):
        log.read()
