"""Causal neighbor sampling: the transactions of an entity before a cut, most recent or drawn, then the other ends.

A node is an entity as of one cut. Nodes are shared only inside a cut, so two seeds with times of their own never
share a state. All hops of a seed keep the seed's cut. A hop may have several relations (`graphml.graph.Adjacency`),
each with neighbors of its own. Kernels on plain arrays, so memory-mapped ones will do; compiled and plain Python give
the same, and `graphml.torch_sampling` gives it on any device.

A draw is a function of (seed, entity, cut, rank of the neighbor): the size of a batch, workers and ranks don't matter.

Dimensions: D nodes whose neighbors are sampled, E sampled transactions, C cuts, A edge attributes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from graphml.graph import Adjacency, Cuts, Floats, Ints, SmallInts, TransactionGraph
from ingestion.compiled import jit

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
    """One hop of one relation. Edges of target node d are `offsets[d]` … `offsets[d + 1]`, oldest first.

    `offsets` (D + 1,); `transaction` (E,) positions; `source` (E,) the other end's index in `sources`, whose first
    D nodes are the targets themselves; `gap` (E,) float32 hours, 0 or more, from the edge's event to the cut;
    `edge` (E, A) float32, see `gathered`.
    """

    offsets: Ints
    transaction: Ints
    source: Ints
    gap: Floats
    edge: Floats
    sources: Nodes
    num_targets: int


class Strategy(Protocol):
    """Which of an entity's earlier transactions become its neighbors."""

    def slots(self, adjacency: Adjacency, nodes: Nodes, cut_position: Ints, fanout: int) -> tuple[Ints, Ints]:
        """Offsets (D + 1,) and slots (E,) of at most `fanout` neighbors a node, oldest first.

        `cut_position` (D,): only transactions at smaller positions count.
        """
        ...


@dataclass(frozen=True)
class Recent:
    """The most recent ones."""

    def slots(self, adjacency: Adjacency, nodes: Nodes, cut_position: Ints, fanout: int) -> tuple[Ints, Ints]:
        """See `Strategy`."""
        return recent_slots(
            adjacency.starts, adjacency.stops, adjacency.transaction, nodes.entity, cut_position, fanout
        )


@dataclass(frozen=True)
class Uniform:
    """Uniform without replacement (Floyd's algorithm, Bentley and Floyd 1987), under `seed`."""

    seed: int

    def slots(self, adjacency: Adjacency, nodes: Nodes, cut_position: Ints, fanout: int) -> tuple[Ints, Ints]:
        """See `Strategy`."""
        with np.errstate(over="ignore"):  # plain Python warns where the mixing wraps around
            return uniform_slots(
                adjacency.starts,
                adjacency.stops,
                adjacency.transaction,
                nodes.entity,
                cut_position,
                fanout,
                np.int64(self.seed),
            )


RECENT = Recent()


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
def neighbor_counts(
    starts: Ints, stops: Ints, incident: Ints, entity: Ints, cut_position: Ints, fanout: int
) -> tuple[Ints, Ints]:
    """Offsets (D + 1,) of at most `fanout` neighbors a node, and the slot (D,) behind its last one before the cut."""
    num = entity.shape[0]
    offsets = np.zeros(num + 1, np.int64)
    last = np.zeros(num, np.int64)
    for node in range(num):
        count = 0
        if 0 <= entity[node] < starts.shape[0]:
            low = starts[entity[node]]
            last[node] = before(incident, low, stops[entity[node]], cut_position[node])
            count = min(fanout, last[node] - low)
        offsets[node + 1] = offsets[node] + count
    return offsets, last


