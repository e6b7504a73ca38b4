"""Folds told in one table, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from graphml.calibration import Calibration
from graphml.evaluation import average_precision, calibration_error
from graphml.folds import Fold
from graphml.ladder import TestWindow
from graphml.pooled import Spread, pool, prequential_probabilities
from graphml.prequential import FoldScores
from ingestion.contracts import MICROSECONDS_PER_DAY as DAY


def fold(number: int, start: int) -> Fold:
    return Fold(
        number=number,
        first_day=0,
        train_start=(start - 14) * DAY,
        train_end=(start - 7) * DAY,
        deadline=start * DAY,
        test_start=start * DAY,
        test_end=(start + 7) * DAY,
        test_targets_at=(start + 14) * DAY,
    )


def window(is_fraud: list[bool], day: int, amount: list[float]) -> TestWindow:
    num = len(is_fraud)
    return TestWindow(
        is_fraud=np.asarray(is_fraud),
        day=np.full(num, day),
        party=np.arange(num),
        parties=np.arange(num)[:, None],
        known_before=np.zeros(num, bool),
        amount=np.asarray(amount),
        unit="EUR",
    )


WINDOWS = (
    window([True, False, True, False], 20, [1.0, 9.0, 3.0, 9.0]),
    window([False, True, False, False], 27, [9.0, 1.0, 9.0, 9.0]),
)
FOLDS = (fold(0, 20), fold(1, 27))


def result(*scores: float, seconds: float = 30.0) -> FoldScores:
    return FoldScores(scores=np.asarray(scores), cpu_seconds=seconds)


def test_means_and_spreads_by_hand() -> None:
    good = [[result(4, 3, 2, 1), result(3, 4, 2, 1)]]  # AP 5/6 and 1
    poor = [[result(4, 3, 2, 1), result(4, 3, 2, 1)], [result(1, 4, 2, 3), result(3, 4, 2, 1)]]
    first, second = pool(WINDOWS, FOLDS, {"good": good, "poor": poor}, reference="good", alert_budget=0.25)
    assert first.by_fold == (pytest.approx(5 / 6), 1.0)
    assert first.average_precision.value == pytest.approx(11 / 12)
    assert first.fold_sd == pytest.approx(1 / 12)
    assert (first.seed_sd, first.difference) == (None, None)
    # poor: 5/6 and 1/2, then (1/3 + 2/4) / 2 and 1
    by_seed = [(5 / 6 + 1 / 2) / 2, ((1 / 3 + 2 / 4) / 2 + 1) / 2]
    assert second.average_precision.value == pytest.approx(np.mean(by_seed))
    assert second.seed_sd == pytest.approx(abs(by_seed[0] - by_seed[1]) / 2)
    assert second.difference is not None
    assert second.difference.value == pytest.approx(np.mean(by_seed) - 11 / 12)
    # one alert a fold: half of the frauds of the first, the one of the second
    assert first.recall_at_budget.value == pytest.approx((1 / 2 + 1) / 2)
    assert first.value_recall_at_budget.mean == pytest.approx((1 / 4 + 1) / 2)
    assert first.auc == Spread(mean=pytest.approx((3 / 4 + 1) / 2), sd=pytest.approx(1 / 8))
    assert first.card_precision.mean == first.card_ceiling == pytest.approx((2 + 1) / 2 / 100)
    assert (first.cpu_minutes, second.cpu_minutes) == (1.0, 2.0)
    assert first.as_dict()["average_precision"]["value"] == first.average_precision.value


def large(seed: int) -> tuple[list[TestWindow], list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    windows, scores = [], []
    for start in (20, 27, 34, 41):
        is_fraud = rng.random(500) < 0.1
        windows.append(
            TestWindow(
                is_fraud=is_fraud,
                day=start + rng.integers(0, 7, 500),
                party=rng.integers(0, 200, 500),
                parties=rng.integers(0, 200, (500, 2)),
                known_before=np.zeros(500, bool),
                amount=np.ones(500),
                unit="EUR",
            )
        )
        scores.append(is_fraud * 1.5 + rng.normal(size=500))
    return windows, scores


def test_pairing_removes_what_both_rows_share() -> None:
    windows, scores = large(0)
    folds = [fold(number, start) for number, start in enumerate((20, 27, 34, 41))]
    rng = np.random.default_rng(1)
    results = {
        "a": [[FoldScores(scores=values, cpu_seconds=0.0) for values in scores]],
        "twin": [[FoldScores(scores=values * 2 + 1, cpu_seconds=0.0) for values in scores]],
        "worse": [[FoldScores(scores=values + rng.normal(size=500), cpu_seconds=0.0) for values in scores]],
    }
    a, twin, worse = pool(windows, folds, results, reference="a", alert_budget=0.05)
    assert twin.difference is not None and vars(twin.difference) == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert worse.difference is not None and worse.difference.high < 0
    assert worse.difference.high - worse.difference.low < a.average_precision.high - a.average_precision.low
    assert a.average_precision.low < a.average_precision.value < a.average_precision.high
    means = [average_precision(window.is_fraud, values) for window, values in zip(windows, scores, strict=True)]
    assert a.average_precision.value == pytest.approx(np.mean(means))
    with pytest.raises(ValueError, match="nobody"):
        pool(windows, folds, results, reference="nobody", alert_budget=0.05)


def test_a_fold_is_calibrated_by_earlier_ones_whose_outcomes_were_known() -> None:
    windows, scores = large(2)
    folds = [fold(number, start) for number, start in enumerate((20, 27, 34, 41))]
    results = [FoldScores(scores=values, cpu_seconds=0.0) for values in scores]
    found = prequential_probabilities(windows, folds, results)
    assert list(found) == [2, 3], "the outcomes of the first are known when the third begins"
    by_first = Calibration.fit(scores[0], windows[0].is_fraud)(scores[2])
    assert found[2].tobytes() == by_first.tobytes()
    (row,) = pool(windows, folds, {"a": [results]}, reference="a", alert_budget=0.05)
    errors = [calibration_error(windows[number].is_fraud, values) for number, values in found.items()]
    assert row.calibration_error == pytest.approx(np.mean(errors)) and row.calibration_error < 0.1


def test_calibration_error_is_the_mean_over_seeds() -> None:
    windows, scores = large(2)
    folds = [fold(number, start) for number, start in enumerate((20, 27, 34, 41))]
    noise = np.random.default_rng(3).normal(size=(4, 500))
    seeds = [
        [FoldScores(scores=values, cpu_seconds=0.0) for values in scores],
        [FoldScores(scores=values + extra, cpu_seconds=0.0) for values, extra in zip(scores, noise, strict=True)],
    ]
    alone = [pool(windows, folds, {"a": [seed]}, reference="a", alert_budget=0.05)[0] for seed in seeds]
    (both,) = pool(windows, folds, {"a": seeds}, reference="a", alert_budget=0.05)
    errors = [row.calibration_error for row in alone]
    assert errors[0] != errors[1] and both.calibration_error == pytest.approx(np.mean(errors))
