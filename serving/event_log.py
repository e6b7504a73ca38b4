"""The event log of a workspace, `state/events.db`: what the API scored, durable before it is answered.

One process writes (the state process). SQLite in WAL mode with `synchronous=FULL`: an append that returned
survives a power cut. The log holds tokens, never personal values. `events` is what the state is folded from;
`answers` what was said then, so that the same transaction gets the same answer again; `quarantine` what was
turned away.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

EventKind = Literal["transaction", "label"]
SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    number INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    event_id TEXT NOT NULL,
    content_hash TEXT NOT NULL,
    content BLOB NOT NULL,
    recorded_at INTEGER NOT NULL,
    UNIQUE (kind, event_id)
) STRICT;
CREATE TABLE IF NOT EXISTS event_parties (
    party TEXT NOT NULL,
    available_at INTEGER NOT NULL,
    number INTEGER NOT NULL REFERENCES events (number) ON DELETE CASCADE,
    PRIMARY KEY (party, available_at, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS answers (
    number INTEGER PRIMARY KEY REFERENCES events (number),
    release_id TEXT NOT NULL,
    score REAL NOT NULL,
    answer BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS quarantine (
    number INTEGER PRIMARY KEY,
    transaction_id TEXT NOT NULL,
    reason TEXT NOT NULL,
    field TEXT,
    content BLOB NOT NULL,
    recorded_at INTEGER NOT NULL
) STRICT;
"""
_QUARANTINE = "INSERT INTO quarantine (transaction_id, reason, field, content, recorded_at) VALUES (?, ?, ?, ?, ?)"
_IDS_A_QUERY = 500


@dataclass(frozen=True, kw_only=True)
class NewEvent:
    """An event to append; `content` is plain data, `parties` (`type:key`) and `available_at` (µs) are to find it by."""

    kind: EventKind
    event_id: str
    content_hash: str
    content: dict[str, Any]
    available_at: int
    parties: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LoggedEvent:
    """An event of the log; `answer` is None when the process died before it was given."""

    number: int
    kind: EventKind
    event_id: str
    content_hash: str
    content: dict[str, Any]
    answer: dict[str, Any] | None


@dataclass(frozen=True, kw_only=True)
class StoredAnswer:
    """The answer given for event `number`; `score` is the calibrated probability."""

    number: int
    release_id: str
    score: float
    answer: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class QuarantinedRow:
    """A row that was turned away; `content` has tokens in place of personal values."""

    transaction_id: str
    reason: str
    field: str | None
    content: dict[str, Any]


class EventLog:
    """The one writer's view of the log. Used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
        self.path = path
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.executescript(_SCHEMA)

    def append(self, events: Sequence[NewEvent], quarantined: Sequence[QuarantinedRow] = ()) -> list[int]:
        """Make events durable, all or none, in one commit; returns their numbers.

        Raises `sqlite3.IntegrityError` for an id that is there already: look it up with `find` first.
        """
        now = time.time_ns() // 1_000
        numbers: list[int] = []
        with self._transaction() as connection:
            for event in events:
                row = (event.kind, event.event_id, event.content_hash, orjson.dumps(event.content), now)
                cursor = connection.execute(
                    "INSERT INTO events (kind, event_id, content_hash, content, recorded_at) VALUES (?, ?, ?, ?, ?)",
                    row,
                )
                numbers.append(int(cursor.lastrowid or 0))
                connection.executemany(
                    "INSERT INTO event_parties (party, available_at, number) VALUES (?, ?, ?)",
                    [(party, event.available_at, numbers[-1]) for party in event.parties],
                )
            connection.executemany(
                _QUARANTINE,
                [(row.transaction_id, row.reason, row.field, orjson.dumps(row.content), now) for row in quarantined],
            )
        return numbers

    def store_answers(self, answers: Sequence[StoredAnswer]) -> None:
        """Keep what was answered; an answer that is there already stays."""
        rows = [(item.number, item.release_id, item.score, orjson.dumps(item.answer)) for item in answers]
        with self._transaction() as connection:
            connection.executemany(
                "INSERT INTO answers (number, release_id, score, answer) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                rows,
            )

    def find(self, kind: EventKind, event_ids: Sequence[str]) -> dict[str, LoggedEvent]:
        """Events by id, those that are there."""
        found: dict[str, LoggedEvent] = {}
        for start in range(0, len(event_ids), _IDS_A_QUERY):
            part = orjson.dumps(list(event_ids[start : start + _IDS_A_QUERY])).decode()
            rows = self._connection.execute(
                "SELECT e.number, e.kind, e.event_id, e.content_hash, e.content, a.answer FROM events e "
                "LEFT JOIN answers a ON a.number = e.number "
                "WHERE e.kind = ? AND e.event_id IN (SELECT value FROM json_each(?))",
                (kind, part),
            )
            found.update((event.event_id, event) for event in map(_event, rows))
        return found

    def answered(self, numbers: Sequence[int]) -> set[int]:
        """Which of these events have an answer."""
        rows = self._connection.execute(
            "SELECT number FROM answers WHERE number IN (SELECT value FROM json_each(?))",
            (orjson.dumps(list(numbers)).decode(),),
        )
        return {int(number) for (number,) in rows}

    def replay(self, *, after: int = 0) -> Iterator[LoggedEvent]:
        """Events with a number greater than `after`, in the order in which they were appended."""
        rows = self._connection.execute(
            "SELECT e.number, e.kind, e.event_id, e.content_hash, e.content, a.answer FROM events e "
            "LEFT JOIN answers a ON a.number = e.number WHERE e.number > ? ORDER BY e.number",
            (after,),
        )
        yield from map(_event, rows)

    def set_aside(self, event: LoggedEvent, *, reason: str) -> None:
        """Move an event that was never answered, so that nobody counts on it, to the quarantine."""
        now = time.time_ns() // 1_000
        with self._transaction() as connection:
            connection.execute(
                _QUARANTINE,
                (event.event_id, reason, None, orjson.dumps(event.content), now),
            )
            connection.execute("DELETE FROM events WHERE number = ?", (event.number,))

    def counts(self) -> dict[str, int]:
        """How many events, answers and quarantined rows there are, and the last event's number."""
        counted = self._connection.execute(
            "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM answers), (SELECT count(*) FROM quarantine), "
            "(SELECT coalesce(max(number), 0) FROM events)"
        ).fetchone()
        return dict(zip(("events", "answers", "quarantined", "last_number"), counted, strict=True))

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


def _event(row: tuple[int, EventKind, str, str, bytes, bytes | None]) -> LoggedEvent:
    number, kind, event_id, content_hash, content, answer = row
    return LoggedEvent(
        number=number,
        kind=kind,
        event_id=event_id,
        content_hash=content_hash,
        content=orjson.loads(content),
        answer=None if answer is None else orjson.loads(answer),
    )