@jit
def recent_slots(
    starts: Ints, stops: Ints, incident: Ints, entity: Ints, cut_position: Ints, fanout: int
) -> tuple[Ints, Ints]:
    """Slots of the most recent `fanout` transactions of `entity` (D,) at positions below `cut_position` (D,).

    Returns offsets (D + 1,) and slots (E,), oldest first. An entity of -1, or one that the graph has not met, has
    none.
    """
    num = entity.shape[0]
    offsets, last = neighbor_counts(starts, stops, incident, entity, cut_position, fanout)
    slots = np.empty(offsets[num], np.int64)
    for node in range(num):
        count = offsets[node + 1] - offsets[node]
        for index in range(count):
            slots[offsets[node] + index] = last[node] - count + index
    return offsets, slots


@jit
def mixed(value: np.int64) -> np.int64:
    """Well mixed bits of a 64-bit integer (the finaliser of SplitMix64, Steele et al. 2014), wrapping around."""
    value = (value ^ ((value >> np.int64(30)) & np.int64(0x3FFFFFFFF))) * np.int64(-4658895280553007687)
    value = (value ^ ((value >> np.int64(27)) & np.int64(0x1FFFFFFFFF))) * np.int64(-7723592293110705685)
    return value ^ ((value >> np.int64(31)) & np.int64(0x1FFFFFFFF))


@jit
def draw_slots(slots: Ints, begin: int, count: int, low: int, total: int, key: np.int64) -> None:
    """Write `count` different ones of the slots `low` … `low + total`, in ascending order, to `slots[begin:]`."""
    if count == total:  # nothing to choose from
        for index in range(count):
            slots[begin + index] = low + index
        return
    for index in range(count):
        highest = total - count + index
        chance = (mixed(key + np.int64(index)) >> np.int64(33)) & np.int64(0x7FFFFFFF)
        wanted = low + ((chance * np.int64(highest + 1)) >> np.int64(31))
        place = begin + index  # kept in ascending order
        while place > begin and slots[place - 1] > wanted:
            place -= 1
        if place > begin and slots[place - 1] == wanted:
            wanted, place = np.int64(low + highest), begin + index  # Floyd: the highest one cannot have been taken yet
        for later in range(begin + index, place, -1):
            slots[later] = slots[later - 1]
        slots[place] = wanted


@jit
def uniform_slots(
    starts: Ints, stops: Ints, incident: Ints, entity: Ints, cut_position: Ints, fanout: int, seed: np.int64
) -> tuple[Ints, Ints]:
    """As `recent_slots`, but `fanout` different ones drawn uniformly from all before the cut."""
    num = entity.shape[0]
    offsets, last = neighbor_counts(starts, stops, incident, entity, cut_position, fanout)
    slots = np.empty(offsets[num], np.int64)
    for node in range(num):
        begin, count = offsets[node], offsets[node + 1] - offsets[node]
        if count == 0:
            continue
        low = starts[entity[node]]
        key = mixed(mixed(seed ^ np.int64(entity[node])) ^ np.int64(cut_position[node]))
        draw_slots(slots, begin, count, low, last[node] - low, key)
    return offsets, slots


@jit
def static_ends(starts: Ints, stops: Ints, other: Ints, entity: Ints, fanout: int, seed: np.int64) -> tuple[Ints, Ints]:
    """Offsets (D + 1,) and other ends (E,) of at most `fanout` drawn edges of each `entity` (D,): `uniform_slots`
    without a clock."""
    num = entity.shape[0]
    offsets = np.zeros(num + 1, np.int64)
    for node in range(num):
        offsets[node + 1] = offsets[node] + min(fanout, stops[entity[node]] - starts[entity[node]])
    ends = np.empty(offsets[num], np.int64)
    for node in range(num):
        begin, end, low = offsets[node], offsets[node + 1], starts[entity[node]]
        key = mixed(seed ^ np.int64(entity[node]))
        draw_slots(ends, begin, end - begin, low, stops[entity[node]] - low, key)
        for place in range(begin, end):
            ends[place] = other[ends[place]]
    return offsets, ends


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


def labels_known(graph: TransactionGraph, transaction: Ints, time: Ints) -> SmallInts:
    """`known_labels` of a graph's transactions (E,) at `time` (E,)."""
    return known_labels(
        graph.label_starts, graph.label_stops, graph.label_known_at, graph.label_state, transaction, time
    )


