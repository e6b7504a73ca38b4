"""The core of the state process: durable before it is answered, the same again, nothing lost by a crash."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ingestion.workspace import Workspace
from serving import scoring as scoring_module
from serving.alerts import AlertFilter, list_alerts
from serving.answers import ScoringPolicy
from serving.database import open_database
from serving.event_log import EventLog
from serving.events import TransactionEvent
from serving.fold import Fold
from serving.scoring import Scoring
from tests.builders import DAY, START, transaction
from tests.serving.fakes import NoHistory, PlainIntake, RecordingScorer

BEFORE = (START - 1, 1, START - 1, b"")


@dataclass
class Bench:
    """A workspace's log and alerts, over which a state can be opened again and again."""

    log: EventLog
    app: sa.Engine
    history: NoHistory
    scorer: RecordingScorer

    def open(self, release_id: str = "release-1") -> Scoring:
        self.scorer = RecordingScorer()
        policy = ScoringPolicy(
            release_id=release_id,
            model_id="model-1",
            threshold=0.5,
            alert_role="source",
            feature_names=("position", "labels", "frauds"),
        )
        state = Scoring(
            policy=policy,
            fold=Fold(self.scorer, last=BEFORE, due=[], maturity=7 * DAY),
            intake=PlainIntake(),
            history=self.history,
            batch=self.history,
            log=self.log,
            app=self.app,
        )
        state.take_over()
        return state


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    workspace = Workspace.open(tmp_path)
    log, app = EventLog(workspace.state / "events.db"), open_database(workspace)
    yield Bench(log=log, app=app, history=NoHistory(), scorer=RecordingScorer())
    app.dispose()
    log.close()


def row(identifier: str, time: int = START, amount_minor: int = 1_000, **fields: Any) -> dict[str, Any]:
    return transaction(identifier, time, "account:a", "merchant:m", amount_minor) | {"known_at": None} | fields


def test_answers_come_in_the_order_of_the_rows_events_in_that_of_the_sequence(bench: Bench) -> None:
    answers = bench.open().score([row("late", START + 9), row("early", START + 1)])
    assert [answer["transaction_id"] for answer in answers] == ["late", "early"]
    assert bench.scorer.seen == [("transaction", "early"), ("transaction", "late")]
    assert answers[1] == {
        "transaction_id": "early",
        "status": "scored",
        "release_id": "release-1",
        "model_id": "model-1",
        "event_time": "2025-01-06T00:00:00.000001Z",
        "available_at": "2025-01-06T00:00:00.000001Z",
        "score": 0.1,
        "logit": 0.0,
        "threshold": 0.5,
        "alert": False,
        "alert_id": None,
        "features": {"position": 0.0, "labels": 0.0, "frauds": 0.0},
    }


def test_an_event_that_comes_after_a_younger_one_became_known_then(bench: Bench) -> None:
    state = bench.open()
    state.score([row("a", START + 9)])
    (answer,) = state.score([row("b", START + 1)])
    assert answer["event_time"] == "2025-01-06T00:00:00.000001Z"
    assert answer["available_at"] == "2025-01-06T00:00:00.000010Z"


def test_the_same_again_gets_the_first_answer_in_one_group_later_and_after_a_restart(bench: Bench) -> None:
    state = bench.open()
    first, twin = state.score([row("a"), row("a")])
    (later,) = state.score([row("a")])
    (after,) = bench.open("release-2").score([row("a")])
    assert first == twin == later == after
    assert bench.log.counts()["events"] == 1


def test_the_same_id_with_other_content_is_quarantined(bench: Bench) -> None:
    state = bench.open()
    first, other = state.score([row("a"), row("a", amount_minor=2)])
    (later,) = state.score([row("a", amount_minor=3)])
    assert first["status"] == "scored"
    assert other["status"] == later["status"] == "quarantined"
    assert other["reason"] == later["reason"] == "id_conflict"
    assert other["field"] == "transaction_id" and other["remedy"]
    assert bench.log.counts() == {"events": 1, "answers": 1, "quarantined": 2, "last_number": 1}


def test_a_faulty_row_is_answered_and_its_mended_form_is_scored(bench: Bench) -> None:
    state = bench.open()
    (bad,) = state.score([row("a", amount_minor=-5)])
    (good,) = state.score([row("a", amount_minor=5)])
    assert bad["status"] == "quarantined" and bad["reason"] == "amount_negative"
    assert good["status"] == "scored"
    assert bench.scorer.seen == [("transaction", "a")]


def test_what_the_snapshot_holds_gets_its_batch_score(bench: Bench) -> None:
    bench.history = NoHistory([TransactionEvent.from_row(row("a") | {"known_at": START})])
    state = bench.open()
    same, told, other = state.score([row("a"), row("a", known_at=START), row("a", amount_minor=7)])
    assert same == told and same["score"] == 0.25
    assert other["reason"] == "id_conflict"
    assert bench.scorer.seen == [] and bench.log.counts()["events"] == 0


