"""TRUST LEAK for features: the future changes nothing, shuffled labels teach nothing, and a planted leak is seen.

The array path is tested at length; the Spark job, which equals it bit for bit (tests/ingestion/features/test_job.py),
once more end to end.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from tests.ingestion.features.spark_features import spark_features
from tests.leakage.histories import (
    SPEC,
    Floats,
    History,
    altered,
    arrival_ignored,
    deleted,
    features,
    labels_without_delay,
    random_history,
    shuffled_labels,
    window_ahead,
)

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Compute = Callable[[History], Floats]
SHUFFLES = 5


def leaky_labels(history: History) -> Floats:
    return features(labels_without_delay(history))


def leaky_arrivals(history: History) -> Floats:
    return features(arrival_ignored(history))


def assert_future_blind(compute: Compute, history: History, cut: int, seed: int) -> None:
    """Features before `cut` are bit-identical when what comes at or after it is altered, or deleted."""
    before = compute(history)[:cut].tobytes()
    assert compute(altered(history, cut, seed))[:cut].tobytes() == before, "an altered future changed the past"
    assert compute(deleted(history, cut))[:cut].tobytes() == before, "a deleted future changed the past"


@settings(max_examples=150, deadline=None)
@given(st.integers(2, 120), st.integers(0, 2**32 - 1), st.floats(0.01, 1), st.integers(0, 2**32 - 1))
def test_the_future_changes_no_feature(num: int, seed: int, share: float, how: int) -> None:
    history = random_history(num, seed, days=12)
    assert_future_blind(features, history, max(1, int(share * num)), how)


@pytest.mark.parametrize("leak", [leaky_labels, leaky_arrivals, window_ahead])
def test_a_planted_leak_trips_the_future_test(leak: Compute) -> None:
    """Each leak is found by most cuts, so the property test above would find it many times over."""
    caught = 0
    for seed in range(20):
        try:
            assert_future_blind(leak, random_history(120, seed, days=12), 60, seed)
        except AssertionError:
            caught += 1
    assert caught >= 15


def ranking_quality(compute: Compute, history: History) -> tuple[float, NDArray[np.bool_]]:
    """Average precision on the last 40 % of trees fitted on the first 60 %; and the labels it was measured on."""
    values = compute(history)
    labelled, is_fraud = history.label_position, history.label_is_fraud
    order = np.argsort(labelled, kind="stable")
    labelled, is_fraud = labelled[order], is_fraud[order]
    split = int(0.6 * len(labelled))
    model = xgboost.XGBClassifier(n_estimators=60, max_depth=3, learning_rate=0.2, n_jobs=1, random_state=0)
    model.fit(values[labelled[:split]], is_fraud[:split])
    scores = model.predict_proba(values[labelled[split:]])[:, 1]
    return float(average_precision_score(is_fraud[split:], scores)), is_fraud[split:]


def band_of_random_rankings(truths: list[NDArray[np.bool_]]) -> tuple[float, float]:
    """Where 95 % of the means over random rankings of these labels lie."""
    rng = np.random.default_rng(0)
    means = [
        np.mean([average_precision_score(truth, rng.random(len(truth))) for truth in truths]) for _ in range(1_000)
    ]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def shuffled_quality(compute: Compute, history: History) -> tuple[float, tuple[float, float]]:
    """Mean quality over shuffles of the label table before the feature job, and the band of chance."""
    runs = [ranking_quality(compute, shuffled_labels(history, seed)) for seed in range(SHUFFLES)]
    return float(np.mean([quality for quality, _ in runs])), band_of_random_rankings([truth for _, truth in runs])


def test_shuffled_labels_teach_nothing_and_true_ones_do() -> None:
    history = random_history(4_000, seed=11)
    mean, (low, high) = shuffled_quality(features, history)
    assert low <= mean <= high
    quality, _ = ranking_quality(features, history)
    assert quality > 2 * high, "with true labels there is something to learn"


def test_a_planted_leak_trips_the_label_shuffle() -> None:
    """With labels that are known at once, a shuffled label predicts itself."""
    mean, (_, high) = shuffled_quality(leaky_labels, random_history(4_000, seed=11))
    assert mean > 2 * high


@pytest.mark.spark
def test_the_future_changes_no_feature_through_spark(spark: SparkSession, tmp_path: Path) -> None:
    def through_spark(history: History) -> Floats:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        return spark_features(spark, history, SPEC, folder)

    def leaky(history: History) -> Floats:
        return through_spark(arrival_ignored(history))

    history = random_history(1_500, seed=4, days=30)
    assert_future_blind(through_spark, history, 900, seed=1)
    with pytest.raises(AssertionError, match="altered future changed the past"):
        assert_future_blind(leaky, history, 900, seed=1)
