"""Protocol B of the Handbook benchmark: four prequential folds, both label budgets, every row of `_handbook_rows`.

Every tuned row tries the same number of random settings, at the budget fold-week, on the two earlier training weeks;
the setting with the best mean is used in both budgets (the fused network is not tuned: time). The oracle (`_oracle`)
knows the generator's rules; a row above the alarm line is a leak until explained. Each result is kept by (row, fold,
budget, setting).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from _handbook_data import BUDGETS, EARLIER, WEEKS, Budget, Data, Fold, cards, make_fold
from _handbook_groups import drop_one
from _handbook_rows import Row, Rows, Setting
from _paired import Judged, mean_differences
from _report import Report
from _results import Arrays, NotKept, Results, miss_not_run, reported_missing
from _workers import run_all
from sklearn.model_selection import ParameterSampler

from graphml.evaluation import Ranking, average_precision
from graphml.scorer import Doubles

ALARM = 0.772
NUM_SETTINGS = 12
BASE, ORACLE, STACK, DEFAULT = (
    "xgboost, 15 features",
    "oracle",
    "15 features + graph logit",
    "xgboost, default features",
)


@dataclass(frozen=True, kw_only=True)
class Goal:
    """Bounds of a row's mean AP at a budget."""

    row: str
    budget: Budget
    at_least: float
    at_most: float | None = None


GOALS = (
    Goal(row=BASE, budget="fold-week", at_least=0.668, at_most=0.688),
    Goal(row=BASE, budget="all-matured", at_least=0.706, at_most=0.726),
    Goal(row="xgboost, 15 features, tuned", budget="fold-week", at_least=0.677, at_most=0.704),
    Goal(row=DEFAULT, budget="fold-week", at_least=0.74),
    Goal(row=DEFAULT, budget="all-matured", at_least=0.75),
    Goal(row=STACK, budget="fold-week", at_least=0.74),
    Goal(row=STACK, budget="all-matured", at_least=0.74),
    Goal(row="15 features + fused logit", budget="fold-week", at_least=0.745),
    Goal(row="15 features + fused logit", budget="all-matured", at_least=0.745),
    Goal(row="default + fused logit", budget="fold-week", at_least=0.752),
    Goal(row="default + fused logit", budget="all-matured", at_least=0.760),
    Goal(row=ORACLE, budget="fold-week", at_least=0.765, at_most=0.771),
)


@dataclass(kw_only=True)
class Ladder:
    """Runs rows, keeps their logits, and reports them."""

    report: Report
    data: Data
    results: Results
    rows: Rows
    quick: bool
    workers: int
    cpu_minutes: float = 0.0

    def logits(self, row: Row, fold: Fold, budget: Budget, setting: Setting) -> Doubles:
        """The row's logits of the fold's test week; counts what they took."""
        found = self._kept(row, fold, budget, setting)
        self.cpu_minutes += float(found["cpu_seconds"]) / 60
        return found["logits"]

    def fill(self, row: Row, settings: Sequence[Setting], folds: Sequence[Fold], budgets: Sequence[Budget]) -> None:
        """Compute what is not kept yet of a row, in all workers; the largest budget, which takes longest, first."""
        pairs = [(fold, budget) for budget in reversed(budgets) for fold in folds]
        if row.stacked_on is not None:
            first = partial(self.rows.out_of_fold, row.stacked_on)
            run_all([partial(first, *pair) for pair in pairs], workers=self.workers)
            self.cpu_minutes += sum(float(first(*pair)["cpu_seconds"]) for pair in pairs) / 60
        calls = [partial(self._told, row, *pair, setting) for setting in settings for pair in pairs]
        run_all(calls, workers=self.workers)

    def _kept(self, row: Row, fold: Fold, budget: Budget, setting: Setting) -> Arrays:
        key = {"row": row.name, "day": fold.day, "budget": budget, "setting": dict(setting), "seed": 0}
        key |= {"stacked": dict(self.rows.settings[row.stacked_on])} if row.stacked_on else {}
        name = "".join(letter if letter.isalnum() else "-" for letter in f"{row.name}-{budget}-{fold.day}")
        return self.results.get(name, key, lambda: {"logits": row.score(fold, budget, setting)})

    def _told(self, row: Row, fold: Fold, budget: Budget, setting: Setting) -> None:
        found = self._kept(row, fold, budget, setting)
        print(
            f"B {budget} {fold.day} {row.name}: AP {average_precision(fold.test.is_fraud, found['logits']):.4f} "
            f"{dict(setting)} ({float(found['cpu_seconds']):.0f} CPU s)",
            flush=True,
        )

    def setting(self, row: Row, earlier: Sequence[Fold]) -> Setting:
        """The best of the row's settings on the earlier folds; its default where nothing is tuned, and a short one of
        networks in a quick run."""
        if self.quick and "epochs" in row.default:
            return {**row.default, "epochs": 3}
        if not row.space or self.quick:
            return row.default
        tried = list(ParameterSampler(dict(row.space), n_iter=NUM_SETTINGS, random_state=0))
        trials = [{**setting, **row.trial} for setting in tried]
        if not self.results.kept_only:
            self.fill(row, trials, earlier, BUDGETS[:1])
        means = [np.mean([self._precision(row, fold, trial) for fold in earlier]) for trial in trials]
        best = tried[int(np.argmax(means))]
        self.report.row(f"B, earlier folds, {row.name}: AP of {best}", float(np.max(means)), "")
        return best

    def _precision(self, row: Row, fold: Fold, setting: Setting) -> float:
        return average_precision(fold.test.is_fraud, self.logits(row, fold, "fold-week", setting))

    def describe(self, name: str, budget: Budget, folds: Sequence[Fold], logits: Sequence[Doubles]) -> float:
        """AP, AUC, CP@100 with its ceiling and AP by scenario, means of the folds; the mean AP."""
        graph = self.data.book.graph
        pairs = list(zip(folds, logits, strict=True))
        precisions = [average_precision(fold.test.is_fraud, found) for fold, found in pairs]
        auc = np.mean([Ranking(fold.test.is_fraud, found).roc_auc() for fold, found in pairs])
        at_100 = [cards(graph, fold.test, found) for fold, found in pairs]
        scenarios = np.mean([self.data.by_scenario(fold.test, found) for fold, found in pairs], axis=0)
        mean, ceiling = float(np.mean(precisions)), np.mean([each.ceiling for each in at_100])
        label = f"B, {budget}, {name}"
        self.report.row(f"{label}: AP (sd {np.std(precisions):.3f})", mean, "")
        self.report.row(f"{label}: AUC", float(auc), "")
        self.report.row(f"{label}: CP@100 of {ceiling:.3f}", float(np.mean([each.value for each in at_100])), "")
        for number, value in enumerate(scenarios, start=1):
            self.report.row(f"{label}: AP of scenario {number}", float(value), "")
        self.report.ratio(f"{label}: AP below the alarm line", mean, at_most=ALARM)
        print(
            f"B {budget:<12} {name:<42} AP {mean:.4f} AUC {auc:.3f} scenarios {np.round(scenarios, 2).tolist()}",
            flush=True,
        )
        return mean

    def compare(self, budget: Budget, folds: Sequence[Fold], logits: dict[str, list[Doubles]]) -> None:
        """Each row less XGBoost on the book's and the default features, and less the oracle: AP, mean of the weeks."""
        windows = [
            Judged(
                is_fraud=fold.test.is_fraud,
                parties=self.data.book.graph.entity[fold.test.positions],
                scores={name: parts[number] for name, parts in logits.items()},
            )
            for number, fold in enumerate(folds)
        ]
        others = [other for other in (BASE, DEFAULT, ORACLE) if other in logits]
        pairs = [(name, other) for name in logits for other in others if name != other]
        for (name, other), found in mean_differences(windows, pairs).items():
            self.report.row(
                f"B, {budget}, mean of weeks: {name} - {other}", found.value, "AP", low=found.low, high=found.high
            )


