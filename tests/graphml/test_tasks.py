"""Windows and targets."""

from __future__ import annotations

import numpy as np
import pytest

from graphml.errors import TooLittleData
from graphml.tasks import Tasks, plan_windows, window_task
from ingestion.contracts import MICROSECONDS_PER_DAY as DAY
from tests.graphml.cases import HOUR, graph_of, labels


def hourly(days: int, **arguments):
    """One transaction an hour for so many whole days from 1970-01-01 00:00."""
    times = [hour * HOUR for hour in range(days * 24)]
    return graph_of([[0, 1]] * len(times), times, **arguments)


def test_windows_end_at_the_data_s_end_with_a_delay_between_them() -> None:
    windows = plan_windows(hourly(60), delay_days=7)
    days = {name: cut // DAY for name, cut in windows.as_dict().items()}
    assert days["tail_start"] == days["test_end"] == 53
    assert (days["test_start"], days["validation_end"], days["validation_start"], days["train_end"]) == (46, 39, 32, 25)
    assert days["train_start"] == 7  # the first week only fills histories
    assert (days["train_targets_at"], days["validation_targets_at"]) == (32, 46)
    assert windows.test_targets_at == 60 * DAY - HOUR


def test_what_is_not_for_training_is_tested_all_the_same() -> None:
    known = labels(*[(position, position * HOUR + DAY, position % 5 == 0) for position in range(60 * 24)])
    graph = hourly(60, known=known)
    windows = plan_windows(graph, delay_days=7)
    whole = Tasks.of(graph, windows, delay_days=7)
    forbidden = np.concatenate([task.positions[:10] for task in (whole.train, whole.validation, whole.test)])
    tasks = Tasks.of(graph, windows, delay_days=7, not_for_training=forbidden)
    assert np.array_equal(tasks.train.positions, whole.train.positions[10:])
    assert np.array_equal(tasks.validation.positions, whole.validation.positions[10:])
    assert np.array_equal(tasks.test.positions, whole.test.positions)


def test_a_last_event_just_before_midnight_ends_a_whole_day_and_an_earlier_one_does_not() -> None:
    graph = hourly(60)
    assert plan_windows(graph, delay_days=7).tail_start == 53 * DAY
    times = [int(time) for time in graph.event_time[:-6]]
    assert plan_windows(graph_of([[0, 1]] * len(times), times), delay_days=7).tail_start == 52 * DAY


def test_a_short_span_keeps_its_first_days() -> None:
    assert plan_windows(hourly(45), delay_days=7).train_start == 0


def test_too_short_names_the_missing_days() -> None:
    with pytest.raises(TooLittleData, match=r"has 40 whole days, but training needs 42.*2 days are missing") as caught:
        plan_windows(hourly(40), delay_days=7)
    assert caught.value.exit_code == 3


def test_targets_are_what_was_known_at_the_deadline() -> None:
    known = labels(
        (0, 9 * DAY, False),
        (1, 3 * DAY, True),
        (1, 12 * DAY, False),  # after the deadline: not known
        (2, 12 * DAY, True),  # likewise
        (3, 2 * DAY, False),
        (3, 8 * DAY, True),
        (4, 3 * DAY, True),
    )
    graph = graph_of([[0, 1]] * 5, [DAY, DAY + 1, DAY + 2, DAY + 3, 4 * DAY], known=known)
    task = window_task(graph, start=0, end=5 * DAY, targets_at=10 * DAY, delay_days=7)
    # 2 has no label by then; 4 happened less than 7 days before the deadline
    assert task.positions.tolist() == [0, 1, 3]
    assert task.is_fraud.tolist() == [False, True, True]
    left_out = np.asarray([1, 4])
    task = window_task(graph, start=0, end=5 * DAY, targets_at=10 * DAY, delay_days=7, left_out=left_out)
    assert task.positions.tolist() == [0, 3]


def test_a_window_is_closed_at_its_start_and_open_at_its_end() -> None:
    known = labels((0, DAY, True), (1, DAY, False), (2, DAY, True))
    graph = graph_of([[0, 1]] * 3, [10, 20, 30], known=known)
    task = window_task(graph, start=10, end=30, targets_at=9 * DAY, delay_days=1)
    assert task.positions.tolist() == [0, 1]


def test_a_window_without_fraud_is_refused_by_name() -> None:
    graph = graph_of([[0, 1]] * 2, [10, 20], known=labels((0, DAY, False), (1, DAY, False)))
    with pytest.raises(TooLittleData, match=r"validation window.*holds 2 judged transactions, 0 of them fraud"):
        window_task(graph, start=0, end=30, targets_at=9 * DAY, delay_days=1, name="validation")


def test_an_empty_snapshot_is_refused() -> None:
    graph = graph_of([[0, 1]], [10])
    empty = type(graph)(**{**vars(graph), "event_time": np.empty(0, np.int64), "available_at": np.empty(0, np.int64)})
    with pytest.raises(TooLittleData, match="no transactions"):
        plan_windows(empty, delay_days=7)
