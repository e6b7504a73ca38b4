"""Each party's events in the order of the sequence: its transactions, and outcomes of them that became known.

A label is an event of its own, at its `known_at`, in the sequence of each party of its transaction; so what a party's
state knows of confirmed fraud has come in by then and never changes afterwards. An event's place is fixed by what came
before it alone: a transaction sees labels known by its own arrival (closed) and transactions at smaller positions.

Legend: V entities, E events, N transactions, R roles, D nodes (a party as of a seed), S seeds, L packed events.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphml.graph import Cuts, Ints, SmallInts, TransactionGraph
from ingestion.compiled import jit
from ingestion.labels import UNKNOWN

#: Kind of an event that is the transaction itself; others are the state of the label that became known.
TRANSACTION = UNKNOWN


@dataclass(frozen=True, kw_only=True)
class EventLog:
    """Events of entity v are `starts[v]` … `starts[v + 1]`, oldest first.

    All (E,): `transaction`, the position that an event is about; `kind`, `TRANSACTION`, LEGITIMATE or FRAUD; `role` of
    v in the transaction; `other`, the entity at its other end (-1 for none); `time` µs, of the transaction or when
    its label became known; `place`, 2p + 1 for the transaction at p, 2p for a label that the transaction at p sees
    and the one before it does not.
    """

    starts: Ints
    transaction: Ints
    kind: SmallInts
    role: SmallInts
    other: Ints
    time: Ints
    place: Ints

    def __len__(self) -> int:
        return len(self.transaction)

    @classmethod
    def of(cls, graph: TransactionGraph, *, labels: bool = True) -> EventLog:
        """The log of all parties of a graph; without `labels`, their transactions alone."""
        owner = np.repeat(np.arange(graph.num_entities), np.diff(_bounds(graph)))
        parts: dict[str, np.ndarray] = {
            "owner": owner,
            "transaction": graph.incident,
            "kind": np.full(len(owner), TRANSACTION, np.int8),
            "role": graph.incident_role,
            "other": graph.incident_other,
            "time": graph.event_time[graph.incident],
            "place": 2 * graph.incident + 1,
        }
        if labels:
            told = _labels(graph, owner)
            parts = {name: np.concatenate([column, told[name]]) for name, column in parts.items()}
        # labels of one place by the time at which they became known; the stable sort keeps a transaction's own order
        order = np.lexsort((parts["time"], parts["place"], parts["owner"]))
        counts = np.bincount(parts.pop("owner"), minlength=graph.num_entities)
        return cls(
            starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            **{name: column[order] for name, column in parts.items()},
        )

    def owner(self, slot: Ints) -> Ints:
        """Entity (L,) of each slot."""
        found: Ints = np.searchsorted(self.starts, slot, side="right") - 1
        return found

    def before(self, entity: Ints, cuts: Cuts) -> Ints:
        """Slots (D,) behind the last event of each `entity` (D,) that its cut (D,), or the one cut (1,), sees; 0 for
        -1, an absent one."""
        if len(cuts) == 1:
            cuts = Cuts(**{name: np.repeat(column, len(entity)) for name, column in vars(cuts).items()})
        return _behind(self.starts, self.place, self.kind, self.time, entity, cuts.position, cuts.label_time)


@dataclass(frozen=True, kw_only=True)
class PackedEvents:
    """Windows of nodes side by side, overlapping ones once: `slot` (L,) of the log, or E + d for node d's own event
    that the log does not hold; `sequence` (L,) number of its window; `last` (D,) where each node's own event lies."""

    slot: Ints
    sequence: Ints
    last: Ints


def pack(starts: Ints, entity: Ints, behind: Ints, num_events: int, *, stored: NDArray[np.bool_]) -> PackedEvents:
    """The own event of each node (D,) and the `num_events` - 1 before it in the log of its `entity` (D,), which end
    before the slot `behind` (D,).

    Where `stored` (D,), the own event is that slot; windows of one entity that overlap or touch then become one, in
    which each node still finds all its events: whoever computes states with a receptive field of `num_events` gets
    the same as from each window alone. An own event that the log does not hold has its window to itself.
    """
    order = np.lexsort((behind, ~stored))
    slot, sequence, last = _packed(order, starts[entity], behind, num_events, stored, starts[-1])
    return PackedEvents(slot=slot, sequence=sequence, last=last)


def _bounds(graph: TransactionGraph) -> Ints:
    return np.append(graph.starts, graph.stops[-1:])


def _labels(graph: TransactionGraph, owner: Ints) -> dict[str, np.ndarray]:
    """The columns of label events: every label of a slot's transaction, in the sequence of the slot's owner."""
    num_of = (graph.label_stops - graph.label_starts)[graph.incident]
    slot = np.repeat(np.arange(len(owner)), num_of)
    nth = np.arange(len(slot)) - np.repeat(np.cumsum(num_of) - num_of, num_of)
    transaction = graph.incident[slot]
    label = graph.label_starts[transaction] + nth
    known_at = graph.label_known_at[label]
    # the first transaction that sees the label, and never one before the labelled transaction has come
    sees = np.maximum(np.searchsorted(graph.available_at, known_at, side="left"), transaction + 1)
    return {
        "owner": owner[slot],
        "transaction": transaction,
        "kind": graph.label_state[label],
        "role": graph.incident_role[slot],
        "other": graph.incident_other[slot],
        "time": known_at,
        "place": 2 * sees,
    }


@jit
def _behind(
    starts: Ints, place: Ints, kind: SmallInts, time: Ints, entity: Ints, position: Ints, label_time: Ints
) -> Ints:
    result = np.zeros(entity.shape[0], np.int64)
    for node in range(entity.shape[0]):
        if 0 <= entity[node] < starts.shape[0] - 1:
            low, high = starts[entity[node]], starts[entity[node] + 1]
            begin = low
            while low < high:
                middle = (low + high) // 2
                if place[middle] <= 2 * position[node]:
                    low = middle + 1
                else:
                    high = middle
            # labels of the last place may be known later than the cut's time
            while low > begin and kind[low - 1] != TRANSACTION and time[low - 1] > label_time[node]:
                low -= 1
            result[node] = low
    return result


@jit
def _packed(
    order: Ints, first: Ints, behind: Ints, num_events: int, stored: NDArray[np.bool_], num_log: int
) -> tuple[Ints, Ints, Ints]:
    """Nodes in this `order`, stored ones first; `first` (D,) is the first slot of each node's entity."""
    num = order.shape[0]
    begins, joins = np.zeros(num, np.int64), np.zeros(num, np.bool_)
    total, end, lowest = 0, -1, -1
    for node in order:
        begins[node] = max(first[node], behind[node] - num_events + 1)
        if stored[node]:
            joins[node] = first[node] == lowest and begins[node] <= end
            if joins[node]:
                begins[node] = end
            end, lowest = behind[node] + 1, first[node]
        total += behind[node] + 1 - begins[node]
    slot, sequence = np.empty(total, np.int64), np.empty(total, np.int64)
    last = np.empty(num, np.int64)
    at, number = 0, -1
    for node in order:
        if not joins[node]:
            number += 1
        for taken in range(begins[node], behind[node] + 1):
            slot[at] = taken if stored[node] or taken < behind[node] else num_log + node
            sequence[at] = number
            at += 1
        last[node] = at - 1
    return slot, sequence, last
