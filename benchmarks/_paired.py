"""Paired differences over several test windows, each ranked by itself: scores of two fits share no scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from graphml.evaluation import Interval, Ranking, intervals, party_blocks


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A test window: outcomes (n,), `parties` (n, R) of each row (or cases: what is drawn as a whole), one id for one
    party in all windows, -1 for none; scores (n,) by row."""

    is_fraud: np.ndarray
    parties: np.ndarray
    scores: Mapping[str, np.ndarray]


def mean_differences(
    windows: Sequence[Judged], pairs: Sequence[tuple[str, str]], *, num: int = 300
) -> dict[tuple[str, str], Interval]:
    """AP of the first row of each pair less that of the second, mean over windows.

    Whole parties of all windows are drawn together, the same ones for every pair.
    """
    names = sorted({name for pair in pairs for name in pair})
    rankings = [[Ranking(window.is_fraud, window.scores[name]) for name in names] for window in windows]
    bounds = np.cumsum([0, *(len(window.is_fraud) for window in windows)])
    first, second = (np.asarray([names.index(pair[side]) for pair in pairs]) for side in (0, 1))

    def differences(weight: np.ndarray | None) -> np.ndarray:
        precisions = []
        for of_window, low, high in zip(rankings, bounds, bounds[1:], strict=False):
            drawn = None if weight is None else weight[low:high]
            precisions.append([ranking.average_precision(drawn) for ranking in of_window])
        means = np.mean(precisions, axis=0)
        return means[first] - means[second]

    blocks = party_blocks(np.concatenate([window.parties for window in windows]))
    return dict(zip(pairs, intervals(differences, blocks, num=num, lowest=-1.0), strict=True))


def mean_difference(windows: Sequence[Judged], first: str, second: str) -> Interval:
    """`mean_differences` of one pair."""
    return mean_differences(windows, [(first, second)])[first, second]
