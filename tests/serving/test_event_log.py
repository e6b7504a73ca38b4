"""The event log: durable, all or none, each id once."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from ingestion.contracts import PartyRef
from ingestion.workspace import Workspace
from serving.event_log import EventLog, NewEvent, QuarantinedRow, StoredAnswer
from serving.event_reader import EventReader
from serving.events import TransactionEvent
from serving.scoring import as_logged
from tests.builders import START, transaction


def new_event(number: int, *, source: str = "a") -> NewEvent:
    row = transaction(f"t-{number}", START + number, f"account:{source}", "merchant:m", parties=["device:d"])
    event = TransactionEvent.from_row(row)
    return as_logged(event, event.content_hash)


def append_and_die(folder: str) -> None:
    log = EventLog(Path(folder) / "events.db")
    log.append([new_event(1), new_event(2)])
    with log._transaction() as connection:
        connection.execute("DELETE FROM events")
        os.kill(os.getpid(), signal.SIGKILL)


def test_events_come_back_in_the_order_of_appending(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.db")
    assert log.append([new_event(2), new_event(1)]) == [1, 2]
    assert log.append([new_event(3)]) == [3]
    assert [event.event_id for event in log.replay()] == ["t-2", "t-1", "t-3"]
    assert [event.event_id for event in log.replay(after=2)] == ["t-3"]
    assert log.find("transaction", ["t-1", "t-9"]).keys() == {"t-1"}
    assert log.find("label", ["t-1"]) == {}


def test_an_append_with_a_known_id_changes_nothing(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.db")
    log.append([new_event(1)])
    row = QuarantinedRow(transaction_id="q", reason="amount_negative", field="amount_minor", content={})
    with pytest.raises(sqlite3.IntegrityError):
        log.append([new_event(2), new_event(1)], [row])
    assert log.counts() == {"events": 1, "answers": 0, "quarantined": 0, "last_number": 1}


def test_the_first_answer_stays(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.db")
    log.append([new_event(1)])
    for score in (0.5, 0.6):
        log.store_answers([StoredAnswer(number=1, release_id="r", score=score, answer={"score": score})])
    assert log.find("transaction", ["t-1"])["t-1"].answer == {"score": 0.5}
    assert log.answered([1, 2]) == {1}


def test_an_event_that_is_set_aside_can_come_again(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.db")
    log.append([new_event(1), new_event(2)])
    log.set_aside(next(log.replay()), reason="not_scorable")
    assert [event.event_id for event in log.replay()] == ["t-2"]
    assert log.counts()["quarantined"] == 1
    assert log.append([new_event(1)]) == [3]


def test_more_ids_than_one_query_takes(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.db")
    log.append([new_event(number) for number in range(1_200)])
    assert len(log.find("transaction", [f"t-{number}" for number in range(1_300)])) == 1_200


def test_what_was_appended_survives_a_kill(tmp_path: Path) -> None:
    code = f"from tests.serving.test_event_log import append_and_die; append_and_die({str(tmp_path)!r})"
    killed = subprocess.run([sys.executable, "-c", code], env=os.environ, check=False)
    assert killed.returncode == -signal.SIGKILL
    log = EventLog(tmp_path / "events.db")
    assert [event.event_id for event in log.replay()] == ["t-1", "t-2"]
    assert (tmp_path / "events.db").stat().st_mode & 0o777 == 0o600


def test_the_reader_sees_what_was_scored_as_of_a_time(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path)
    reader = EventReader(workspace)
    party = PartyRef(type="account", key="a")
    assert reader.around([party], as_of=START + 9) == []
    assert reader.scores(["t-1"]) == {}
    assert reader.transaction("t-1") is None
    log = EventLog(workspace.state / "events.db")
    log.append([new_event(1), new_event(2, source="b"), new_event(3)])
    log.store_answers([StoredAnswer(number=1, release_id="r", score=0.5, answer={})])
    assert [item.transaction_id for item in reader.around([party], as_of=START + 9)] == ["t-1", "t-3"]
    assert [item.transaction_id for item in reader.around([party], as_of=START + 2)] == ["t-1"]
    assert [item.transaction_id for item in reader.around([party], as_of=START + 9, limit=1)] == ["t-3"]
    device = PartyRef(type="device", key="d")
    assert len(reader.around([party, device], as_of=START + 9)) == 3
    assert reader.scores(["t-1", "t-2"]) == {"t-1": 0.5}
    found = reader.transaction("t-2")
    assert found is not None and found.source.key == "b" and found.available_at == START + 2
