"""The causal sampler against an oracle that scans everything, compiled against plain Python."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphml import sampling
from graphml.block import Block
from graphml.graph import TransactionGraph
from graphml.sampling import (
    RECENT,
    Nodes,
    Strategy,
    Uniform,
    sample_block,
    sample_blocks,
    sample_relational_blocks,
    seed_nodes,
)
from graphml.torch_sampling import TorchSampler
from ingestion.labels import FRAUD, LEGITIMATE, UNKNOWN
from tests.graphml.cases import HOUR, graph_of, labels, random_graph

KERNELS = (
    "before",
    "neighbor_counts",
    "recent_slots",
    "mixed",
    "uniform_slots",
    "known_labels",
    "join_nodes",
    "gathered",
)


def oracle_recent(graph: TransactionGraph, entity: int, cut: int, fanout: int) -> list[int]:
    """Positions of the entity's last `fanout` transactions before `cut`, oldest first."""
    taken_part = [e for e in range(cut) if entity in graph.entity[e].tolist()]
    return taken_part[-fanout:]


def oracle_other_end(graph: TransactionGraph, entity: int, transaction: int) -> int:
    source, target = graph.entity[transaction, :2].tolist()
    return target if entity == source else source


def oracle_label(graph: TransactionGraph, transaction: int, time: int) -> int:
    """The last of the transaction's labels that is known by then."""
    span = slice(graph.label_starts[transaction], graph.label_stops[transaction])
    known = graph.label_state[span][graph.label_known_at[span] <= time]
    return int(known[-1]) if len(known) else UNKNOWN


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), fanout=st.integers(1, 5))
def test_one_hop_is_what_a_scan_of_everything_finds(seed: int, fanout: int) -> None:
    graph = random_graph(seed)
    positions = np.random.default_rng(seed).integers(0, len(graph), 5)
    cuts = graph.cuts(positions)
    nodes, _ = seed_nodes(graph.entity[positions])
    block = sample_block(graph, nodes, cuts, fanout)
    for node in range(len(nodes)):
        entity, position = int(nodes.entity[node]), int(positions[nodes.cut[node]])
        edges = range(block.offsets[node], block.offsets[node + 1])
        assert block.transaction[list(edges)].tolist() == oracle_recent(graph, entity, position, fanout)
        for edge in edges:
            transaction = int(block.transaction[edge])
            other = block.source[edge]
            assert block.sources.entity[other] == oracle_other_end(graph, entity, transaction)
            assert block.sources.cut[other] == nodes.cut[node]
            role = graph.entity[transaction].tolist().index(entity)
            assert block.edge[edge, : len(graph.roles)].argmax() == role
            gap = max(0, int(graph.event_time[position] - graph.event_time[transaction])) / HOUR
            assert block.gap[edge] == np.float32(gap)
            assert block.edge[edge, len(graph.roles)] == np.float32(np.log1p(gap))
            label = oracle_label(graph, transaction, int(graph.available_at[position]))
            assert block.edge[edge, len(graph.roles) + 1 :].tolist() == [
                float(label == state) for state in (FRAUD, LEGITIMATE, UNKNOWN)
            ]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_nodes_are_distinct_pairs_of_entity_and_cut_targets_first(seed: int) -> None:
    graph = random_graph(seed)
    positions = np.asarray([len(graph) - 1, len(graph) // 2, len(graph) - 1 - seed % 5])
    nodes, _ = seed_nodes(graph.entity[positions])
    blocks = sample_blocks(graph, nodes, graph.cuts(positions), (4, 3))
    assert blocks[-1].num_targets == len(nodes)
    assert blocks[0].num_targets == len(blocks[-1].sources)
    for block in blocks:
        pairs = list(zip(block.sources.entity.tolist(), block.sources.cut.tolist(), strict=True))
        assert len(set(pairs)) == len(pairs)
    first = blocks[-1].sources
    assert first.entity[: len(nodes)].tolist() == nodes.entity.tolist()
    assert first.cut[: len(nodes)].tolist() == nodes.cut.tolist()


def test_two_seeds_never_share_a_state_across_times() -> None:
    graph = graph_of([[0, 1], [0, 1], [0, 1], [0, 1]], [1, 2, 3, 4])
    nodes, index_SR = seed_nodes(graph.entity[[1, 3]])
    assert nodes.entity.tolist() == [0, 1, 0, 1]
    assert nodes.cut.tolist() == [0, 0, 1, 1]
    assert index_SR.tolist() == [[0, 1], [2, 3]]
    block = sample_block(graph, nodes, graph.cuts(np.asarray([1, 3])), 10)
    assert block.transaction.tolist() == [0, 0, 0, 1, 2, 0, 1, 2]
    assert len(block.sources) == 4


def test_a_party_in_two_roles_is_one_node() -> None:
    nodes, index_SR = seed_nodes(np.asarray([[5, 5, -1], [2, 3, 2]]))
    assert nodes.entity.tolist() == [5, 2, 3]
    assert index_SR.tolist() == [[0, 0, -1], [1, 2, 1]]


def test_a_label_is_seen_exactly_from_its_known_at_on() -> None:
    known = labels((0, 10 * HOUR, True))
    for second, expected in ((10 * HOUR - 1, UNKNOWN), (10 * HOUR, FRAUD)):
        graph = graph_of([[0, 1], [0, 1]], [HOUR, second], known=known)
        block = sample_block(graph, *_seed(graph, 1), 5)
        assert block.edge[0, -3:].argmax() == [FRAUD, LEGITIMATE, UNKNOWN].index(expected)


def test_a_late_event_has_a_gap_of_zero() -> None:
    graph = random_graph(3)
    late = graph_of([[0, 1], [0, 1]], [5 * HOUR, 2 * HOUR])
    block = sample_block(late, *_seed(late, 1), 5)
    assert block.edge[0, 2] == 0.0
    assert len(graph) == 60


@pytest.mark.parametrize("strategy", [RECENT, Uniform(7)])
@pytest.mark.parametrize("seed", range(5))
def test_plain_python_gives_the_same(seed: int, strategy: Strategy, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = random_graph(seed)
    positions = np.asarray([30, 59, 45])
    nodes, _ = seed_nodes(graph.entity[positions])
    compiled = sample_blocks(graph, nodes, graph.cuts(positions), (4, 3), strategy)
    for name in KERNELS:
        kernel = getattr(sampling, name)
        monkeypatch.setattr(sampling, name, kernel.py_func)
    plain = sample_blocks(graph, nodes, graph.cuts(positions), (4, 3), strategy)
    for ours, theirs in zip(compiled, plain, strict=True):
        assert ours.offsets.tolist() == theirs.offsets.tolist()
        assert ours.transaction.tolist() == theirs.transaction.tolist()
        assert ours.source.tolist() == theirs.source.tolist()
        assert ours.sources.entity.tolist() == theirs.sources.entity.tolist()
        assert ours.gap.tobytes() == theirs.gap.tobytes()
        assert ours.edge.tobytes() == theirs.edge.tobytes()


def same_blocks(ours: Block, theirs: Block) -> bool:
    """Whether every tensor of two blocks is the same, bit for bit."""
    names = ("offsets_D", "source_E", "transaction_E", "gap_E", "edge_EA")
    return ours.num_sources == theirs.num_sources and all(
        getattr(ours, name).numpy().tobytes() == getattr(theirs, name).numpy().tobytes() for name in names
    )


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), fanout=st.integers(1, 6), uniform=st.booleans(), relational=st.booleans())
def test_torch_gives_the_same_blocks(seed: int, fanout: int, uniform: bool, relational: bool) -> None:
    graph = random_graph(seed)
    positions = np.random.default_rng(seed).integers(0, len(graph), 6)
    nodes, _ = seed_nodes(graph.entity[positions])
    strategy: Strategy = Uniform(seed) if uniform else RECENT
    relations = list(graph.relations().values()) if relational else [graph.adjacency]
    ours = sample_relational_blocks(graph, relations, nodes, graph.cuts(positions), (fanout, 3), strategy)
    hops = TorchSampler(graph, relations=relations).sample(nodes, graph.cuts(positions), (fanout, 3), strategy)
    for hop, theirs in zip(ours, hops, strict=True):
        assert hop[0].sources.entity.tolist() == theirs.sources.entity.tolist()
        assert hop[0].sources.cut.tolist() == theirs.sources.cut.tolist()
        assert all(
            same_blocks(Block.from_sampled(block), other) for block, other in zip(hop, theirs.blocks, strict=True)
        )


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), fanout=st.integers(1, 5))
def test_a_relation_s_hop_is_what_a_scan_of_everything_finds(seed: int, fanout: int) -> None:
    graph = random_graph(seed)
    positions = np.random.default_rng(seed).integers(0, len(graph), 5)
    nodes, _ = seed_nodes(graph.entity[positions])
    relations = graph.relations()
    assert list(relations) == ["source->target", "target->source", "source->device", "device->source"]
    ((*blocks,),) = sample_relational_blocks(graph, list(relations.values()), nodes, graph.cuts(positions), (fanout,))
    for (role, other), block in zip(((0, 1), (1, 0), (0, 2), (2, 0)), blocks, strict=True):
        for node in range(len(nodes)):
            entity, cut = int(nodes.entity[node]), int(positions[nodes.cut[node]])
            linked = [
                e for e in range(cut) if graph.entity[e, role] == entity and graph.entity[e, other] not in (-1, entity)
            ][-fanout:]
            edges = slice(block.offsets[node], block.offsets[node + 1])
            assert block.transaction[edges].tolist() == linked
            assert block.sources.entity[block.source[edges]].tolist() == graph.entity[linked, other].tolist()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), fanout=st.integers(1, 5))
