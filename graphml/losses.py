"""Losses of a rare class, each with the way back to log odds at the natural base rate.

Legend: n seeds. `prior` is the share of frauds among the training rows, `kept` the share of legitimate ones that an
epoch draws (1 when none is left out).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from graphml.torch_first import torch

Doubles = NDArray[np.float64]
Kind = Literal["cross_entropy", "focal", "logit_adjusted"]


@dataclass(frozen=True, kw_only=True)
class Loss:
    """`cross_entropy`; `focal` (Lin et al. 2017) with exponent `gamma`; `logit_adjusted` (Menon et al. 2021, equation
    9) with strength `tau`. All may be used with down-sampled negatives."""

    kind: Kind = "cross_entropy"
    gamma: float = 2.0
    tau: float = 1.0

    def __post_init__(self) -> None:
        if self.gamma < 0 or self.tau < 0:
            raise ValueError(f"gamma is {self.gamma} and tau {self.tau}: neither can be negative")

    def total(self, logits: torch.Tensor, targets: torch.Tensor, prior: float) -> torch.Tensor:
        """Sum of the losses of seeds with `logits` (n,) and `targets` (n,) 0 or 1, a scalar."""
        if self.kind == "logit_adjusted":
            logits = logits + self.tau * float(np.log(prior / (1 - prior)))
        terms = binary_cross_entropy_with_logits(logits, targets, reduction="none")
        if self.kind == "focal":
            # log of the probability of the other class, of which (1 - p_target) ** gamma is made
            terms = terms * torch.exp(-self.gamma * softplus(logits * (2 * targets - 1)))
        return terms.sum()

    def correction(self, *, prior: float, kept: float) -> Correction:
        """What turns the network's logits into log odds at the natural base rate."""
        offset = float(np.log(kept))
        if self.kind == "logit_adjusted":
            # what is learned is log odds less the adjustment, both at the base rate of the sample
            offset += self.tau * float(np.log(prior / (1 - prior)))
        return Correction(offset=offset, gamma=self.gamma if self.kind == "focal" else 0.0)


@dataclass(frozen=True, kw_only=True)
class Correction:
    """Log odds = log odds under the loss + `offset`; with `gamma` the focal loss's minimiser is inverted first."""

    offset: float
    gamma: float = 0.0

    def __call__(self, logits: Doubles) -> Doubles:
        """(n,) float64 -> (n,) float64, rising.

        The focal loss is least at a p with eta g(p) = (1 - eta) g(1 - p), where -g is the slope of
        -(1 - p)^gamma log p; so the log odds of eta are log g(1 - p) - log g(p) (Charoenphakdee et al. 2021).
        """
        values = np.asarray(logits, np.float64)
        if self.gamma > 0:
            values = _log_slope(-values, self.gamma) - _log_slope(values, self.gamma)
        result: Doubles = values + self.offset
        return result

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready; `Correction(**data)` reads it back."""
        return asdict(self)


def _log_slope(logits: Doubles, gamma: float) -> Doubles:
    """log g(p) for p = sigmoid(logits): g(p) = (1 - p)^(gamma - 1) ((1 - p) / p - gamma log p)."""
    log_p, log_other = -np.logaddexp(0, -logits), -np.logaddexp(0, logits)
    result: Doubles = (gamma - 1) * log_other + np.logaddexp(-logits, np.log(gamma) + np.log(-log_p))
    return result
