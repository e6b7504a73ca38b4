"""The online scorer: one event at a time, the same numbers as the batch.

It folds a snapshot (features, recent transactions, labels) and goes on from there. Features come from the state
that the batch kernels step, samples from the batch's sampler, scores from the batch's rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from graphml.errors import UnknownEntityType
from graphml.fused_onnx import OnnxSteps
from graphml.fused_row import FusedRow
from graphml.fused_stream import FusedStream
from graphml.graph import Cuts, Floats, Ints, Seeds, TransactionGraph
from graphml.growing import GrowingContext
from graphml.model import Model
from graphml.stacked_row import StackedRow
from ingestion.contracts import PartyRef
from ingestion.features.state import FeatureState, OnlineTransaction
from ingestion.labels import LabelEvents
from ingestion.snapshot import Snapshot

Sequence = tuple[int, int, int, bytes]


@dataclass(frozen=True, kw_only=True)
class OnlineEvent:
    """A transaction to score; times in µs, `parties` by role (source, target, further party types)."""

    transaction_id: str
    event_time: int
    available_at: int
    amount_minor: int
    currency: str
    kind: str
    outcome: str
    parties: Mapping[str, PartyRef]

    @property
    def sequence(self) -> Sequence:
        """Its place in the total order (`ingestion.contracts`)."""
        return self.available_at, 1, self.event_time, self.transaction_id.encode()


@dataclass(frozen=True, kw_only=True)
class Scored:
    """`features` (F,) raw float32 in the order of the model's spec, the row's logit, its calibrated probability."""

    features: Floats
    logit: float
    probability: float
    position: int


class OnlineScorer:
    """Scores events in the order of the sequence; used by one thread at a time.

    Args:
        snapshot: what to fold. Its labels are folded as far as they were known when the last folded transaction
            became available; feed later ones by `observe_label`.
        row: row of the ladder to score with; default the served one.
        up_to: fold only so many transactions; default all. 0 starts empty.
        graph: the snapshot's graph, when the caller has it already.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        model: Model,
        *,
        row: str | None = None,
        up_to: int | None = None,
        graph: TransactionGraph | None = None,
    ) -> None:
        self.model = model
        self.row = row or model.served_row
        past = graph or TransactionGraph.from_snapshot(snapshot)
        model.require(past)
        num = len(past) if up_to is None else up_to
        labels = known_by(snapshot.label_events, int(past.available_at[num - 1]) if num else None)
        self._rates = snapshot.rates
        self._features = FeatureState.folded(snapshot.spec, snapshot.feature_arrays, labels, past.features, up_to=num)
        self._context = GrowingContext(past, labels, up_to=num, depth=model.largest_fanout)
        scorer = model.scorers[self.row]
        self._stacked = scorer if isinstance(scorer, StackedRow) else None
        network = scorer.network if isinstance(scorer, StackedRow) else scorer
        self._stream: FusedStream | None = None
        if isinstance(network, FusedRow):
            self._stream = FusedStream.begin(network, self._context, steps=OnnxSteps(model.path, network.name))
        self._types = {name: code for code, name in enumerate(past.types)}
        entities = snapshot.entities()
        names = zip(entities.column("type").to_pylist(), entities.column("key").to_pylist(), strict=True)
        self._entities = {name: dense for dense, name in enumerate(names)}
        self._last = _sequence_at(snapshot, num - 1) if num else (0, 0, 0, b"")
        self._last_label = max((int(time) for time in labels.known_at[-1:]), default=0)

    @property
    def position(self) -> int:
        """Position that the next event gets."""
        return self._context.num_transactions

    def score(self, event: OnlineEvent) -> Scored:
        """Score the event as of its own place in the sequence; then it is part of history.

        Raises `ValueError` when it is out of order: not after the last event, or before a label that is in;
        `UnknownEntityType` for a source or target of a type that the model has not met. Then nothing has changed.
        """
        if event.sequence <= self._last:
            raise ValueError(f"Event {event.transaction_id} at {event.sequence} is not after {self._last}: order them.")
        if event.available_at < self._last_label:
            raise ValueError(
                f"Event {event.transaction_id} became available at {event.available_at}, but a label known at "
                f"{self._last_label} is in already: feed labels when they are due."
            )
        entity = self._entities_of(event)
        present = {
            role: int(dense) for role, dense in zip(self._context.graph.roles, entity, strict=True) if dense >= 0
        }
        amount, currency = event.amount_minor, event.currency
        if self._rates is not None:
            amount, currency = self._rates.base_amount(amount, currency, event.available_at)
        features = self._features.observe_transaction(
            OnlineTransaction(
                event_time=event.event_time,
                amount_minor=amount,
                currency=currency,
                kind=event.kind,
                outcome=event.outcome,
                parties=present,
            )
        )
        seed = self._seed(event, entity, features)
        if self._stream is None:
            logits = self.model.score_seeds(self._context, seed, self.row)
        else:
            logits = np.asarray([self._stream.score(seed)])
            logits = logits if self._stacked is None else self._stacked.told(seed, logits)
        position = self._context.add_transaction(
            entity=entity, event_time=event.event_time, available_at=event.available_at, features=features
        )
        if self._stream is not None:
            self._stream.add(position)
        self._last = event.sequence
        return Scored(
            features=features,
            logit=float(logits[0]),
            probability=float(self.model.probability(logits, self.row)[0]),
            position=position,
        )

    def observe_label(self, position: int, *, known_at: int, is_fraud: bool, origin: int) -> None:
        """A label of the transaction at `position`, fed before the first event that is available at `known_at` (µs)
        or later; `origin` is an index into `LABEL_ORIGINS`."""
        if not 0 <= position < self._context.num_transactions:
            raise ValueError(f"No transaction at position {position}: there are {self._context.num_transactions}.")
        roles, entity = self._context.graph.roles, self._context.graph.entity[position]
        parties = {role: int(dense) for role, dense in zip(roles, entity, strict=True) if dense >= 0}
        self._features.observe_label(position, parties, known_at=known_at, is_fraud=is_fraud)
        self._context.set_label(position, known_at=known_at, is_fraud=is_fraud, origin=origin)
        if self._stream is not None:
            self._stream.observe_label(position, known_at=known_at, is_fraud=is_fraud, origin=origin)
        self._last_label = max(self._last_label, known_at)

    def _seed(self, event: OnlineEvent, entity: Ints, features: Floats) -> Seeds:
        cuts = Cuts(
            position=np.asarray([self.position], np.int64),
            label_time=np.asarray([event.available_at], np.int64),
            event_time=np.asarray([event.event_time], np.int64),
        )
        return Seeds(cuts=cuts, entity=entity[None], features=features[None])

    def _entities_of(self, event: OnlineEvent) -> Ints:
        """Dense ids (R,) of the parties; new parties get the next ids. Parties in roles that the model does not
        know are left out, as no feature and no neighbor of it could use them."""
        roles = self._context.graph.roles
        known = {role: event.parties[role] for role in roles if role in event.parties}
        for role, party in known.items():
            if party.type not in self._types:
                raise UnknownEntityType(
                    f"The {role} of {event.transaction_id} is of type {party.type!r}, which {self.model.id} has not "
                    f"met (it knows {', '.join(self._types)}).",
                    remedy="Ingest transactions of that type and train again.",
                )
        entity = np.full(len(roles), -1, np.int64)
        for index, role in enumerate(roles):
            if role in known:
                entity[index] = self._entity(known[role])
        return entity

    def _entity(self, party: PartyRef) -> int:
        name = (party.type, party.key)
        if name not in self._entities:
            self._entities[name] = self._context.add_entity(self._types[party.type])
        return self._entities[name]


def known_by(labels: LabelEvents, time: int | None) -> LabelEvents:
    """The labels with `known_at <= time` (µs), none when there is no time."""
    chosen = np.zeros(len(labels.known_at), bool) if time is None else labels.known_at <= time
    return LabelEvents(
        position=labels.position[chosen],
        known_at=labels.known_at[chosen],
        is_fraud=labels.is_fraud[chosen],
        origin=labels.origin[chosen],
    )


def _sequence_at(snapshot: Snapshot, position: int) -> Sequence:
    arrays = snapshot.arrays
    identifier: str = snapshot.transaction_ids[position].as_py()
    return int(arrays.available_at[position]), 1, int(arrays.event_time[position]), identifier.encode()
