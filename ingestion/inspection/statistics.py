"""The statistics that the checks share: what counts as significant, and what as large.

A finding must be both. *Significant*: its p-value survives Benjamini and Hochberg's control of false discoveries
(J. R. Stat. Soc. B 57, 1995) among all candidates of its check. *Large*: an effect far beyond what honest signal
has (`docs/inspection.md` says why each threshold is where it is). Frauds come in bursts at one party, so p-values
count parties and not rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

#: Share of false discoveries that each check allows.
FALSE_DISCOVERY_RATE = 0.01
#: Below so many frauds nothing can be said.
FEWEST_FRAUDS = 20
#: A difference of two shares is large from here on (Cohen's h: .2 small, .5 medium, .8 large).
LARGE_SHARE_DIFFERENCE = 0.8

T = TypeVar("T")


def discoveries(candidates: Sequence[tuple[float, T]], rate: float = FALSE_DISCOVERY_RATE) -> list[T]:
    """Of (p-value, thing) pairs the things that survive Benjamini-Hochberg, smallest p first.

    >>> discoveries([(0.0001, "a"), (0.6, "b"), (0.004, "c")])
    ['a', 'c']
    """
    ordered = sorted(candidates, key=lambda candidate: candidate[0])
    passed = [i for i, (p, _) in enumerate(ordered, start=1) if p <= rate * i / len(ordered)]
    return [thing for _, thing in ordered[: max(passed, default=0)]]


def share_at_least(successes: float, number: float, *, confidence: float = 0.99) -> float:
    """Lower end of the exact one-sided interval of a share (Clopper and Pearson, 1934); 0 for no cases.

    >>> round(share_at_least(50, 50), 3)
    0.912
    """
    if successes <= 0 or number <= 0:
        return 0.0
    return float(stats.beta.ppf(1 - confidence, successes, number - successes + 1))


def cohens_h(one: float, other: float) -> float:
    """Effect size of a difference of two shares.

    >>> round(cohens_h(0.5, 0.1), 3)
    0.927
    """
    return float(2 * np.arcsin(np.sqrt(one)) - 2 * np.arcsin(np.sqrt(other)))


def two_shares_p(one: float, num_one: float, other: float, num_other: float) -> float:
    """Fisher's exact p-value (two-sided) of successes `one` of `num_one` against `other` of `num_other`."""
    table = [[round(one), round(num_one - one)], [round(other), round(num_other - other)]]
    return float(stats.fisher_exact(table).pvalue)


def area_under_curve(scores: Floats, positive: Bools) -> float:
    """Chance that a positive scores above a negative, ties half (Mann and Whitney); .5 without both classes.

    >>> area_under_curve(np.array([1.0, 2.0, 3.0]), np.array([False, True, True]))
    1.0
    """
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if positives == 0 or negatives == 0:
        return 0.5
    distinct, place = np.unique(scores, return_inverse=True)
    hits = np.bincount(place[positive], minlength=len(distinct)).astype(float)
    others = np.bincount(place[~positive], minlength=len(distinct)).astype(float)
    below = np.cumsum(others) - others
    return float((hits * (below + others / 2)).sum() / (positives * negatives))


def area_error(area: float, positives: float, negatives: float) -> float:
    """Standard error of an area under the curve (Hanley and McNeil, Radiology 143, 1982)."""
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (positives - 1) * (q1 - area**2) + (negatives - 1) * (q2 - area**2)
    return float(np.sqrt(max(variance, 0.0) / max(positives * negatives, 1.0)))


def num_distinct(codes: Ints) -> int:
    """How many different parties (codes from 0) there are; an absent party (-1) counts for nothing."""
    return int((np.bincount(codes[codes >= 0], minlength=1) > 0).sum()) if len(codes) else 0
