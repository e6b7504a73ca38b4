"""Folds: where they lie, what may be known in them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphml.errors import TooLittleData
from graphml.folds import ALL_MATURED, FOLD_WEEK, LABEL_BUDGETS, Fold, FoldPlan, FoldTasks, plan_folds
from graphml.graph import TransactionGraph
from graphml.label_table import labels_of, rebuilt
from ingestion.contracts import MICROSECONDS_PER_DAY as DAY
from tests.graphml.cases import HOUR, graph_of, labels

PLAN = FoldPlan(num_folds=2, delay_days=7, train_days=7, test_days=7)


def daily(days: int, *, seed: int = 0, a_day: int = 8) -> TransactionGraph:
    """So many transactions on each whole day from 1970-01-01 on; every third is fraud, known within nine days, the
    others are settled after a week."""
    rng = np.random.default_rng(seed)
    times = np.sort(np.concatenate([day * DAY + rng.integers(0, 24, a_day) * HOUR for day in range(days)]))
    times[0], times[-1] = 0, days * DAY - 1
    known = [
        (i, int(time) + (int(rng.integers(1, 9 * 24)) * HOUR if i % 3 == 0 else 7 * DAY), i % 3 == 0)
        for i, time in enumerate(times)
    ]
    return graph_of([[0, 1]] * len(times), times.tolist(), known=labels(*known))


def test_folds_lie_one_behind_the_other_and_end_a_delay_before_the_data() -> None:
    folds = plan_folds(daily(60), PLAN)
    in_days = [{name: cut / DAY for name, cut in fold.as_dict().items()} for fold in folds]
    assert in_days[1] == {
        "number": 1 / DAY,
        "first_day": 7,  # the first week only fills histories
        "train_start": 32,
        "train_end": 39,
        "deadline": 46,
        "test_start": 46,
        "test_end": 53,
        "test_targets_at": 60,
    }
    assert (in_days[0]["test_start"], in_days[0]["test_end"]) == (39, 46)
    assert folds[0].name == "1970-02-09"
    assert Fold(**folds[0].as_dict()) == folds[0]


def test_an_embargo_lies_between_what_is_learned_and_the_test() -> None:
    fold = plan_folds(daily(60), replace(PLAN, embargo_days=3))[1]
    assert (fold.train_end, fold.deadline, fold.test_start) == (36 * DAY, 43 * DAY, 46 * DAY)


def test_earlier_folds_end_with_their_outcomes_known_at_the_given_midnight() -> None:
    graph = daily(80)
    judged = plan_folds(graph, PLAN)
    earlier = plan_folds(graph, PLAN, until=judged[0].train_end)
    assert max(fold.test_targets_at for fold in earlier) == judged[0].train_end


def test_too_short_names_the_missing_days() -> None:
    needed = 7 + 7 + 2 * 7 + 7
    assert PLAN.days == needed
    assert plan_folds(daily(needed), PLAN)[0].train_start == 0
    with pytest.raises(TooLittleData, match=r"30 whole days .* 2 folds need 35: .* 5 days are missing") as caught:
        plan_folds(daily(30), PLAN)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("name", ["num_folds", "train_days", "test_days", "delay_days", "embargo_days"])
def test_a_plan_that_makes_no_sense_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        replace(PLAN, **{name: -1})


def test_the_two_label_budgets() -> None:
    graph = daily(60)
    fold = plan_folds(graph, PLAN)[1]
    week = FoldTasks.of(graph, fold, budget=FOLD_WEEK, delay_days=7)
    matured = FoldTasks.of(graph, fold, budget=ALL_MATURED, delay_days=7)
    known = {
        int(p) for p, at in zip(labels_of(graph).position, labels_of(graph).known_at, strict=True) if at <= 46 * DAY
    }
    for task, first in ((week.train, 32), (matured.train, 7)):
        inside = [i for i, time in enumerate(graph.available_at) if first * DAY <= time < 39 * DAY]
        assert task.positions.tolist() == [i for i in inside if i in known]
        assert task.is_fraud.tolist() == [i % 3 == 0 for i in inside if i in known]
    assert len(week.train) < 7 * 8, "a fraud that took longer than the delay is not there"
    assert np.array_equal(week.test.positions, matured.test.positions)
    with pytest.raises(ValueError, match="fold-week or all-matured"):
        FoldTasks.of(graph, fold, budget="all", delay_days=7)


def test_what_is_not_for_training_is_tested_all_the_same() -> None:
    graph = daily(60)
    fold = plan_folds(graph, PLAN)[1]
    whole = FoldTasks.of(graph, fold, budget=FOLD_WEEK, delay_days=7)
    forbidden = np.concatenate([whole.train.positions[:5], whole.test.positions[:5]])
    found = FoldTasks.of(graph, fold, budget=FOLD_WEEK, delay_days=7, not_for_training=forbidden)
    assert np.array_equal(found.train.positions, whole.train.positions[5:])
    assert np.array_equal(found.test.positions, whole.test.positions)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1_000),
    num_folds=st.integers(1, 4),
    delay=st.integers(0, 8),
    train=st.integers(2, 9),
    test=st.integers(2, 7),
    embargo=st.integers(0, 4),
    budget=st.sampled_from(LABEL_BUDGETS),
)
def test_nothing_of_a_test_window_is_known_in_training(
    seed: int, num_folds: int, delay: int, train: int, test: int, embargo: int, budget: str
) -> None:
    plan = FoldPlan(num_folds=num_folds, delay_days=delay, train_days=train, test_days=test, embargo_days=embargo)
    graph = daily(plan.days + seed % 20, seed=seed)
    folds = plan_folds(graph, plan)
    seen = np.empty(0, np.int64)
    for fold in folds:
        try:
            tasks = FoldTasks.of(graph, fold, budget=budget, delay_days=delay)
        except TooLittleData:  # no fraud is known without a delay
            continue
        times = graph.available_at
        assert times[tasks.train.positions].max() < fold.train_end == fold.deadline - delay * DAY
        assert fold.deadline + embargo * DAY == fold.test_start <= times[tasks.test.positions].min()
        assert times[tasks.test.positions].max() < fold.test_end
        assert not np.isin(tasks.test.positions, seen).any(), "no transaction is tested twice"
        seen = np.append(seen, tasks.test.positions)
        assert _without_later_labels(graph, fold, budget, delay) == _bytes(tasks)


def _without_later_labels(graph: TransactionGraph, fold: Fold, budget: str, delay: int) -> tuple[bytes, bytes]:
    """The training task when every label that becomes known after the deadline says the opposite."""
    known = labels_of(graph)
    turned = rebuilt(graph, replace(known, is_fraud=known.is_fraud ^ (known.known_at > fold.deadline)))
    return _bytes(FoldTasks.of(turned, fold, budget=budget, delay_days=delay))


def _bytes(tasks: FoldTasks) -> tuple[bytes, bytes]:
    return tasks.train.positions.tobytes(), tasks.train.is_fraud.tobytes()
