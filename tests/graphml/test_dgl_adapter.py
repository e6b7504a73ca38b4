"""Our sampler under DGL's loader, DGL's blocks as ours, and dgl.nn as the oracle of our layer."""

from __future__ import annotations

import numpy as np
import pytest

from graphml.block import Block
from graphml.dgl_adapter import (
    ANY,
    CausalNeighborSampler,
    from_dgl_block,
    seed_loader,
    static_loader,
    to_dgl_block,
    to_dgl_graph,
)
from graphml.nn.sage import SageLayer
from graphml.sampling import RECENT, Strategy, Uniform, sample_blocks, sample_relational_blocks, seed_nodes
from graphml.torch_first import torch
from tests.graphml.cases import random_graph

import dgl  # isort: skip


def sampled_blocks(seed: int = 1):
    graph = random_graph(seed)
    positions = np.asarray([20, 40, 59])
    nodes, index_SR = seed_nodes(graph.entity[positions])
    return graph, positions, index_SR, sample_blocks(graph, nodes, graph.cuts(positions), (5, 3))


def same(ours: Block, theirs: Block) -> bool:
    names = ("offsets_D", "source_E", "transaction_E", "gap_E", "edge_EA")
    return all(torch.equal(getattr(ours, name), getattr(theirs, name)) for name in names) and (
        ours.num_sources == theirs.num_sources
    )


def test_the_loader_hands_out_the_sampler_s_blocks() -> None:
    graph, positions, index_SR, sampled = sampled_blocks()
    (batch,) = list(seed_loader(graph, positions, CausalNeighborSampler(graph, (5, 3)), batch_size=10))
    assert batch[0].tolist() == positions.tolist()
    assert batch[1].tolist() == index_SR.tolist()
    assert all(same(from_dgl_block(block), Block.from_sampled(s)) for block, s in zip(batch[2], sampled, strict=True))


def test_the_loader_keeps_order_and_covers_every_seed() -> None:
    graph = random_graph(2)
    positions = np.random.default_rng(0).permutation(len(graph))
    batches = list(seed_loader(graph, positions, CausalNeighborSampler(graph, (3, 2)), batch_size=16))
    assert torch.cat([batch[0] for batch in batches]).tolist() == positions.tolist()


@pytest.mark.parametrize("strategy", [RECENT, Uniform(3)])
def test_neither_workers_nor_batches_change_what_a_seed_sees(strategy: Strategy) -> None:
    graph = random_graph(2)
    positions = np.random.default_rng(0).permutation(len(graph))
    sampler = CausalNeighborSampler(graph, (3, 2), strategy=strategy)

    def seen(batch_size: int, num_workers: int) -> dict[int, list[list[int]]]:
        """By seed, the transactions that its parties' edges carry."""
        found = {}
        for seeds, index_SR, blocks in seed_loader(
            graph, positions, sampler, batch_size=batch_size, num_workers=num_workers
        ):
            block = from_dgl_block(blocks[-1])
            edges = [part.tolist() for part in block.transaction_E.tensor_split(block.offsets_D[1:])]
            for seed, nodes in zip(seeds.tolist(), index_SR.tolist(), strict=True):
                found[seed] = [edges[node] for node in nodes if node >= 0]
        return found

    alone = seen(1, 0)
    assert sorted(alone) == list(range(len(graph)))
    # with workers DGL deals the seeds out in parts, so that batches come in another order
    assert alone == seen(16, 0) == seen(16, 2)


def test_a_relational_block_has_an_edge_type_a_relation() -> None:
    graph, positions = random_graph(5), np.asarray([30, 59])
    relations = graph.relations()
    sampler = CausalNeighborSampler(graph, (4, 2), relations=relations)
    ((_, _, blocks),) = list(seed_loader(graph, positions, sampler, batch_size=10))
    nodes, _ = seed_nodes(graph.entity[positions])
    hops = sample_relational_blocks(graph, list(relations.values()), nodes, graph.cuts(positions), (4, 2))
    for block, hop in zip(blocks, hops, strict=True):
        assert block.etypes == sorted(relations)
        for relation, sampled in zip(relations, hop, strict=True):
            assert same(from_dgl_block(block, relation), Block.from_sampled(sampled))


