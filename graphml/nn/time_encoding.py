"""Encoding of the gap between two events: waves for the rhythm, bins for sharp windows.

Xu, Ruan, Korpeoglu, Kumar, Achan, Inductive Representation Learning on Temporal Graphs (TGAT), 2020, section 3.1,
here on the logarithm of the gap; the bins are `graphml.nn.piecewise`.

Legend: E gaps, Q waves, T bins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import nn

from graphml.nn.piecewise import PiecewiseBins, PiecewiseLinearEncoding
from graphml.torch_first import torch


def geometric_hours(first: float = 0.05, last: float = 4_320.0, *, number: int = 32) -> tuple[float, ...]:
    """Edges of gap bins: 0, then `number` hours from `first` to `last` with a constant ratio.

    The default, 3 minutes to 180 days, makes each bin 1.44 times the one before: no period is built in.

    >>> geometric_hours(1.0, 100.0, number=3)
    (0.0, 1.0, 10.0, 100.0)
    """
    return (0.0, *np.round(np.geomspace(first, last, number), 6).tolist())


@dataclass(frozen=True, kw_only=True)
class TimeConfig:
    """`num_waves` Q cosines of log1p(hours); `edges_hours` T + 1 edges of the bins of the gap, none for no bins."""

    num_waves: int = 8
    edges_hours: tuple[float, ...] = geometric_hours()

    def __post_init__(self) -> None:
        if self.num_waves < 0 or self.width == 0:
            raise ValueError(
                f"A time encoding of {self.num_waves} waves and {len(self.edges_hours)} edges has no columns; give "
                "waves, bins or both, or no time encoding at all."
            )

    @property
    def width(self) -> int:
        """Q + T."""
        return self.num_waves + max(0, len(self.edges_hours) - 1)


class TimeEncoding(nn.Module):
    """Gap in hours (0 or more) -> [cos(w log1p(gap) + b), piecewise-linear bins of the gap], (E,) -> (E, Q + T).

    w and b are learned; w starts at Q frequencies from 0.5 to 8 with a constant ratio (log1p of 180 days is 8.4), so
    the slowest wave does not turn once within the range and the fastest tells a minute from an hour.
    """

    def __init__(self, config: TimeConfig) -> None:
        super().__init__()
        self.config = config
        frequencies = np.geomspace(0.5, 8.0, config.num_waves)
        self.frequency_Q = nn.Parameter(torch.tensor(frequencies, dtype=torch.float32))
        self.phase_Q = nn.Parameter(torch.zeros(config.num_waves))
        self.bins = PiecewiseLinearEncoding(PiecewiseBins(edges=(config.edges_hours,)))

    @property
    def width(self) -> int:
        """Q + T."""
        return self.config.width

    def forward(self, gap_E: torch.Tensor) -> torch.Tensor:
        """See the class."""
        gap_E1 = gap_E.to(self.frequency_Q.dtype)[:, None]
        waves_EQ = torch.cos(torch.log1p(gap_E1) * self.frequency_Q + self.phase_Q)
        return torch.cat([waves_EQ, self.bins(gap_E1)], dim=1)
