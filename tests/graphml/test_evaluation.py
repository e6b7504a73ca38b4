"""Every metric by hand, and against scikit-learn on random rankings with ties."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from graphml.evaluation import (
    Interval,
    Ranking,
    average_precision,
    block_bootstrap,
    calibration_error,
    card_precision_at_k,
    intervals,
    mean_interval,
    paired_difference,
    party_blocks,
    recall_at_budget,
    reliability,
    roc_auc,
    value_weighted_recall,
)

FRAUD = np.asarray([True, False, True, False, False])
SCORE = np.asarray([5.0, 4.0, 3.0, 3.0, 1.0])


def test_average_precision_by_hand() -> None:
    # thresholds: 5 (1 of 1), 4 (1 of 2), 3 (2 of 4): 0.5 * 1 + 0.5 * 2/4
    assert average_precision(FRAUD, SCORE) == 0.75


def test_roc_auc_by_hand() -> None:
    # pairs of a fraud and a legitimate row: 3 won by the first; the second loses one, ties one, wins one
    assert roc_auc(FRAUD, SCORE) == (3 + 0 + 0.5 + 1) / 6


@pytest.mark.parametrize("seed", range(5))
def test_ap_and_auc_are_scikit_learn_s(seed: int) -> None:
    rng = np.random.default_rng(seed)
    is_fraud, score = rng.random(300) < 0.1, rng.integers(0, 40, 300).astype(float)
    assert average_precision(is_fraud, score) == pytest.approx(average_precision_score(is_fraud, score))
    assert roc_auc(is_fraud, score) == pytest.approx(roc_auc_score(is_fraud, score))
    weight = rng.integers(0, 4, 300).astype(float)
    ranking = Ranking(is_fraud, score)
    assert ranking.average_precision(weight) == pytest.approx(
        average_precision_score(is_fraud, score, sample_weight=weight)
    )
    assert ranking.roc_auc(weight) == pytest.approx(roc_auc_score(is_fraud, score, sample_weight=weight))


def test_the_order_of_rows_never_matters() -> None:
    rng = np.random.default_rng(1)
    is_fraud, score = rng.random(100) < 0.2, rng.integers(0, 9, 100).astype(float)
    order = rng.permutation(100)
    for metric in (average_precision, roc_auc):
        assert metric(is_fraud, score) == metric(is_fraud[order], score[order])


def test_recall_at_budget_by_hand() -> None:
    assert recall_at_budget(FRAUD, SCORE, 0.2) == 0.5
    assert recall_at_budget(FRAUD, SCORE, 0.8) == 1.0
    assert recall_at_budget(FRAUD, SCORE, 0.6) == 0.75  # one of the two tied rows: half of the fraud in them


def test_value_weighted_recall_by_hand() -> None:
    value = np.asarray([10.0, 99.0, 30.0, 99.0, 99.0])
    assert value_weighted_recall(FRAUD, SCORE, value, 0.2) == 0.25
    assert value_weighted_recall(FRAUD, SCORE, value, 0.6) == (10 + 15) / 40


def test_card_precision_by_hand() -> None:
    # day 0: parties 1 (fraud, .9), 2 (.8), 3 (fraud, .1); k = 2 looks at 1 and 2: one hit of two
    # day 1: 1 was hit and is out; 3 (fraud, .7) and 4 (.6); 5 is known before (fraud, .99) and out: one hit of two
    result = card_precision_at_k(
        day=np.asarray([0, 0, 0, 0, 1, 1, 1, 1]),
        party=np.asarray([1, 1, 2, 3, 1, 3, 4, 5]),
        score=np.asarray([0.2, 0.9, 0.8, 0.1, 0.95, 0.7, 0.6, 0.99]),
        is_fraud=np.asarray([True, False, False, True, True, True, False, True]),
        known_before=np.asarray([False, False, False, False, False, False, False, True]),
        k=2,
    )
    assert result.by_day == (0.5, 0.5)
    # a perfect ranking finds 1 and 3 on day 0; on day 1 both are out, and 5 is known: nothing is left to find
    assert (result.value, result.ceiling) == (0.5, 0.5)


def test_card_precision_takes_the_maximum_of_the_day() -> None:
    result = card_precision_at_k(
        day=np.zeros(3, np.int64),
        party=np.asarray([1, 1, 2]),
        score=np.asarray([0.1, 0.9, 0.5]),
        is_fraud=np.asarray([True, False, False]),
        known_before=np.zeros(3, bool),
        k=1,
    )
    assert (result.value, result.ceiling) == (1.0, 1.0)


def test_calibration_by_hand() -> None:
    is_fraud = np.asarray([False, True, False, True])
    probability = np.asarray([0.1, 0.2, 0.6, 0.8])
    low, high = reliability(is_fraud, probability, bins=2)
    assert (low.predicted, low.observed, low.rows) == (pytest.approx(0.15), 0.5, 2)
    assert (high.predicted, high.observed, high.rows) == (pytest.approx(0.7), 0.5, 2)
    assert calibration_error(is_fraud, probability, bins=2) == pytest.approx((0.35 + 0.2) / 2)


def test_the_curve_ends_at_full_recall() -> None:
    points = Ranking(FRAUD, SCORE).curve()
    assert points == [(0.5, 1.0, 1), (1.0, 0.5, 4), (1.0, 0.4, 5)]


def test_a_single_block_has_no_spread_and_more_blocks_cover_the_value() -> None:
    ranking = Ranking(FRAUD, SCORE)
    assert block_bootstrap(ranking, Ranking.average_precision, np.zeros(5, np.int64)) == Interval(0.75, 0.75, 0.75)
    rng = np.random.default_rng(0)
    is_fraud = rng.random(2_000) < 0.1
    noisy = Ranking(is_fraud, is_fraud + rng.normal(size=2_000))
    found = block_bootstrap(noisy, Ranking.average_precision, np.arange(2_000) // 4, num=200)
    assert found.low < found.value < found.high
    assert found == block_bootstrap(noisy, Ranking.average_precision, np.arange(2_000) // 4, num=200)


def test_a_paired_difference_is_tighter_than_its_parts() -> None:
    rng = np.random.default_rng(0)
    is_fraud = rng.random(2_000) < 0.1
    score = is_fraud + rng.normal(size=2_000)
    blocks = np.arange(2_000) // 4
    first, second = Ranking(is_fraud, score), Ranking(is_fraud, score + rng.normal(size=2_000) / 50)
    difference = paired_difference(first, second, Ranking.average_precision, blocks, num=200)
    alone = block_bootstrap(first, Ranking.average_precision, blocks, num=200)
    assert difference.high - difference.low < (alone.high - alone.low) / 3
    assert difference.value == first.average_precision() - second.average_precision()


def test_blocks_are_parties_by_role_and_who_has_none_is_one() -> None:
    payer, payee, nobody = [7, 7, 8, 7], [1, -1, -1, 1], [-1] * 4
    blocks = party_blocks(np.asarray([payer, payee, nobody]).T)
    assert blocks.tolist() == [[0, 0], [0, 1], [1, 2], [0, 0]], "nobody comes twice in the third role"
    assert party_blocks(np.asarray([[1], [2]])).tolist() == [[0], [1]]


def clustered(rng: np.random.Generator, by: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outcomes, scores and (n, 2) parties: payers and payees of frauds come in clusters, and those named by `by` decide
    whether a fraud is found."""
    num = 300
    clusters = rng.integers(0, 40, (num, 2))
    luck = rng.normal(size=(40, 2))
    score = rng.normal(size=num + 3_000)
    score[:num] += 1.5
    for side, name in enumerate(("payer", "payee")):
        if name in by:
            score[:num] += 2 * luck[clusters[:, side], side]
    honest = rng.integers(40, 2_000, (3_000, 2))
    return np.arange(num + 3_000) < num, score, np.concatenate([clusters, honest])


