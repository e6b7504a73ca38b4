"""Our sampler under DGL's loader, DGL's blocks as ours, and dgl.nn as the oracle of our layer."""

from __future__ import annotations

import numpy as np
import pytest

from graphml.block import Block
from graphml.dgl_adapter import CausalNeighborSampler, from_dgl_block, seed_loader, to_dgl_block, to_dgl_graph
from graphml.nn.sage import SageLayer
from graphml.sampling import sample_blocks, seed_nodes
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
    (batch,) = list(seed_loader(graph, positions, (5, 3), batch_size=10))
    assert batch[0].tolist() == positions.tolist()
    assert batch[1].tolist() == index_SR.tolist()
    assert all(same(from_dgl_block(block), Block.from_sampled(s)) for block, s in zip(batch[2], sampled, strict=True))


def test_the_loader_keeps_order_and_covers_every_seed() -> None:
    graph = random_graph(2)
    positions = np.random.default_rng(0).permutation(len(graph))
    batches = list(seed_loader(graph, positions, (3, 2), batch_size=16))
    assert torch.cat([batch[0] for batch in batches]).tolist() == positions.tolist()


def test_the_sampler_is_a_dgl_sampler_and_edge_ids_are_positions() -> None:
    graph = random_graph(3)
    whole = to_dgl_graph(graph)
    assert isinstance(CausalNeighborSampler(graph, (3,)), dgl.dataloading.Sampler)
    source, target = whole.find_edges(torch.arange(len(graph)))
    assert source.tolist() == graph.entity[:, 0].tolist()
    assert target.tolist() == graph.entity[:, 1].tolist()


def test_edges_in_another_order_give_the_same_block() -> None:
    _, _, _, sampled = sampled_blocks()
    block = to_dgl_block(sampled[0])
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
    block = to_dgl_block(sampled[layer_number])
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
