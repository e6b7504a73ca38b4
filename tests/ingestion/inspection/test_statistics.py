"""The statistics of the inspection against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ingestion.inspection.regions import best_threshold, quantile_codes
from ingestion.inspection.statistics import (
    area_error,
    area_under_curve,
    cohens_h,
    discoveries,
    num_distinct,
    share_at_least,
    two_shares_p,
)
from ingestion.inspection.table import form_of


def test_discoveries_go_up_to_the_last_that_keeps_its_bound() -> None:
    # bounds of four: .0025, .005, .0075, .01; .006 misses its own bound, .0095 keeps the fourth
    assert discoveries([(0.002, "a"), (0.006, "b"), (0.007, "c"), (0.0095, "d")]) == ["a", "b", "c", "d"]
    assert discoveries([(0.003, "a"), (0.006, "b"), (0.008, "c"), (0.02, "d")]) == []
    assert discoveries([]) == []


def test_share_at_least_of_all_successes_is_a_root() -> None:
    assert share_at_least(10, 10) == pytest.approx(0.01 ** (1 / 10))
    assert share_at_least(0, 10) == 0.0


def test_effect_of_two_shares() -> None:
    assert cohens_h(1.0, 0.0) == pytest.approx(np.pi)
    assert cohens_h(0.3, 0.3) == 0.0


def test_fishers_exact_test() -> None:
    # 3 of 3 against 0 of 3: 2 / C(6, 3)
    assert two_shares_p(3, 3, 0, 3) == pytest.approx(2 / 20)


def test_area_is_that_of_sklearn_ties_included() -> None:
    rng = np.random.default_rng(0)
    scores, positive = rng.integers(0, 9, 500).astype(float), rng.random(500) < 0.2
    assert area_under_curve(scores, positive) == pytest.approx(roc_auc_score(positive, scores))
    assert area_under_curve(scores, np.zeros(500, np.bool_)) == 0.5


def test_area_error_falls_with_the_number_of_positives() -> None:
    # Hanley and McNeil's example: area .893, 51 positives, 58 negatives
    assert area_error(0.893, 51, 58) == pytest.approx(0.032, abs=0.001)
    assert area_error(0.9, 400, 4_000) < area_error(0.9, 40, 4_000)


def test_best_threshold_is_said_by_its_roundest_number() -> None:
    numbers = np.round(np.arange(0, 400, 0.37), 2)
    assert best_threshold(numbers, numbers > 220, upper=True) == 220.0
    assert best_threshold(numbers, numbers <= 35.15, upper=False) == 35.2  # the next number is 35.52
    assert best_threshold(numbers, numbers > 395, upper=True) is not None  # twenty rows on each side
    assert best_threshold(np.ones(100), np.arange(100) > 50, upper=True) is None
    assert best_threshold(numbers, numbers > 220, upper=False) is None


def test_quantile_codes_keep_missing_apart() -> None:
    numbers = np.asarray([np.nan, 1, 2, 3, 4])
    assert quantile_codes(numbers, 2).tolist() == [0, 1, 1, 2, 2]
    assert quantile_codes(np.full(3, np.nan), 4).tolist() == [0, 0, 0]


def test_absent_parties_are_not_counted() -> None:
    assert num_distinct(np.asarray([-1, 4, 4, 0])) == 2
    assert num_distinct(np.asarray([], np.int64)) == 0


def test_forms_keep_no_digit_and_no_letter() -> None:
    assert form_of("DE89-x7") == "AA99-a9"