def test_scores_at_the_threshold_become_alerts_and_do_not_mature(bench: Bench) -> None:
    state = bench.open()
    alert, _, last = state.score([row("a", amount_minor=9_000), row("b", START + 1), row("c", START + 8 * DAY)])
    (stored,) = list_alerts(bench.app, AlertFilter(), limit=10)
    assert alert["alert"] and alert["alert_id"] == stored.id
    assert (stored.transaction_id, stored.origin, stored.score) == ("a", "api", 0.9)
    assert str(stored.entity) == "account:a"
    assert last["features"]["labels"] == 1.0  # b matured, the alert did not


def test_a_restart_gives_the_state_and_the_answers_of_one_that_went_on(bench: Bench, tmp_path: Path) -> None:
    rows = [row(f"t-{number}", START + number * DAY, 9_000 if number % 3 == 0 else 1_000) for number in range(20)]
    state = bench.open()
    for item in rows[:12]:
        state.score([item])
    state.label("t-2", label="fraud", known_at=START + 5 * DAY, origin="analyst")
    restarted = bench.open().score(rows[12:])
    other = Bench(log=EventLog(tmp_path / "other.db"), app=bench.app, history=NoHistory(), scorer=RecordingScorer())
    going_on = other.open()
    for item in rows[:12]:
        going_on.score([item])
    going_on.label("t-2", label="fraud", known_at=START + 5 * DAY, origin="analyst")
    assert restarted == going_on.score(rows[12:])
    assert bench.scorer.seen == other.scorer.seen


def test_a_crash_between_append_and_answer_is_made_good_on_the_next_start(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = bench.open()
    with monkeypatch.context() as patch:
        patch.setattr(EventLog, "store_answers", _out_of_disk)
        with pytest.raises(OSError, match="full"):
            state.score([row("a", amount_minor=9_000)])
    assert bench.log.counts() == {"events": 1, "answers": 0, "quarantined": 0, "last_number": 1}
    restarted = bench.open()
    assert bench.log.counts()["answers"] == 1
    (answer,) = restarted.score([row("a", amount_minor=9_000)])
    assert answer["alert"] and answer["score"] == 0.9
    assert len(list_alerts(bench.app, AlertFilter(), limit=10)) == 1


def test_an_alert_is_there_before_its_answer(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    state = bench.open()
    with monkeypatch.context() as patch:
        patch.setattr(scoring_module, "add_alerts", _out_of_disk)
        with pytest.raises(OSError, match="full"):
            state.score([row("a", amount_minor=9_000)])
    assert bench.log.counts()["answers"] == 0
    bench.open()
    assert len(list_alerts(bench.app, AlertFilter(), limit=10)) == 1


def test_an_event_that_breaks_the_fold_is_set_aside_after_one_failed_start(bench: Bench) -> None:
    state = bench.open()
    with pytest.raises(RuntimeError, match="poisoned"):
        state.score([row("a"), row("poison", START + 1, amount_minor=666), row("c", START + 2)])
    with pytest.raises(RuntimeError, match="poisoned"):
        bench.open()
    healed = bench.open()
    assert bench.scorer.seen == [("transaction", "a"), ("transaction", "c")]
    assert bench.log.counts() == {"events": 2, "answers": 2, "quarantined": 1, "last_number": 3}
    assert [answer["status"] for answer in healed.score([row("a"), row("c", START + 2)])] == ["scored", "scored"]


def test_a_new_release_takes_over_what_the_old_one_answered_meanwhile(bench: Bench) -> None:
    old = bench.open()
    old.score([row("a"), row("b", START + 1)])
    bench.history = NoHistory([TransactionEvent.from_row(row("a") | {"known_at": START})])
    new = bench.open("release-2")
    assert bench.scorer.seen == [("transaction", "b")]
    again, fresh = new.score([row("a"), row("c", START + 2)])
    assert again["release_id"] == "release-1"
    assert fresh["release_id"] == "release-2"


def test_labels_become_known_after_what_was_scored_before_them(bench: Bench) -> None:
    state = bench.open()
    state.score([row("a"), row("b", START + 5)])
    assert state.label("a", label="fraud", known_at=START + 2, origin="chargeback")
    assert state.label("a", label="fraud", known_at=START + 2, origin="chargeback"), "again changes nothing"
    assert not state.label("unknown", label="fraud", known_at=START, origin="chargeback")
    (answer,) = state.score([row("c", START + 6)])
    assert (answer["features"]["labels"], answer["features"]["frauds"]) == (1.0, 1.0)


def _out_of_disk(*_: object) -> None:
    raise OSError("the disk is full")
