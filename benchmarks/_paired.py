"""Paired differences over several test windows, each ranked by itself: scores of two fits share no scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from graphml.evaluation import Interval, Ranking, block_weights


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A test window: outcomes (n,), blocks (n,) of parties' days, scores (n,) by row."""

    is_fraud: np.ndarray
    blocks: np.ndarray
    scores: Mapping[str, np.ndarray]


def mean_difference(windows: Sequence[Judged], first: str, second: str, *, num: int = 500) -> Interval:
    """AP of `first` - `second`, mean over windows; blocks of each window are drawn with replacement."""
    pairs = [tuple(Ranking(window.is_fraud, window.scores[name]) for name in (first, second)) for window in windows]
    draws = np.zeros(num)
    for number, (window, (one, other)) in enumerate(zip(windows, pairs, strict=True)):
        for index, weight in enumerate(block_weights(window.blocks, num, seed=number)):
            draws[index] += (one.average_precision(weight) - other.average_precision(weight)) / len(windows)
    value = float(np.mean([one.average_precision() - other.average_precision() for one, other in pairs]))
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    return Interval(value, float(low), float(high))
