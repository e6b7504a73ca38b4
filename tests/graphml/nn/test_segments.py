"""Segment operations against loops, their gradients, and empty segments, no edges, half types."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphml.block import Block
from graphml.nn.segments import (
    segment_max,
    segment_mean,
    segment_sizes,
    segment_softmax,
    segment_softmax_with_own,
    segment_sum,
    spread,
    target_of_edges,
)
from graphml.torch_first import torch
from tests.graphml.nn.cases import blocks, random_block

Reduction = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

#: Two edges for target 0, none for 1, one for 2, none for 3.
OFFSETS = torch.tensor([0, 2, 2, 3])
VALUES = torch.tensor([[1.0, -5.0], [3.0, -7.0], [4.0, 0.5]], dtype=torch.float64)

REDUCTIONS: dict[str, tuple[Reduction, Callable[[torch.Tensor], torch.Tensor]]] = {
    "sum": (segment_sum, lambda rows: rows.sum(0)),
    "mean": (segment_mean, lambda rows: rows.mean(0)),
    "max": (segment_max, lambda rows: rows.amax(0)),
}


def values_of(block: Block, seed: int = 0, width: int = 2) -> torch.Tensor:
    return torch.randn(block.num_edges, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_by_hand() -> None:
    assert segment_sum(VALUES, OFFSETS).tolist() == [[4.0, -12.0], [0.0, 0.0], [4.0, 0.5], [0.0, 0.0]]
    assert segment_mean(VALUES, OFFSETS).tolist() == [[2.0, -6.0], [0.0, 0.0], [4.0, 0.5], [0.0, 0.0]]
    assert segment_max(VALUES, OFFSETS).tolist() == [[3.0, -5.0], [0.0, 0.0], [4.0, 0.5], [0.0, 0.0]]
    assert target_of_edges(OFFSETS, 3).tolist() == [0, 0, 2]
    assert segment_sizes(OFFSETS, 3).tolist() == [2, 0, 1, 0]


@pytest.mark.parametrize("name", REDUCTIONS)
@settings(deadline=None)
@given(block=blocks())
def test_a_reduction_is_the_loop_over_targets(name: str, block: Block) -> None:
    reduce, of_rows = REDUCTIONS[name]
    values = values_of(block)
    result = reduce(values, block.offsets_D)
    for target in range(block.num_targets):
        rows = values[block.target_E == target]
        expected = of_rows(rows) if len(rows) else torch.zeros(2, dtype=torch.float64)
        assert torch.allclose(result[target], expected, atol=1e-12)


@settings(deadline=None)
@given(block=blocks())
def test_a_softmax_is_the_loop_over_targets(block: Block) -> None:
    logits = 3 * values_of(block)
    shares = segment_softmax(logits, block.offsets_D)
    for target in range(block.num_targets):
        mine = block.target_E == target
        assert torch.allclose(shares[mine], torch.softmax(logits[mine], 0), atol=1e-12)


@settings(deadline=None)
@given(block=blocks())
def test_a_softmax_with_own_is_the_loop_over_targets(block: Block) -> None:
    logits, own = 3 * values_of(block), torch.randn(block.num_targets, 2, dtype=torch.float64)
    shares, own_shares = segment_softmax_with_own(logits, own, block.offsets_D)
    for target in range(block.num_targets):
        mine = block.target_E == target
        expected = torch.softmax(torch.cat([logits[mine], own[target][None]]), 0)
        assert torch.allclose(shares[mine], expected[:-1], atol=1e-12)
        assert torch.allclose(own_shares[target], expected[-1], atol=1e-12)


def test_large_logits_do_not_overflow() -> None:
    logits = torch.tensor([[1e4], [1e4], [-1e4]])
    assert segment_softmax(logits, OFFSETS).tolist() == [[0.5], [0.5], [1.0]]
    shares, own = segment_softmax_with_own(logits, torch.tensor([[1e4], [-1e4], [1e4], [0.0]]), OFFSETS)
    assert torch.allclose(shares, torch.tensor([[1 / 3], [1 / 3], [0.0]]))
    assert torch.allclose(own, torch.tensor([[1 / 3], [1.0], [1.0], [1.0]]))


@settings(deadline=None)
@given(block=blocks())
def test_spread_reads_the_row_of_the_target(block: Block) -> None:
    rows = torch.arange(block.num_targets, dtype=torch.float64)[:, None].requires_grad_()
    assert spread(rows, block.offsets_D, block.num_edges)[:, 0].tolist() == block.target_E.tolist()
    assert torch.autograd.gradcheck(lambda x: spread(x, block.offsets_D, block.num_edges), (rows,))


@pytest.mark.parametrize("operation", [segment_sum, segment_mean, segment_max, segment_softmax])
@settings(deadline=None, max_examples=15)
@given(block=blocks())
def test_gradients(operation: Reduction, block: Block) -> None:
    values = values_of(block).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: operation(x, block.offsets_D), (values,))


@settings(deadline=None, max_examples=15)
@given(block=blocks(), seed=st.integers(0, 100))
def test_gradients_of_the_softmax_with_own(block: Block, seed: int) -> None:
    values = values_of(block, seed).requires_grad_()
    own = values_of(random_block(seed, num_edges=block.num_targets), seed + 1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, y: segment_softmax_with_own(x, y, block.offsets_D), (values, own))


def test_equal_largest_values_share_the_gradient() -> None:
    values = torch.tensor([[2.0], [2.0], [1.0]], requires_grad=True)
    segment_max(values, torch.tensor([0])).backward()
    assert values.grad is not None
    assert values.grad.tolist() == [[0.5], [0.5], [0.0]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("operation", [segment_sum, segment_mean, segment_max, segment_softmax])
def test_small_types_keep_their_type_and_come_close(operation: Reduction, dtype: torch.dtype) -> None:
    block = random_block(3, num_edges=40)
    values = values_of(block)
    result = operation(values.to(dtype), block.offsets_D)
    assert result.dtype == dtype
    assert torch.allclose(result.double(), operation(values, block.offsets_D), atol=0.15, rtol=0.05)


@pytest.mark.parametrize("operation", [segment_sum, segment_mean, segment_max, segment_softmax])
def test_no_edges_at_all_still_have_a_gradient(operation: Reduction) -> None:
    """A step whose block is empty must not leave a parameter without gradient: DDP would wait for it."""
    values = torch.zeros(0, 2, requires_grad=True)
    operation(values, torch.tensor([0, 0])).sum().backward()
    assert values.grad is not None


def test_a_softmax_of_half_precision_is_computed_in_32_bits() -> None:
    """It is the exact one rounded once: within 2⁻⁸ of it, half of what bfloat16 can tell apart."""
    logits = (4 * torch.randn(1_000, 1, generator=torch.Generator().manual_seed(0))).bfloat16()
    exact = torch.softmax(logits.double(), 0)
    shares = segment_softmax(logits, torch.tensor([0]))
    assert torch.allclose(shares.double(), exact, rtol=2**-7.95, atol=0)
