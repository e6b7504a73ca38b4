"""The transaction graph as plain arrays: who took part in what, in the order of the sequence.

An entity's *slots* are its transactions in any role, oldest first, each once (a self-transfer counts under the
source). Slots of entity v are `starts[v]` … `stops[v]` of `incident` and `incident_role`, so a binary search
finds what lies before any position. A growing graph (the online scorer) has the same shape with gaps between.

A *relation* is an ordered pair of roles: under (source, target) an entity is linked to the targets of the
transactions whose source it is, and (target, source) is its reverse. `TransactionGraph.relation` makes such slots.

Dimensions: N transactions, R roles, V entities, M slots, L labels, F features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ingestion.labels import LabelEvents
from ingestion.snapshot import Snapshot

Ints = NDArray[np.int64]
SmallInts = NDArray[np.int8]
Floats = NDArray[np.float32]

SOURCE, TARGET = 0, 1


@dataclass(frozen=True, kw_only=True)
class Cuts:
    """C moments that something is computed as of: it sees transactions at a smaller `position`.

    All (C,) int64: `label_time` µs, labels with `known_at <= label_time` are seen; `event_time` µs, where time
    gaps end.
    """

    position: Ints
    label_time: Ints
    event_time: Ints

    def __len__(self) -> int:
        return len(self.position)


@dataclass(frozen=True, kw_only=True)
class Seeds:
    """S transactions to score, each with a cut of its own: `entity` (S, R), `features` (S, F) raw float32."""

    cuts: Cuts
    entity: Ints
    features: Floats

    def __len__(self) -> int:
        return len(self.cuts)


@dataclass(frozen=True, kw_only=True)
class Adjacency:
    """Slots of entity v are `starts[v]` … `stops[v]`, oldest first: `transaction`, its `other` end seen from v, and
    the `role` of v in it (all (M,))."""

    starts: Ints
    stops: Ints
    transaction: Ints
    other: Ints
    role: SmallInts


@dataclass(frozen=True, kw_only=True)
class TransactionGraph:
    """See the module. `entity` (N, R) dense ids, -1 where absent, roles in the order source, target, further.

    `entity_type` (V,) codes into `types`; `event_time`, `available_at` (N,) µs; `features` (N, F) raw float32;
    labels of transaction e are `label_starts[e]` … `label_stops[e]` of `label_known_at` and `label_state`
    (LEGITIMATE or FRAUD), weakest first among equal times, so the last that is known wins.
    """

    roles: tuple[str, ...]
    types: tuple[str, ...]
    entity: Ints
    entity_type: Ints
    event_time: Ints
    available_at: Ints
    features: Floats
    starts: Ints
    stops: Ints
    incident: Ints
    incident_role: SmallInts
    incident_other: Ints
    label_starts: Ints
    label_stops: Ints
    label_known_at: Ints
    label_state: SmallInts

    def __len__(self) -> int:
        return len(self.event_time)

    @property
    def num_entities(self) -> int:
        return len(self.entity_type)

    @property
    def adjacency(self) -> Adjacency:
        """Slots in any role: one relation for the whole graph."""
        return Adjacency(
            starts=self.starts,
            stops=self.stops,
            transaction=self.incident,
            other=self.incident_other,
            role=self.incident_role,
        )

    def relation(self, role: int, other: int) -> Adjacency:
        """Slots of the entities in `role`, linked to those in the role `other`; absent and self links are left out."""
        wanted = (self.entity[:, role] >= 0) & (self.entity[:, other] >= 0)
        wanted &= self.entity[:, role] != self.entity[:, other]
        rows = np.flatnonzero(wanted)
        return _adjacency(
            owner=self.entity[rows, role],
            transaction=rows,
            other=self.entity[rows, other],
            role=np.full(len(rows), role, np.int8),
            num_entities=self.num_entities,
        )

    def relations(self) -> dict[str, Adjacency]:
        """Every party linked to the source and the source to every party, each with its reverse, by name."""
        pairs = [pair for role in range(1, len(self.roles)) for pair in ((SOURCE, role), (role, SOURCE))]
        return {f"{self.roles[role]}->{self.roles[other]}": self.relation(role, other) for role, other in pairs}

    @classmethod
    def from_snapshot(cls, snapshot: Snapshot) -> TransactionGraph:
        """The graph of a whole snapshot; roles and entity types are the snapshot's."""
        types, entity_type = entity_types(snapshot)
        arrays = snapshot.arrays
        return cls.build(
            roles=arrays.roles,
            types=types,
            entity=arrays.entity,
            entity_type=entity_type,
            event_time=arrays.event_time,
            available_at=arrays.available_at,
            features=snapshot.features(),
            labels=snapshot.label_events,
        )

    @classmethod
    def build(
        cls,
        *,
        roles: tuple[str, ...],
        types: tuple[str, ...],
        entity: Ints,
        entity_type: Ints,
        event_time: Ints,
        available_at: Ints,
        features: Floats,
        labels: LabelEvents,
    ) -> TransactionGraph:
        """The graph of transactions in sequence order and their labels in sequence order."""
        slots = incidence(entity, len(entity_type))
        return cls(
            roles=roles,
            types=types,
            entity=entity,
            entity_type=entity_type,
            event_time=event_time,
            available_at=available_at,
            features=features,
            starts=slots.starts,
            stops=slots.stops,
            incident=slots.transaction,
            incident_role=slots.role,
            incident_other=slots.other,
            **label_columns(labels, len(event_time)),
        )

    def cuts(self, positions: Ints) -> Cuts:
        """The cuts of transactions: each sees only what has a smaller position."""
        return Cuts(position=positions, label_time=self.available_at[positions], event_time=self.event_time[positions])

    def seeds(self, positions: Ints) -> Seeds:
        """Transactions at `positions` (S,) as seeds."""
        return Seeds(cuts=self.cuts(positions), entity=self.entity[positions], features=self.features[positions])

    def cut_after(self, position: int) -> Cuts:
        """One cut (C = 1) that sees the first `position` transactions and the labels known by the last of them."""
        last = max(position - 1, 0)
        time = self.available_at[last : last + 1]
        return Cuts(position=np.asarray([position], np.int64), label_time=time, event_time=time)


