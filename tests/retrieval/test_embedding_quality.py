"""Measures of embeddings, on vectors whose neighbors are known."""

from __future__ import annotations

import numpy as np
import pytest

from retrieval.embedding_quality import Suspects, entity_precision, nearest, neighbor_fraud_lift, neighbors_kept


def on_circle(*degrees: float) -> np.ndarray:
    angle = np.deg2rad(degrees)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


def test_nearest_leaves_the_query_out_and_orders_by_angle() -> None:
    vectors = on_circle(0, 40, 10, 90)
    assert nearest(vectors, np.asarray([0]), np.arange(4), 2).tolist() == [[2, 1]]
    assert nearest(vectors, np.asarray([0]), np.asarray([1, 3]), 5).tolist() == [[1, 3]]


def test_nearest_leaves_the_query_out_among_equal_vectors() -> None:
    vectors = on_circle(0, 0, 0, 90)
    for query in range(3):
        assert query not in nearest(vectors, np.asarray([query]), np.arange(4), 2)[0]


def test_lift_counts_who_becomes_fraud_among_the_nearest_not_confirmed() -> None:
    vectors = on_circle(0, 1, 2, 90, 91, 180, 181, 270, 271, 200)
    suspects = Suspects(
        is_confirmed=np.asarray([True] + 9 * [False]), becomes_fraud=np.asarray([False, True, True] + 7 * [False])
    )
    assert suspects.base_rate == pytest.approx(2 / 9)
    assert neighbor_fraud_lift(vectors, suspects, k=2).value == pytest.approx(9 / 2)
    assert neighbor_fraud_lift(vectors, suspects, k=4).value == pytest.approx(9 / 4)


def test_lift_needs_a_confirmed_party_and_one_that_becomes_fraud() -> None:
    nobody = Suspects(is_confirmed=np.zeros(3, bool), becomes_fraud=np.asarray([True, False, False]))
    with pytest.raises(ValueError, match="0 parties are confirmed"):
        neighbor_fraud_lift(on_circle(0, 1, 2), nobody)


def test_lift_of_vectors_without_meaning_is_one() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(3_000, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    suspects = Suspects(is_confirmed=rng.random(3_000) < 0.2, becomes_fraud=rng.random(3_000) < 0.2)
    found = neighbor_fraud_lift(vectors, suspects)
    assert found.low < 1 < found.high


def test_the_probe_learns_from_the_earlier_time_and_leaves_confirmed_parties_out() -> None:
    angle = np.random.default_rng(0).uniform(0, 180, 60)
    vectors, outcome = on_circle(*angle), angle < 60
    nobody = Suspects(is_confirmed=np.zeros(60, bool), becomes_fraud=outcome)
    found = entity_precision(vectors, nobody, vectors, nobody)
    assert found.value > 0.95
    assert found.low <= found.value <= found.high
    turned = Suspects(is_confirmed=np.zeros(60, bool), becomes_fraud=~outcome)
    assert entity_precision(vectors, turned, vectors, nobody).value < 0.5
    # who is confirmed is neither learned from nor judged: were they, the others would be told wrongly
    confirmed = Suspects(is_confirmed=angle >= 120, becomes_fraud=np.where(angle >= 120, True, outcome))
    assert entity_precision(vectors, confirmed, vectors, confirmed).value > 0.95


def test_neighbors_kept_is_one_for_the_same_vectors_and_their_rotation() -> None:
    vectors = on_circle(0, 3, 9, 40, 90, 200)
    assert neighbors_kept(vectors, on_circle(50, 53, 59, 90, 140, 250), np.arange(6), k=2) == 1.0
    assert neighbors_kept(vectors, on_circle(0, 90, 9, 200, 3, 40), np.arange(6), k=2) < 1.0