def test_uniform_draws_are_different_earlier_and_hang_on_nothing_but_seed_entity_and_cut(
    seed: int, fanout: int
) -> None:
    graph = random_graph(seed)
    positions = np.random.default_rng(seed).integers(0, len(graph), 6)
    nodes, _ = seed_nodes(graph.entity[positions])
    block = sample_block(graph, nodes, graph.cuts(positions), fanout, Uniform(seed))
    for node in range(len(nodes)):
        entity, cut = int(nodes.entity[node]), int(positions[nodes.cut[node]])
        everything = oracle_recent(graph, entity, cut, 10_000)
        drawn = block.transaction[block.offsets[node] : block.offsets[node + 1]].tolist()
        assert len(drawn) == min(fanout, len(everything))
        assert drawn == sorted(set(drawn))
        assert set(drawn) <= set(everything)
        alone = sample_block(
            graph,
            Nodes(entity=np.asarray([entity]), cut=np.asarray([0])),
            graph.cuts(np.asarray([cut])),
            fanout,
            Uniform(seed),
        )
        assert alone.transaction.tolist() == drawn


def test_every_neighbor_is_drawn_equally_often() -> None:
    graph = graph_of([[0, 1]] * 11, list(range(1, 12)))
    counts = np.zeros(10)
    nodes = Nodes(entity=np.asarray([0]), cut=np.asarray([0]))
    for seed in range(4_000):
        counts[sample_block(graph, nodes, graph.cuts(np.asarray([10])), 3, Uniform(seed)).transaction] += 1
    # 4,000 draws of 3 out of 10: 1,200 each, with a standard deviation of 29
    assert np.abs(counts - 1_200).max() < 4 * 29