@pytest.mark.parametrize("by", ["neither", "payer", "payee", "payer and payee"])
def test_an_interval_covers_whichever_side_fraud_clusters_on(by: str) -> None:
    truth = np.mean([average_precision(*clustered(np.random.default_rng(10_000 + i), by)[:2]) for i in range(150)])
    covered, payers_alone = 0, 0
    for number in range(60):
        is_fraud, score, parties = clustered(np.random.default_rng(number), by)
        ranking = Ranking(is_fraud, score)
        found = block_bootstrap(ranking, Ranking.average_precision, party_blocks(parties), num=80)
        covered += found.low <= truth <= found.high
        found = block_bootstrap(ranking, Ranking.average_precision, party_blocks(parties[:, :1]), num=80)
        payers_alone += found.low <= truth <= found.high
    assert covered >= 52, "95 % of 60 are 57"
    if by == "payee":
        assert payers_alone < 45, "so the clusters are what the interval must know of"


def test_calibration_error_does_not_hang_on_the_order_of_equal_probabilities() -> None:
    rng = np.random.default_rng(0)
    is_fraud, probability = np.arange(1_000) < 100, np.full(1_000, 0.1)
    assert calibration_error(is_fraud, probability) == pytest.approx(0.0)
    probability = rng.integers(0, 30, 1_000) / 30
    order = rng.permutation(1_000)
    errors = calibration_error(is_fraud, probability), calibration_error(is_fraud[order], probability[order])
    assert errors[0] == pytest.approx(errors[1], abs=1e-12)
    sizes = [part.rows for part in reliability(is_fraud, rng.random(1_000))]
    assert sizes == [100] * 10
    sizes = [part.rows for part in reliability(is_fraud, probability)]
    assert sum(sizes) == 1_000 and min(sizes) > 50 and len(sizes) == 10


