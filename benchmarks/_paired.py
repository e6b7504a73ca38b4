"""Paired differences over several test windows, each ranked by itself: scores of two fits share no scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from graphml.evaluation import Interval, Ranking, intervals, party_blocks


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A test window: outcomes (n,), `parties` (n, R) by role, the same ids in all windows, scores (n,) by row."""

    is_fraud: np.ndarray
    parties: np.ndarray
    scores: Mapping[str, np.ndarray]


def mean_difference(windows: Sequence[Judged], first: str, second: str, *, num: int = 300) -> Interval:
    """AP of `first` - `second`, mean over windows; whole parties of all windows are drawn together."""
    pairs = [tuple(Ranking(window.is_fraud, window.scores[name]) for name in (first, second)) for window in windows]
    bounds = np.cumsum([0, *(len(window.is_fraud) for window in windows)])

    def difference(weight: np.ndarray | None) -> np.ndarray:
        found = []
        for (one, other), low, high in zip(pairs, bounds, bounds[1:], strict=False):
            drawn = None if weight is None else weight[low:high]
            found.append(one.average_precision(drawn) - other.average_precision(drawn))
        return np.asarray([np.mean(found)])

    return intervals(difference, party_blocks(np.concatenate([window.parties for window in windows])), num=num)[0]
