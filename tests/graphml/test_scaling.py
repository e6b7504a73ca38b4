"""Scalers and seed encoders."""

from __future__ import annotations

import numpy as np
import orjson
import pytest

from graphml.scaling import CLIP, Scaler, SeedEncoder

NAN = np.nan
TRAIN = np.asarray([[1.0, 5.0, NAN], [3.0, 5.0, 2.0], [NAN, 5.0, 4.0]], np.float32)


def test_standardises_what_is_present_and_puts_absent_values_at_the_mean() -> None:
    scaler = Scaler.fit(TRAIN, compress=False)
    assert scaler.mean == (2.0, 5.0, 3.0)
    assert scaler(TRAIN)[:, 0].tolist() == [-1.0, 1.0, 0.0]


def test_a_constant_column_scales_to_zero_whatever_comes_later() -> None:
    scaler = Scaler.fit(TRAIN, compress=False)
    assert scaler(np.asarray([[1.0, 99.0, 1.0]], np.float32))[0, 1] == 0.0


def test_far_values_are_clipped() -> None:
    scaler = Scaler.fit(TRAIN, compress=False)
    assert scaler(np.asarray([[1e9, 5.0, 1.0]], np.float32))[0, 0] == CLIP


def test_compression_is_a_signed_log() -> None:
    scaler = Scaler.fit(np.asarray([[0.0], [np.e - 1], [1 - np.e]], np.float32), compress=True)
    assert scaler.mean == (pytest.approx(0.0, abs=1e-9),)
    assert scaler.deviation == (pytest.approx(np.sqrt(2 / 3), rel=1e-6),)


def test_a_row_depends_on_itself_alone() -> None:
    scaler = Scaler.fit(TRAIN, compress=True)
    together = scaler(TRAIN)
    assert all(together[i].tobytes() == scaler(TRAIN[i : i + 1])[0].tobytes() for i in range(3))


def test_the_encoder_flags_columns_that_can_be_absent() -> None:
    encoder = SeedEncoder.fit(TRAIN, compress=(False, True))
    assert encoder.flags == (0, 2)
    assert encoder.width == 3 + 3 + 2
    assert encoder(TRAIN)[:, -2:].tolist() == [[0.0, 1.0], [0.0, 0.0], [1.0, 0.0]]


def test_json_keeps_every_bit() -> None:
    encoder = SeedEncoder.fit(TRAIN, compress=(False, True))
    again = SeedEncoder.from_dict(orjson.loads(orjson.dumps(encoder.as_dict())))
    assert again == encoder
