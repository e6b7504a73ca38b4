"""Bins by hand, what an encoding can learn that a linear function cannot, and what is stored."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphml.evaluation import average_precision
from graphml.nn.piecewise import MIN_ROWS_BEYOND, PiecewiseBins, PiecewiseLinearEncoding
from graphml.torch_first import torch


def test_by_hand() -> None:
    bins = PiecewiseBins(edges=((0.0, 10.0, 20.0), (), (1.0, 2.0)), flags=(1,))
    rows = [[5.0, 7.0, 1.0], [15.0, np.nan, 9.0], [-4.0, 0.0, 1.5], [1e9, 0.0, -3.0]]
    code = PiecewiseLinearEncoding(bins)(torch.tensor(rows))
    assert bins.width == 4
    assert code.tolist() == [[0.5, 0, 0, 0], [1, 0.5, 1, 1], [0, 0, 0.5, 0], [1, 1, 0, 0]]


def test_an_absent_value_is_zeros_and_its_flag() -> None:
    features = np.asarray([[0.0, 1.0], [1.0, np.nan], [2.0, 3.0]], np.float32)
    bins = PiecewiseBins.fit(features, num_bins=2)
    code = PiecewiseLinearEncoding(bins)(torch.tensor([[np.nan, np.nan], [2.0, 3.0]]))
    assert bins.flags == (1,)
    assert code[0].tolist() == [0.0] * (bins.width - 1) + [1.0]
    assert code[1].tolist() == [1.0] * (bins.width - 1) + [0.0]


def test_columns_without_two_values_have_no_bins_and_binary_ones_one() -> None:
    features = np.asarray([[7.0, np.nan, 0.0], [7.0, np.nan, 1.0], [7.0, np.nan, 1.0]], np.float32)
    bins = PiecewiseBins.fit(features, num_bins=8)
    assert bins.edges == ((), (), (0.0, 1.0))
    assert bins.flags == (1,)


def test_edges_are_quantiles_of_the_training_rows() -> None:
    values = np.arange(9, dtype=np.float32)[:, None]
    assert PiecewiseBins.fit(values, num_bins=4).edges == ((0.0, 2.0, 4.0, 6.0, 8.0),)


def test_the_outermost_bins_are_halved_while_rows_are_left_beyond() -> None:
    num = MIN_ROWS_BEYOND * 16
    edges = PiecewiseBins.fit(np.arange(num + 1, dtype=np.float32)[:, None], num_bins=2).edges[0]
    shares = [1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 7 / 8, 15 / 16]
    assert edges == (0.0, *(num * share for share in shares), float(num))


@settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=60), st.integers(1, 20))
def test_the_code_grows_with_the_value_within_0_and_1(values: list[float], num_bins: int) -> None:
    bins = PiecewiseBins.fit(np.asarray(values, np.float32)[:, None], num_bins=num_bins)
    ascending = torch.linspace(-2e6, 2e6, 101)[:, None]
    code = PiecewiseLinearEncoding(bins)(ascending)
    assert ((code >= 0) & (code <= 1)).all()
    assert (torch.diff(code, dim=0) >= 0).all()


def test_a_sharp_band_of_raw_amounts_is_learnable() -> None:
    """One amount in 200 is fraud, in a narrow band: no function that is linear in the amount or its logarithm sees
    it, and equal quantiles alone give the whole tail one bin."""
    rng = np.random.default_rng(0)
    amounts = rng.lognormal(3.5, 1.0, (20_000, 1)).astype(np.float32)
    is_fraud = (amounts[:, 0] > 250) & (amounts[:, 0] < 320)
    encoding = PiecewiseLinearEncoding(PiecewiseBins.fit(amounts, num_bins=32))
    code, target = encoding(torch.from_numpy(amounts)), torch.from_numpy(is_fraud).float()
    torch.manual_seed(0)
    network = torch.nn.Linear(encoding.width, 1)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.3)
    for _ in range(300):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(network(code)[:, 0], target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert 0.001 < is_fraud.mean() < 0.02
    assert average_precision(is_fraud, network(code)[:, 0].detach().numpy()) > 0.9
    assert average_precision(is_fraud, amounts[:, 0]) < 0.5


def test_gradients_reach_the_values() -> None:
    encoding = PiecewiseLinearEncoding(PiecewiseBins(edges=((-1.0, 0.0, 2.0), (0.0, 3.0)))).double()
    x = torch.tensor([[0.5, 1.0], [-0.5, 2.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(encoding, (x,))


def test_stored_as_plain_numbers() -> None:
    features = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    features[0, 1] = np.nan
    bins = PiecewiseBins.fit(features, num_bins=5)
    again = PiecewiseBins.from_dict(json.loads(json.dumps(bins.as_dict())))
    assert again == bins
    x = torch.from_numpy(features)
    assert torch.equal(PiecewiseLinearEncoding(again)(x), PiecewiseLinearEncoding(bins)(x))
    assert PiecewiseLinearEncoding(bins).state_dict() == {}


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="edges of feature 1"):
        PiecewiseBins(edges=((0.0, 1.0), (2.0, 2.0)))
    with pytest.raises(ValueError, match="edges of feature 0"):
        PiecewiseBins(edges=((0.0,),))
    with pytest.raises(ValueError, match="Flags"):
        PiecewiseBins(edges=((0.0, 1.0),), flags=(1,))
    with pytest.raises(ValueError, match="num_bins is 0"):
        PiecewiseBins.fit(np.zeros((2, 1), np.float32), num_bins=0)
    with pytest.raises(ValueError, match="fitted on 1 features and is given 2"):
        PiecewiseLinearEncoding(PiecewiseBins(edges=((0.0, 1.0),)))(torch.zeros(1, 2))
