"""Relational layers against `dgl.nn`, by hand, and what must not matter."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphml.block import Block
from graphml.nn.gat import AttentionConfig, AttentionMessage, GatConfig
from graphml.nn.message_passing import MessagePassingConfig
from graphml.nn.relational import RelationalConfig, RelationalLayer
from graphml.nn.sage import MeanMessage, SageConfig
from graphml.nn.stack import StackConfig
from graphml.torch_first import torch
from tests.graphml.nn.cases import (
    BARE_EDGE,
    NUM_ATTRIBUTES,
    NUM_FEATURES,
    RICH_EDGE,
    edges_shuffled,
    nodes_relabelled,
    random_block,
    random_inputs,
)

import dgl  # isort: skip

NOTHING = torch.empty(0, 0)
SIZES = {
    "num_types": 2,
    "num_features": NUM_FEATURES,
    "num_attributes": NUM_ATTRIBUTES,
    "time": RICH_EDGE.time,
    "feature_bins": RICH_EDGE.feature_bins,
    "given_width": 3,
    "width": 4,
    "num_layers": 2,
    "dropout": 0.0,
}
NETWORKS: dict[str, StackConfig] = {
    "graphsage": SageConfig(**SIZES),
    "gat": GatConfig(**SIZES, attention=AttentionConfig(num_heads=2)),
    "message passing": MessagePassingConfig(**SIZES, hidden_widths=(5,), aggregators=("mean", "attention")),
}


def random_hop(seed: int, *, num_relations: int = 2) -> tuple[Block, ...]:
    """Relations over the same targets and sources, the last target without any edge."""
    return tuple(random_block(100 * seed + number) for number in range(num_relations))


def dgl_hop(hop: tuple[Block, ...]) -> dgl.DGLGraph:
    edges = {("node", f"r{number}", "node"): (block.source_E, block.target_E) for number, block in enumerate(hop)}
    return dgl.create_block(
        edges, num_src_nodes={"node": hop[0].num_sources}, num_dst_nodes={"node": hop[0].num_targets}
    )


@pytest.mark.parametrize("average", [False, True], ids=["sum", "mean"])
@pytest.mark.parametrize("seed", range(5))
def test_relational_sage_is_dgl_hetero_graph_conv_of_sage(seed: int, average: bool) -> None:
    """DGL has an own weight a relation; ours is their sum (mean)."""
    hop = random_hop(seed, num_relations=3)
    torch.manual_seed(seed)
    layer = RelationalLayer([MeanMessage(5, 6, edge=BARE_EDGE) for _ in hop], 5, 6, average=average).double()
    convs = {f"r{number}": dgl.nn.SAGEConv(5, 6, "mean", bias=False).double() for number in range(len(hop))}
    with torch.no_grad():
        for message, conv in zip(layer.messages, convs.values(), strict=True):
            conv.fc_neigh.weight.copy_(message.message.weight)
        layer.own.weight.copy_(layer.share * sum(conv.fc_self.weight for conv in convs.values()))
        layer.own.bias.zero_()
    oracle = dgl.nn.HeteroGraphConv(convs, aggregate="mean" if average else "sum")
    h, _ = random_inputs(seed, hop[0], 5)
    assert torch.allclose(layer(hop, h, NOTHING), oracle(dgl_hop(hop), {"node": h})["node"], atol=1e-12)


@pytest.mark.parametrize("average", [False, True], ids=["sum", "mean"])
@pytest.mark.parametrize("dynamic", [False, True], ids=["v1", "v2"])
def test_relational_attention_is_dgl_hetero_graph_conv_of_gat(dynamic: bool, average: bool) -> None:
    hop = random_hop(1)
    torch.manual_seed(0)
    attention = AttentionConfig(num_heads=2, dynamic=dynamic)
    messages = [AttentionMessage(5, 6, edge=BARE_EDGE, attention=attention) for _ in hop]
    layer = RelationalLayer(messages, 5, 6, average=average).double()
    torch.nn.init.zeros_(layer.own.weight)  # DGL's has no state of its own
    torch.nn.init.zeros_(layer.own.bias)
    build = dgl.nn.GATv2Conv if dynamic else dgl.nn.GATConv
    convs = {f"r{number}": build(5, 3, 2, allow_zero_in_degree=True).double() for number in range(len(hop))}
    with torch.no_grad():
        for message, conv in zip(layer.messages, convs.values(), strict=True):
            if dynamic:
                for ours, theirs in ((message.value, conv.fc_src), (message.score.target, conv.fc_dst)):
                    theirs.load_state_dict(ours.state_dict())
                conv.attn.copy_(message.score.vector_KC[None])
            else:
                conv.fc.weight.copy_(message.value.weight)
                conv.attn_l.copy_(message.score.source_KC[None])
                conv.attn_r.copy_(message.score.target_KC[None])
    oracle = dgl.nn.HeteroGraphConv(convs, aggregate="mean" if average else "sum")
    h, _ = random_inputs(0, hop[0], 5)
    theirs = oracle(dgl_hop(hop), {"node": h})["node"].flatten(1)
    assert torch.allclose(layer(hop, h, NOTHING), theirs, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_r_gcn_without_bases(seed: int) -> None:
    """`dgl.nn.RelGraphConv` with the norm of the paper, one over the number of neighbors under the relation."""
    hop = random_hop(seed, num_relations=3)
    torch.manual_seed(seed)
    layer = RelationalLayer([MeanMessage(5, 6, edge=BARE_EDGE) for _ in hop], 5, 6, average=False).double()
    oracle = dgl.nn.RelGraphConv(5, 6, len(hop)).double()
    with torch.no_grad():
        oracle.linear_r.W.copy_(torch.stack([message.message.weight.T for message in layer.messages]))
        oracle.loop_weight.copy_(layer.own.weight.T)
        oracle.h_bias.copy_(layer.own.bias)
    edges = (torch.cat([block.source_E for block in hop]), torch.cat([block.target_E for block in hop]))
    graph = dgl.create_block(edges, num_src_nodes=hop[0].num_sources, num_dst_nodes=hop[0].num_targets)
    relation_E = torch.cat([torch.full((block.num_edges,), number) for number, block in enumerate(hop)])
    norm_E1 = torch.cat([1 / block.degree_D[block.target_E].double() for block in hop])[:, None]
    h, _ = random_inputs(seed, hop[0], 5)
    assert torch.allclose(layer(hop, h, NOTHING), oracle(graph, h, relation_E, norm_E1), atol=1e-12)


def test_a_relation_and_its_reverse_have_weights_of_their_own() -> None:
    """One edge 0 - 1 seen from both ends: by hand."""
    layer = RelationalLayer([MeanMessage(1, 1, edge=BARE_EDGE) for _ in range(2)], 1, 1, average=False)
    with torch.no_grad():
        layer.own.weight.fill_(1.0)
        layer.own.bias.zero_()
        layer.messages[0].message.weight.fill_(10.0)
        layer.messages[1].message.weight.fill_(100.0)
    there, back = torch.tensor([0]), torch.tensor([1])
    hop = (
        Block.from_edges(there, back, num_sources=2, num_targets=2),
        Block.from_edges(back, there, num_sources=2, num_targets=2),
    )
    out = layer(hop, torch.tensor([[3.0], [5.0]]), NOTHING)
    assert out.tolist() == [[3.0 + 100 * 5.0], [5.0 + 10 * 3.0]]


@pytest.mark.parametrize("name", NETWORKS)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1_000))
def test_order_and_labels_do_not_matter(name: str, seed: int) -> None:
    torch.manual_seed(0)
    layer = RelationalConfig(relation=NETWORKS[name], num_relations=2).layer(3).double()
    hop = random_hop(seed)
    h, features = random_inputs(seed, hop[0], 3)
    expected = layer(hop, h, features)
    shuffled = tuple(edges_shuffled(block, seed) for block in hop)
    assert torch.allclose(layer(shuffled, h, features), expected, atol=1e-12)
    turned = [nodes_relabelled(block, seed) for block in hop]
    old_U = turned[0][1]
    result = layer(tuple(block for block, _ in turned), h[old_U], features)
    assert torch.allclose(result, expected[old_U[: hop[0].num_targets]], atol=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients(name: str) -> None:
    torch.manual_seed(0)
    layer = RelationalConfig(relation=NETWORKS[name], num_relations=2, average=True).layer(3).double()
    hop = random_hop(3)
    inputs = [tensor.clone().requires_grad_() for tensor in random_inputs(3, hop[0], 3)]
    assert torch.autograd.gradcheck(lambda h, x, *_: layer(hop, h, x), (*inputs, *layer.parameters()))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_relation_without_edges_adds_nothing_but_keeps_its_gradients(name: str) -> None:
    torch.manual_seed(0)
    layer = RelationalConfig(relation=NETWORKS[name], num_relations=2).layer(3).double()
    full, empty = random_hop(3)[0], random_block(1, num_edges=0)
    h, features = random_inputs(3, full, 3)
    out = layer((full, empty), h, features)
    assert torch.allclose(out, layer.own(h[: full.num_targets]) + layer.messages[0](full, h, features), atol=1e-12)
    out.sum().backward()
    assert [key for key, parameter in layer.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_of_relational_layers(name: str) -> None:
    torch.manual_seed(0)
    network = RelationalConfig(relation=NETWORKS[name], num_relations=2).build().double()
    outer = tuple(random_block(seed, num_targets=3, num_more=2) for seed in (0, 1))
    inner = tuple(random_block(seed, num_targets=2, num_more=1) for seed in (2, 3))
    _, features = random_inputs(0, outer[0], 1)
    types = torch.tensor([0, 1, 0, 1, 1])
    states = network([outer, inner], types, features)
    swapped = network([outer[::-1], inner[::-1]], types, features)
    assert states.shape == (2, 4)
    assert not torch.allclose(states, swapped)  # relations are not exchangeable


def test_a_causal_block_is_split_by_a_relation_of_its_edges() -> None:
    block = random_block(0)
    relation = torch.arange(block.num_edges) % 2
    layer = RelationalConfig(relation=NETWORKS["graphsage"], num_relations=2).layer(3).double()
    h, features = random_inputs(0, block, 3)
    moved = replace(block, edge_EA=block.edge_EA + 1)
    assert not torch.equal(layer(block.split(relation, 2), h, features), layer(moved.split(relation, 2), h, features))


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="without relations"):
        RelationalLayer([], 3, 4, average=False)
    with pytest.raises(ValueError, match="num_relations is 0"):
        RelationalConfig(relation=NETWORKS["graphsage"], num_relations=0)
    layer = RelationalConfig(relation=NETWORKS["graphsage"], num_relations=2).layer(3).double()
    hop = random_hop(0, num_relations=3)
    with pytest.raises(ValueError, match="A hop of 3 relations meets a layer of 2"):
        layer(hop, *random_inputs(0, hop[0], 3))
