"""The home of every metric. All work on numpy arrays at the natural base rate; higher scores mean fraud.

Legend: n judged transactions. Equal scores share one threshold, so the order of rows never matters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]


class Ranking:
    """Transactions by falling score, sorted once so that a bootstrap only changes the weights.

    `weight` arguments are (n,) non-negative in the order of the input; None counts every row once.
    """

    def __init__(self, is_fraud: Bools, score: Doubles) -> None:
        if not is_fraud.any() or is_fraud.all():
            raise ValueError("a ranking needs both frauds and legitimate rows: widen the window")
        if np.isnan(score).any():
            raise ValueError(f"{int(np.isnan(score).sum())} scores are NaN: a model that cannot score must not rank")
        self.order = np.argsort(-score, kind="stable")
        self.is_fraud = is_fraud[self.order]
        ordered = score[self.order]
        #: Last row of each run of equal scores.
        self.ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))

    def under(self, is_fraud: Bools) -> Ranking:
        """The same ranking of rows with other outcomes, (n,) in the order of `self.is_fraud`: best first."""
        other = copy(self)
        other.is_fraud = is_fraud
        return other

    def totals(self, weight: Doubles | None = None) -> tuple[Doubles, Doubles]:
        """Weight of frauds and of all rows at or above each distinct score, (T,)."""
        ordered = np.ones(len(self.order)) if weight is None else weight[self.order]
        return np.cumsum(ordered * self.is_fraud)[self.ends], np.cumsum(ordered)[self.ends]

    def average_precision(self, weight: Doubles | None = None) -> float:
        """Sum over thresholds of precision times the recall gained there."""
        return _average_precision(*self.totals(weight))

    def roc_auc(self, weight: Doubles | None = None) -> float:
        """Chance that a fraud scores above a legitimate row; a tie counts half."""
        return _roc_auc(*self.totals(weight))

    def summary(self, budget: float, weight: Doubles | None = None) -> Doubles:
        """(3,) average precision, AUC, recall at a budget; the totals are counted once."""
        totals = self.totals(weight)
        return np.asarray([_average_precision(*totals), _roc_auc(*totals), _found(*totals, np.asarray([budget]))[0]])

    def recall_at_budget(self, budget: float, weight: Doubles | None = None) -> float:
        """Share of frauds among the `budget` share of rows with the highest scores; ties count pro rata."""
        return float(self.found_at_budgets(np.asarray([budget]), weight=weight)[0])

    def found_at_budgets(
        self, budgets: Doubles, *, value: Doubles | None = None, weight: Doubles | None = None
    ) -> Doubles:
        """(B,) share of the frauds, or of their `value` (n,), that alerts on each share `budgets` (B,) of rows find."""
        counted = weight if value is None else value * (1.0 if weight is None else weight)
        return _found(self.totals(counted)[0], self.totals(weight)[1], budgets)

    def alert_share(self, budget: float, weight: Doubles | None = None) -> Doubles:
        """How much of each row is alerted on at a budget, (n,) in the order of the input: 1, 0, or a part for ties."""
        _, alerts = self.totals(weight)
        before = np.append(0.0, alerts[:-1])
        mass = alerts - before
        part = np.divide(budget * alerts[-1] - before, mass, out=np.zeros_like(mass), where=mass > 0)
        runs = np.diff(np.append(-1, self.ends))
        share = np.empty(len(self.order))
        share[self.order] = np.repeat(np.clip(part, 0.0, 1.0), runs)
        return share

    def value_recall_at_budget(self, value: Doubles, budget: float, weight: Doubles | None = None) -> float:
        """Share of the frauds' `value` (n,) among the `budget` share of rows with the highest scores."""
        return float(self.found_at_budgets(np.asarray([budget]), value=value, weight=weight)[0])

    def curve(self, max_points: int = 200) -> list[tuple[float, float, int]]:
        """(recall, precision, alerts) at thresholds spread evenly over recall, for a plot."""
        frauds, alerts = self.totals()
        by_recall = np.searchsorted(frauds, np.linspace(frauds[0], frauds[-1], max_points))
        points = np.unique(np.append(by_recall, [0, len(frauds) - 1]))
        return [(float(frauds[i] / frauds[-1]), float(frauds[i] / alerts[i]), int(alerts[i])) for i in points]


def _average_precision(frauds: Doubles, alerts: Doubles) -> float:
    if frauds[-1] == 0:
        return float("nan")
    precision = np.divide(frauds, alerts, out=np.zeros_like(frauds), where=alerts > 0)
    return float(np.sum(np.diff(frauds, prepend=0.0) * precision) / frauds[-1])


def _roc_auc(frauds: Doubles, alerts: Doubles) -> float:
    others = alerts - frauds
    if frauds[-1] == 0 or others[-1] == 0:
        return float("nan")
    below = others[-1] - others
    gained = np.diff(frauds, prepend=0.0)
    tied = np.diff(others, prepend=0.0)
    return float(np.sum(gained * (below + tied / 2)) / (frauds[-1] * others[-1]))