@jit
def join_nodes(entity: Ints, cut: Ints, cut_of_end: Ints, ends: Ints, num_entities: int) -> tuple[Ints, Ints, Ints]:
    """Give every (other end, cut) an index: the targets (D,) keep theirs, new nodes follow in order of appearance.

    Returns the index of each edge's other end (E,) and entity and cut of all source nodes.
    """
    num, edges = entity.shape[0], ends.shape[0]
    size = 2
    while size < 2 * (num + edges):
        size *= 2
    table = np.full(size, -1, np.int64)
    all_entity = np.empty(num + edges, np.int64)
    all_cut = np.empty(num + edges, np.int64)
    index_of_end = np.empty(edges, np.int64)
    found = 0
    for row in range(num + edges):
        if row < num:
            wanted_entity, wanted_cut = entity[row], cut[row]
        else:
            wanted_entity, wanted_cut = ends[row - num], cut_of_end[row - num]
        key = wanted_cut * num_entities + wanted_entity
        place = (key ^ (key >> 17)) & (size - 1)
        while table[place] >= 0 and (all_entity[table[place]] != wanted_entity or all_cut[table[place]] != wanted_cut):
            place = (place + 1) & (size - 1)
        if table[place] < 0:
            table[place] = found
            all_entity[found] = wanted_entity
            all_cut[found] = wanted_cut
            found += 1
        if row >= num:
            index_of_end[row - num] = table[place]
    return index_of_end, all_entity[:found].copy(), all_cut[:found].copy()


@jit
def gathered(
    offsets: Ints,
    slots: Ints,
    cut: Ints,
    incident: Ints,
    other: Ints,
    role: SmallInts,
    event_time: Ints,
    label_starts: Ints,
    label_stops: Ints,
    label_known_at: Ints,
    label_state: SmallInts,
    cut_event_time: Ints,
    cut_label_time: Ints,
    num_roles: int,
) -> tuple[Ints, Ints, Ints, Floats, Floats]:
    """What the edges of nodes with the cuts `cut` (D,) carry, in one pass over their slots.

    Returns transaction, other end and cut (E,), gap (E,) float32 hours and attributes (E, R + 4) float32: one-hot of
    the role, log1p of the gap in hours, one-hot of fraud, legitimate, unknown.
    """
    num = slots.shape[0]
    transaction = np.empty(num, np.int64)
    end = np.empty(num, np.int64)
    cut_of_edge = np.empty(num, np.int64)
    gap = np.empty(num, np.float32)
    hours = np.empty(num, np.float64)
    state = np.full(num, -1, np.int64)
    edge = np.zeros((num, num_roles + 4), np.float32)
    # Short loops: each misses the cache in one place, so that the processor has many misses under way at once.
    for index in range(num):
        transaction[index] = incident[slots[index]]
        end[index] = other[slots[index]]
        edge[index, role[slots[index]]] = 1.0
    for node in range(cut.shape[0]):
        for index in range(offsets[node], offsets[node + 1]):
            cut_of_edge[index] = cut[node]
            hours[index] = max(0, cut_event_time[cut[node]] - event_time[transaction[index]]) / 3_600_000_000
    for index in range(num):
        low, high = label_starts[transaction[index]], label_stops[transaction[index]]
        if high > low:
            last = before(label_known_at, low, high, cut_label_time[cut_of_edge[index]] + 1)
            if last > low:
                state[index] = label_state[last - 1]
    for index in range(num):
        gap[index] = hours[index]
        edge[index, num_roles] = np.log1p(hours[index])
        edge[index, num_roles + 1 + (1 - state[index])] = 1.0
    return transaction, end, cut_of_edge, gap, edge


