"""Protocol B of the Handbook benchmark: four prequential folds, both label budgets, XGBoost on the default features.

Settings are chosen on two earlier training weeks, at the budget fold-week, from GRID; nothing else is. The default
feature spec was tuned on nothing. The alarm line of the data is .772: a higher precision is a leak until explained.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import xgboost
from _report import Report, stopwatch

from graphml.context import GraphContext
from graphml.evaluation import Ranking
from graphml.tasks import Task, window_task
from ingestion.contracts import MICROSECONDS_PER_DAY, micros
from ingestion.features.spec import FeatureSpec

WEEKS = ("2018-08-15", "2018-08-08", "2018-08-01", "2018-07-25")
EARLIER = ("2018-06-20", "2018-07-04")
FIRST_DAY = "2018-04-08"
DELAY_DAYS = 7
ALARM = 0.772
#: Rows times columns up to which splits are searched exactly.
EXACT_CELLS = 40_000_000


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Boosted trees: rounds, depth, learning rate, share of columns a tree, least weight of a leaf."""

    rounds: int
    depth: int
    rate: float
    columns: float
    weight: float


GRID = (
    Setting(rounds=150, depth=3, rate=0.1, columns=1.0, weight=1),
    Setting(rounds=300, depth=4, rate=0.05, columns=0.3, weight=1),
    Setting(rounds=300, depth=5, rate=0.04, columns=0.2, weight=5),
)


class Week(Protocol):
    """A training week's task and its test week's."""

    @property
    def train(self) -> Task: ...

    @property
    def test(self) -> Task: ...


@dataclass(frozen=True, kw_only=True)
class Fold:
    """Training tasks of both budgets and the test week, of one training week."""

    week: Task
    matured: Task
    test: Task


def at(day: str) -> int:
    """A date as µs."""
    return micros(dt.datetime.fromisoformat(day).replace(tzinfo=dt.UTC))


def matured_task(context: GraphContext, first_day: str) -> Task:
    """All that is judged by the start of the test week, from FIRST_DAY on."""
    end = at(first_day) + 7 * MICROSECONDS_PER_DAY
    deadline = end + DELAY_DAYS * MICROSECONDS_PER_DAY
    return window_task(
        context.graph, start=at(FIRST_DAY), end=end, targets_at=deadline, delay_days=DELAY_DAYS, name="all matured"
    )


def scores(context: GraphContext, train: Task, test: Task, setting: Setting, columns: Sequence[int]) -> np.ndarray:
    """Margins (n,) of the test rows."""
    inputs = context.graph.seeds(train.positions).features[:, columns]
    exact = inputs.size <= EXACT_CELLS
    parameters = {
        "objective": "binary:logistic",
        "tree_method": "exact" if exact else "hist",
        "max_depth": setting.depth,
        "eta": setting.rate,
        "colsample_bytree": setting.columns,
        "subsample": 0.8,
        "min_child_weight": setting.weight,
        "seed": 0,
        "nthread": 2,
    } | ({} if exact else {"max_bin": 1024})
    booster = xgboost.train(parameters, xgboost.DMatrix(inputs, train.is_fraud), setting.rounds)
    return booster.inplace_predict(context.graph.seeds(test.positions).features[:, columns], predict_type="margin")


def precision(context: GraphContext, train: Task, test: Task, setting: Setting, columns: Sequence[int]) -> float:
    """Average precision on the test week."""
    logits = scores(context, train, test, setting, columns).astype(np.float64)
    return Ranking(test.is_fraud, logits).average_precision()


def chosen_setting(report: Report, context: GraphContext, folds: Sequence[Fold], columns: Sequence[int]) -> Setting:
    """The setting of GRID with the best mean on the earlier folds."""
    means = []
    for setting in GRID:
        found = [precision(context, fold.week, fold.test, setting, columns) for fold in folds]
        means.append(float(np.mean(found)))
        report.row(f"B, earlier folds: depth {setting.depth}, {setting.rounds} rounds", means[-1], "AP")
    return GRID[int(np.argmax(means))]


def groups(spec: FeatureSpec) -> dict[str, list[int]]:
    """Columns by what they are of, for the drop-one table."""
    of: dict[str, list[int]] = {}
    for index, column in enumerate(spec.columns):
        kind = {"windows": "windows", "near": "two hops", "event": "the event", "motifs": "motifs"}.get(column.kind)
        if column.kind.startswith("label"):
            kind = f"labels of {column.role}"
            if "unexplained" in column.statistic:
                of.setdefault("unexplained frauds", []).append(index)
        if column.kind == "history":
            kind = "against own history" if column.statistic.startswith(("amount", "is_unusual")) else "age and gaps"
        if column.role == "pair":
            kind = "pair"
        of.setdefault(str(kind), []).append(index)
    return of


def run_b(report: Report, context: GraphContext, spec: FeatureSpec, make: Callable[[str], Week]) -> None:
    """Both budgets on the four folds, then the drop-one table; `make` gives those of protocol A."""

    def fold(day: str) -> Fold:
        made = make(day)
        return Fold(week=made.train, matured=matured_task(context, day), test=made.test)

    everything = list(range(len(spec.names)))
    report.row("B: features", len(everything), "columns")
    setting = chosen_setting(report, context, [fold(day) for day in EARLIER], everything)
    folds = {day: fold(day) for day in WEEKS}
    means = {}
    for budget, goal in (("fold-week", 0.74), ("all-matured", 0.75)):
        found = []
        for day, each in folds.items():
            train = each.week if budget == "fold-week" else each.matured
            with stopwatch() as elapsed:
                found.append(precision(context, train, each.test, setting, everything))
            report.row(f"B, {budget}, {day}: AP", found[-1], "")
            print(f"B {budget} {day}: {len(train):,} rows, AP {found[-1]:.4f}, {elapsed():.0f} s", flush=True)
        means[budget] = float(np.mean(found))
        report.row(f"B, {budget}: standard deviation of folds", float(np.std(found)), "")
        report.ratio(f"B, {budget}: AP of XGBoost on the default features", means[budget], at_least=goal)
        report.ratio(f"B, {budget}: AP below the alarm line", means[budget], at_most=ALARM)
    for name, left_out in groups(spec).items():
        kept = [index for index in everything if index not in set(left_out)]
        found = [precision(context, each.week, each.test, setting, kept) for each in folds.values()]
        drop = float(np.mean(found)) - means["fold-week"]
        report.row(f"B, fold-week, without {name} ({len(left_out)} columns)", drop, "AP")
        print(f"B fold-week without {name}: {drop:+.4f}", flush=True)