def run_b(
    report: Report,
    data: Data,
    table: Path,
    results: Results,
    *,
    quick: bool,
    workers: int,
    only: Sequence[str] = (),
) -> None:
    """All rows (or `only` these) at both budgets, their comparison, the drop-one table and the goals.

    `quick`: the newest week at the budget fold-week alone, nothing tuned.
    """
    rows = Rows(data=data, table=table, results=results)
    ladder = Ladder(report=report, data=data, results=results, rows=rows, quick=quick, workers=workers)
    earlier = [make_fold(data.book.graph, day) for day in EARLIER]
    folds = [make_fold(data.book.graph, day) for day in (WEEKS[:1] if quick else WEEKS)]
    budgets = BUDGETS[:1] if quick else BUDGETS
    logits: dict[Budget, dict[str, list[Doubles]]] = {budget: {} for budget in budgets}
    means: dict[tuple[str, Budget], float] = {}
    settings: dict[str, Setting] = {}
    if only:
        report.config["rows"] = list(only)
    for row in rows.named(only):
        before = ladder.cpu_minutes
        with reported_missing(report, row.name):
            if row.setting_of and row.setting_of not in settings:
                raise NotKept(row.setting_of)
            settings[row.name] = settings[row.setting_of] if row.setting_of else ladder.setting(row, earlier)
            if row.name in rows.settings:
                rows.settings[row.name] = settings[row.name]
            if not results.kept_only:
                ladder.fill(row, [settings[row.name]], folds, budgets)
            for budget in budgets:
                with reported_missing(report, f"{row.name}, {budget}"):
                    found = [ladder.logits(row, fold, budget, settings[row.name]) for fold in folds]
                    logits[budget][row.name] = found
                    means[row.name, budget] = ladder.describe(row.name, budget, folds, found)
            # not of a run that has not ended: what it spent is not all kept
            if not results.kept_only:
                report.row(f"B, {row.name}: CPU time with tuning", ladder.cpu_minutes - before, "min")
    for budget in budgets:
        ladder.compare(budget, folds, logits[budget])
    if quick:
        return
    if not only or DEFAULT in only:
        with reported_missing(report, "what each group of the default features is worth"):
            if (DEFAULT, "fold-week") not in means:
                raise NotKept(DEFAULT)
            drop_one(report, data, folds, settings[DEFAULT], results, means[DEFAULT, "fold-week"], workers=workers)
    for goal in GOALS:
        if only and goal.row not in only:
            continue
        value = means.get((goal.row, goal.budget), float("nan"))  # a row that was not run reaches no goal
        report.ratio(f"B, {goal.budget}, {goal.row}: AP", value, at_least=goal.at_least, at_most=goal.at_most)
    miss_not_run(report)
