"""Stand-ins that keep a record, so that a test sees what reached the scorer and in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ingestion.errors import GraphUnavailable
from ingestion.graph.snapshot_store import SnapshotStore
from ingestion.graph.store import GraphTransaction
from serving.events import TransactionEvent
from serving.fold import Scored
from serving.graph_reads import Marker
from serving.intake import Fault, Prepared
from serving.scoring import Scoring


class RecordingScorer:
    """An `EventScorer` whose features are (transactions seen before, labels seen, frauds seen)."""

    def __init__(self, num_before: int = 0) -> None:
        self.num_before = num_before
        self.seen: list[tuple[str, Any]] = []

    def score(self, event: TransactionEvent) -> Scored:
        """Probability 0.9 for an amount of 9,000 or more, else 0.1. An amount of 666 breaks it."""
        if event.amount_minor == 666:
            raise RuntimeError("a poisoned event")
        labels = [item for kind, item in self.seen if kind == "label"]
        position = self.num_before + len(self.seen) - len(labels)
        self.seen.append(("transaction", event.transaction_id))
        frauds = sum(is_fraud for *_, is_fraud in labels)
        return Scored(
            features=np.asarray([position, len(labels), frauds], np.float32),
            logit=float(position),
            probability=0.9 if event.amount_minor >= 9_000 else 0.1,
            position=position,
        )

    def observe_label(self, position: int, *, known_at: int, is_fraud: bool, origin: int) -> None:
        """Remember the label."""
        self.seen.append(("label", (position, known_at, origin, is_fraud)))


class PlainIntake:
    """An `Intake` without a mapping: a negative amount is a fault."""

    def prepare(self, rows: Sequence[Mapping[str, Any]]) -> list[Prepared]:
        """See `Intake`."""
        return [self._prepare(row) for row in rows]

    def _prepare(self, row: Mapping[str, Any]) -> Prepared:
        fault = Fault(reason="amount_negative", field="amount_minor", remedy="Give it without a sign.")
        return Prepared(event=TransactionEvent.from_row(row), fault=fault if row["amount_minor"] < 0 else None)


class NoHistory:
    """A `SnapshotHistory` and `PositionScorer` of an empty snapshot, or of the events given."""

    def __init__(self, events: Sequence[TransactionEvent] = ()) -> None:
        self._events = list(events)

    def position(self, transaction_id: str) -> int | None:
        """Index among the events."""
        ids = [event.transaction_id for event in self._events]
        return ids.index(transaction_id) if transaction_id in ids else None

    def event(self, position: int) -> TransactionEvent:
        """The event."""
        return self._events[position]

    def score_position(self, position: int) -> Scored:
        """A score of its own, to tell it from the online one."""
        return Scored(
            features=np.asarray([position, 0, 0], np.float32), logit=-7.0, probability=0.25, position=position
        )


class InProcessState:
    """The client's side of a state process, without the process."""

    def __init__(self, scoring: Scoring) -> None:
        self.scoring = scoring

    def score(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """See `ScoringState`."""
        return self.scoring.score(rows)

    def status(self, *, timeout_seconds: float | None = None) -> dict[str, Any]:
        """See `ScoringState`."""
        return {"release_id": self.scoring.policy.release_id}


class SnapshotServer(SnapshotStore):
    """The snapshot in the place of a graph server; `is_away` makes every read fail."""

    is_away = False

    @property
    def marker(self) -> Marker:
        """What it holds."""
        return self.contents()

    def transaction(self, transaction_id: str, *, as_of: int) -> GraphTransaction | None:
        """See `GraphStore`."""
        self._answer()
        return super().transaction(transaction_id, as_of=as_of)

    def neighborhood(self, *arguments: Any, **named: Any) -> Any:
        """See `GraphStore`."""
        self._answer()
        return super().neighborhood(*arguments, **named)

    def transactions(self, *arguments: Any, **named: Any) -> Any:
        """See `GraphStore`."""
        self._answer()
        return super().transactions(*arguments, **named)

    def _answer(self) -> None:
        if self.is_away:
            raise GraphUnavailable("It does not answer.", remedy="Start it.")