def sample_hop(
    graph: TransactionGraph,
    relations: Sequence[Adjacency],
    nodes: Nodes,
    cuts: Cuts,
    fanout: int,
    strategy: Strategy = RECENT,
) -> tuple[SampledBlock, ...]:
    """One hop of `nodes` (distinct), each before its cut: a block a relation, all over the same sources."""
    parts = []
    for adjacency in relations:
        offsets, slots = strategy.slots(adjacency, nodes, cuts.position[nodes.cut], fanout)
        carried = gathered(
            offsets,
            slots,
            nodes.cut,
            adjacency.transaction,
            adjacency.other,
            adjacency.role,
            graph.event_time,
            graph.label_starts,
            graph.label_stops,
            graph.label_known_at,
            graph.label_state,
            cuts.event_time,
            cuts.label_time,
            len(graph.roles),
        )
        parts.append((offsets, *carried))
    ends, cut_of_end = (np.concatenate([part[column] for part in parts]) for column in (2, 3))
    source, entity, cut = join_nodes(nodes.entity, nodes.cut, cut_of_end, ends, graph.num_entities)
    sources, bounds = Nodes(entity=entity, cut=cut), np.cumsum([0, *(len(part[1]) for part in parts)])
    return tuple(
        SampledBlock(
            offsets=offsets,
            transaction=transaction,
            source=source[low:high],
            gap=gap,
            edge=edge,
            sources=sources,
            num_targets=len(nodes),
        )
        for (offsets, transaction, _, _, gap, edge), low, high in zip(parts, bounds, bounds[1:], strict=False)
    )


def sample_block(
    graph: TransactionGraph, nodes: Nodes, cuts: Cuts, fanout: int, strategy: Strategy = RECENT
) -> SampledBlock:
    """One hop of `nodes` over slots in any role."""
    return sample_hop(graph, [graph.adjacency], nodes, cuts, fanout, strategy)[0]


def sample_relational_blocks(
    graph: TransactionGraph,
    relations: Sequence[Adjacency],
    nodes: Nodes,
    cuts: Cuts,
    fanouts: Sequence[int],
    strategy: Strategy = RECENT,
) -> list[tuple[SampledBlock, ...]]:
    """Sample as many hops as there are fanouts (hop 1 first), so many neighbors in each of the `relations`; hops come
    in the order layers apply them."""
    hops: list[tuple[SampledBlock, ...]] = []
    for fanout in fanouts:
        hop = sample_hop(graph, relations, nodes, cuts, fanout, strategy)
        hops.insert(0, hop)
        nodes = hop[0].sources
    return hops


def sample_blocks(
    graph: TransactionGraph, nodes: Nodes, cuts: Cuts, fanouts: Sequence[int], strategy: Strategy = RECENT
) -> list[SampledBlock]:
    """The same over slots in any role, a block a hop."""
    hops = sample_relational_blocks(graph, [graph.adjacency], nodes, cuts, fanouts, strategy)
    return [block for (block,) in hops]


def seed_nodes(entity_SR: Ints) -> tuple[Nodes, Ints]:
    """The distinct nodes of S seeds and (S, R) each party's index among them, -1 where absent; cut s is seed s."""
    entity, cut, index_SR = _seed_nodes(entity_SR)
    return Nodes(entity=entity, cut=cut), index_SR


@jit
def _seed_nodes(entity_SR: Ints) -> tuple[Ints, Ints, Ints]:
    seeds, roles = entity_SR.shape
    index_SR = np.full((seeds, roles), -1, np.int64)
    entity, cut = np.empty(seeds * roles, np.int64), np.empty(seeds * roles, np.int64)
    num = 0
    for seed in range(seeds):
        for role in range(roles):
            if entity_SR[seed, role] < 0:
                continue
            for earlier in range(role):
                if entity_SR[seed, earlier] == entity_SR[seed, role]:
                    index_SR[seed, role] = index_SR[seed, earlier]
                    break
            if index_SR[seed, role] < 0:
                entity[num], cut[num], index_SR[seed, role] = entity_SR[seed, role], seed, num
                num += 1
    return entity[:num].copy(), cut[:num].copy(), index_SR
