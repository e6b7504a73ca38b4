"""The core of the state process, without sockets: rows in, durable events, answers out.

Order of every group of rows: tokenise and check, append to the log (durable), score, write alerts, store the
answers, answer. A process that dies anywhere in between loses nothing: on the next start the log is folded again,
and an event without an answer gets the one that it would have got.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import sqlalchemy as sa

from ingestion.artifacts import short_hash
from serving.alerts import Alert, add_alerts
from serving.answers import ScoringPolicy, alert_of, quarantined_answer, scored_answer
from serving.event_log import EventLog, LoggedEvent, NewEvent, QuarantinedRow, StoredAnswer
from serving.events import SequenceKey, TransactionEvent
from serving.fold import Fold, Scored, origin_code
from serving.intake import Fault, Intake, Prepared

ID_CONFLICT = Fault(
    reason="id_conflict",
    field="transaction_id",
    remedy="An id stands for one transaction: send the changed one under an id of its own, or as a reversal.",
)


class SnapshotHistory(Protocol):
    """Transactions that the snapshot holds already."""

    def position(self, transaction_id: str) -> int | None:
        """Position in the sequence, None when it is not there."""
        ...

    def event(self, position: int) -> TransactionEvent:
        """The logical row."""
        ...


class PositionScorer(Protocol):
    """Batch scores of transactions of the snapshot."""

    def score_position(self, position: int) -> Scored:
        """Features, logit and probability as of the transaction's own place in the sequence."""
        ...


@dataclass
class _Group:
    """Rows of one call, sorted out: what is answered already, what is new."""

    answers: list[dict[str, Any] | None]
    new: dict[str, TransactionEvent] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, list[int]] = field(default_factory=dict)
    quarantined: list[QuarantinedRow] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class _Unsaved:
    """An answer that is not on disk yet, and its alert."""

    answer: StoredAnswer
    alert: Alert | None


