"""Static neighborhoods against a scan of the edges; DGL's sampler as a second oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphml.dgl_adapter import from_dgl_block, static_loader
from graphml.static_sampling import sample_static, static_adjacency


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), fanout=st.integers(1, 4))
def test_neighbors_are_sources_of_edges_without_repetition(seed: int, fanout: int) -> None:
    rng = np.random.default_rng(seed)
    source, target = rng.integers(0, 12, (2, 40))
    seeds = rng.choice(12, 4, replace=False)
    blocks, inputs = sample_static(static_adjacency(source, target, 12), seeds, (fanout, 2), seed=seed)
    assert [block.num_targets for block in blocks] == [len(inputs[: blocks[0].num_targets]), 4]
    last = blocks[-1]
    for node in range(4):
        low = int(last.offsets_D[node])
        high = int(last.offsets_D[node + 1]) if node < 3 else last.num_edges
        drawn = inputs[last.source_E[low:high].numpy()].tolist()
        every = source[target == seeds[node]].tolist()
        assert len(drawn) == min(fanout, len(every))
        assert all(drawn.count(neighbor) <= every.count(neighbor) for neighbor in drawn)
        assert last.transaction_E[low:high].tolist() == drawn
    again, _ = sample_static(static_adjacency(source, target, 12), seeds, (fanout, 2), seed=seed)
    assert again[0].source_E.tolist() == blocks[0].source_E.tolist()


def test_without_numbers_for_its_inputs_a_block_draws_the_same() -> None:
    rng = np.random.default_rng(5)
    source, target = rng.integers(0, 50, (2, 300))
    adjacency, seeds = static_adjacency(source, target, 50), rng.choice(50, 6, replace=False)
    joined, sources = sample_static(adjacency, seeds, (3, 2), seed=1)
    plain, targets = sample_static(adjacency, seeds, (3, 2), seed=1, joins_inputs=False)
    assert targets.tolist() == sources[: joined[0].num_targets].tolist()
    assert plain[0].num_sources == 50
    assert plain[0].source_E.tolist() == sources[joined[0].source_E.numpy()].tolist()
    for one, other in zip(plain, joined, strict=True):
        assert one.offsets_D.tolist() == other.offsets_D.tolist()
        assert one.transaction_E.tolist() == other.transaction_E.tolist()
    assert plain[1].source_E.tolist() == joined[1].source_E.tolist()


@pytest.mark.parametrize("seeds", [[0, 400_000], [-1]])
def test_a_seed_that_is_no_node_is_refused(seeds: list[int]) -> None:
    adjacency = static_adjacency(np.asarray([0, 1]), np.asarray([1, 2]), 3)
    with pytest.raises(IndexError, match="is no node of this graph of 3"):
        sample_static(adjacency, np.asarray(seeds), (2,), seed=0)


def test_an_edge_from_nowhere_is_refused() -> None:
    with pytest.raises(IndexError, match="edge 1 begins or ends at no node: 9 -> 2 of 3"):
        static_adjacency(np.asarray([0, 9]), np.asarray([1, 2]), 3)


def test_whole_neighborhoods_are_dgl_s() -> None:
    rng = np.random.default_rng(3)
    source, target = rng.integers(0, 30, (2, 100))
    seeds = np.arange(10)
    (block,), inputs = sample_static(static_adjacency(source, target, 30), seeds, (1_000,), seed=0)
    ((their_inputs, _, (theirs,)),) = list(static_loader(source, target, 30, seeds, (-1,), batch_size=10))
    other = from_dgl_block(theirs)
    assert block.offsets_D.tolist() == other.offsets_D.tolist()
    ours = [sorted(part.tolist()) for part in np.split(inputs[block.source_E.numpy()], block.offsets_D[1:].numpy())]
    found = [sorted(part.tolist()) for part in their_inputs[other.source_E].tensor_split(other.offsets_D[1:])]
    assert ours == found
