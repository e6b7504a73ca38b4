"""The code of a gap by hand, and that a sharp window is learnable."""

from __future__ import annotations

import math

import numpy as np
import pytest

from graphml.nn.time_encoding import TimeConfig, TimeEncoding, geometric_hours
from graphml.torch_first import torch


def test_by_hand() -> None:
    encoding = TimeEncoding(TimeConfig(num_waves=2, edges_hours=(0.0, 10.0, 30.0)))
    with torch.no_grad():
        encoding.frequency_Q.copy_(torch.tensor([1.0, 2.0]))
        encoding.phase_Q.copy_(torch.tensor([0.0, 0.5]))
    hours = math.e - 1  # log1p is 1
    code = encoding(torch.tensor([hours, 20.0]))
    assert code.shape == (2, 4) == (2, encoding.width)
    assert code[0].tolist() == pytest.approx([math.cos(1.0), math.cos(2.5), hours / 10, 0.0])
    assert code[1, 2:].tolist() == pytest.approx([1.0, 0.5])


def test_waves_or_bins_alone_but_not_none() -> None:
    assert TimeEncoding(TimeConfig(num_waves=0, edges_hours=(0.0, 1.0)))(torch.zeros(3)).shape == (3, 1)
    assert TimeEncoding(TimeConfig(num_waves=3, edges_hours=()))(torch.zeros(3)).shape == (3, 3)
    with pytest.raises(ValueError, match="no columns"):
        TimeConfig(num_waves=0, edges_hours=())


def test_the_default_edges_ascend_from_0_with_a_constant_ratio() -> None:
    edges = np.asarray(geometric_hours())
    assert edges[0] == 0
    assert edges[-1] == 180 * 24
    assert np.allclose(edges[2:] / edges[1:-1], (4_320 / 0.05) ** (1 / 31), rtol=1e-4)


def test_a_sharp_window_between_the_edges_of_bins_is_learnable() -> None:
    """Within 7 days or not, of gaps around 7 days; no edge of a bin lies there."""
    rng = np.random.default_rng(0)
    gaps = torch.from_numpy(rng.uniform(6 * 24, 8 * 24, 4_000))
    inside = (gaps < 7 * 24).double()
    torch.manual_seed(0)
    encoding = TimeEncoding(TimeConfig()).double()
    network = torch.nn.Sequential(
        encoding, torch.nn.Linear(encoding.width, 32), torch.nn.ReLU(), torch.nn.Linear(32, 1)
    )
    network = network.double()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(400):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(network(gaps)[:, 0], inside)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert min(abs(edge - 168) for edge in geometric_hours()) > 5
    assert ((network(gaps)[:, 0] > 0) == inside.bool()).double().mean().item() > 0.98


def test_gradients() -> None:
    encoding = TimeEncoding(TimeConfig(num_waves=3, edges_hours=(0.0, 5.0, 50.0))).double()
    gaps = torch.tensor([1.0, 7.0, 30.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda gap, *_: encoding(gap), (gaps, *encoding.parameters()))
