"""Piecewise-linear encoding of numeric features: sharp thresholds of a raw amount become learnable.

Gorishniy, Rubachev, Babenko, On Embeddings for Numerical Features in Tabular Deep Learning, 2022, section 3.2.1.

Legend: N rows, F features, B bins of all features together, W = B + flags of absence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from graphml.graph import Floats
from graphml.torch_first import torch

#: The bins at the two ends are halved as long as this many training rows are left beyond the outermost edge: what
#: matters in fraud (a large amount, a high count) lies in the last percent, which plain quantiles give one bin.
MIN_ROWS_BEYOND = 16


@dataclass(frozen=True, kw_only=True)
class PiecewiseBins:
    """Ascending edges of each feature's bins (T + 1 numbers for T bins, none for a column without two different
    values), and `flags`: the columns that were absent (NaN) in some training row. Plain numbers, stored as JSON."""

    edges: tuple[tuple[float, ...], ...]
    flags: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for column, edges in enumerate(self.edges):
            if len(edges) == 1 or not np.isfinite(edges).all() or (np.diff(np.asarray(edges, np.float32)) <= 0).any():
                raise ValueError(
                    f"The edges of feature {column} are {list(edges)}; a bin needs two finite edges that ascend in "
                    "32 bits. Leave the feature without edges when it has no two different values."
                )
        wrong = [flag for flag in self.flags if not 0 <= flag < len(self.edges)]
        if wrong:
            raise ValueError(f"Flags {wrong} name no feature: there are {len(self.edges)}, counted from 0.")

    @classmethod
    def fit(cls, features: Floats, *, num_bins: int = 48) -> PiecewiseBins:
        """Quantiles of training rows (N, F), `num_bins` of equal share, the outermost halved (`MIN_ROWS_BEYOND`).

        An edge is the value of a row. Equal quantiles are one edge, so a binary column has one bin and a constant or
        always absent one has none.
        """
        if num_bins < 1:
            raise ValueError(f"num_bins is {num_bins}; a feature needs at least one bin.")
        edges = tuple(_edges(column[np.isfinite(column)], num_bins) for column in features.T)
        return cls(edges=edges, flags=tuple(np.flatnonzero(np.isnan(features).any(axis=0)).tolist()))

    @property
    def num_features(self) -> int:
        return len(self.edges)

    @property
    def width(self) -> int:
        """W: number of columns of the encoding."""
        return sum(max(0, len(edges) - 1) for edges in self.edges) + len(self.flags)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> PiecewiseBins:
        """Read what `as_dict` gave."""
        return cls(edges=tuple(tuple(edges) for edges in data["edges"]), flags=tuple(data["flags"]))


class PiecewiseLinearEncoding(nn.Module):
    """x of feature f -> for each of its bins (l, u]: clip((x - l) / (u - l), 0, 1); then the flags of absence.

    Shapes: (N, F) -> (N, W). Two differences from the paper: the first and the last bin do not go on beyond their
    edges, so an absurd amount cannot blow up a network; an absent value (NaN) is zeros in all bins and 1 in its flag
    (a column that was never absent in training has no flag: its weight would be noise).
    """

    lower_B: torch.Tensor
    slope_B: torch.Tensor
    column_B: torch.Tensor
    flags: torch.Tensor

    def __init__(self, bins: PiecewiseBins) -> None:
        super().__init__()
        self.bins = bins
        lower = [edge for edges in bins.edges for edge in edges[:-1]]
        upper = [edge for edges in bins.edges for edge in edges[1:]]
        column = [number for number, edges in enumerate(bins.edges) for _ in edges[1:]]
        steps = np.asarray(upper, np.float64) - np.asarray(lower, np.float64)
        # Not part of the weights: `bins` is stored with the model's configuration.
        self.register_buffer("lower_B", torch.tensor(lower, dtype=torch.float32), persistent=False)
        self.register_buffer("slope_B", torch.tensor(1.0 / steps, dtype=torch.float32), persistent=False)
        self.register_buffer("column_B", torch.tensor(column, dtype=torch.long), persistent=False)
        self.register_buffer("flags", torch.tensor(bins.flags, dtype=torch.long), persistent=False)

    @property
    def width(self) -> int:
        """W."""
        return self.bins.width

    def forward(self, x_NF: torch.Tensor) -> torch.Tensor:
        """See the class; the result has the type of the module's numbers (float32 unless it was converted)."""
        if x_NF.shape[1] != self.bins.num_features:
            raise ValueError(
                f"The encoding was fitted on {self.bins.num_features} features and is given {x_NF.shape[1]}; give it "
                "the columns that it was fitted on, in that order."
            )
        x = x_NF.to(self.lower_B.dtype)
        code_NB = ((x.index_select(1, self.column_B) - self.lower_B) * self.slope_B).clamp(0.0, 1.0)
        absent = torch.isnan(x.index_select(1, self.flags)).to(code_NB.dtype)
        return torch.cat([torch.nan_to_num(code_NB), absent], dim=1)


def _edges(values: NDArray[Any], num_bins: int) -> tuple[float, ...]:
    if len(values) == 0:
        return ()
    levels = _levels(num_bins, len(values))
    edges = np.unique(np.quantile(values.astype(np.float32), levels, method="lower"))
    return tuple(edges.tolist()) if len(edges) > 1 else ()


def _levels(num_bins: int, num_rows: int) -> Sequence[float]:
    """Shares at which the edges lie: equal steps, and ever smaller ones towards both ends."""
    step = 1.0 / num_bins
    levels = [number * step for number in range(num_bins)] + [1.0]
    while num_rows * step / 2 >= MIN_ROWS_BEYOND:
        step /= 2
        levels += [step, 1.0 - step]
    return sorted(levels)
