"""Folds told in one table: mean and spread over folds and seeds, intervals and paired differences over pooled folds.

Every figure is made inside a fold first, for scores of two fits share no scale, then averaged over seeds and folds.
An interval draws whole parties from all folds together and averages anew; a difference uses the same draws for both
rows. So an interval tells what other parties would have changed, the spread what other weeks did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from graphml.calibration import Calibration
from graphml.comparison import SUSPECT_AUC
from graphml.evaluation import (
    Doubles,
    Interval,
    Ranking,
    Statistic,
    calibration_error,
    card_precision_at_k,
    intervals,
    party_blocks,
)
from graphml.folds import Fold
from graphml.ladder import CARDS_A_DAY, TestWindow
from graphml.prequential import FoldScores

Results = Mapping[str, Sequence[Sequence[FoldScores]]]


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Mean over folds and its standard deviation over folds (of the population: nothing is estimated from it)."""

    mean: float
    sd: float


@dataclass(frozen=True, kw_only=True)
class PooledRow:
    """A row over all folds. `by_fold`: average precision of each, mean over seeds; `seed_sd`: spread over seeds of the
    mean over folds, None with one seed; `difference`: to the reference row, None for itself; `calibration_error`: of
    folds that earlier ones could calibrate, mean over seeds, None without one."""

    name: str
    by_fold: tuple[float, ...]
    average_precision: Interval
    fold_sd: float
    seed_sd: float | None
    difference: Interval | None
    recall_at_budget: Interval
    auc: Spread
    card_precision: Spread
    card_ceiling: float
    value_recall_at_budget: Spread
    calibration_error: float | None
    cpu_minutes: float
    is_suspect: bool

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def pool(
    windows: Sequence[TestWindow],
    folds: Sequence[Fold],
    results: Results,
    *,
    reference: str,
    alert_budget: float,
    num: int = 300,
) -> tuple[PooledRow, ...]:
    """A row of the table for each of the results, `reference` among them."""
    if reference not in results:
        raise ValueError(f"the reference {reference!r} is none of {', '.join(results)}")
    rankings = {name: _rankings(windows, of_seeds) for name, of_seeds in results.items()}
    parts = _bounds(windows)
    order = [reference, *(name for name in results if name != reference)]

    def recall(ranking: Ranking, weight: Doubles | None) -> float:
        return ranking.recall_at_budget(alert_budget, weight)

    def measures(weight: Doubles | None) -> Doubles:
        precision = np.asarray([_mean(rankings[name], Ranking.average_precision, weight, parts) for name in order])
        recalls = [_mean(rankings[name], recall, weight, parts) for name in order]
        return np.concatenate([precision, precision - precision[0], recalls])

    blocks = party_blocks(np.concatenate([window.parties for window in windows]))
    rows = len(order)
    told = intervals(measures, blocks, num=num, lowest=np.repeat([0.0, -1.0, 0.0], rows))
    found = []
    for name, of_seeds in results.items():
        own, at = rankings[name], order.index(name)
        by_seed = np.asarray([[ranking.average_precision() for ranking in seed] for seed in own])
        errors = [prequential_calibration_error(windows, folds, seed) for seed in of_seeds]
        found.append(
            PooledRow(
                name=name,
                by_fold=tuple(by_seed.mean(axis=0).tolist()),
                average_precision=told[at],
                fold_sd=float(by_seed.mean(axis=0).std()),
                seed_sd=float(by_seed.mean(axis=1).std()) if len(by_seed) > 1 else None,
                difference=None if name == reference else told[rows + at],
                recall_at_budget=told[2 * rows + at],
                **_spreads(windows, of_seeds, own, alert_budget),
                calibration_error=_mean_of(errors),
                cpu_minutes=sum(one.cpu_seconds for seed in of_seeds for one in seed) / 60,
                is_suspect=max(ranking.roc_auc() for seed in own for ranking in seed) >= SUSPECT_AUC,
            )
        )
    return tuple(found)