class Scoring:
    """Scores rows for one release. Used by one thread at a time.

    Args:
        fold: state of the snapshot; `replay` brings in the log.
        history, batch: the transactions that the snapshot holds and their scores.
        app: engine of `app.db`, where alerts go.
    """

    def __init__(
        self,
        *,
        policy: ScoringPolicy,
        fold: Fold,
        intake: Intake,
        history: SnapshotHistory,
        batch: PositionScorer,
        log: EventLog,
        app: sa.Engine,
    ) -> None:
        self.policy = policy
        self._fold = fold
        self._intake = intake
        self._history = history
        self._batch = batch
        self._log = log
        self._app = app
        self._positions: dict[str, int] = {}
        self._unsaved: dict[str, _Unsaved] = {}
        self.folded_number = 0

    @property
    def last_available_at(self) -> int:
        """`available_at` of the last event in the state, µs."""
        return self._fold.last[0]

    def score(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """One answer a row, in order; durable before it is given."""
        self._save()
        group = self._sort_out(self._intake.prepare(rows))
        placed = self._place(group.new.values())
        events = [as_logged(event, group.hashes[event.transaction_id]) for event in placed]
        numbers = self._log.append(events, group.quarantined)
        for number, event in zip(numbers, placed, strict=True):
            answer = self._fold_event(number, event, stored=None)
            for index in group.waiting[event.transaction_id]:
                group.answers[index] = answer
        self._save()
        answers = [answer for answer in group.answers if answer is not None]
        assert len(answers) == len(rows), "every row is answered"
        return answers

    def label(self, transaction_id: str, *, label: str, known_at: int, origin: str) -> bool:
        """An explicit label of a transaction that is in the state; False when the transaction is unknown.

        The state learns it after everything that was scored before it.
        """
        if self._position(transaction_id) is None:
            return False
        content = {"transaction_id": transaction_id, "label": label, "origin": origin, "known_at": known_at}
        digest = short_hash(content)
        event_id = f"{transaction_id}:{digest}"
        if event_id not in self._log.find("label", [event_id]):
            placed_at = max(known_at, self._fold.last[0] + 1)
            placed = content | {"known_at": placed_at}
            event = NewEvent(
                kind="label", event_id=event_id, content_hash=digest, content=placed, available_at=placed_at
            )
            (number,) = self._log.append([event])
            self._fold_label(number, placed)
        return True

    def replay(self, log: EventLog) -> int:
        """Fold the events of a log that are not in the state yet; returns how many. Writes nothing."""
        folded = 0
        for logged in log.replay(after=self.folded_number):
            if logged.kind == "label":
                self._fold_label(logged.number, logged.content)
            elif (position := self._history.position(logged.event_id)) is None:
                event = TransactionEvent.from_row(logged.content).placed_after(self._fold.last)
                self._fold_event(logged.number, event, stored=logged.answer)
            elif logged.answer is None:
                self._answered(logged.number, self._history.event(position), self._batch.score_position(position))
            self.folded_number = logged.number
            folded += 1
        return folded

    def take_over(self) -> None:
        """Become the writer: fold what is new in the log, write the answers that the process before did not.

        An event that was never answered and that breaks the fold is set aside before the error goes on, so that the
        next process starts without it.
        """
        try:
            self.replay(self._log)
        except Exception:
            failed = next(self._log.replay(after=self.folded_number), None)
            if failed is not None and failed.kind == "transaction" and failed.answer is None:
                self._log.set_aside(failed, reason="not_scorable")
            raise
        answered = self._log.answered([item.answer.number for item in self._unsaved.values()])
        self._unsaved = {key: item for key, item in self._unsaved.items() if item.answer.number not in answered}
        self._save()

    def _sort_out(self, prepared: list[Prepared]) -> _Group:
        group = _Group(answers=[None] * len(prepared))
        logged = self._log.find("transaction", list({item.event.transaction_id for item in prepared}))
        for index, item in enumerate(prepared):
            identifier, digest = item.event.transaction_id, item.event.content_hash
            if identifier in logged:
                self._answer_again(group, index, item.event, logged[identifier], digest)
            elif identifier in group.new:
                self._answer_with_first(group, index, item.event, digest)
            elif (position := self._history.position(identifier)) is not None:
                self._answer_from_snapshot(group, index, item.event, position)
            elif item.fault is not None:
                self._turn_away(group, index, item.event, item.fault)
            else:
                group.new[identifier], group.hashes[identifier] = item.event, digest
                group.waiting[identifier] = [index]
        return group

    def _answer_again(
        self, group: _Group, index: int, event: TransactionEvent, logged: LoggedEvent, digest: str
    ) -> None:
        if logged.content_hash != digest:
            self._turn_away(group, index, event, ID_CONFLICT)
        else:
            group.answers[index] = logged.answer or self._unsaved[logged.event_id].answer.answer

    def _answer_with_first(self, group: _Group, index: int, event: TransactionEvent, digest: str) -> None:
        """The same id twice in one group."""
        if group.hashes[event.transaction_id] != digest:
            self._turn_away(group, index, event, ID_CONFLICT)
        else:
            group.waiting[event.transaction_id].append(index)

    def _answer_from_snapshot(self, group: _Group, index: int, event: TransactionEvent, position: int) -> None:
        """The snapshot has this id: the same content gets its batch score, other content is turned away."""
        there = self._history.event(position)
        said = event.as_row() | ({"known_at": there.known_at} if event.known_at is None else {})
        if said != there.as_row():
            self._turn_away(group, index, event, ID_CONFLICT)
        else:
            group.answers[index] = scored_answer(self.policy, there, self._batch.score_position(position))

    def _turn_away(self, group: _Group, index: int, event: TransactionEvent, fault: Fault) -> None:
        group.answers[index] = quarantined_answer(self.policy, event, fault)
        row = QuarantinedRow(
            transaction_id=event.transaction_id, reason=fault.reason, field=fault.field, content=event.as_row()
        )
        group.quarantined.append(row)

    def _place(self, events: Iterable[TransactionEvent]) -> list[TransactionEvent]:
        """Give each event its place: a group in the order of its own sequence, all after what was folded."""
        placed: list[TransactionEvent] = []
        last = self._fold.last
        for event in sorted(events, key=_sequence):
            placed.append(event.placed_after(last))
            last = placed[-1].sequence
        return placed

    def _fold_event(self, number: int, event: TransactionEvent, *, stored: dict[str, Any] | None) -> dict[str, Any]:
        scored = self._fold.score(event)
        self._positions[event.transaction_id] = scored.position
        answer = self._answered(number, event, scored) if stored is None else stored
        self._fold.schedule(event, scored.position, is_alert=bool(answer["alert"]))
        self.folded_number = number
        return answer

    def _answered(self, number: int, event: TransactionEvent, scored: Scored) -> dict[str, Any]:
        """A fresh answer, remembered until `_save`."""
        answer = scored_answer(self.policy, event, scored)
        self._unsaved[event.transaction_id] = _Unsaved(
            answer=StoredAnswer(
                number=number, release_id=self.policy.release_id, score=scored.probability, answer=answer
            ),
            alert=alert_of(self.policy, event, scored) if answer["alert"] else None,
        )
        return answer

    def _fold_label(self, number: int, content: Mapping[str, Any]) -> None:
        position = self._position(content["transaction_id"])
        if position is not None:
            self._fold.label(
                content["transaction_id"],
                position,
                known_at=max(content["known_at"], self._fold.last[0] + 1),
                is_fraud=content["label"] == "fraud",
                origin=origin_code(content["origin"]),
            )
        self.folded_number = number

    def _position(self, transaction_id: str) -> int | None:
        if transaction_id in self._positions:
            return self._positions[transaction_id]
        return self._history.position(transaction_id)

    def _save(self) -> None:
        """Alerts first: an answer on disk means that its alert is there too."""
        if not self._unsaved:
            return
        add_alerts(self._app, [item.alert for item in self._unsaved.values() if item.alert is not None])
        self._log.store_answers([item.answer for item in self._unsaved.values()])
        self._unsaved.clear()


def as_logged(event: TransactionEvent, content_hash: str) -> NewEvent:
    """The event as the log keeps it; the hash is that of what the sender said, before the event got its place."""
    return NewEvent(
        kind="transaction",
        event_id=event.transaction_id,
        content_hash=content_hash,
        content=event.as_row(),
        available_at=event.available_at,
        parties=tuple(sorted({str(party) for party in event.roles().values()})),
    )


def _sequence(event: TransactionEvent) -> SequenceKey:
    return event.sequence
