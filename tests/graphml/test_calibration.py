"""Calibration recovers a known sigmoid, keeps the order, and survives JSON."""

from __future__ import annotations

import numpy as np
import orjson
import pytest

from graphml.calibration import MIN_ISOTONIC_FRAUDS, Calibration
from graphml.evaluation import calibration_error


def drawn(num: int, seed: int = 0, slope: float = 0.5, offset: float = -3.0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, num)
    return logits, rng.random(num) < 1 / (1 + np.exp(-(slope * logits + offset)))


def test_platt_recovers_slope_and_offset() -> None:
    logits, is_fraud = drawn(4_000)
    assert is_fraud.sum() < MIN_ISOTONIC_FRAUDS
    fitted = Calibration.fit(logits, is_fraud)
    assert fitted.method == "platt"
    assert fitted.slope == pytest.approx(0.5, abs=0.08)
    assert fitted.offset == pytest.approx(-3.0, abs=0.2)


def test_isotonic_calibrates_what_a_sigmoid_cannot() -> None:
    rng = np.random.default_rng(0)
    logits = rng.uniform(-5, 5, 20_000)
    truth = np.where(logits > 2, 0.4, 0.02)
    is_fraud = rng.random(20_000) < truth
    fitted = Calibration.fit(logits, is_fraud)
    assert fitted.method == "isotonic"
    platt = Calibration(slope=fitted.slope, offset=fitted.offset)
    assert calibration_error(is_fraud, fitted(logits)) < 0.3 * calibration_error(is_fraud, platt(logits))


@pytest.mark.parametrize("num", [2_000, 40_000])
def test_order_is_kept_strictly(num: int) -> None:
    logits, is_fraud = drawn(num)
    fitted = Calibration.fit(logits, is_fraud)
    grid = np.linspace(-12, 12, 400)
    assert (np.diff(fitted(grid)) > 0).all()
    assert ((fitted(grid) > 0) & (fitted(grid) < 1)).all()


def test_a_ranking_the_wrong_way_round_is_not_turned() -> None:
    logits, is_fraud = drawn(2_000, slope=-1.0)
    assert Calibration.fit(logits, is_fraud).slope > 0


@pytest.mark.parametrize("num", [2_000, 40_000])
def test_json_keeps_every_bit(num: int) -> None:
    logits, is_fraud = drawn(num)
    fitted = Calibration.fit(logits, is_fraud)
    again = Calibration.from_dict(orjson.loads(orjson.dumps(fitted.as_dict())))
    assert again(logits).tobytes() == fitted(logits).tobytes()
