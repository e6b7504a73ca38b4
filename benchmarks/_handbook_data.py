"""What protocol B runs on: folds, both contexts, and what of the table is for analysis only."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq

from graphml.context import GraphContext
from graphml.evaluation import average_precision, card_precision_at_k
from graphml.graph import Ints, TransactionGraph
from graphml.scorer import Doubles
from graphml.tasks import Task, window_task
from ingestion.contracts import MICROSECONDS_PER_DAY, micros
from ingestion.snapshot import Snapshot

Budget = Literal["fold-week", "all-matured"]
BUDGETS: tuple[Budget, ...] = ("fold-week", "all-matured")
#: Training weeks by their first day; the test week begins 14 days later.
WEEKS = ("2018-08-15", "2018-08-08", "2018-08-01", "2018-07-25")
#: Where settings are chosen.
EARLIER = ("2018-06-27", "2018-07-04")
FIRST_DAY = "2018-04-08"
DELAY_DAYS = 7
SCENARIOS = (1, 2, 3)


@dataclass(frozen=True, kw_only=True)
class Fold:
    """Training tasks of both budgets and the test week of one training week."""

    day: str
    week: Task
    matured: Task
    test: Task

    def train(self, budget: Budget) -> Task:
        """The training task of a budget."""
        return self.week if budget == "fold-week" else self.matured


@dataclass(frozen=True, kw_only=True)
class Data:
    """The same transactions with the book's 15 features and with the default ones, position for position.

    `scenario` (N,) and `amount` (N,) of the table are for analysis and the oracle; no row of the ladder reads them.
    """

    book: GraphContext
    default: GraphContext
    book_columns: tuple[int, ...]
    default_snapshot: Snapshot
    transaction_ids: np.ndarray
    scenario: Ints
    amount: Doubles
    _kept: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, book: Snapshot, default: Snapshot, table: Path) -> Data:
        """Both snapshots of the table."""
        ids = np.asarray(book.transaction_ids.to_pylist())
        if ids.tolist() != default.transaction_ids.to_pylist():
            raise ValueError("the two snapshots hold different transactions: make both from the same table")
        frame = pq.read_table(table, columns=["TRANSACTION_ID", "TX_AMOUNT", "TX_FRAUD_SCENARIO"]).to_pandas()
        frame = frame.set_index(frame.TRANSACTION_ID.astype(str)).loc[ids]
        return cls(
            book=GraphContext(book),
            default=GraphContext(default),
            book_columns=tuple(range(len(book.spec.event))),
            default_snapshot=default,
            transaction_ids=ids,
            scenario=frame.TX_FRAUD_SCENARIO.to_numpy(np.int64),
            amount=frame.TX_AMOUNT.to_numpy(np.float64),
        )

    def fresh_book(self, positions: Ints) -> GraphContext:
        """The context with the book's features for models of these training rows: tables are kept for one set of rows
        at a time, since each takes about a gigabyte."""
        key = hash(positions.tobytes())
        if self._kept.get("rows") != key:
            self._kept.update(rows=key, context=GraphContext(self.book.graph))
        return self._kept["context"]

    def by_scenario(self, test: Task, logits: Doubles) -> list[float]:
        """AP of each scenario's frauds among all legitimate rows."""
        found = []
        for scenario in SCENARIOS:
            kept = ~test.is_fraud | (self.scenario[test.positions] == scenario)
            found.append(average_precision(test.is_fraud[kept], logits[kept]))
        return found


def make_fold(graph: TransactionGraph, day: str) -> Fold:
    """The fold whose training week starts on `day` (a date).

    Customers whose fraud is known are removed from the test days: training frauds at once, each day's frauds 7 days
    later.
    """
    start = at(day)
    test_start = start + 14 * MICROSECONDS_PER_DAY
    week = window_task(
        graph,
        start=start,
        end=start + 7 * MICROSECONDS_PER_DAY,
        targets_at=test_start,
        delay_days=DELAY_DAYS,
        name="train",
    )
    matured = window_task(
        graph,
        start=at(FIRST_DAY),
        end=start + 7 * MICROSECONDS_PER_DAY,
        targets_at=test_start,
        delay_days=DELAY_DAYS,
        name="all matured",
    )
    return Fold(day=day, week=week, matured=matured, test=_test_week(graph, week, test_start))


def at(day: str) -> int:
    """A date as µs."""
    return micros(dt.datetime.fromisoformat(day).replace(tzinfo=dt.UTC))


def _test_week(graph: TransactionGraph, train: Task, start: int) -> Task:
    known = set(graph.entity[train.positions[train.is_fraud], 0].tolist())
    parts: list[Task] = []
    for number in range(7):
        today = start + number * MICROSECONDS_PER_DAY
        learned = _day(graph, today - 8 * MICROSECONDS_PER_DAY)
        known |= set(graph.entity[learned.positions[learned.is_fraud], 0].tolist())
        rows = _day(graph, today)
        kept = ~np.isin(graph.entity[rows.positions, 0], list(known))
        parts.append(Task(positions=rows.positions[kept], is_fraud=rows.is_fraud[kept]))
    return Task(
        positions=np.concatenate([part.positions for part in parts]),
        is_fraud=np.concatenate([part.is_fraud for part in parts]),
    )


def _day(graph: TransactionGraph, start: int) -> Task:
    end = start + MICROSECONDS_PER_DAY
    deadline = end + DELAY_DAYS * MICROSECONDS_PER_DAY
    return window_task(graph, start=start, end=end, targets_at=deadline, delay_days=DELAY_DAYS, name="day")


def cards(graph: TransactionGraph, test: Task, logits: Doubles):
    """CP@100; known customers were removed from the window already."""
    return card_precision_at_k(
        day=graph.event_time[test.positions] // MICROSECONDS_PER_DAY,
        party=graph.entity[test.positions, 0],
        score=logits,
        is_fraud=test.is_fraud,
        known_before=np.zeros(len(test), bool),
    )
