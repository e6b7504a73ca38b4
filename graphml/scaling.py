"""Scaling of features, fitted on training rows only and stored with the model as plain numbers.

Legend: N rows, F features.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphml.context import GraphContext
from graphml.graph import Floats, Seeds

#: As many deviations out as a linear model or a network is shown. Wide, because the known fraud rate of a bad party
#: lies far out: 8 cost logistic regression 0.05 of average precision on the Handbook's weeks.
CLIP = 30.0


@dataclass(frozen=True, kw_only=True)
class Scaler:
    """Standardises each of F columns: (x - mean) / deviation, absent (NaN) -> 0, the mean; all (F,) float64.

    With `compress` x is first replaced by sign(x) log(1 + |x|), for amounts and counts with long tails.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    compress: bool

    @classmethod
    def fit(cls, features: Floats, *, compress: bool) -> Scaler:
        """Fit on training rows (N, F) float32; a constant or never present column scales to 0."""
        values = _compressed(features) if compress else features.astype(np.float64)
        present = ~np.isnan(values)
        count = np.maximum(present.sum(axis=0), 1)
        filled = np.where(present, values, 0.0)
        mean = filled.sum(axis=0) / count
        deviation = np.sqrt((np.where(present, values - mean, 0.0) ** 2).sum(axis=0) / count)
        deviation = np.where(deviation > 1e-9, deviation, np.inf)
        return cls(mean=tuple(mean.tolist()), deviation=tuple(deviation.tolist()), compress=compress)

    def __call__(self, features: Floats) -> Floats:
        """(N, F) float32 -> (N, F) float32 without NaN, within ±CLIP; a row's result depends on that row alone."""
        values = _compressed(features) if self.compress else features.astype(np.float64)
        scaled = (values - np.asarray(self.mean)) / np.asarray(self.deviation)
        clipped = np.clip(scaled, -CLIP, CLIP)
        clipped[np.isnan(clipped)] = 0.0
        return clipped.astype(np.float32)

    @property
    def width(self) -> int:
        """F."""
        return len(self.mean)

    @property
    def depth(self) -> int:
        """See `RowEncoder`."""
        return 0

    def rows(self, context: GraphContext, seeds: Seeds) -> Floats:
        """See `RowEncoder`."""
        return self(seeds.features)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready; an infinite deviation (a constant column) is stored as null."""
        data = asdict(self)
        return data | {"deviation": [None if np.isinf(value) else value for value in self.deviation]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Scaler:
        """Read what `as_dict` gave."""
        deviation = tuple(float("inf") if value is None else value for value in data["deviation"])
        return cls(mean=tuple(data["mean"]), deviation=deviation, compress=data["compress"])


def _compressed(features: Floats) -> NDArray[np.float64]:
    values = features.astype(np.float64)
    result: NDArray[np.float64] = np.sign(values) * np.log1p(np.abs(values))
    return result


@dataclass(frozen=True, kw_only=True)
class SeedEncoder:
    """A transaction's own inputs to a linear model or a network: each scaler's columns, then flags of absence.

    `flags` are the columns that were absent (NaN) in some training row.
    """

    scalers: tuple[Scaler, ...]
    flags: tuple[int, ...]

    @classmethod
    def fit(cls, features: Floats, *, compress: tuple[bool, ...]) -> SeedEncoder:
        """Fit one scaler for each entry of `compress` on training rows (N, F)."""
        scalers = tuple(Scaler.fit(features, compress=choice) for choice in compress)
        return cls(scalers=scalers, flags=tuple(np.flatnonzero(np.isnan(features).any(axis=0)).tolist()))

    @property
    def width(self) -> int:
        """Number of columns that `__call__` gives."""
        return sum(len(scaler.mean) for scaler in self.scalers) + len(self.flags)

    def __call__(self, features: Floats) -> Floats:
        """(S, F) -> (S, width) float32."""
        absent = np.isnan(features[:, list(self.flags)]).astype(np.float32)
        return np.concatenate([*(scaler(features) for scaler in self.scalers), absent], axis=1)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` reads it back."""
        return {"scalers": [scaler.as_dict() for scaler in self.scalers], "flags": list(self.flags)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> SeedEncoder:
        """Read what `as_dict` gave."""
        return cls(scalers=tuple(Scaler.from_dict(item) for item in data["scalers"]), flags=tuple(data["flags"]))
