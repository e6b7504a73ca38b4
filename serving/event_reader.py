"""Reading the event log from any process: scores given then, and what the API scored since the snapshot was made.

Read-only and independent of the state process, so that investigations go on while it is away.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import orjson

from ingestion.contracts import PartyRef
from ingestion.graph.store import GraphTransaction
from ingestion.workspace import Workspace
from serving.events import TransactionEvent


class EventReader:
    """Look-ups in a workspace's event log; empty when nothing was ever scored by the API."""

    def __init__(self, workspace: Workspace) -> None:
        self._path = workspace.state / "events.db"

    def scores(self, transaction_ids: Sequence[str]) -> dict[str, float]:
        """Calibrated scores as given then, by transaction id."""
        query = (
            "SELECT e.event_id, a.score FROM events e JOIN answers a ON a.number = e.number "
            "WHERE e.kind = 'transaction' AND e.event_id IN (SELECT value FROM json_each(?))"
        )
        with self._connection() as connection:
            if connection is None:
                return {}
            return dict(connection.execute(query, (orjson.dumps(list(transaction_ids)).decode(),)).fetchall())

    def transaction(self, transaction_id: str) -> GraphTransaction | None:
        """One transaction."""
        query = "SELECT content FROM events WHERE kind = 'transaction' AND event_id = ?"
        with self._connection() as connection:
            row = None if connection is None else connection.execute(query, (transaction_id,)).fetchone()
        return None if row is None else graph_transaction(_event(row[0]))

    def around(self, parties: Sequence[PartyRef], *, as_of: int, limit: int = 500) -> list[GraphTransaction]:
        """The newest transactions of each party that were available by then (µs, closed), each once."""
        query = (
            "SELECT e.number, e.content FROM event_parties p JOIN events e ON e.number = p.number "
            "WHERE p.party = ? AND p.available_at <= ? ORDER BY p.available_at DESC, p.number DESC LIMIT ?"
        )
        with self._connection() as connection:
            if connection is None:
                return []
            found: dict[int, bytes] = {}
            for party in parties:
                found.update(connection.execute(query, (str(party), as_of, limit)).fetchall())
        return [graph_transaction(_event(found[number])) for number in sorted(found)]

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection | None]:
        if not self._path.exists():
            yield None
            return
        with closing(sqlite3.connect(f"{self._path.as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
            yield connection


def graph_transaction(event: TransactionEvent) -> GraphTransaction:
    """The event as the graph would hold it."""
    return GraphTransaction(
        transaction_id=event.transaction_id,
        source=event.source,
        target=event.target,
        event_time=event.event_time,
        known_at=event.available_at if event.known_at is None else event.known_at,
        available_at=event.available_at,
        amount_minor=event.amount_minor,
        currency=event.currency,
        kind=event.kind,
        outcome=event.outcome,
        refers_to=event.refers_to,
        parties=event.parties,
    )


def _event(content: bytes) -> TransactionEvent:
    return TransactionEvent.from_row(orjson.loads(content))