def _found(frauds: Doubles, alerts: Doubles, budgets: Doubles) -> Doubles:
    if frauds[-1] == 0:
        return np.full(len(budgets), np.nan)
    found = np.interp(budgets * alerts[-1], np.append(0.0, alerts), np.append(0.0, frauds))
    return np.asarray(found / frauds[-1])


def average_precision(is_fraud: Bools, score: Doubles) -> float:
    """See `Ranking.average_precision`.

    >>> average_precision(np.array([True, False, True]), np.array([3.0, 2.0, 1.0]))
    0.8333333333333333
    """
    return Ranking(is_fraud, score).average_precision()


def roc_auc(is_fraud: Bools, score: Doubles) -> float:
    """See `Ranking.roc_auc`.

    >>> roc_auc(np.array([True, False, True]), np.array([3.0, 2.0, 1.0]))
    0.5
    """
    return Ranking(is_fraud, score).roc_auc()


def recall_at_budget(is_fraud: Bools, score: Doubles, budget: float) -> float:
    """See `Ranking.recall_at_budget`.

    >>> recall_at_budget(np.array([True, False, True, False]), np.array([4.0, 3.0, 2.0, 1.0]), 0.25)
    0.5
    """
    return Ranking(is_fraud, score).recall_at_budget(budget)


def value_weighted_recall(is_fraud: Bools, score: Doubles, value: Doubles, budget: float) -> float:
    """Share of the fraud's money in the `budget` share of rows with the highest scores; ties count pro rata.

    `value` (n,) non-negative, in one unit.

    >>> fraud, score = np.array([True, False, True, False]), np.array([4.0, 3.0, 2.0, 1.0])
    >>> value_weighted_recall(fraud, score, np.array([30.0, 5.0, 10.0, 5.0]), 0.25)
    0.75
    """
    return Ranking(is_fraud, score).value_recall_at_budget(value, budget)


@dataclass(frozen=True)
class CardPrecision:
    """Mean over days of the share of hits among the k parties looked at, its ceiling, and the days (D,)."""

    value: float
    ceiling: float
    by_day: tuple[float, ...]


def card_precision_at_k(
    *, day: Ints, party: Ints, score: Doubles, is_fraud: Bools, known_before: Bools, k: int = 100
) -> CardPrecision:
    """Of the k parties with the highest scores of a day, the share that had a fraud that day; mean over days.

    A party's score is its maximum of the day. Out are parties known fraudulent before the day (`known_before`,
    (n,) by row) and, from the next day on, parties that were hit. The ceiling is what a perfect ranking under the
    same rules reaches: the mean of min(k, compromised) / k.

    Args:
        day: (n,) any integer that tells UTC days apart and sorts them.
        party: (n,) the alert party's id; rows without one, -1, raise no alert and are left out.
    """
    by_day = _daily_hits(day, party, score, is_fraud, known_before, k)
    best = _daily_hits(day, party, is_fraud.astype(np.float64), is_fraud, known_before, k)
    return CardPrecision(float(np.mean(by_day)), float(np.mean(best)), tuple(by_day))


def _daily_hits(day: Ints, party: Ints, score: Doubles, is_fraud: Bools, known_before: Bools, k: int) -> list[float]:
    hit_parties = np.empty(0, np.int64)
    shares = []
    for today in np.unique(day):
        rows = np.flatnonzero((day == today) & (party >= 0) & ~known_before & ~np.isin(party, hit_parties))
        parties, member = np.unique(party[rows], return_inverse=True)
        highest = np.full(len(parties), -np.inf)
        np.maximum.at(highest, member, score[rows])
        compromised = np.zeros(len(parties), bool)
        np.logical_or.at(compromised, member, is_fraud[rows])
        chosen = np.lexsort((parties, -highest))[:k]
        hits = parties[chosen[compromised[chosen]]]
        shares.append(len(hits) / k)
        hit_parties = np.concatenate([hit_parties, hits])
    return shares


@dataclass(frozen=True)
class ReliabilityBin:
    """A bin of equal mass: mean predicted probability, observed share of fraud, rows."""

    predicted: float
    observed: float
    rows: int


def reliability(is_fraud: Bools, probability: Doubles, bins: int = 10) -> list[ReliabilityBin]:
    """Rows by rising probability in at most `bins` parts of nearly equal size; equal probabilities are not parted."""
    order = np.argsort(probability, kind="stable")
    ordered = probability[order]
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True)) + 1
    wanted = len(order) * np.arange(1, bins + 1) / bins
    bounds = np.unique(ends[np.searchsorted(ends, wanted - 0.5)])
    parts = np.split(order, bounds[:-1])
    return [ReliabilityBin(float(probability[part].mean()), float(is_fraud[part].mean()), len(part)) for part in parts]


