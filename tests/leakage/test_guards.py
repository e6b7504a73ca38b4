"""The guards that users' models are under: honest rows pass, planted leaks are caught, each by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from graphml.data_view import DataView, EvaluationData
from graphml.evaluation import Ranking
from graphml.event_graph_row import EventGraphRow
from graphml.event_graph_training import EventGraphTraining, fit_event_graph
from graphml.fused_row import FusedRow
from graphml.fused_training import FusedTraining, fit_fused
from graphml.guards import (
    FUTURE,
    LABEL_SHUFFLE,
    OWN_OUTCOME,
    Finding,
    ShuffleWindows,
    altered,
    chance_band,
    check_future,
    check_label_shuffle,
    check_own_outcome,
)
from graphml.ladder_entries import entries_of
from graphml.own_fit import fit_on_windows, shuffle_windows
from graphml.own_models import Entry, load_own_model
from graphml.tasks import Task, Tasks
from graphml.trainer_config import TrainerConfig
from ingestion.workspace import Workspace
from tests.builders import DAY, START, build_snapshot, random_rows
from tests.graphml.cases import graph_of
from tests.graphml.trained import Trained, shared_training

MINUTE = 60_000_000
LEAKY = Path(__file__).with_name("leaky_models.py")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return shared_training(tmp_path_factory)


@pytest.fixture(scope="module")
def data(trained: Trained) -> EvaluationData:
    return EvaluationData.of(trained.snapshot, trained.graph)


def found_of(entries: Sequence[Entry], trained: Trained, data: EvaluationData) -> dict[tuple[str, str], Finding]:
    """All three guards of each row, by row and guard."""
    windows = trained.model.windows
    tasks = Tasks.of(data.graph, windows, delay_days=7)
    found = list(check_label_shuffle(entries, trained.snapshot, data, shuffle_windows(windows, delay_days=7)))
    for entry in entries:
        fitted = fit_on_windows(entry, data, windows, tasks, seed=0)
        found.append(check_future(entry.name, fitted.model, fitted.data, tasks.test))
        found.append(check_own_outcome(entry.name, fitted.model, fitted.data, tasks.test))
    return {(item.row, item.guard): item for item in found}


def own(name: str) -> Entry:
    return load_own_model(f"{LEAKY}:{name}")


CAUGHT = {
    "OutcomeAtTheEnd": {FUTURE, OWN_OUTCOME, LABEL_SHUFFLE},
    "Remembered": {FUTURE, OWN_OUTCOME, LABEL_SHUFFLE},
    "EncodedOverAll": {FUTURE, OWN_OUTCOME},  # a party's many rows hide its own from the shuffle here; see below
    "AgainstAllOfTheParty": {FUTURE},
    "Honest": set(),
}


def test_planted_leaks_are_caught_and_an_honest_model_is_not(trained: Trained, data: EvaluationData) -> None:
    found = found_of([own(name) for name in CAUGHT], trained, data)
    assert len(found) == 3 * len(CAUGHT)
    for name, guards in CAUGHT.items():
        failed = {guard for (row, guard), item in found.items() if row == name and not item.passed}
        assert failed == guards, name


def test_our_own_rows_pass_the_same_guards(trained: Trained, data: EvaluationData) -> None:
    entries = {entry.name: entry for entry in entries_of(trained.model.config["training"])}
    assert all(item.passed for item in found_of([entries["logistic"]], trained, data).values())
    windows = trained.model.windows
    tasks = Tasks.of(data.graph, windows, delay_days=7)
    fitted = fit_on_windows(entries["xgboost_neighbors"], data, windows, tasks, seed=0)
    assert check_future("trees", fitted.model, data, tasks.test).passed
    assert check_own_outcome("trees", fitted.model, data, tasks.test).passed


class RawEvents:
    """A row on raw events, the event graph or the fused network, in little."""

    def __init__(self, kind: str, num_columns: int) -> None:
        self.kind, self.columns = kind, tuple(range(num_columns))
        self.row: EventGraphRow | FusedRow | None = None

    def fit(self, view: DataView) -> None:
        """One epoch."""
        assert view.is_fraud is not None
        task = Task(positions=view.positions, is_fraud=view.is_fraud)
        trainer = TrainerConfig(epochs=1, batch_size=256)
        if self.kind == "fused":
            config = FusedTraining(columns=self.columns, width=16, window=8, num_heads=2, trainer=trainer)
            self.row = fit_fused(view.context, task, config).row
        else:
            graph_config = EventGraphTraining(width=16, message_widths=(16,), fanouts=(16, 8), trainer=trainer)
            self.row = fit_event_graph(view.context, task, self.columns, graph_config)

    def score(self, view: DataView) -> np.ndarray:
        """Logits."""
        assert self.row is not None
        return self.row.logits(view.context, view.graph.seeds(view.positions))


@pytest.mark.parametrize("kind", ["event graph", "fused"])
def test_networks_on_raw_events_pass_all_guards(trained: Trained, data: EvaluationData, kind: str) -> None:
    num = len(trained.snapshot.spec.event)
    entry = Entry(name=kind, make=lambda *, seed: RawEvents(kind, num), fingerprint=kind)
    found = found_of([entry], trained, data)
    assert len(found) == 3
    assert [item for item in found.values() if not item.passed] == []


def test_a_model_that_throws_dice_cannot_be_checked(trained: Trained, data: EvaluationData) -> None:
    model = own("Dice").model(0)
    task = Task(positions=np.arange(3_000, 3_100), is_fraud=np.arange(100) % 10 == 0)
    finding = check_future("Dice", model, data, task)
    assert not finding.passed and "two scorings of the same rows differ" in finding.told


class PaysAgainSoon:
    """Whether the payer pays again within ten minutes after the row: a short look ahead."""

    def fit(self, view: DataView) -> None:
        """Nothing."""

    def score(self, view: DataView) -> np.ndarray:
        """1 or 0."""
        graph = view.graph
        order = np.lexsort((np.arange(len(graph)), graph.entity[:, 0]))
        gap = np.full(len(graph), np.inf)
        same = graph.entity[order[1:], 0] == graph.entity[order[:-1], 0]
        gap[order[:-1][same]] = np.diff(graph.available_at[order])[same]
        return (gap[view.positions] < 10 * MINUTE).astype(float)


@pytest.mark.parametrize("seed", range(5))
def test_a_look_ahead_of_minutes_is_caught(seed: int) -> None:
    # 3,000 payments in a month, and ten bursts of four frauds on one card, five minutes apart: what follows tells
    rng = np.random.default_rng(seed)
    bursts = np.repeat(rng.integers(20 * DAY, 26 * DAY, 10), 4) + np.tile(np.arange(4) * 5 * MINUTE, 10)
    time = np.append(rng.integers(0, 30 * DAY, 3_000), bursts)
    payer = np.append(rng.integers(0, 300, 3_000), np.repeat(rng.integers(0, 300, 10), 4))
    is_fraud = np.arange(len(time)) >= 3_000
    order = np.argsort(time, kind="stable")
    time, payer, is_fraud = time[order], payer[order], is_fraud[order]
    graph = graph_of([[int(party), 300] for party in payer], time.tolist())
    data = EvaluationData(graph=graph, feature_names=("number",), read=lambda name: None, rows=np.arange(len(graph)))
    test = np.flatnonzero((time >= 20 * DAY) & (time < 27 * DAY))
    finding = check_future("soon", PaysAgainSoon(), data, Task(positions=test, is_fraud=is_fraud[test]))
    assert not finding.passed and "changed when what comes after them was altered" in finding.told


@pytest.mark.parametrize(("num", "is_fraud"), [(1, False), (2, False), (1, True)])
def test_a_window_of_a_row_or_two_is_still_asked(num: int, is_fraud: bool, data: EvaluationData) -> None:
    task = Task(positions=np.arange(3_000, 3_000 + num), is_fraud=np.full(num, is_fraud))

    class CountsAll:
        """The number of transactions that it was shown."""

        def fit(self, view: DataView) -> None: ...

        def score(self, view: DataView) -> np.ndarray:
            return np.full(len(view.positions), float(view.horizon))

    assert not check_future("counts", CountsAll(), data, task).passed


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
    entries = [own("Honest"), own("EncodedOverAll")]
    honest, leaky = check_label_shuffle(entries, snapshot, data, windows, num=3)
    assert (honest.row, honest.passed) == ("Honest", True)
    assert (leaky.row, leaky.passed) == ("EncodedOverAll", False)
    thin = check_label_shuffle(entries, snapshot, data, replace(windows, test_end=windows.test_start + 1), num=1)
    assert [item.passed for item in thin] == [False, False] and "not checked" in thin[0].told


def test_the_band_of_rankings_by_lot_by_hand() -> None:
    # two rows, one fraud: average precision is 1 or 1/2, so the band spans both; equal scores leave only 1/2
    ranking = Ranking(np.asarray([True, False]), np.asarray([2.0, 1.0]))
    assert chance_band([ranking]) == (0.5, 1.0)
    tied = Ranking(np.asarray([True, False]), np.asarray([1.0, 1.0]))
    assert chance_band([tied]) == (0.5, 0.5)