def test_who_has_no_alert_party_is_not_looked_at() -> None:
    # four rows without a party are not one of many rows; only 5 (no fraud, .6) and 6 (fraud, .5) can be looked at
    found = card_precision_at_k(
        day=np.zeros(6, np.int64),
        party=np.asarray([-1, -1, -1, -1, 5, 6]),
        score=np.asarray([0.1, 0.9, 0.8, 0.7, 0.6, 0.5]),
        is_fraud=np.asarray([True, False, False, False, False, True]),
        known_before=np.zeros(6, bool),
        k=1,
    )
    assert (found.value, found.ceiling) == (0.0, 1.0)


def test_mean_interval_of_equal_days_is_a_point() -> None:
    assert mean_interval((0.5, 0.5, 0.5)) == Interval(0.5, 0.5, 0.5)


@pytest.mark.parametrize("is_fraud", [np.zeros(3, bool), np.ones(3, bool)])
def test_one_outcome_alone_cannot_be_ranked(is_fraud: np.ndarray) -> None:
    with pytest.raises(ValueError, match="both frauds and legitimate"):
        Ranking(is_fraud, np.zeros(3))


def test_nan_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="1 scores are NaN"):
        Ranking(FRAUD, np.asarray([1.0, np.nan, 1.0, 1.0, 1.0]))


def test_no_end_lies_beyond_what_a_statistic_can_be() -> None:
    rng = np.random.default_rng(2)
    parties = rng.integers(0, 30, (400, 3))
    is_fraud = (parties[:, 0] < 2) & (rng.random(400) < 0.6)  # of two parties, one of which is found
    ranking, blocks = (
        Ranking(is_fraud, is_fraud * (parties[:, 0] == 0) * 3 + rng.normal(size=400)),
        party_blocks(parties),
    )

    def statistic(weight: np.ndarray | None) -> np.ndarray:
        return np.asarray([ranking.average_precision(weight)])

    assert intervals(statistic, blocks, num=100, lowest=-1.0)[0].low < 0  # what squares of the ways add up to
    found = block_bootstrap(ranking, Ranking.average_precision, blocks, num=100)
    assert 0.0 == found.low < found.value < found.high <= 1.0


def test_a_difference_may_be_below_nothing() -> None:
    rng = np.random.default_rng(0)
    good, poor = Ranking(FRAUD, FRAUD.astype(float)), Ranking(FRAUD, -FRAUD.astype(float))
    gap = paired_difference(poor, good, Ranking.average_precision, party_blocks(rng.integers(0, 3, (5, 2))), num=50)
    assert -1.0 <= gap.low <= gap.value < 0.0