def calibration_error(is_fraud: Bools, probability: Doubles, bins: int = 10) -> float:
    """Expected calibration error: mean over rows of |predicted - observed| of their equal-mass bin.

    >>> calibration_error(np.array([False, True]), np.array([0.25, 0.5]), bins=1)
    0.125
    """
    found = reliability(is_fraud, probability, bins)
    return float(sum(part.rows * abs(part.predicted - part.observed) for part in found) / len(is_fraud))


@dataclass(frozen=True)
class Interval:
    """A value and its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


Statistic = Callable[[Ranking, Doubles | None], float]


def party_blocks(parties: Ints) -> Ints:
    """(n, K) codes: for each column of `parties` (n, R), -1 absent, the blocks of rows of one party.

    A row without a party is a block of its own; a column in which nobody comes twice says nothing and is left out.
    """
    number = np.arange(len(parties))
    ways = []
    for party in parties.T:
        code = np.unique(np.where(party >= 0, party, party.max(initial=0) + 1 + number), return_inverse=True)[1].ravel()
        if int(code.max(initial=0)) + 1 < len(number):
            ways.append(code)
    return np.stack(ways or [number], axis=1).astype(np.int64)


def intervals(
    statistic: Callable[[Doubles | None], Doubles],
    blocks: Ints,
    *,
    num: int = 300,
    seed: int = 0,
    lowest: float | Doubles = 0.0,
) -> tuple[Interval, ...]:
    """95 % intervals of a statistic (M,) of row weights (n,), when whole blocks are drawn with replacement.

    Rows of a party share what made them fraud, so drawing rows one by one would claim too much. `blocks` (n,), or
    (n, K) for several ways to cut rows into blocks (by payer, by payee). One way: percentiles. Several: each way is
    drawn, and single rows are; what a way's end lies further from the value than that of single rows is added up over
    the ways, in squares (as variances of clusters in several ways are: Cameron, Gelbach and Miller 2011, where the
    part that ways share is counted once), but never beyond what the statistic can be: `lowest` (() or (M,)), 0 for a
    share and -1 for a difference of two, to 1. A draw that leaves a statistic NaN is left out.
    """
    value = statistic(None)
    ways = blocks.reshape(len(blocks), -1).T

    def ends(way: Ints) -> Doubles:
        draws = np.stack([statistic(weight) for weight in block_weights(way, num, seed)])
        return np.asarray(np.nanpercentile(draws, [2.5, 97.5], axis=0))

    if len(ways) == 1:
        low, high = ends(ways[0])
    else:
        signs = np.asarray([[-1.0], [1.0]])
        of_rows = np.maximum(signs * (ends(np.arange(len(blocks))) - value), 0) ** 2
        beyond = [np.maximum(np.maximum(signs * (ends(way) - value), 0) ** 2 - of_rows, 0) for way in ways]
        low, high = np.clip(value + signs * np.sqrt(of_rows + np.sum(beyond, axis=0)), lowest, 1.0)
    return tuple(Interval(*map(float, each)) for each in zip(value, low, high, strict=True))


def block_bootstrap(ranking: Ranking, statistic: Statistic, blocks: Ints, *, num: int = 500, seed: int = 0) -> Interval:
    """`intervals` of one statistic of a ranking."""
    return intervals(lambda weight: np.asarray([statistic(ranking, weight)]), blocks, num=num, seed=seed)[0]


def paired_difference(
    first: Ranking, second: Ranking, statistic: Statistic, blocks: Ints, *, num: int = 500, seed: int = 0
) -> Interval:
    """`first - second` on the same rows, with the interval from the same draws for both."""

    def difference(weight: Doubles | None) -> Doubles:
        return np.asarray([statistic(first, weight) - statistic(second, weight)])

    return intervals(difference, blocks, num=num, seed=seed, lowest=-1.0)[0]


def mean_interval(values: tuple[float, ...], *, num: int = 500, seed: int = 0) -> Interval:
    """Mean of daily values with the interval from drawing days."""
    days = np.asarray(values)
    draws = np.random.default_rng(seed).integers(0, len(days), (num, len(days)))
    low, high = np.percentile(days[draws].mean(axis=1), [2.5, 97.5])
    return Interval(float(days.mean()), float(low), float(high))


def block_weights(blocks: Ints, num: int, seed: int) -> Iterator[Doubles]:
    """`num` draws of whole blocks (n,) with replacement, each as how often every row was drawn, (n,)."""
    _, code = np.unique(blocks, return_inverse=True)
    total = int(code.max()) + 1
    rng = np.random.default_rng(seed)
    for _ in range(num):
        yield np.bincount(rng.integers(0, total, total), minlength=total)[code].astype(np.float64)