def test_an_absent_party_has_no_neighbors() -> None:
    graph = graph_of([[0, 1]], [1])
    block = sample_block(graph, Nodes(entity=np.asarray([-1]), cut=np.asarray([0])), graph.cut_after(1), 3)
    assert block.offsets.tolist() == [0, 0]


def test_absent_and_unmet_parties_have_no_neighbors_and_are_nodes_of_their_own() -> None:
    graph = random_graph(3, num=200, entities=12)
    last = graph.num_entities - 1
    # the absent one of cut 1 must not be taken for the last entity of cut 0
    nodes = Nodes(entity=np.asarray([last, -1, 2, last + 1, 10**6]), cut=np.asarray([0, 1, 1, 0, 0]))
    cuts = graph.cuts(np.asarray([100, 150]))
    for strategy in (RECENT, Uniform(1)):
        ours = sample_relational_blocks(graph, [graph.adjacency], nodes, cuts, (3, 3), strategy)
        hops = TorchSampler(graph).sample(nodes, cuts, (3, 3), strategy)
        for (block,), hop in zip(ours, hops, strict=True):
            assert same_blocks(Block.from_sampled(block), hop.blocks[0])
            assert block.sources.entity.tolist() == hop.sources.entity.tolist()
        degrees = np.diff(ours[-1][0].offsets)
        assert degrees[[1, 3, 4]].tolist() == [0, 0, 0] and degrees[[0, 2]].min() > 0


def _seed(graph: TransactionGraph, position: int):
    nodes, _ = seed_nodes(graph.entity[[position]])
    return nodes, graph.cuts(np.asarray([position]))
