"""Attention against `dgl.nn` and by hand; targets without edges; what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphml.block import Block
from graphml.nn.edges import EdgeConfig
from graphml.nn.gat import AttentionConfig, AttentionMessage, GatConfig, GatLayer, GraphAttention
from graphml.torch_first import torch
from tests.graphml.nn.cases import BARE_EDGE, RICH_EDGE, blocks, random_block, random_inputs

import dgl  # isort: skip

NOTHING = torch.empty(0, 0)


def dgl_block(block: Block) -> dgl.DGLGraph:
    edges = (block.source_E, block.target_E)
    return dgl.create_block(edges, num_src_nodes=block.num_sources, num_dst_nodes=block.num_targets)


def oracle_of(layer: GatLayer, *, residual: bool) -> torch.nn.Module:
    """The layer of `dgl.nn` with our weights."""
    attention, value = layer.message.attention, layer.message.value
    build = dgl.nn.GATv2Conv if attention.dynamic else dgl.nn.GATConv
    heads = attention.num_heads
    oracle = build(
        value.in_features,
        value.out_features // heads,
        heads,
        negative_slope=attention.slope,
        residual=residual,
        allow_zero_in_degree=True,
    ).double()
    score = layer.message.score
    with torch.no_grad():
        if attention.dynamic:
            oracle.fc_src.weight.copy_(value.weight)
            oracle.fc_src.bias.copy_(value.bias)
            oracle.fc_dst.weight.copy_(score.target.weight)
            oracle.fc_dst.bias.copy_(score.target.bias)
            oracle.attn.copy_(score.vector_KC[None])
        else:
            oracle.fc.weight.copy_(value.weight)
            oracle.attn_l.copy_(score.source_KC[None])
            oracle.attn_r.copy_(score.target_KC[None])
        if residual and value.in_features != value.out_features:
            oracle.res_fc.weight.copy_(layer.residual.weight)
            oracle.res_fc.bias.copy_(layer.bias)  # DGL keeps the bias there
        elif not attention.dynamic:
            oracle.bias.copy_(layer.bias)
    return oracle


@pytest.mark.parametrize("in_width", [5, 6], ids=["linear residual", "identity residual"])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("dynamic", [False, True], ids=["v1", "v2"])
@settings(max_examples=15, deadline=None)
@given(block=blocks())
def test_parity_with_dgl(dynamic: bool, residual: bool, in_width: int, block: Block) -> None:
    attention = AttentionConfig(num_heads=2, dynamic=dynamic, residual=residual)
    torch.manual_seed(0)
    layer = GatLayer(in_width, 6, edge=BARE_EDGE, attention=attention).double()
    if not dynamic or (residual and in_width == 5):  # elsewhere DGL's v2 has no bias of the result
        torch.nn.init.uniform_(layer.bias)
    h, _ = random_inputs(0, block, in_width)
    ours = layer(block, h, NOTHING)
    theirs = oracle_of(layer, residual=residual)(dgl_block(block), (h, h[: block.num_targets])).flatten(1)
    joined = block.degree_D > 0
    assert torch.allclose(ours[joined], theirs[joined], atol=1e-12)


@pytest.mark.parametrize("dynamic", [False, True], ids=["v1", "v2"])
@settings(max_examples=15, deadline=None)
@given(block=blocks())
def test_a_self_loop_is_one_more_edge_from_the_target(dynamic: bool, block: Block) -> None:
    torch.manual_seed(0)
    config = AttentionConfig(num_heads=2, dynamic=dynamic, self_loop=True)
    layer = GatLayer(5, 6, edge=BARE_EDGE, attention=config).double()
    every_target = torch.arange(block.num_targets)
    looped = Block.from_edges(
        torch.cat([block.source_E, every_target]),
        torch.cat([block.target_E, every_target]),
        num_sources=block.num_sources,
        num_targets=block.num_targets,
    )
    plain = GatLayer(5, 6, edge=BARE_EDGE, attention=replace(config, self_loop=False)).double()
    plain.load_state_dict(layer.state_dict())
    h, _ = random_inputs(0, block, 5)
    assert torch.allclose(layer(block, h, NOTHING), plain(looped, h, NOTHING), atol=1e-12)


@pytest.mark.parametrize("self_loop", [False, True])
@pytest.mark.parametrize("dynamic", [False, True], ids=["v1", "v2"])
def test_a_target_without_edges_gets_its_own_transformed_state(dynamic: bool, self_loop: bool) -> None:
    block = random_block(1)
    attention = AttentionConfig(num_heads=2, dynamic=dynamic, self_loop=self_loop, residual=False)
    layer = GatLayer(5, 6, edge=RICH_EDGE, attention=attention).double()
    h, features = random_inputs(1, block, 5)
    out = layer(block, h, features)
    assert block.degree_D.tolist()[-1] == 0
    assert torch.allclose(out[-1], layer.message.value(h[block.num_targets - 1]) + layer.bias)
    assert torch.isfinite(out).all()


def test_a_message_alone_is_zeros_without_edges() -> None:
    block = random_block(1)
    message = AttentionMessage(5, 6, edge=RICH_EDGE, attention=AttentionConfig(num_heads=2)).double()
    assert message(block, *random_inputs(1, block, 5))[-1].tolist() == [0.0] * 6


@pytest.mark.parametrize("dynamic", [False, True], ids=["v1", "v2"])
def test_what_an_edge_carries_enters_score_and_value(dynamic: bool) -> None:
    """One head, equal sources: by hand."""
    edge = EdgeConfig(num_attributes=1)
    message = AttentionMessage(1, 1, edge=edge, attention=AttentionConfig(num_heads=1, dynamic=dynamic))
    block = Block.from_edges(
        torch.tensor([0, 1]),
        torch.tensor([0, 0]),
        num_sources=2,
        num_targets=1,
        edge_EA=torch.tensor([[1.0], [3.0]]),
    )
    score = message.score
    assert message.edge_value is not None
    assert score.edge is not None
    with torch.no_grad():
        for parameter in message.parameters():
            parameter.zero_()
        message.edge_value.weight.fill_(10.0)
        score.edge.weight.fill_(0.5)
        if dynamic:
            score.vector_KC.fill_(1.0)
    share = torch.softmax(torch.tensor([0.5, 1.5]), 0)
    out = message(block, torch.ones(2, 1), NOTHING)
    assert out.item() == pytest.approx((10 * share[0] + 30 * share[1]).item())


def test_only_v2_may_rank_the_edges_of_two_targets_differently() -> None:
    """Brody 2022, the claim of the paper: v1 gives every target the same order of sources."""
    sources = torch.arange(2, 6)
    block = Block.from_edges(sources.repeat(2), torch.tensor([0] * 4 + [1] * 4), num_sources=6, num_targets=2)
    found = {}
    for dynamic in (False, True):
        best = []
        for seed in range(40):
            torch.manual_seed(seed)
            attention = AttentionConfig(num_heads=1, dynamic=dynamic)
            message = AttentionMessage(3, 8, edge=BARE_EDGE, attention=attention)
            h = torch.randn(6, 3)
            value = message.value(h)
            logit, _ = message.score(block, h[:2], value, value[block.source_E], torch.empty(8, 0))
            best.append(bool(logit[:4].argmax() == logit[4:].argmax()))
        found[dynamic] = all(best)
    assert found == {False: True, True: False}


def test_attention_dropout_is_for_training_only() -> None:
    block = random_block(1)
    layer = GatLayer(5, 6, edge=RICH_EDGE, attention=AttentionConfig(num_heads=2, dropout=0.5)).double()
    inputs = random_inputs(1, block, 5)
    assert not torch.equal(layer(block, *inputs), layer(block, *inputs))
    layer.eval()
    assert torch.equal(layer(block, *inputs), layer(block, *inputs))


@given(seed=st.integers(0, 1_000))
@settings(max_examples=10, deadline=None)
def test_a_stack_of_attention_layers(seed: int) -> None:
    config = GatConfig(num_types=2, num_features=3, num_attributes=2, width=8, num_layers=2, dropout=0.0)
    outer, inner = random_block(seed, num_targets=3, num_more=2), random_block(seed + 1, num_targets=2, num_more=1)
    network = GraphAttention(config).double()
    _, features = random_inputs(seed, outer, 1)
    states = network([outer, inner], torch.tensor([0, 1, 0, 1, 1]), features)
    assert states.shape == (2, 8)
    assert torch.isfinite(states).all()


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="num_heads is 0"):
        AttentionConfig(num_heads=0)
    with pytest.raises(ValueError, match="dropout is 1"):
        AttentionConfig(dropout=1.0)
    with pytest.raises(ValueError, match="width 6 cannot be cut into 4 heads"):
        GatLayer(5, 6, edge=BARE_EDGE, attention=AttentionConfig(num_heads=4))