def entity_types(snapshot: Snapshot) -> tuple[tuple[str, ...], Ints]:
    """The types of a snapshot's entities, sorted, and each entity's code among them (V,)."""
    kinds = snapshot.entities().column("type").combine_chunks()
    types = tuple(sorted(pc.unique(kinds).to_pylist()))
    return types, np.asarray(pc.index_in(kinds, value_set=_strings(types)), np.int64)


def label_columns(labels: LabelEvents, num_transactions: int) -> dict[str, Any]:
    """The label arrays of a graph, by name."""
    order = np.lexsort((-labels.origin, labels.known_at, labels.position))
    bounds = _bounds(labels.position, num_transactions)
    return {
        "label_starts": bounds[:-1],
        "label_stops": bounds[1:],
        "label_known_at": labels.known_at[order],
        "label_state": labels.is_fraud[order].astype(np.int8),
    }


def incidence(entity_NR: Ints, num_entities: int) -> Adjacency:
    """Slots of every entity in any role, its transactions in ascending positions.

    An entity that has two roles in one transaction gets one slot, under the earlier role. The other end is the target
    seen from the source, and the source seen from any other role.
    """
    roles = entity_NR.shape[1]
    first = entity_NR >= 0
    for role in range(1, roles):
        for earlier in range(role):
            first[:, role] &= entity_NR[:, role] != entity_NR[:, earlier]
    cells = np.flatnonzero(first.ravel())  # in the order of the sequence
    transaction, role_of_cell = cells // roles, (cells % roles).astype(np.int8)
    side = np.where(role_of_cell == SOURCE, TARGET, SOURCE)
    return _adjacency(
        owner=entity_NR.ravel()[cells],
        transaction=transaction,
        other=entity_NR[transaction, side],
        role=role_of_cell,
        num_entities=num_entities,
    )


def _adjacency(*, owner: Ints, transaction: Ints, other: Ints, role: SmallInts, num_entities: int) -> Adjacency:
    """Slots in the order of the sequence, sorted by their owner (M,)."""
    order = np.argsort(owner, kind="stable")
    bounds = _bounds(owner, num_entities)
    return Adjacency(
        starts=bounds[:-1],
        stops=bounds[1:],
        transaction=transaction[order],
        other=other[order],
        role=role[order],
    )


def _bounds(codes: Ints, num: int) -> Ints:
    """(num + 1,) bounds of each code in the sorted codes."""
    bounds = np.zeros(num + 1, np.int64)
    np.cumsum(np.bincount(codes, minlength=num), out=bounds[1:])
    return bounds


def _strings(values: tuple[str, ...]) -> pa.Array:
    return pa.array(list(values), pa.string())
