"""From a logit to a probability: fitted on the validation window, stored as JSON, applied with numpy alone.

Platt's sigmoid (Platt 1999) when frauds are few; isotonic regression (Zadrozny and Elkan 2002) from
`MIN_ISOTONIC_FRAUDS` on, interpolated between the middles of its steps and mixed with a little of the sigmoid, so
that it still tells any two logits apart and an alert budget stays exact.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

Doubles = NDArray[np.float64]

MIN_ISOTONIC_FRAUDS = 500
_SIGMOID_SHARE = 1e-3


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """probability = sigmoid(slope * logit + offset), or the steps (`knots`, `levels`) mixed with it."""

    slope: float
    offset: float
    knots: tuple[float, ...] = ()
    levels: tuple[float, ...] = ()

    @property
    def method(self) -> str:
        return "isotonic" if self.knots else "platt"

    def __call__(self, logits: Doubles) -> Doubles:
        """Probabilities (n,) of logits (n,), both float64."""
        sigmoid = _sigmoid(self.slope * np.asarray(logits, np.float64) + self.offset)
        if not self.knots:
            return sigmoid
        steps = np.interp(logits, self.knots, self.levels)
        return (1 - _SIGMOID_SHARE) * steps + _SIGMOID_SHARE * sigmoid

    @classmethod
    def fit(cls, logits: Doubles, is_fraud: NDArray[np.bool_]) -> Calibration:
        """Fit on logits (n,) and outcomes (n,) of the validation window, both outcomes present."""
        center, width = float(logits.mean()), float(logits.std()) or 1.0
        model = LogisticRegression(C=1e4).fit(((logits - center) / width)[:, None], is_fraud)
        slope = max(float(model.coef_[0, 0]), 1e-6) / width  # a falling sigmoid would turn the ranking round
        platt = cls(slope=slope, offset=float(model.intercept_[0]) - slope * center)
        if is_fraud.sum() < MIN_ISOTONIC_FRAUDS:
            return platt
        knots, levels = _isotonic_steps(logits, is_fraud)
        return cls(slope=platt.slope, offset=platt.offset, knots=knots, levels=levels)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` reads it back."""
        return asdict(self) | {"method": self.method}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Calibration:
        """Read what `as_dict` gave."""
        return cls(slope=data["slope"], offset=data["offset"], knots=tuple(data["knots"]), levels=tuple(data["levels"]))


def _isotonic_steps(logits: Doubles, is_fraud: NDArray[np.bool_]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean logit and level of each step of the isotonic fit."""
    fitted = IsotonicRegression(out_of_bounds="clip").fit_transform(logits, is_fraud.astype(np.float64))
    levels, member = np.unique(fitted, return_inverse=True)
    counts = np.bincount(member)
    knots = np.bincount(member, weights=logits) / counts
    return tuple(knots.tolist()), tuple(levels.tolist())


def _sigmoid(values: Doubles) -> Doubles:
    result: Doubles = 0.5 * (1.0 + np.tanh(0.5 * values))
    return result
