"""Losses by hand, and the way back to the natural base rate."""

from __future__ import annotations

import numpy as np
import pytest

from graphml.losses import Correction, Loss
from graphml.torch_first import torch


def least(loss: Loss, share: float, prior: float) -> float:
    """The logit at which the expected loss of a seed that is fraud with chance `share` is least, by bisection."""
    low, high = -30.0, 30.0
    for _ in range(80):
        middle = (low + high) / 2
        logit = torch.tensor([middle], dtype=torch.float64, requires_grad=True)
        fraud = loss.total(logit, torch.ones(1, dtype=torch.float64), prior)
        other = loss.total(logit, torch.zeros(1, dtype=torch.float64), prior)
        (share * fraud + (1 - share) * other).backward()
        low, high = (low, middle) if logit.grad.item() > 0 else (middle, high)
    return (low + high) / 2


def test_cross_entropy_and_focal_by_hand() -> None:
    logits, targets = torch.tensor([0.0, 2.0]), torch.tensor([1.0, 0.0])
    p = 1 / (1 + np.exp(-2.0))
    assert Loss().total(logits, targets, 0.1).item() == pytest.approx(np.log(2) - np.log(1 - p), rel=1e-6)
    focal = Loss(kind="focal", gamma=2).total(logits, targets, 0.1).item()
    assert focal == pytest.approx(0.25 * np.log(2) + p**2 * -np.log(1 - p), rel=1e-6)


def test_logit_adjustment_adds_the_log_odds_of_the_prior() -> None:
    found = Loss(kind="logit_adjusted", tau=1).total(torch.tensor([1.0]), torch.tensor([1.0]), 0.2).item()
    assert found == pytest.approx(np.log1p(np.exp(-(1.0 + np.log(0.25)))), rel=1e-6)


@pytest.mark.parametrize(
    "loss", [Loss(), Loss(kind="focal", gamma=2), Loss(kind="focal", gamma=0.5), Loss(kind="logit_adjusted", tau=0.7)]
)
@pytest.mark.parametrize("natural", [0.001, 0.03, 0.4])
@pytest.mark.parametrize("kept", [1.0, 0.1])
def test_the_correction_gives_the_natural_log_odds_back(loss: Loss, natural: float, kept: float) -> None:
    drawn = natural / (natural + kept * (1 - natural))  # the chance of fraud among the rows that are drawn
    logit = least(loss, drawn, prior=0.07)
    found = loss.correction(prior=0.07, kept=kept)(np.asarray([logit]))[0]
    assert found == pytest.approx(np.log(natural / (1 - natural)), abs=1e-6)


def test_the_focal_correction_rises_and_stays_finite_far_out() -> None:
    logits = np.linspace(-300, 300, 2_001)
    found = Correction(offset=0.0, gamma=2.0)(logits)
    assert np.isfinite(found).all()
    assert (np.diff(found) > 0).all()


def test_a_negative_exponent_is_refused() -> None:
    with pytest.raises(ValueError, match="-1"):
        Loss(kind="focal", gamma=-1)
