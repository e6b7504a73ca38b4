"""The transaction graph that grows by one transaction at a time, in the shape that the sampler reads.

Every entity has room for its most recent `depth` transactions: all that a sampler with fanouts up to `depth` can
ask for when the cut is now. Arrays have spare room and double when it is used up; unused rows are never read.

Legend: N transactions, R roles, V entities, F features, K depth.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphml.context import GraphContext, RowEncoder
from graphml.event_log import EventLog
from graphml.graph import SOURCE, TARGET, Floats, Ints, TransactionGraph
from graphml.sampling import recent_slots
from graphml.torch_first import torch
from ingestion.labels import LabelEvents

_SPARE = 1_024
#: Weaker than any origin: what a transaction without a label has.
_NO_ORIGIN = np.iinfo(np.int64).max


class GrowingContext(GraphContext):
    """A context over the first `up_to` transactions of `past` and `labels`, those known by then; open at the end."""

    def __init__(self, past: TransactionGraph, labels: LabelEvents, *, up_to: int, depth: int) -> None:
        super().__init__(_with_room(past, up_to, depth))
        self.num_transactions = up_to
        self.num_entities = past.num_entities
        self._depth = depth
        self._past, self._num_past = past, up_to
        self._before: GraphContext | None = None
        self._label_origin = np.full(len(self.graph), _NO_ORIGIN)
        order = np.lexsort((-labels.origin, labels.known_at))
        order = order[labels.position[order] < up_to]
        at = labels.position[order]  # later assignments win: the latest label, the strongest of equals
        self.graph.label_stops[at] = self.graph.label_starts[at] + 1
        self.graph.label_known_at[at] = labels.known_at[order]
        self.graph.label_state[at] = labels.is_fraud[order]
        self._label_origin[at] = labels.origin[order]

    def add_entity(self, type_code: int) -> int:
        """A new entity of a type; its dense id."""
        if self.num_entities == len(self.graph.entity_type):
            self._more_entities()
        entity = self.num_entities
        self.graph.entity_type[entity] = type_code
        self.num_entities += 1
        return entity

    def add_transaction(self, *, entity: Ints, event_time: int, available_at: int, features: Floats) -> int:
        """Append a transaction with its parties (R,), -1 where absent, and raw features (F,); its position."""
        if self.num_transactions == len(self.graph):
            self._more_transactions()
        position = self.num_transactions
        graph = self.graph
        graph.entity[position] = entity
        graph.event_time[position] = event_time
        graph.available_at[position] = available_at
        graph.features[position] = features
        itself = graph.seeds(np.asarray([position], np.int64))
        for encoder, table in self._encoded.items():  # an encoder's own inputs stand before it
            table[position] = encoder.rows(self, itself)[0]
        for role in range(len(entity)):
            if entity[role] >= 0 and entity[role] not in entity[:role]:
                self._add_slot(int(entity[role]), position, role)
        self.num_transactions += 1
        return position

    def set_label(self, position: int, *, known_at: int, is_fraud: bool, origin: int) -> None:
        """A label of a transaction; it takes the place of an earlier one, or of a weaker one of the same time."""
        graph, start = self.graph, int(self.graph.label_starts[position])
        has_label = self._label_origin[position] != _NO_ORIGIN
        if has_label and (known_at, -origin) < (int(graph.label_known_at[start]), -int(self._label_origin[position])):
            return
        graph.label_stops[position] = start + 1
        graph.label_known_at[start] = known_at
        graph.label_state[start] = is_fraud
        self._label_origin[position] = origin

    def past(self) -> GraphContext:
        """What it began with, whole, on the same tables."""
        if self._before is None:
            self._before = GraphContext(self._past)
        self._before._encoded = dict(self._encoded)  # positions are the same, and later rows are not asked for
        return self._before

    def events(self) -> EventLog:
        """Not kept: a row that reads events has a memory of its own (`graphml.fused_stream`)."""
        raise NotImplementedError("A growing graph keeps no log of events: score by the row's stream.")

    def inputs(self, encoder: RowEncoder) -> Floats:
        """All transactions so far through `encoder`; rows of the spare room are zeros.

        Raises ValueError when the encoder looks further back than this graph reaches.
        """
        if encoder not in self._encoded:
            self.require_depth(encoder.depth)
            known = GraphContext(self._past).encode(encoder, self._num_past)
            table = np.zeros((len(self.graph), encoder.width), np.float32)
            table[: self._num_past] = known
            new = np.arange(self._num_past, self.num_transactions)
            table[new] = encoder.rows(
                self, self.graph.seeds(new)
            )  # what it builds upon is kept before it, by this call
            self._encoded[encoder] = table
        return self._encoded[encoder]

    def require_depth(self, depth: int) -> None:
        """Raise ValueError when somebody who looks at `depth` earlier transactions of a party may miss some."""
        num_new = self.num_transactions - self._num_past
        if depth > self._depth or (depth > 0 and num_new > 0):
            raise ValueError(
                f"{depth} earlier transactions of a party are first asked for after {num_new} new ones, in a graph "
                f"that keeps {self._depth} a party: what is needed may be gone. Ask before the first transaction is "
                "added, with a depth that covers it."
            )

    def table(self, encoder: RowEncoder, device: torch.device) -> torch.Tensor:
        """See `GraphContext`; a copy on a device would not grow, so it is made anew each time."""
        return torch.from_numpy(self.inputs(encoder)).to(device)

    def _add_slot(self, entity: int, position: int, role: int) -> None:
        graph, start, stop = self.graph, int(self.graph.starts[entity]), int(self.graph.stops[entity])
        if stop - start == self._depth:
            for slots in (graph.incident, graph.incident_role, graph.incident_other):
                slots[start : stop - 1] = slots[start + 1 : stop].copy()
            stop -= 1
        graph.incident[stop] = position
        graph.incident_role[stop] = role
        graph.incident_other[stop] = graph.entity[position, TARGET if role == SOURCE else SOURCE]
        graph.stops[entity] = stop + 1

    def _more_transactions(self) -> None:
        graph, spare = self.graph, len(self.graph)
        self._label_origin = _grown(self._label_origin, spare, _NO_ORIGIN)
        self._encoded = {encoder: _grown(table, spare) for encoder, table in self._encoded.items()}
        starts = np.arange(2 * spare)
        stops = starts.copy()
        stops[:spare] = graph.label_stops
        self.graph = replace(
            graph,
            entity=_grown(graph.entity, spare, -1),
            event_time=_grown(graph.event_time, spare),
            available_at=_grown(graph.available_at, spare),
            features=_grown(graph.features, spare),
            label_starts=starts,
            label_stops=stops,
            label_known_at=_grown(graph.label_known_at, spare),
            label_state=_grown(graph.label_state, spare),
        )

    def _more_entities(self) -> None:
        graph, spare = self.graph, len(self.graph.entity_type)
        starts = np.arange(2 * spare) * self._depth
        stops = starts.copy()
        stops[:spare] = graph.stops
        self.graph = replace(
            graph,
            entity_type=_grown(graph.entity_type, spare),
            starts=starts,
            stops=stops,
            incident=_grown(graph.incident, spare * self._depth),
            incident_role=_grown(graph.incident_role, spare * self._depth),
            incident_other=_grown(graph.incident_other, spare * self._depth),
        )


def _with_room(past: TransactionGraph, up_to: int, depth: int) -> TransactionGraph:
    """The first `up_to` transactions in arrays with room, the most recent `depth` slots of each entity, no labels."""
    entities = past.num_entities
    offsets, slots = recent_slots(
        past.starts, past.stops, past.incident, np.arange(entities), np.full(entities, up_to), depth
    )
    counts = np.diff(offsets)
    within = np.arange(len(slots)) - np.repeat(offsets[:-1], counts)
    place = np.repeat(np.arange(entities) * depth, counts) + within
    incident = np.zeros((entities + _SPARE) * depth, np.int64)
    incident_role = np.zeros((entities + _SPARE) * depth, np.int8)
    incident_other = np.zeros((entities + _SPARE) * depth, np.int64)
    incident[place], incident_role[place] = past.incident[slots], past.incident_role[slots]
    incident_other[place] = past.incident_other[slots]
    starts = np.arange(entities + _SPARE) * depth
    stops = starts.copy()
    stops[:entities] += counts
    label_starts = np.arange(up_to + _SPARE)
    return replace(
        past,
        entity=_grown(past.entity[:up_to], _SPARE, -1),
        entity_type=_grown(past.entity_type, _SPARE),
        event_time=_grown(past.event_time[:up_to], _SPARE),
        available_at=_grown(past.available_at[:up_to], _SPARE),
        features=_grown(past.features[:up_to], _SPARE),
        starts=starts,
        stops=stops,
        incident=incident,
        incident_role=incident_role,
        incident_other=incident_other,
        label_starts=label_starts,
        label_stops=label_starts.copy(),
        label_known_at=np.zeros(up_to + _SPARE, np.int64),
        label_state=np.zeros(up_to + _SPARE, np.int8),
    )


def _grown(array: NDArray[Any], spare: int, fill: int = 0) -> NDArray[Any]:
    """A copy with `spare` more rows."""
    grown = np.full((len(array) + spare, *array.shape[1:]), fill, array.dtype)
    grown[: len(array)] = array
    return grown
