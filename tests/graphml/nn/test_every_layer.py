"""What holds of every layer: order of edges and labels of nodes do not matter, gradients are right, no NaN without
edges, the same answer twice, the same after saving."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphml.block import Block
from graphml.nn.gat import AttentionConfig, GatLayer
from graphml.nn.message_passing import MessagePassingConfig
from graphml.nn.sage import SageLayer
from graphml.torch_first import torch
from tests.graphml.nn.cases import (
    NUM_ATTRIBUTES,
    NUM_FEATURES,
    RICH_EDGE,
    blocks,
    edges_shuffled,
    nodes_relabelled,
    random_block,
    random_inputs,
)

WIDTH, OUT = 3, 4


def gat(attention: AttentionConfig) -> torch.nn.Module:
    return GatLayer(WIDTH, OUT, edge=RICH_EDGE, attention=attention)


def message_passing(*aggregators: str) -> torch.nn.Module:
    config = MessagePassingConfig(
        num_types=0,
        num_features=NUM_FEATURES,
        num_attributes=NUM_ATTRIBUTES,
        time=RICH_EDGE.time,
        feature_bins=RICH_EDGE.feature_bins,
        width=OUT,
        hidden_widths=(5,),
        aggregators=aggregators,
        dropout=0.0,
    )
    return config.layer(WIDTH)


LAYERS: dict[str, Callable[[], torch.nn.Module]] = {
    "sage": lambda: SageLayer(WIDTH, OUT, edge=RICH_EDGE),
    "gat": lambda: gat(AttentionConfig(num_heads=2, dynamic=False)),
    "gatv2": lambda: gat(AttentionConfig(num_heads=2)),
    "gatv2 self-loop": lambda: gat(AttentionConfig(num_heads=2, self_loop=True, residual=False)),
    "mean and max": lambda: message_passing("mean", "max"),
    "sum and attention": lambda: message_passing("sum", "attention"),
}


def build(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return LAYERS[name]().double()


@pytest.mark.parametrize("name", LAYERS)
@settings(max_examples=20, deadline=None)
@given(block=blocks(), seed=st.integers(0, 100))
def test_the_order_of_edges_does_not_matter(name: str, block: Block, seed: int) -> None:
    layer, (h, features) = build(name), random_inputs(seed, block, WIDTH)
    assert torch.allclose(
        layer(block, h, features), layer(edges_shuffled(block, seed), h, features), atol=1e-12, rtol=1e-10
    )


@pytest.mark.parametrize("name", LAYERS)
@settings(max_examples=20, deadline=None)
@given(block=blocks(), seed=st.integers(0, 100))
def test_the_labels_of_nodes_do_not_matter(name: str, block: Block, seed: int) -> None:
    layer, (h, features) = build(name), random_inputs(seed, block, WIDTH)
    turned, old_U = nodes_relabelled(block, seed)
    expected = layer(block, h, features)[old_U[: block.num_targets]]
    assert torch.allclose(layer(turned, h[old_U], features), expected, atol=1e-12, rtol=1e-10)


@pytest.mark.parametrize("name", LAYERS)
def test_gradients(name: str) -> None:
    """By states, features, attributes, gaps and every parameter, with targets that have no edge."""
    block, layer = random_block(4), build(name)
    h, features = random_inputs(4, block, WIDTH)
    inputs = [tensor.clone().requires_grad_() for tensor in (h, features, block.edge_EA, block.gap_E)]

    def run(h: torch.Tensor, features: torch.Tensor, edge: torch.Tensor, gap: torch.Tensor, *_: object) -> object:
        return layer(replace(block, edge_EA=edge, gap_E=gap), h, features)

    assert torch.autograd.gradcheck(run, (*inputs, *layer.parameters()))


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("num_more", [0, 2], ids=["targets only", "sources without edges"])
def test_a_block_without_edges(name: str, num_more: int) -> None:
    """Finite states, and a gradient for every parameter: DDP waits for a parameter that gets none."""
    block, layer = random_block(0, num_targets=3, num_more=num_more, num_edges=0), build(name)
    out = layer(block, *random_inputs(0, block, WIDTH))
    assert out.shape == (3, OUT)
    assert torch.isfinite(out).all()
    out.sum().backward()
    assert [key for key, parameter in layer.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("name", LAYERS)
def test_a_target_without_edges_depends_on_its_own_state_only(name: str) -> None:
    block, layer = random_block(7), build(name)
    h, features = random_inputs(7, block, WIDTH)
    lonely = block.num_targets - 1
    other = torch.randn_like(h)
    other[lonely] = h[lonely]
    first, second = layer(block, h, features)[lonely], layer(block, other, features + 1)[lonely]
    assert torch.allclose(first, second, atol=1e-12)
    assert not torch.allclose(first, layer(block, h + 1, features)[lonely])


@pytest.mark.parametrize("name", LAYERS)
def test_the_same_twice_and_after_saving(name: str) -> None:
    block, layer = random_block(9), build(name)
    inputs = random_inputs(9, block, WIDTH)
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    again = LAYERS[name]().double()
    again.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(layer(block, *inputs), layer(block, *inputs))
    assert torch.equal(layer(block, *inputs), again(block, *inputs))


@pytest.mark.parametrize("name", LAYERS)
def test_in_deterministic_mode_gradients_are_the_same_twice(name: str) -> None:
    block = random_block(9, num_edges=40)
    inputs = random_inputs(9, block, WIDTH)
    found = []
    torch.use_deterministic_algorithms(True)
    try:
        for _ in range(2):
            layer = build(name)
            layer(block, *inputs).square().sum().backward()
            found.append(torch.cat([parameter.grad.flatten() for parameter in layer.parameters()]))
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(*found)


@pytest.mark.parametrize("name", LAYERS)
def test_what_an_edge_carries_is_read(name: str) -> None:
    block, layer = random_block(5), build(name)
    h, features = random_inputs(5, block, WIDTH)
    before = layer(block, h, features)
    joined = block.degree_D > 0
    changes = {
        "features": layer(block, h, features + 0.3),
        "attributes": layer(replace(block, edge_EA=block.edge_EA + 1), h, features),
        "gaps": layer(replace(block, gap_E=block.gap_E + 7), h, features),
    }
    for what, after in changes.items():
        assert (after != before)[joined].any(), what


@pytest.mark.parametrize("name", LAYERS)
def test_float32_and_autocast_come_close(name: str) -> None:
    block, layer = random_block(6, num_edges=30), build(name)
    h, features = random_inputs(6, block, WIDTH)
    exact = layer(block, h, features)
    layer.float()
    small = replace(block, edge_EA=block.edge_EA.float(), gap_E=block.gap_E.float())
    single = layer(small, h.float(), features.float())
    assert single.dtype == torch.float32
    assert torch.allclose(single.double(), exact, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        half = layer(small, h.float(), features.float())
    assert torch.allclose(half.double(), exact, atol=0.1)
