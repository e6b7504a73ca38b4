"""The kernels against definitions written the slow way: late events, equal times, three currencies, absent parties."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ingestion import compiled
from ingestion.features import kernels, motifs
from ingestion.features.batch import Rows, Stream, streams_of
from ingestion.features.spec import STATISTICS, Family, FeatureSpec
from tests.builders import DAY
from tests.ingestion.features.oracle import Oracle
from tests.leakage.histories import SPEC, History, features, random_history

#: Every statistic that there is, of every kind of stream.
EVERYTHING = FeatureSpec(
    name="everything",
    families=(
        Family(kind="windows", roles=("source", "target", "device", "pair"), windows=("1h", "3d", "30d"),
               statistics=STATISTICS["windows"]),
        Family(kind="history", roles=("source", "target", "device", "pair"), statistics=STATISTICS["history"]),
        Family(kind="windows", roles=("source_in", "target_out"), windows=("1d", "9d"),
               statistics=tuple(name for name in STATISTICS["windows"] if name != "unusual_share"),
               counts_self=False),
        Family(kind="history", roles=("source_in", "target_out"), statistics=STATISTICS["history"]),
        Family(kind="label_windows", roles=("source", "target", "device", "pair"), windows=("2d", "30d"),
               statistics=STATISTICS["label_windows"]),
        Family(kind="label_history", roles=("source", "target", "device", "pair"),
               statistics=STATISTICS["label_history"]),
        Family(kind="label_decays", roles=("source", "target"), windows=("1d", "10d"),
               statistics=STATISTICS["label_decays"]),
        Family(kind="near", roles=("target",), windows=("3d", "30d"), of=("source_amount_z", "source_is_new")),
        Family(kind="near", roles=("source",), windows=("3d",), of=("target_fraud_rate_total",)),
        Family(kind="motifs", windows=("2d", "20d"), statistics=STATISTICS["motifs"]),
    ),
)  # fmt: skip


def small_history(num: int, seed: int) -> History:
    """Few parties that pay each other, so that everything happens."""
    history = random_history(num, seed, days=25)
    rng = np.random.default_rng(seed)
    source = rng.integers(0, 6, num)
    target = (source + rng.integers(0, 6, num)) % 6  # some pay themselves
    device = np.where(rng.random(num) < 0.3, -1, rng.integers(100, 103, num))
    amount = np.where(rng.random(num) < 0.1, 50_000, rng.integers(0, 300, num))
    is_fraud = rng.random(len(history.label_position)) < 0.3
    return replace(
        history, entity=np.stack([source, target, device], axis=1), amount_minor=amount, label_is_fraud=is_fraud
    )


@pytest.mark.parametrize(("num", "seed"), [(1, 0), (2, 1), *((90, seed) for seed in range(2, 5))])
def test_every_statistic_is_as_it_is_defined(num: int, seed: int) -> None:
    history = small_history(num, seed)
    found = features(history, EVERYTHING)
    expected = Oracle(history, EVERYTHING).matrix()
    for index, name in enumerate(EVERYTHING.names):
        np.testing.assert_allclose(found[:, index], expected[:, index], rtol=2e-5, atol=2e-5, err_msg=name)


def test_the_default_spec_is_as_it_is_defined() -> None:
    history = small_history(100, seed=5)
    columns = [index for index, column in enumerate(SPEC.columns) if column.kind != "event"]
    expected = Oracle(history, SPEC).matrix()
    np.testing.assert_allclose(features(history, SPEC)[:, columns], expected, rtol=2e-5, atol=2e-5)
    busy = (np.nan_to_num(expected) != 0).any(axis=0)
    quiet = [SPEC.names[columns[index]] for index in np.flatnonzero(~busy)]
    assert len(quiet) < 0.1 * len(columns), quiet  # a column of zeros would prove nothing


def test_a_hand_made_party() -> None:
    """Amounts 100, 300 (a day later), 700 of another party; one fraud label between."""
    spec = FeatureSpec(
        name="t",
        families=(
            Family(kind="windows", roles=("source",), windows=("1d", "7d"), statistics=("count", "amount_mean")),
            Family(kind="label_windows", roles=("source",), windows=("7d",), statistics=("label_count", "fraud_rate")),
        ),
    )
    rows = rows_of([(1, 10 * DAY, 100), (0, 10 * DAY + 5, 1), (1, 11 * DAY, 300)])
    values = streams_of(spec)[0].values(rows, np.array([100.0]))
    # count and mean of 1 d and 7 d, labels and rate of 7 d; the window is open at its begin
    assert values[0].tolist() == [1, 1, 1, 1, 0, 0]
    assert values[2].tolist() == [1, 3, 2, 2, 1, 1]


def test_a_late_event_sees_its_own_time_and_is_seen_by_later_ones() -> None:
    family = Family(kind="windows", roles=("source",), windows=("1d", "7d"), statistics=("count", "amount_mean"))
    rows = rows_of([(1, 20 * DAY, 100), (1, 18 * DAY, 200), (1, 20 * DAY + 1, 600)])
    values = streams_of(FeatureSpec(name="t", families=(family,)))[0].values(rows, np.array([100.0]))
    assert values[1].tolist() == [1, 2, 1, 2]  # the event of day 20 lies after its window
    assert values[2].tolist() == [2, 3.5, 3, 3]


def test_labels_of_one_time_may_come_in_any_order() -> None:
    """Whole days are where many labels become known at once."""
    rng = np.random.default_rng(3)
    spec = replace(EVERYTHING, families=(EVERYTHING.families[1], *EVERYTHING.families[5:7]))
    stream = next(item for item in streams_of(spec) if item.role == "target" and item.round == 1)
    told = [(0, day * DAY, int(rng.random() < 0.4)) for day in (1, 1, 1, 2, 2, 5, 5, 5, 5) for _ in range(2)]
    seed = (3, 6 * DAY, 100)
    expected = stream.values(rows_of([*told, seed]), np.array([100.0]))[-1]
    for _ in range(20):
        shuffled = sorted(told, key=lambda row: (row[1], rng.random()))
        found = stream.values(rows_of([*shuffled, seed]), np.array([100.0]))[-1]
        assert found.tobytes() == expected.tobytes()


def rows_of(rows: list[tuple[int, int, int]]) -> Rows:
    """Rows of one party from (rank, time, value)."""
    rank, time, value = (np.asarray(column, np.int64) for column in zip(*rows, strict=True))
    zero, num = np.zeros(len(rows), np.int64), len(rows)
    return Rows(
        a=zero, b=zero, available_at=np.arange(num), order=2 * np.arange(num), rank=rank, time=time, amount=value,
        currency=zero, other=np.arange(num), flag=np.where(rank == 0, value, 0), carried=np.zeros((num, 0)),
        brought=np.zeros((num, 0), np.int64),
    )  # fmt: skip


@pytest.mark.skipif(compiled.numba is None, reason="numba is not installed: there is nothing to compare")
@pytest.mark.parametrize("seed", range(3))
def test_plain_python_gives_the_same(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    history = small_history(80, seed)
    expected = features(history, EVERYTHING)
    for module in (kernels, motifs):
        for name, function in list(vars(module).items()):
            if hasattr(function, "py_func"):
                monkeypatch.setattr(module, name, function.py_func)
    monkeypatch.setattr("ingestion.features.batch.replay", kernels.replay)
    assert features(history, EVERYTHING).tobytes() == expected.tobytes()


def test_streams_of_the_default_spec() -> None:
    streams: tuple[Stream, ...] = streams_of(SPEC)
    assert {stream.round for stream in streams} == {1, 2}
    made = sorted(name for stream in streams for name in stream.names)
    assert made == sorted(column.name for column in SPEC.columns if column.kind != "event")