def test_fanouts_without_a_neighbor_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3, 0\)"):
        CausalNeighborSampler(random_graph(1), (3, 0))


def test_a_static_graph_goes_through_dgl_s_own_sampler() -> None:
    source, target = np.asarray([1, 2, 3, 0, 2]), np.asarray([0, 0, 0, 1, 3])
    ((inputs, seeds, (block,)),) = list(static_loader(source, target, 4, np.asarray([0, 3]), (-1,), batch_size=4))
    assert seeds.tolist() == [0, 3]
    ours = from_dgl_block(block)
    assert ours.offsets_D.tolist() == [0, 3]
    assert sorted(inputs[ours.source_E[:3]].tolist()) == [1, 2, 3]
    assert inputs[ours.source_E[3:]].tolist() == [2]
    assert ours.edge_EA.shape == (4, 0)
    ((_, _, (limited,)),) = list(static_loader(source, target, 4, np.asarray([0]), (2,), batch_size=4))
    assert limited.num_edges() == 2


def test_fanouts_of_a_static_graph_begin_at_the_seeds() -> None:
    source, target = np.asarray([1, 2, 3, 4, 5, 6]), np.asarray([0, 0, 0, 1, 1, 1])
    ((_, _, (far, near)),) = list(static_loader(source, target, 7, np.asarray([0]), (3, 1), batch_size=1))
    assert near.num_edges() == 3
    assert far.num_edges() == 2  # one each of node 0 and node 1; nodes 2 and 3 have none


def test_the_sampler_is_a_dgl_sampler_and_edge_ids_are_positions() -> None:
    graph = random_graph(3)
    whole = to_dgl_graph(graph)
    assert isinstance(CausalNeighborSampler(graph, (3,)), dgl.dataloading.Sampler)
    source, target = whole.find_edges(torch.arange(len(graph)))
    assert source.tolist() == graph.entity[:, 0].tolist()
    assert target.tolist() == graph.entity[:, 1].tolist()


def test_edges_in_another_order_give_the_same_block() -> None:
    _, _, _, sampled = sampled_blocks()
    block = to_dgl_block({ANY: sampled[0]})
    ours = Block.from_sampled(sampled[0])
    source, target = block.edges(order="eid")
    order = torch.arange(len(source)).flip(0)
    turned = dgl.create_block(
        (source[order], target[order]), num_src_nodes=block.num_src_nodes(), num_dst_nodes=block.num_dst_nodes()
    )
    turned.edata["transaction"] = block.edata["transaction"][order]
    turned.edata["gap"] = block.edata["gap"][order]
    turned.edata["attributes"] = block.edata["attributes"][order]
    theirs = from_dgl_block(turned)
    assert torch.equal(ours.offsets_D, theirs.offsets_D)
    for low, high in zip(ours.offsets_D, [*ours.offsets_D[1:], len(ours.source_E)], strict=True):
        assert sorted(ours.source_E[low:high].tolist()) == sorted(theirs.source_E[low:high].tolist())


@pytest.mark.parametrize("layer_number", [0, 1])
def test_without_edge_features_the_layer_is_dgl_s(layer_number: int) -> None:
    _, _, _, sampled = sampled_blocks(4)
    block = to_dgl_block({ANY: sampled[layer_number]})
    torch.manual_seed(0)
    layer = SageLayer(6, 5)
    oracle = dgl.nn.SAGEConv(6, 5, "mean")
    with torch.no_grad():
        oracle.fc_self.weight.copy_(layer.own.weight)
        oracle.fc_neigh.weight.copy_(layer.message.weight)
        oracle.fc_self.bias.copy_(layer.message.bias)
    h = torch.randn(block.num_src_nodes(), 6)
    ours = layer(from_dgl_block(block), h, torch.empty(0, 0))
    theirs = oracle(block, (h, h[: block.num_dst_nodes()]))
    assert torch.allclose(ours, theirs, atol=1e-5)
