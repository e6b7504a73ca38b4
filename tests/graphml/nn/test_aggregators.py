"""Aggregators by hand, and the names that a configuration may give."""

from __future__ import annotations

import pytest

from graphml.nn.aggregators import AGGREGATORS, Attention, Max, Mean, Several, Sum, build_aggregator
from graphml.torch_first import torch
from tests.graphml.nn.cases import edges_shuffled, random_block

OFFSETS = torch.tensor([0, 2, 2])
MESSAGES = torch.tensor([[1.0, 2.0], [3.0, -2.0], [5.0, 6.0]])


def test_mean_sum_and_max() -> None:
    assert Mean(2)(MESSAGES, OFFSETS).tolist() == [[2.0, 0.0], [0.0, 0.0], [5.0, 6.0]]
    assert Sum(2)(MESSAGES, OFFSETS).tolist() == [[4.0, 0.0], [0.0, 0.0], [5.0, 6.0]]
    assert Max(2)(MESSAGES, OFFSETS).tolist() == [[3.0, 2.0], [0.0, 0.0], [5.0, 6.0]]


def test_attention_weighs_each_head_by_the_softmax_of_its_score() -> None:
    attention = Attention(2, num_heads=2)
    with torch.no_grad():
        attention.score.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
    result = attention(MESSAGES, OFFSETS)
    share = torch.softmax(torch.tensor([1.0, 3.0]), 0)
    assert torch.allclose(result[0], torch.tensor([share[0] + 3 * share[1], 0.0]))
    assert result[1:].tolist() == [[0.0, 0.0], [5.0, 6.0]]


def test_several_stand_side_by_side() -> None:
    several = Several([Sum(2), Max(2)])
    assert several.out_width == 4
    assert several(MESSAGES, OFFSETS)[0].tolist() == [4.0, 0.0, 3.0, 2.0]


@pytest.mark.parametrize("name", AGGREGATORS)
def test_the_order_of_edges_does_not_matter(name: str) -> None:
    aggregate = build_aggregator([name], 4).double()
    block = random_block(1, num_edges=30)
    turned = edges_shuffled(block, 5)
    by_source = torch.randn(block.num_sources, 4, dtype=torch.float64)
    results = [aggregate(by_source[each.source_E], each.offsets_D) for each in (block, turned)]
    assert not torch.equal(block.source_E, turned.source_E)
    assert torch.allclose(*results, atol=1e-12)


def test_names() -> None:
    assert isinstance(build_aggregator(["mean"], 4), Mean)
    assert build_aggregator(["mean", "attention", "max"], 4).out_width == 12
    with pytest.raises(ValueError, match="median"):
        build_aggregator(["mean", "median"], 4)
    with pytest.raises(ValueError, match="name one or more"):
        build_aggregator([], 4)
    with pytest.raises(ValueError, match="cannot be cut into 4 heads"):
        build_aggregator(["attention"], 6)
