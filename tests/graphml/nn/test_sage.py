"""The layer by hand, and what must not matter to it."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings

from graphml.block import Block
from graphml.nn.edges import EdgeConfig
from graphml.nn.sage import GraphSage, SageConfig, SageLayer
from graphml.torch_first import torch
from tests.graphml.nn.cases import blocks, random_inputs

import dgl  # isort: skip


def small_block() -> Block:
    """Target 0 has edges from sources 1 and 2, target 1 has none."""
    return Block(
        offsets_D=torch.tensor([0, 2]),
        source_E=torch.tensor([1, 2]),
        transaction_E=torch.tensor([3, 1]),
        gap_E=torch.tensor([2.0, 5.0]),
        edge_EA=torch.tensor([[1.0], [3.0]]),
        num_sources=3,
    )


def test_the_message_is_the_mean_of_state_features_and_attributes() -> None:
    layer = SageLayer(1, 1, edge=EdgeConfig(num_features=1, num_attributes=1))
    with torch.no_grad():
        layer.own.weight.fill_(100.0)
        layer.message.weight.copy_(torch.tensor([[1.0, 10.0, 1000.0]]))
        layer.message.bias.fill_(0.5)
    h = torch.tensor([[1.0], [2.0], [6.0]])
    features = torch.tensor([[0.0], [5.0], [0.0], [7.0]])
    out = layer(small_block(), h, features)
    assert out[0].item() == 100 * 1 + 1 * (2 + 6) / 2 + 10 * (7 + 5) / 2 + 1000 * (1 + 3) / 2 + 0.5
    assert out[1].item() == 100 * 2 + 0.5  # no edges: no message


@settings(max_examples=25, deadline=None)
@given(block=blocks())
def test_parity_with_dgl(block: Block) -> None:
    torch.manual_seed(0)
    layer = SageLayer(5, 6).double()
    oracle = dgl.nn.SAGEConv(5, 6, "mean").double()
    with torch.no_grad():
        oracle.fc_self.weight.copy_(layer.own.weight)
        oracle.fc_neigh.weight.copy_(layer.message.weight)
        oracle.fc_self.bias.copy_(layer.message.bias)
    edges = (block.source_E, block.target_E)
    graph = dgl.create_block(edges, num_src_nodes=block.num_sources, num_dst_nodes=block.num_targets)
    h = random_inputs(0, block, 5)[0].requires_grad_()
    ours, theirs = layer(block, h, torch.empty(0, 0)), oracle(graph, (h, h[: block.num_targets]))
    assert torch.allclose(ours, theirs, atol=1e-12)
    gradients = [torch.autograd.grad(out.square().sum(), h)[0] for out in (ours, theirs)]
    assert torch.allclose(*gradients, atol=1e-12)


def test_the_order_of_edges_does_not_matter() -> None:
    block = small_block()
    turned = replace(
        block,
        source_E=block.source_E.flip(0),
        transaction_E=block.transaction_E.flip(0),
        edge_EA=block.edge_EA.flip(0),
    )
    torch.manual_seed(0)
    layer = SageLayer(4, 3, edge=EdgeConfig(num_features=2, num_attributes=1))
    h, features = torch.randn(3, 4), torch.randn(4, 2)
    assert torch.allclose(layer(block, h, features), layer(turned, h, features), atol=1e-6)


def test_a_state_depends_on_the_type_and_never_on_the_id() -> None:
    config = SageConfig(num_types=2, num_features=2, num_attributes=1, num_layers=1)
    torch.manual_seed(0)
    network = GraphSage(config).eval()
    features = torch.randn(4, 2)
    first = network([small_block()], torch.tensor([0, 1, 1]), features)
    again = network([small_block()], torch.tensor([0, 1, 1]), features)
    other = network([small_block()], torch.tensor([1, 1, 1]), features)
    assert torch.equal(first, again)
    assert not torch.allclose(first[0], other[0])


def test_the_last_state_has_a_direction() -> None:
    config = SageConfig(num_types=1, num_features=2, num_attributes=1, num_layers=1)
    torch.manual_seed(0)
    states = GraphSage(config).eval()([small_block()], torch.zeros(3, dtype=torch.long), torch.randn(4, 2))
    assert (states < 0).any()
    assert (states.norm(dim=1) > 1).all()
