"""Blocks from edges in any order, split by relation, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphml.block import Block
from graphml.nn.gather import mean_by_target
from graphml.torch_first import torch
from tests.graphml.nn.cases import blocks


def edges_of(block: Block) -> list[tuple[int, int]]:
    return list(zip(block.source_E.tolist(), block.target_E.tolist(), strict=True))


def test_from_edges_sorts_them_by_target() -> None:
    block = Block.from_edges(
        torch.tensor([3, 0, 2]),
        torch.tensor([2, 0, 2]),
        num_sources=4,
        num_targets=3,
        edge_EA=torch.tensor([[7.0], [8.0], [9.0]]),
    )
    assert block.offsets_D.tolist() == [0, 1, 1]
    assert edges_of(block) == [(0, 0), (3, 2), (2, 2)]
    assert block.edge_EA.tolist() == [[8.0], [7.0], [9.0]]
    assert block.degree_D.tolist() == [1, 0, 2]
    assert (block.num_edges, block.num_targets, block.num_sources) == (3, 3, 4)
    assert block.transaction_E.tolist() == [0, 0, 0]
    assert block.gap_E.tolist() == [0.0, 0.0, 0.0]


def test_without_attributes_an_edge_has_none() -> None:
    block = Block.from_edges(torch.tensor([0]), torch.tensor([0]), num_sources=1, num_targets=1)
    assert block.edge_EA.shape == (1, 0)


@settings(deadline=None)
@given(block=blocks(), seed=st.integers(0, 99))
def test_a_split_keeps_every_edge_once_with_all_that_it_carries(block: Block, seed: int) -> None:
    relation = torch.randint(0, 3, (block.num_edges,), generator=torch.Generator().manual_seed(seed))
    split = block.split(relation, 3)
    table = torch.arange(block.num_sources, dtype=torch.float64)[:, None]
    total = torch.zeros(block.num_targets, 1, dtype=torch.float64)
    for number, part in enumerate(split):
        kept = relation == number
        assert edges_of(part) == [edge for edge, is_kept in zip(edges_of(block), kept.tolist(), strict=True) if is_kept]
        assert torch.equal(part.edge_EA, block.edge_EA[kept])
        assert torch.equal(part.gap_E, block.gap_E[kept])
        assert torch.equal(part.transaction_E, block.transaction_E[kept])
        total += mean_by_target(part, table, part.source_E) * part.degree_D[:, None]
    assert torch.allclose(total, mean_by_target(block, table, block.source_E) * block.degree_D[:, None])


def test_to_moves_every_tensor() -> None:
    block = Block.from_edges(torch.tensor([0]), torch.tensor([0]), num_sources=1, num_targets=1).to("meta")
    tensors = (block.offsets_D, block.source_E, block.transaction_E, block.gap_E, block.edge_EA)
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert block.num_sources == 1


def test_what_cannot_be_is_refused() -> None:
    one, two = torch.tensor([0]), torch.tensor([2])
    with pytest.raises(ValueError, match="A source of an edge is 2 or 2, but there are 2 sources"):
        Block.from_edges(two, one, num_sources=2, num_targets=1)
    with pytest.raises(ValueError, match="A target of an edge is 2"):
        Block.from_edges(one, two, num_sources=2, num_targets=2)
    with pytest.raises(ValueError, match="1 sources are fewer than 2 targets"):
        Block.from_edges(one, one, num_sources=1, num_targets=2)
    with pytest.raises(ValueError, match="A relation of an edge is 2"):
        Block.from_edges(one, one, num_sources=1, num_targets=1).split(two, 2)
