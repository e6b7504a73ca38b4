"""Each party's events in the order of the sequence: its transactions, and outcomes of them that became known.

A label is an event of its own, at its `known_at`, in the sequence of each party of its transaction; so what a party's
state knows of confirmed fraud has come in by then and never changes afterwards. An event's place is fixed by what came
before it alone: a transaction sees labels known by its own arrival (closed) and transactions at smaller positions.

Legend: V entities, E events, N transactions, R roles, D nodes (a party as of a seed), S seeds, L packed events.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
        parts = {
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

    def before(self, entity: Ints, cuts: Cuts) -> Ints:
        """Slot (D,) behind the last event of each `entity` (D,) that its cut (D,) sees; an absent entity's (-1) is 0."""
        return _behind(self.starts, self.place, self.kind, self.time, entity, cuts.position, cuts.label_time)


@dataclass(frozen=True, kw_only=True)
class PackedEvents:
    """Windows of nodes side by side, overlapping ones once: `slot` (L,) of the log, `sequence` (L,) number of its
    window, `index` (D,) where each node's last event lies among the L (-1 for a node without any)."""

    slot: Ints
    sequence: Ints
    index: Ints


def pack(starts: Ints, entity: Ints, behind: Ints, num_events: int) -> PackedEvents:
    """The last `num_events` events before the slots `behind` (D,) of each entity (D,).

    Windows of one entity that overlap or touch become one, in which each node still finds all its events: whoever
    computes states with a receptive field of `num_events` gets the same as from each window alone.
    """
    first = np.where(entity >= 0, starts[np.maximum(entity, 0)], behind)
    slot, sequence, index = _packed(np.argsort(behind, kind="stable"), first, behind, num_events)
    return PackedEvents(slot=slot, sequence=sequence, index=index)


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
def _packed(order: Ints, first: Ints, behind: Ints, num_events: int) -> tuple[Ints, Ints, Ints]:
    """Nodes in the `order` of their last slot; `first` (D,) is the first slot of each node's entity."""
    total, last, lowest = 0, np.int64(-1), np.int64(-1)
    for node in order:
        begin = max(first[node], behind[node] - num_events)
        if behind[node] > begin:
            begin = max(begin, last) if first[node] == lowest else begin
            total += behind[node] - begin
            last, lowest = behind[node], first[node]
    slot = np.empty(total, np.int64)
    sequence = np.empty(total, np.int64)
    index = np.full(first.shape[0], -1, np.int64)
    at, number, last, lowest = 0, -1, np.int64(-1), np.int64(-1)
    for node in order:
        begin = max(first[node], behind[node] - num_events)
        if behind[node] > begin:
            if first[node] == lowest and begin <= last:
                begin = last
            else:
                number += 1
            for taken in range(begin, behind[node]):
                slot[at], sequence[at] = taken, number
                at += 1
            last, lowest = behind[node], first[node]
            index[node] = at - 1
    return slot, sequence, index
