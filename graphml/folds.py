"""Prequential folds: train on the past, wait for the labels, test on what came next, step on and do it again.

    train | delay | embargo | test      one fold; the next one lies a test window later

What a fold learns from is read as of its `deadline`, the end of the delay: a transaction of the training window had
the whole delay to be reported, and no label that became known later is used. The embargo is time that passes between
that moment and the first test row, for a model that takes days to be approved. Test outcomes are read one delay after
the test window. Windows are cut by `available_at`, closed at the start and open at the end; the last test window ends
one delay before the data does.

Two label budgets, never to be mixed in one row of a table: `fold-week` learns from the fold's own training window
alone; `all-matured` from every transaction whose label had matured by the deadline.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from graphml.errors import TooLittleData
from graphml.graph import Ints, TransactionGraph
from graphml.tasks import MIN_TRAIN_DAYS, Task, whole_days, window_task
from ingestion.contracts import MICROSECONDS_PER_DAY, moment

FOLD_WEEK, ALL_MATURED = "fold-week", "all-matured"
LABEL_BUDGETS = (FOLD_WEEK, ALL_MATURED)
_NONE: Ints = np.zeros(0, np.int64)


@dataclass(frozen=True, kw_only=True)
class FoldPlan:
    """How folds lie. All in whole days; `num_folds`, `train_days` and `test_days` at least 1, the others at least 0."""

    num_folds: int
    delay_days: int
    train_days: int = 7
    test_days: int = 7
    embargo_days: int = 0

    def __post_init__(self) -> None:
        for name, least in (("num_folds", 1), ("train_days", 1), ("test_days", 1), ("delay_days", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}: give at least {least}")
        if self.embargo_days < 0:
            raise ValueError(f"embargo_days is {self.embargo_days}: a test before its training's end sees the future")

    @property
    def days(self) -> int:
        """Whole days that the folds need from the first training day to the last outcome."""
        before_test = self.train_days + self.delay_days + self.embargo_days
        return before_test + self.num_folds * self.test_days + self.delay_days


@dataclass(frozen=True, kw_only=True)
class Fold:
    """Cut-offs in µs since 1970, each window [start, end). `first_day`: where `all-matured` begins; `deadline`: as of
    when (closed) training outcomes are read; `test_targets_at`: as of when test outcomes are."""

    number: int
    first_day: int
    train_start: int
    train_end: int
    deadline: int
    test_start: int
    test_end: int
    test_targets_at: int

    @property
    def name(self) -> str:
        """The first day of the test window, as a date."""
        return moment(self.test_start).date().isoformat()

    def as_dict(self) -> dict[str, int]:
        """For JSON; `Fold(**data)` reads it back."""
        return asdict(self)


def plan_folds(graph: TransactionGraph, plan: FoldPlan, *, until: int | None = None) -> tuple[Fold, ...]:
    """The folds, oldest first, the newest data that can be judged in the last test window.

    Args:
        until: plan as if the data ended at this midnight (µs): for folds that settings are chosen on, the `train_end`
            of the first fold that is to be judged.

    Raises `TooLittleData` naming the days that are missing.
    """
    first, last = whole_days(graph)
    last = last if until is None else min(last, until)
    day = MICROSECONDS_PER_DAY
    days = (last - first) // day
    if days < plan.days:
        raise TooLittleData(
            f"There are {days} whole days until {moment(last).date()}, but {plan.num_folds} folds "
            f"need {plan.days}: {plan.train_days} to train, {plan.delay_days} for labels to come in, "
            f"{plan.embargo_days} embargo, {plan.num_folds} times {plan.test_days} to test, and {plan.delay_days} for "
            f"labels again: {plan.days - days} days are missing.",
            remedy="Ask for fewer or shorter folds, or ingest a longer table.",
        )
    warm_up = plan.delay_days if days >= plan.days + MIN_TRAIN_DAYS + plan.delay_days else 0
    folds = []
    for number in range(plan.num_folds):
        test_end = last - (plan.delay_days + (plan.num_folds - 1 - number) * plan.test_days) * day
        test_start = test_end - plan.test_days * day
        deadline = test_start - plan.embargo_days * day
        train_end = deadline - plan.delay_days * day
        folds.append(
            Fold(
                number=number,
                first_day=first + warm_up * day,
                train_start=train_end - plan.train_days * day,
                train_end=train_end,
                deadline=deadline,
                test_start=test_start,
                test_end=test_end,
                test_targets_at=test_end + plan.delay_days * day,
            )
        )
    return tuple(folds)


@dataclass(frozen=True, kw_only=True)
class FoldTasks:
    """What a fold learns from and what it is judged on."""

    train: Task
    test: Task

    @classmethod
    def of(
        cls, graph: TransactionGraph, fold: Fold, *, budget: str, delay_days: int, not_for_training: Ints = _NONE
    ) -> FoldTasks:
        """The tasks under a label budget (one of `LABEL_BUDGETS`). Raises `TooLittleData` for a window without both
        outcomes. Positions `not_for_training` are tested, never trained on."""
        if budget not in LABEL_BUDGETS:
            raise ValueError(f"label budget {budget!r}: choose {' or '.join(LABEL_BUDGETS)}")
        train = window_task(
            graph,
            start=fold.train_start if budget == FOLD_WEEK else fold.first_day,
            end=fold.train_end,
            targets_at=fold.deadline,
            delay_days=delay_days,
            name=f"training (fold {fold.name})",
            left_out=not_for_training,
        )
        test = window_task(
            graph,
            start=fold.test_start,
            end=fold.test_end,
            targets_at=fold.test_targets_at,
            delay_days=delay_days,
            name=f"test (fold {fold.name})",
        )
        return cls(train=train, test=test)
