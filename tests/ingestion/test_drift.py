"""Profiles and drift: hand-made values, and honest verdicts on samples without any drift."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.drift import (
    MOVED,
    SHIFTED,
    column_drift,
    population_stability_index,
    snapshot_drift,
)
from ingestion.profile import profile
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace
from tests.builders import DAY, HOUR, START, Row, build_snapshot, label, transaction


def days_of_rows(first: int, last: int, *, amount: int = 1_000, a_day: int = 40, hour: int = 9) -> list[Row]:
    """Rows of days first … last - 1, a minute apart from `hour` on; ten payers, five payees."""
    return [
        transaction(
            f"t{day}-{number}",
            START + day * DAY + hour * HOUR + number * 60_000_000,
            f"account:a{number % 10}",
            f"merchant:m{number % 5}",
            amount + number,
        )
        for day in range(first, last)
        for number in range(a_day)
    ]


def night(folder: Path, rows: list[Row], more: list[Row], labels: list[Row] | None = None) -> tuple[Snapshot, Snapshot]:
    """A snapshot of `rows`, and one on top with `more` and `labels`."""
    workspace = Workspace.open(folder)
    before = build_snapshot(workspace, rows)
    return before, build_snapshot(workspace, more, labels=labels or [], parent=before)


def test_stability_index_by_hand() -> None:
    p, q = np.array([50.5, 50.5]) / 101, np.array([80.5, 20.5]) / 101
    by_hand = sum((p[at] - q[at]) * math.log(p[at] / q[at]) for at in range(2))
    assert population_stability_index(np.array([50, 50]), np.array([80, 20])) == pytest.approx(by_hand)
    assert population_stability_index(np.array([3, 9]), np.array([3, 9])) == 0


def test_verdicts_and_sample_sizes() -> None:
    numbers = np.arange(1000.0)
    same = column_drift("x", numbers, numbers)
    assert (same.psi, same.ks, same.verdict) == (0.0, 0.0, "stable")
    shifted = column_drift("x", numbers, numbers + 500)
    assert shifted.verdict == "shifted" and shifted.psi > SHIFTED
    assert shifted.ks == pytest.approx(0.5)
    assert column_drift("x", numbers, numbers[:49]).verdict == "too few rows"
    assert column_drift("x", numbers, np.array([])).verdict == "too few rows"
    words = np.array(["a"] * 80 + ["b"] * 20, object)
    others = np.array(["a"] * 62 + ["b"] * 38, object)
    moved = column_drift("word", words, others)
    assert MOVED < moved.psi < SHIFTED
    assert moved.verdict == "stable", "with a hundred rows chance alone may do that"
    assert column_drift("word", np.repeat(words, 20), np.repeat(others, 20)).verdict == "moved"


def test_missing_values_and_new_categories_count() -> None:
    numbers = np.arange(1000.0)
    holes = np.where(np.arange(1000) % 2 == 0, np.nan, numbers)
    assert column_drift("x", numbers, holes).verdict == "shifted", "half of it went missing"
    known, unknown = np.array(["a"] * 500, object), np.array(["a"] * 250 + ["new"] * 250, object)
    assert column_drift("word", known, unknown).verdict == "shifted"


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(["number", "category", "holes"]))
def test_two_samples_of_one_distribution_are_called_stable(seed: int, kind: str) -> None:
    """The threshold is the .999 quantile and at least .1, so 60 fixed-size draws hold unless the verdict lies."""
    rng = np.random.default_rng(seed)
    sides = [rng.normal(size=size) for size in (2_000, 900)]
    if kind == "category":
        sides = [np.round(side).astype(int).astype(str).astype(object) for side in sides]
    if kind == "holes":
        sides = [np.where(rng.random(len(side)) < 0.2, np.nan, side) for side in sides]
    assert column_drift("x", *sides).verdict == "stable"


def test_a_profile_holds_the_stretch_alone(tmp_path: Path) -> None:
    labels = [label("t1-0", START + 3 * DAY), label("t2-0", START + 30 * DAY)]
    snapshot = build_snapshot(Workspace.open(tmp_path), days_of_rows(0, 6), labels=labels)
    found = profile(snapshot, begin=START + 2 * DAY, end=START + 4 * DAY)
    assert found.num_transactions == 2 * 40
    assert found.columns["transactions a day"].tolist() == [40, 40]
    assert found.columns["sources a day"].tolist() == [10, 10]
    assert sorted(found.columns["amount EUR"]) == sorted(2 * list(range(1_000, 1_040)))
    assert set(found.columns["hour"]) == {"09"}
    assert set(found.columns["new source"]) == {"no"}, "all were seen on the first day"
    assert found.columns["label"].tolist() == ["fraud"]
    assert found.columns["label delay, days"].tolist() == [pytest.approx(2 - 9 / 24)]
    first = profile(snapshot, begin=START - 1, end=START + DAY)
    assert set(first.columns["new source"]) == {"yes"}
    names = [f"feature {name}" for name in snapshot.spec.names]
    rows = snapshot.features()[80:160]
    for at, name in enumerate(names):
        assert np.array_equal(found.columns[name].astype(np.float32), rows[:, at], equal_nan=True)


def test_what_came_since_is_held_against_the_days_before(tmp_path: Path) -> None:
    same = snapshot_drift(*night(tmp_path / "same", days_of_rows(0, 20), days_of_rows(20, 24)))
    by_name = {column["name"]: column for column in same["columns"]}
    assert by_name["amount EUR"]["verdict"] == by_name["hour"]["verdict"] == "stable"
    assert (same["reference"]["transactions"], same["current"]["transactions"]) == (800, 160)
    more = days_of_rows(20, 24, amount=9_000, hour=3)
    other = snapshot_drift(*night(tmp_path / "other", days_of_rows(0, 20), more))
    by_name = {column["name"]: column for column in other["columns"]}
    assert by_name["amount EUR"]["verdict"] == by_name["hour"]["verdict"] == "shifted"
    assert other["columns"][0]["verdict"] == "shifted", "what moved most comes first"
    assert by_name["kind"]["psi"] == 0
    assert by_name["transactions a day"]["verdict"] == "too few rows", "four days say nothing"


def test_without_later_rows_the_last_days_are_compared(tmp_path: Path) -> None:
    late = [transaction("late", START + DAY, "account:a1", "merchant:m1", known_at=START + 2 * DAY)]
    drift = snapshot_drift(*night(tmp_path, days_of_rows(0, 20), late))
    assert drift["current"]["transactions"] == drift["reference"]["transactions"] + 1
