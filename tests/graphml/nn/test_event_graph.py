"""The event graph network: order of edges, relations, seeds without history."""

from __future__ import annotations

import pytest

from graphml.block import Block
from graphml.nn.event_graph import EventGraph, EventGraphConfig
from graphml.torch_first import torch

CONFIG = EventGraphConfig(token_width=3, num_attributes=2, num_roles=2, edges_hours=(0.0, 1.0, 10.0), width=8)


def blocks(order: list[int]) -> tuple[Block, Block]:
    """Two relations over two nodes; the first has edges 0, 1, 2 (of node 0) in `order`, the second none."""
    rng = torch.Generator().manual_seed(0)
    edge = torch.rand(3, 2, generator=rng)[order]
    gap, rows = torch.tensor([0.5, 2.0, 8.0])[order], torch.tensor([0, 1, 2])[order]
    first = Block(
        offsets_D=torch.tensor([0, 3]), source_E=torch.tensor([2, 2, 2]), transaction_E=rows, gap_E=gap,
        edge_EA=edge, num_sources=3,
    )  # fmt: skip
    none = torch.zeros(0, dtype=torch.long)
    second = Block(
        offsets_D=torch.tensor([0, 0]), source_E=none, transaction_E=none, gap_E=torch.zeros(0),
        edge_EA=torch.zeros(0, 2), num_sources=3,
    )  # fmt: skip
    return first, second


def logits(parts: tuple[Block, Block], token_NT: torch.Tensor, token_ST: torch.Tensor) -> torch.Tensor:
    torch.manual_seed(0)
    network = EventGraph(CONFIG).eval()
    return network(parts, token_NT, torch.tensor([0, 0]), torch.tensor([[0, 1]]), token_ST)


def test_the_order_of_edges_does_not_matter() -> None:
    token_NT, token_ST = torch.rand(3, 3), torch.rand(1, 3)
    found = [logits(blocks(order), token_NT, token_ST) for order in ([0, 1, 2], [2, 0, 1])]
    assert torch.allclose(found[0], found[1], atol=1e-6)


def test_neighbors_their_gaps_their_attributes_and_the_relation_count() -> None:
    token_NT, token_ST = torch.rand(3, 3), torch.rand(1, 3)
    first, second = blocks([0, 1, 2])
    base = logits((first, second), token_NT, token_ST)
    assert not torch.equal(base, logits((first, second), token_NT + 1, token_ST))
    assert not torch.equal(base, logits((first, second), token_NT, token_ST + 1))
    assert not torch.equal(base, logits((second, first), token_NT, token_ST))
    for changed in ({"gap_E": first.gap_E * 2}, {"edge_EA": first.edge_EA + 1}):
        other = Block(**{name: getattr(first, name) for name in Block.__dataclass_fields__} | changed)
        assert not torch.equal(base, logits((other, second), token_NT, token_ST))


def test_a_seed_without_history_has_a_finite_logit_and_gradients() -> None:
    network = EventGraph(CONFIG)
    _, none = blocks([0, 1, 2])
    logit = network((none, none), torch.rand(3, 3), torch.tensor([0, 0]), torch.tensor([[0, -1]]), torch.rand(1, 3))
    logit.sum().backward()
    assert torch.isfinite(logit).all()
    assert all(torch.isfinite(weight.grad).all() for weight in network.parameters() if weight.grad is not None)


def test_sizes_must_be_positive() -> None:
    with pytest.raises(ValueError, match="num_roles 0"):
        EventGraphConfig(token_width=3, num_attributes=2, num_roles=0, edges_hours=(0.0, 1.0))
