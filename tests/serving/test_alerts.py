"""Alerts: written once, all or none, listed newest first."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from ingestion.contracts import PartyRef
from ingestion.workspace import Workspace
from serving.alerts import (
    ALERTS,
    Alert,
    AlertFilter,
    alert_id,
    alerted_transactions,
    list_alerts,
    read_alert,
    top_alerts,
    write_alerts,
)
from serving.database import database


def make_alert(number: int, *, available_at: int | None = None, score: float = 0.9) -> Alert:
    return Alert(
        transaction_id=f"t-{number}",
        model_id="model-0123456789ab",
        release_id="release-1",
        entity=PartyRef(type="account", key=f"a-{number % 2}"),
        available_at=number if available_at is None else available_at,
        event_time=number,
        amount_minor=1_250,
        currency="EUR",
        score=score,
        threshold=0.5,
        origin="nightly",
    )


def write_ten(root: str) -> int:
    return write_alerts(Workspace.open(root), [make_alert(number) for number in range(10)])


def test_an_alert_is_written_once_and_keeps_its_first_score(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path)
    assert write_alerts(workspace, [make_alert(1, score=0.8)]) == 1
    assert write_alerts(workspace, [make_alert(1, score=0.7), make_alert(2)]) == 1
    with database(workspace) as engine:
        kept = read_alert(engine, alert_id("t-1", "model-0123456789ab"))
        assert kept == make_alert(1, score=0.8)
        assert alerted_transactions(engine) == {"t-1", "t-2"}
        assert read_alert(engine, "alert-000000000000") is None


def test_more_rows_than_one_statement_holds(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path)
    rows = [make_alert(number) for number in range(2_345)]
    assert write_alerts(workspace, rows) == 2_345
    assert write_alerts(workspace, rows) == 0


def test_pages_give_every_alert_once_newest_first_though_times_are_equal(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path)
    rows = [make_alert(number, available_at=number // 4) for number in range(50)]
    write_alerts(workspace, rows)
    seen: list[Alert] = []
    after = None
    with database(workspace) as engine:
        while page := list_alerts(engine, AlertFilter(), limit=7, after=after):
            seen += page
            after = (page[-1].available_at, page[-1].id)
    assert seen == sorted(rows, key=lambda alert: (alert.available_at, alert.id), reverse=True)


def test_filters_by_score_time_and_entity(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path)
    write_alerts(workspace, [make_alert(number, score=0.5 + number / 100) for number in range(10)])
    with database(workspace) as engine:
        by_score = list_alerts(engine, AlertFilter(min_score=0.57), limit=50)
        by_time = list_alerts(engine, AlertFilter(since=8), limit=50)
        by_party = list_alerts(engine, AlertFilter(entity=PartyRef(type="account", key="a-1")), limit=50)
        best = top_alerts(engine, release_id="release-1", limit=2)
    assert [alert.transaction_id for alert in by_score] == ["t-9", "t-8", "t-7"]
    assert [alert.transaction_id for alert in by_time] == ["t-9", "t-8"]
    assert [alert.transaction_id for alert in by_party] == ["t-9", "t-7", "t-5", "t-3", "t-1"]
    assert [alert.transaction_id for alert in best] == ["t-9", "t-8"]


def test_a_score_below_the_threshold_is_no_alert() -> None:
    with pytest.raises(ValueError, match="below the threshold"):
        make_alert(1, score=0.4)
    with pytest.raises(ValueError, match="nan"):
        make_alert(1, score=float("nan"))


@pytest.mark.parametrize(("point", "there"), [("alerts.before_commit", 0), ("alerts.after_commit", 10)])
def test_killed_at_a_fail_point_then_run_again_ends_the_same(tmp_path: Path, point: str, there: int) -> None:
    log = tmp_path / "reached"
    environment = os.environ | {"RINGFENCE_FAILPOINT": f"{point}:kill", "RINGFENCE_FAILPOINT_LOG": str(log)}
    code = f"from tests.serving.test_alerts import write_ten; write_ten({str(tmp_path / 'w')!r})"
    killed = subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert point in log.read_text()
    workspace = Workspace.open(tmp_path / "w")
    with database(workspace) as engine, engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(ALERTS)).scalar_one() == there
    assert write_alerts(workspace, [make_alert(number) for number in range(10)]) == 10 - there


def test_processes_that_open_and_write_at_once_lose_nothing(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4) as pool:
        added = list(pool.map(write_ten, [str(tmp_path / "w")] * 8))
    assert sum(added) == 10


def test_the_database_is_private(tmp_path: Path) -> None:
    write_ten(str(tmp_path))
    assert (tmp_path / "app.db").stat().st_mode & 0o777 == 0o600
