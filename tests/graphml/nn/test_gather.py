"""Rows read for edges, against indexing, and their gradients."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from graphml.block import Block
from graphml.nn.gather import from_sources, from_targets, mean_by_target
from graphml.nn.segments import segment_mean
from graphml.torch_first import torch
from tests.graphml.nn.cases import blocks, random_inputs


@settings(deadline=None)
@given(block=blocks(), seed=st.integers(0, 99))
def test_values(block: Block, seed: int) -> None:
    h, _ = random_inputs(seed, block, 2)
    assert torch.equal(from_sources(block, h), h[block.source_E])
    assert torch.equal(from_targets(block, h[: block.num_targets]), h[block.target_E])
    mean = segment_mean(h[block.source_E], block.offsets_D)
    assert torch.allclose(mean_by_target(block, h, block.source_E), mean, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(block=blocks(), seed=st.integers(0, 99))
def test_gradients(block: Block, seed: int) -> None:
    h = random_inputs(seed, block, 2)[0].requires_grad_()
    assert torch.autograd.gradcheck(lambda x: from_sources(block, x), (h,))
    assert torch.autograd.gradcheck(lambda x: from_targets(block, x[: block.num_targets]), (h,))
    assert torch.autograd.gradcheck(lambda x: mean_by_target(block, x, block.source_E), (h,))


def test_a_table_of_half_precision_is_read_as_it_is() -> None:
    block = Block.from_edges(torch.tensor([1, 0]), torch.tensor([0, 0]), num_sources=2, num_targets=1)
    table = torch.tensor([[1.0], [2.0]], dtype=torch.float16)
    assert mean_by_target(block, table, block.source_E).tolist() == [[1.5]]
