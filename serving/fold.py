"""The fold: events in the order of the sequence into an online scorer, labels maturing by themselves as time passes.

A label is seen by an event exactly when `known_at <= available_at` (`ingestion.contracts`), so before an event is
scored every label that is due by then goes in, by (`known_at`, transaction id). A transaction without a label
`maturity` after its event time becomes legitimate then (`ingestion.labels.matured_labels`), never when it was
declined or is an alert that nobody reviewed.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ingestion.contracts import LABEL_ORIGINS, MICROSECONDS_PER_DAY
from ingestion.labels import MATURED, LabelEvents
from ingestion.snapshot import Snapshot
from serving.events import SequenceKey, TransactionEvent


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What the scorer says of one event: `features` (F,) float32, the logit and the calibrated probability."""

    features: NDArray[np.float32]
    logit: float
    probability: float
    position: int


class EventScorer(Protocol):
    """The online scorer: fed in the order of the sequence, it gives the numbers of the batch."""

    def score(self, event: TransactionEvent) -> Scored:
        """Score the event and make it part of history."""
        ...

    def observe_label(self, position: int, *, known_at: int, is_fraud: bool, origin: int) -> None:
        """A label of the transaction at `position`; `origin` is an index into `LABEL_ORIGINS`."""
        ...


@dataclass(frozen=True, kw_only=True, order=True)
class DueLabel:
    """A label that waits for its time; ordered as the sequence orders labels."""

    known_at: int
    transaction_id: bytes
    origin: int
    position: int
    is_fraud: bool


class Fold:
    """State of the scorer plus the labels that are still to come. Used by one thread at a time.

    Args:
        scorer: has folded everything up to `last`.
        last: sequence key of the last event in it.
        due: labels that become known after `last`, maturing ones included.
        maturity: µs from a transaction's event time to its `matured` label.
    """

    def __init__(self, scorer: EventScorer, *, last: SequenceKey, due: Iterable[DueLabel], maturity: int) -> None:
        self._scorer = scorer
        self._maturity = maturity
        self._due = list(due)
        heapq.heapify(self._due)
        self._first_label: dict[int, int] = {}
        self.last = last

    @property
    def num_due(self) -> int:
        """Labels that wait for their time."""
        return len(self._due)

    def score(self, event: TransactionEvent) -> Scored:
        """Score an event whose place is after `last` (see `TransactionEvent.placed_after`); then `schedule` it."""
        if event.sequence <= self.last:
            raise ValueError(f"Event {event.transaction_id} at {event.sequence} is not after {self.last}: place it.")
        self._advance(event.available_at)
        scored = self._scorer.score(event)
        self.last = event.sequence
        return scored

    def schedule(self, event: TransactionEvent, position: int, *, is_alert: bool) -> None:
        """Let the event mature in due time, unless it was declined or is an alert."""
        if event.outcome == "declined" or is_alert:
            return
        matures_at = max(event.event_time + self._maturity, event.available_at + 1)
        self._push(event.transaction_id, position, known_at=matures_at, is_fraud=False, origin=MATURED)

    def label(self, transaction_id: str, position: int, *, known_at: int, is_fraud: bool, origin: int) -> None:
        """An explicit label. One that is known by `last` goes in at once, a later one waits for its time."""
        self._first_label[position] = min(known_at, self._first_label.get(position, known_at))
        self._push(transaction_id, position, known_at=known_at, is_fraud=is_fraud, origin=origin)
        self._advance(self.last[0])

    def _push(self, transaction_id: str, position: int, *, known_at: int, is_fraud: bool, origin: int) -> None:
        label = DueLabel(
            known_at=known_at,
            transaction_id=transaction_id.encode(),
            origin=origin,
            position=position,
            is_fraud=is_fraud,
        )
        heapq.heappush(self._due, label)

    def _advance(self, time: int) -> None:
        while self._due and self._due[0].known_at <= time:
            label = heapq.heappop(self._due)
            superseded = self._first_label.get(label.position, label.known_at + 1) <= label.known_at
            if label.origin == MATURED and superseded:
                continue
            self._scorer.observe_label(
                label.position, known_at=label.known_at, is_fraud=label.is_fraud, origin=label.origin
            )


def last_of(snapshot: Snapshot) -> SequenceKey:
    """SequenceKey key of the last transaction of a snapshot."""
    arrays = snapshot.arrays
    if len(arrays) == 0:
        return (0, 0, 0, b"")
    identifier = snapshot.transaction_ids[len(arrays) - 1].as_py()
    return int(arrays.available_at[-1]), 1, int(arrays.event_time[-1]), identifier.encode()


def due_labels(snapshot: Snapshot, *, unreviewed: Collection[str] = ()) -> list[DueLabel]:
    """Labels that become known after the last transaction of a snapshot, by time.

    Those are the explicit ones with a later `known_at`, and the transactions that mature later: approved, without
    an explicit label by then, and not in `unreviewed` (ids of transactions that are alerts nobody reviewed).
    """
    arrays, labels = snapshot.arrays, snapshot.label_events
    horizon = last_of(snapshot)[0]
    maturity = int(snapshot.manifest["label_maturity_days"]) * MICROSECONDS_PER_DAY
    explicit = np.flatnonzero((labels.origin != MATURED) & (labels.known_at > horizon))
    matures_at = np.maximum(arrays.event_time + maturity, arrays.available_at + 1)
    maturing = _maturing(matures_at, labels, arrays.outcome == "approved", horizon)
    positions = np.concatenate([labels.position[explicit], maturing])
    ids = snapshot.transaction_ids.take(positions).to_pylist()
    due = [
        DueLabel(
            known_at=int(labels.known_at[index]),
            transaction_id=identifier.encode(),
            origin=int(labels.origin[index]),
            position=int(labels.position[index]),
            is_fraud=bool(labels.is_fraud[index]),
        )
        for index, identifier in zip(explicit, ids[: len(explicit)], strict=True)
    ]
    due += [
        DueLabel(
            known_at=int(matures_at[position]),
            transaction_id=identifier.encode(),
            origin=MATURED,
            position=int(position),
            is_fraud=False,
        )
        for position, identifier in zip(maturing, ids[len(explicit) :], strict=True)
        if identifier not in unreviewed
    ]
    return sorted(due)


def origin_code(origin: str) -> int:
    """Index of an origin in `LABEL_ORIGINS`."""
    return LABEL_ORIGINS.index(origin)


def _maturing(
    matures_at: NDArray[np.int64], labels: LabelEvents, can_mature: NDArray[np.bool_], horizon: int
) -> NDArray[np.int64]:
    """Positions that mature after the horizon and that no explicit label precedes."""
    first = np.full(len(matures_at), np.iinfo(np.int64).max)
    explicit = labels.origin != MATURED
    np.minimum.at(first, labels.position[explicit], labels.known_at[explicit])
    return np.flatnonzero(can_mature & (matures_at > horizon) & (first > matures_at))
