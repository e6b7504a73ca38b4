"""Causal neighbor sampling: the most recent k transactions of an entity before a cut, then the other ends.

A node is an entity as of one cut. Nodes are shared only inside a cut, so two seeds with times of their own never
share a state. The other end of transaction e seen from v is the target if v is its source, else its source. All
hops of a seed keep the seed's cut. Kernels on plain arrays; deterministic; compiled and plain Python give the same.

Dimensions: D nodes whose neighbors are sampled, E sampled transactions, C cuts, A edge attributes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphml.graph import Cuts, Floats, Ints, SmallInts, TransactionGraph
from ingestion.compiled import jit

MICROSECONDS_PER_HOUR = 3_600_000_000
#: After the role's one-hot: log1p of the gap in hours, then known fraud, known legitimate, not known.
NUM_PLAIN_ATTRIBUTES = 4


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """Entities (D,), each as of the cut `cut` (D,), an index into the cuts of its batch."""

    entity: Ints
    cut: Ints

    def __len__(self) -> int:
        return len(self.entity)


@dataclass(frozen=True, kw_only=True)
class SampledBlock:
    """One hop. Edges of target node d are `offsets[d]` … `offsets[d + 1]`, oldest first.

    `offsets` (D + 1,); `transaction` (E,) positions; `source` (E,) the other end's index in `sources`, whose first
    D nodes are the targets themselves; `gap` (E,) float32 hours, 0 or more, from the edge's event to the cut;
    `edge` (E, A) float32, see `edge_attributes`.
    """

    offsets: Ints
    transaction: Ints
    source: Ints
    gap: Floats
    edge: Floats
    sources: Nodes
    num_targets: int


@jit
def before(incident: Ints, low: int, high: int, cut: int) -> int:
    """First slot in `low` … `high` whose position is `cut` or later (bisect left)."""
    while low < high:
        middle = (low + high) // 2
        if incident[middle] < cut:
            low = middle + 1
        else:
            high = middle
    return low


@jit
def recent_slots(
    starts: Ints, stops: Ints, incident: Ints, entity: Ints, cut_position: Ints, fanout: int
) -> tuple[Ints, Ints]:
    """Slots of the most recent `fanout` transactions of `entity` (D,) at positions below `cut_position` (D,).

    Returns offsets (D + 1,) and slots (E,), oldest first. An entity of -1, or one that the graph has not met, has
    none.
    """
    num = entity.shape[0]
    offsets = np.zeros(num + 1, np.int64)
    last = np.zeros(num, np.int64)
    for node in range(num):
        count = 0
        if entity[node] >= 0:
            low = starts[entity[node]]
            last[node] = before(incident, low, stops[entity[node]], cut_position[node])
            count = min(fanout, last[node] - low)
        offsets[node + 1] = offsets[node] + count
    slots = np.empty(offsets[num], np.int64)
    for node in range(num):
        count = offsets[node + 1] - offsets[node]
        for index in range(count):
            slots[offsets[node] + index] = last[node] - count + index
    return offsets, slots


@jit
def other_ends(slots: Ints, incident: Ints, incident_role: SmallInts, entity_NR: Ints) -> Ints:
    """The other end (E,) of each slot's transaction, seen from the slot's entity."""
    ends = np.empty(slots.shape[0], np.int64)
    for index in range(slots.shape[0]):
        side = 1 if incident_role[slots[index]] == 0 else 0
        ends[index] = entity_NR[incident[slots[index]], side]
    return ends


@jit
def known_labels(
    label_starts: Ints,
    label_stops: Ints,
    label_known_at: Ints,
    label_state: SmallInts,
    transaction: Ints,
    time: Ints,
) -> SmallInts:
    """What was known of `transaction` (E,) at `time` (E,), closed: FRAUD, LEGITIMATE or UNKNOWN (E,) int8."""
    states = np.empty(transaction.shape[0], np.int8)
    for index in range(transaction.shape[0]):
        low = label_starts[transaction[index]]
        last = before(label_known_at, low, label_stops[transaction[index]], time[index] + 1)
        states[index] = label_state[last - 1] if last > low else -1
    return states


@jit
def join_nodes(entity: Ints, cut: Ints, offsets: Ints, ends: Ints, num_entities: int) -> tuple[Ints, Ints, Ints]:
    """Give every (other end, cut) an index: the targets (D,) keep theirs, new nodes follow in order of appearance.

    Returns the index of each edge's other end (E,) and entity and cut of all source nodes.
    """
    num, edges = entity.shape[0], ends.shape[0]
    size = 2 * (num + edges) + 1
    table = np.full(size, -1, np.int64)
    all_entity = np.empty(num + edges, np.int64)
    all_cut = np.empty(num + edges, np.int64)
    index_of_end = np.empty(edges, np.int64)
    found = 0
    for row in range(num + edges):
        if row < num:
            wanted_entity, wanted_cut = entity[row], cut[row]
        else:
            edge = row - num
            if edge == 0:
                target = 0
            while offsets[target + 1] <= edge:
                target += 1
            wanted_entity, wanted_cut = ends[edge], cut[target]
        place = (wanted_cut * num_entities + wanted_entity) % size
        while table[place] >= 0 and (all_entity[table[place]] != wanted_entity or all_cut[table[place]] != wanted_cut):
            place = place + 1 if place + 1 < size else 0
        if table[place] < 0:
            table[place] = found
            all_entity[found] = wanted_entity
            all_cut[found] = wanted_cut
            found += 1
        if row >= num:
            index_of_end[row - num] = table[place]
    return index_of_end, all_entity[:found].copy(), all_cut[:found].copy()


@jit
def edge_attributes(
    role: SmallInts, hours: NDArray[np.float64], label: SmallInts, num_roles: int
) -> NDArray[np.float32]:
    """(E, R + 4) float32: one-hot of the role, log1p of the gap in hours, one-hot of fraud, legitimate, unknown."""
    edge = np.zeros((role.shape[0], num_roles + 4), np.float32)
    for index in range(role.shape[0]):
        edge[index, role[index]] = 1.0
        edge[index, num_roles] = np.log1p(hours[index])
        edge[index, num_roles + 1 + (1 - label[index])] = 1.0
    return edge


def sample_block(graph: TransactionGraph, nodes: Nodes, cuts: Cuts, fanout: int) -> SampledBlock:
    """Sample one hop of `nodes` (distinct), each before its cut."""
    offsets, slots = recent_slots(
        graph.starts, graph.stops, graph.incident, nodes.entity, cuts.position[nodes.cut], fanout
    )
    ends = other_ends(slots, graph.incident, graph.incident_role, graph.entity)
    source, entity, cut = join_nodes(nodes.entity, nodes.cut, offsets, ends, graph.num_entities)
    transaction = graph.incident[slots]
    cut_of_edge = np.repeat(nodes.cut, np.diff(offsets))
    label = known_labels(
        graph.label_starts,
        graph.label_stops,
        graph.label_known_at,
        graph.label_state,
        transaction,
        cuts.label_time[cut_of_edge],
    )
    elapsed = np.maximum(cuts.event_time[cut_of_edge] - graph.event_time[transaction], 0)
    hours = elapsed / MICROSECONDS_PER_HOUR
    return SampledBlock(
        offsets=offsets,
        transaction=transaction,
        source=source,
        gap=hours.astype(np.float32),
        edge=edge_attributes(graph.incident_role[slots], hours, label, len(graph.roles)),
        sources=Nodes(entity=entity, cut=cut),
        num_targets=len(nodes),
    )


def sample_blocks(graph: TransactionGraph, nodes: Nodes, cuts: Cuts, fanouts: Sequence[int]) -> list[SampledBlock]:
    """Sample as many hops as there are fanouts (hop 1 first); blocks come in the order layers apply them."""
    blocks: list[SampledBlock] = []
    for fanout in fanouts:
        block = sample_block(graph, nodes, cuts, fanout)
        blocks.insert(0, block)
        nodes = block.sources
    return blocks


def seed_nodes(entity_SR: Ints) -> tuple[Nodes, Ints]:
    """The distinct nodes of S seeds and (S, R) each party's index among them, -1 where absent; cut s is seed s."""
    seeds, roles = entity_SR.shape
    index_SR = np.full((seeds, roles), -1, np.int64)
    first = entity_SR >= 0
    for role in range(1, roles):
        for earlier in range(role):
            first[:, role] &= entity_SR[:, role] != entity_SR[:, earlier]
    cells = np.flatnonzero(first.ravel())
    index_SR.ravel()[cells] = np.arange(len(cells))
    for role in range(1, roles):
        for earlier in range(role):
            same = (entity_SR[:, role] >= 0) & (entity_SR[:, role] == entity_SR[:, earlier])
            index_SR[same, role] = index_SR[same, earlier]
    return Nodes(entity=entity_SR.ravel()[cells], cut=cells // roles), index_SR
