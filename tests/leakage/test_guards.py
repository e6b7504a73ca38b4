"""The guards that users' models are under: honest rows pass, three planted leaks are caught, each by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from graphml.data_view import EvaluationData
from graphml.evaluation import Ranking
from graphml.guards import (
    FUTURE,
    LABEL_SHUFFLE,
    OWN_OUTCOME,
    Finding,
    LabelShuffle,
    ShuffleWindows,
    altered,
    chance_band,
    check_future,
    guard_row,
)
from graphml.ladder_entries import entries_of
from graphml.own_fit import fit_on_windows, shuffle_windows
from graphml.own_models import Entry, load_own_model
from graphml.tasks import Tasks
from ingestion.workspace import Workspace
from tests.builders import DAY, START, build_snapshot, random_rows
from tests.graphml.trained import Trained, shared_training

LEAKY = Path(__file__).with_name("leaky_models.py")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return shared_training(tmp_path_factory)


@pytest.fixture(scope="module")
def data(trained: Trained) -> EvaluationData:
    return EvaluationData.of(trained.snapshot, trained.graph)


@pytest.fixture(scope="module")
def shuffle(trained: Trained, data: EvaluationData) -> LabelShuffle:
    return LabelShuffle(trained.snapshot, data, shuffle_windows(trained.model.windows, delay_days=7))


def found_of(entry: Entry, trained: Trained, data: EvaluationData, shuffle: LabelShuffle | None) -> dict[str, Finding]:
    windows = trained.model.windows
    tasks = Tasks.of(data.graph, windows, delay_days=7)
    fitted = fit_on_windows(entry, data, windows, tasks, seed=0)
    found = guard_row(entry, fitted.model, fitted.data, tasks.test.positions, shuffle)
    assert all(item.row == entry.name for item in found)
    return {item.guard: item for item in found}


def own(name: str) -> Entry:
    return load_own_model(f"{LEAKY}:{name}")


@pytest.mark.parametrize(
    ("name", "caught_by"),
    [
        ("OutcomeAtTheEnd", {FUTURE, OWN_OUTCOME, LABEL_SHUFFLE}),
        ("EncodedOverAll", {FUTURE, OWN_OUTCOME}),  # its few frauds hide it from the shuffle; see below
        ("AgainstAllOfTheParty", {FUTURE}),
        ("Honest", set()),
    ],
)
def test_planted_leaks_are_caught_and_an_honest_model_is_not(
    trained: Trained, data: EvaluationData, shuffle: LabelShuffle, name: str, caught_by: set[str]
) -> None:
    found = found_of(own(name), trained, data, shuffle)
    assert {guard for guard, item in found.items() if not item.passed} == caught_by, found


def test_our_own_rows_pass_the_same_guards(trained: Trained, data: EvaluationData, shuffle: LabelShuffle) -> None:
    entries = {entry.name: entry for entry in entries_of(trained.model.config["training"])}
    found = found_of(entries["logistic"], trained, data, shuffle)
    assert len(found) == 3 and all(item.passed for item in found.values())
    found = found_of(entries["xgboost_neighbors"], trained, data, None)
    assert len(found) == 2 and all(item.passed for item in found.values())


def test_a_model_that_throws_dice_cannot_be_checked(trained: Trained, data: EvaluationData) -> None:
    model = own("Dice").model(0)
    finding = check_future("Dice", model, data, np.arange(3_000, 3_100))
    assert not finding.passed and "two scorings of the same rows differ" in finding.told


def test_another_future_leaves_the_past_as_it_was(data: EvaluationData) -> None:
    t = 3_000
    other = altered(data, t, seed=1)
    assert np.array_equal(other.graph.features[:t], data.graph.features[:t], equal_nan=True)
    assert np.array_equal(other.graph.entity[:t], data.graph.entity[:t]) and np.array_equal(
        other.rows[:t], data.rows[:t]
    )
    assert not np.array_equal(other.graph.entity[t:], data.graph.entity[t:])
    # labels known by the last untouched transaction are the same, later ones are not
    time = int(data.graph.available_at[t - 1])
    early = data.graph.label_known_at <= time
    assert np.array_equal(other.graph.label_state[early], data.graph.label_state[early])
    assert not np.array_equal(other.graph.label_state[~early], data.graph.label_state[~early])


def test_a_shuffle_finds_a_leak_where_a_row_would_rank_like_chance(tmp_path: Path) -> None:
    # fraud hangs on nothing that could be known: only a leak ranks it
    rows, labels = random_rows(2_000, seed=3, fraud_rate=0.06)
    snapshot = build_snapshot(Workspace.open(tmp_path), rows, labels=labels, spec="handbook")
    data = EvaluationData.of(snapshot)
    windows = ShuffleWindows(
        train_start=START,
        train_end=START + 35 * DAY,
        train_targets_at=START + 42 * DAY,
        test_start=START + 42 * DAY,
        test_end=START + 60 * DAY,
        test_targets_at=START + 70 * DAY,
        delay_days=7,
    )
    shuffle = LabelShuffle(snapshot, data, windows, num=3)
    assert shuffle.check(own("Honest")).passed
    assert not shuffle.check(own("EncodedOverAll")).passed


def test_the_band_of_rankings_by_lot_by_hand() -> None:
    # two rows, one fraud: average precision is 1 or 1/2, so the band spans both; equal scores leave only 1/2
    ranking = Ranking(np.asarray([True, False]), np.asarray([2.0, 1.0]))
    assert chance_band([ranking]) == (0.5, 1.0)
    tied = Ranking(np.asarray([True, False]), np.asarray([1.0, 1.0]))
    assert chance_band([tied]) == (0.5, 0.5)