def prequential_probabilities(
    windows: Sequence[TestWindow], folds: Sequence[Fold], scores: Sequence[FoldScores]
) -> dict[int, Doubles]:
    """Probabilities by number of the fold, calibrated on the test rows of earlier folds whose outcomes were all known
    when the fold's test began; folds without such rows of both outcomes are left out."""
    found = {}
    for number, fold in enumerate(folds):
        earlier = [at for at, other in enumerate(folds) if other.test_targets_at <= fold.test_start]
        if not earlier:
            continue
        is_fraud = np.concatenate([windows[at].is_fraud for at in earlier])
        values = np.concatenate([scores[at].scores for at in earlier])
        if is_fraud.any() and not is_fraud.all():
            found[number] = Calibration.fit(values, is_fraud)(scores[number].scores)
    return found


def prequential_calibration_error(
    windows: Sequence[TestWindow], folds: Sequence[Fold], scores: Sequence[FoldScores]
) -> float | None:
    """Mean over the folds of `prequential_probabilities`; None where there are none."""
    found = prequential_probabilities(windows, folds, scores)
    errors = [calibration_error(windows[number].is_fraud, values) for number, values in found.items()]
    return float(np.mean(errors)) if errors else None


def _rankings(windows: Sequence[TestWindow], of_seeds: Sequence[Sequence[FoldScores]]) -> list[list[Ranking]]:
    return [
        [Ranking(window.is_fraud, one.scores) for window, one in zip(windows, seed, strict=True)] for seed in of_seeds
    ]


def _mean_of(errors: Sequence[float | None]) -> float | None:
    known = [error for error in errors if error is not None]
    return float(np.mean(known)) if known else None


def _spreads(
    windows: Sequence[TestWindow],
    of_seeds: Sequence[Sequence[FoldScores]],
    rankings: list[list[Ranking]],
    alert_budget: float,
) -> dict[str, Any]:
    cards = [[_cards(window, one) for window, one in zip(windows, seed, strict=True)] for seed in of_seeds]
    money = [
        [
            ranking.value_recall_at_budget(window.amount, alert_budget)
            for window, ranking in zip(windows, seed, strict=True)
        ]
        for seed in rankings
    ]
    return {
        "auc": _spread([[ranking.roc_auc() for ranking in seed] for seed in rankings]),
        "card_precision": _spread([[value for value, _ in seed] for seed in cards]),
        "card_ceiling": float(np.mean([ceiling for _, ceiling in cards[0]])),
        "value_recall_at_budget": _spread(money),
    }


def _cards(window: TestWindow, one: FoldScores) -> tuple[float, float]:
    found = card_precision_at_k(
        day=window.day,
        party=window.party,
        score=one.scores,
        is_fraud=window.is_fraud,
        known_before=window.known_before,
        k=CARDS_A_DAY,
    )
    return found.value, found.ceiling


def _spread(by_seed: list[list[float]]) -> Spread:
    by_fold = np.asarray(by_seed).mean(axis=0)
    return Spread(mean=float(by_fold.mean()), sd=float(by_fold.std()))


def _bounds(windows: Sequence[TestWindow]) -> list[slice]:
    ends = np.cumsum([len(window.is_fraud) for window in windows])
    return [slice(int(end) - len(window.is_fraud), int(end)) for end, window in zip(ends, windows, strict=True)]


def _mean(rankings: list[list[Ranking]], statistic: Statistic, weight: Doubles | None, parts: list[slice]) -> float:
    """The mean over seeds and folds under a draw (n of all folds,); a fold whose frauds were not drawn is left out."""
    found = np.asarray(
        [
            statistic(one, None if weight is None else weight[part])
            for seed in rankings
            for one, part in zip(seed, parts, strict=True)
        ]
    )
    drawn = found[~np.isnan(found)]
    return float(drawn.mean()) if len(drawn) else float("nan")
