"""A run's windows and its targets: what may be learned from, and when its outcome was known.

    train | delay | validation | delay | test | tail

`delay` is the label maturity: what happened in a window is judged as of the start of the next one (the test
window as of the data's end), when every label of it had its time to come. The tail is too young to be judged.
Windows are cut by `available_at`, closed at the start and open at the end, so each is a range of positions.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from graphml.errors import TooLittleData
from graphml.graph import Ints, Seeds, TransactionGraph
from graphml.sampling import labels_known
from ingestion.contracts import MICROSECONDS_PER_DAY, moment
from ingestion.labels import UNKNOWN

MIN_TRAIN_DAYS = 7
#: A last event within this much of midnight ends a whole day.
_NEARLY_MIDNIGHT = MICROSECONDS_PER_DAY // 24
_NONE: Ints = np.zeros(0, np.int64)


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Cut-offs in µs since 1970, each window [start, end); the tail runs from `tail_start` to the data's end.

    `train_targets_at`, `validation_targets_at`, `test_targets_at`: as of when each window's outcomes are read.
    """

    train_start: int
    train_end: int
    validation_start: int
    validation_end: int
    test_start: int
    test_end: int
    tail_start: int
    train_targets_at: int
    validation_targets_at: int
    test_targets_at: int

    def as_dict(self) -> dict[str, int]:
        """For JSON; `Windows(**data)` reads it back."""
        return asdict(self)

    def lines(self) -> list[tuple[str, str, str]]:
        """Name, start and end (dates, the end open) of each window, for people."""
        spans = [
            ("train", self.train_start, self.train_end),
            ("validation", self.validation_start, self.validation_end),
            ("test", self.test_start, self.test_end),
        ]
        dated = [(name, moment(start).date().isoformat(), moment(end).date().isoformat()) for name, start, end in spans]
        return [*dated, ("tail", moment(self.tail_start).date().isoformat(), "the data's end")]


def plan_windows(graph: TransactionGraph, *, delay_days: int, validation_days: int = 7, test_days: int = 7) -> Windows:
    """The windows of a snapshot, cut at UTC midnights, the newest data that can be judged in the test window.

    The first `delay_days` of the data only fill histories (no label could be known yet) when at least
    `MIN_TRAIN_DAYS` are left without them. Raises `TooLittleData` naming the days that are missing.
    """
    day = MICROSECONDS_PER_DAY
    first, last = whole_days(graph)
    days = (last - first) // day
    needed = MIN_TRAIN_DAYS + validation_days + test_days + 3 * delay_days
    if days < needed:
        raise TooLittleData(
            f"The snapshot has {days} whole days, but training needs {needed}: at least {MIN_TRAIN_DAYS} to train, "
            f"{validation_days} validation, {test_days} test, and three times {delay_days} for labels to come in: "
            f"{needed - days} days are missing.",
            remedy="Ingest a longer table, or lower [train] validation_days and test_days.",
        )
    tail_start = last - delay_days * day
    test_start = tail_start - test_days * day
    validation_end = test_start - delay_days * day
    validation_start = validation_end - validation_days * day
    train_end = validation_start - delay_days * day
    warm_up = delay_days if train_end - first >= (MIN_TRAIN_DAYS + delay_days) * day else 0
    return Windows(
        train_start=first + warm_up * day,
        train_end=train_end,
        validation_start=validation_start,
        validation_end=validation_end,
        test_start=test_start,
        test_end=tail_start,
        tail_start=tail_start,
        train_targets_at=validation_start,
        validation_targets_at=test_start,
        test_targets_at=int(graph.available_at[-1]),
    )


def whole_days(graph: TransactionGraph) -> tuple[int, int]:
    """First and last midnight (µs) that bound the whole days of the data. Raises `TooLittleData` when it is empty."""
    day = MICROSECONDS_PER_DAY
    if len(graph) == 0:
        raise TooLittleData("The snapshot has no transactions.", remedy="Ingest a table with rows in it.")
    first = -(-int(graph.available_at[0] - _NEARLY_MIDNIGHT) // day) * day
    return first, int(graph.available_at[-1] + _NEARLY_MIDNIGHT) // day * day


@dataclass(frozen=True, kw_only=True)
class Task:
    """Positions (n,) of one window whose outcome is known as of its deadline, and `is_fraud` (n,) bool."""

    positions: Ints
    is_fraud: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.positions)

    def seeds(self, graph: TransactionGraph, rows: Ints) -> Seeds:
        """Some of the task's transactions as seeds."""
        return graph.seeds(self.positions[rows])

    def seen(self, graph: TransactionGraph) -> Ints:
        """Positions of the task's own rows: what scalers are fitted on."""
        return self.positions


def window_task(
    graph: TransactionGraph,
    *,
    start: int,
    end: int,
    targets_at: int,
    delay_days: int,
    name: str = "window",
    left_out: Ints = _NONE,
) -> Task:
    """The judged transactions that became available in [start, end), but for the positions `left_out`.

    Left out: what has no label as of `targets_at` (a decline never matures), and what happened less than the
    delay before it, where only fraud could be known. Raises `TooLittleData` without both outcomes.
    """
    low, high = np.searchsorted(graph.available_at, [start, end])
    positions = np.arange(low, high)
    state = labels_known(graph, positions, np.full(len(positions), targets_at, np.int64))
    had_time = graph.event_time[low:high] + delay_days * MICROSECONDS_PER_DAY <= targets_at
    judged = (state != UNKNOWN) & had_time & ~np.isin(positions, left_out)
    task = Task(positions=positions[judged], is_fraud=state[judged] == 1)
    if not task.is_fraud.any() or task.is_fraud.all():
        raise TooLittleData(
            f"The {name} window from {moment(start).date()} to {moment(end).date()} holds {len(task)} judged "
            f"transactions, {int(task.is_fraud.sum())} of them fraud: both outcomes are needed.",
            remedy="Ingest more data or more labels, or make the window longer in [train].",
        )
    return task


@dataclass(frozen=True, kw_only=True)
class Tasks:
    """The three judged windows of a run."""

    train: Task
    validation: Task
    test: Task

    @classmethod
    def of(cls, graph: TransactionGraph, windows: Windows, *, delay_days: int, not_for_training: Ints = _NONE) -> Tasks:
        """See `window_task`. Positions `not_for_training` are tested, but neither trained nor validated on."""
        return cls(
            **{
                name: window_task(
                    graph,
                    start=getattr(windows, f"{name}_start"),
                    end=getattr(windows, f"{name}_end"),
                    targets_at=getattr(windows, f"{name}_targets_at"),
                    delay_days=delay_days,
                    name=name,
                    left_out=_NONE if name == "test" else not_for_training,
                )
                for name in ("train", "validation", "test")
            }
        )
