"""The code of an edge by hand, its mean, and the configurations that are refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from graphml.block import Block
from graphml.nn.edges import EdgeConfig, EdgeEncoder
from graphml.nn.piecewise import PiecewiseBins
from graphml.nn.segments import segment_mean
from graphml.nn.time_encoding import TimeConfig
from graphml.torch_first import torch
from tests.graphml.nn.cases import BARE_EDGE, NUM_ATTRIBUTES, NUM_FEATURES, RICH_EDGE, blocks, random_inputs

TABLE = torch.tensor([[0.0], [5.0], [0.0], [7.0]])


def small_block() -> Block:
    return Block(
        offsets_D=torch.tensor([0, 2]),
        source_E=torch.tensor([1, 2]),
        transaction_E=torch.tensor([3, 1]),
        gap_E=torch.tensor([2.0, 5.0]),
        edge_EA=torch.tensor([[1.0], [3.0]]),
        num_sources=3,
    )


def test_features_attributes_then_the_gap() -> None:
    config = EdgeConfig(num_features=1, num_attributes=1, time=TimeConfig(num_waves=0, edges_hours=(0.0, 10.0)))
    code = EdgeEncoder(config)(small_block(), TABLE, torch.float32)
    assert code.tolist() == [[7.0, 1.0, pytest.approx(0.2)], [5.0, 3.0, 0.5]]
    assert config.width == 3


def test_features_in_bins() -> None:
    bins = PiecewiseBins(edges=((4.0, 6.0, 8.0),))
    config = EdgeConfig(num_features=1, feature_bins=bins)
    assert EdgeEncoder(config)(small_block(), TABLE, torch.float32).tolist() == [[1.0, 0.5], [0.5, 0.0]]


PLAIN_EDGE = EdgeConfig(num_features=NUM_FEATURES, num_attributes=NUM_ATTRIBUTES)


@pytest.mark.parametrize("config", [RICH_EDGE, PLAIN_EDGE, BARE_EDGE], ids=["rich", "plain", "bare"])
@settings(deadline=None)
@given(block=blocks())
def test_the_mean_is_the_mean_of_the_code(config: EdgeConfig, block: Block) -> None:
    encoder = EdgeEncoder(config).double()
    _, features = random_inputs(1, block, 1)
    code = encoder(block, features, torch.float64)
    mean = encoder.mean(block, features, torch.float64)
    assert code.shape == (block.num_edges, encoder.width)
    assert torch.allclose(mean, segment_mean(code, block.offsets_D), atol=1e-12)


def test_a_small_table_is_read_into_the_type_of_the_states() -> None:
    encoder = EdgeEncoder(EdgeConfig(num_features=1))
    assert encoder(small_block(), TABLE.half(), torch.float64).dtype == torch.float64
    assert encoder.mean(small_block(), TABLE.half(), torch.float64).tolist() == [[6.0], [0.0]]


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="-1 features"):
        EdgeConfig(num_features=-1)
    with pytest.raises(ValueError, match="feature_bins are for 1 features, the table has 2"):
        EdgeConfig(num_features=2, feature_bins=PiecewiseBins(edges=((0.0, 1.0),)))
