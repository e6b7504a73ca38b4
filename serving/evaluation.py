"""What `model evaluate` does: own rows fitted, guards asked, parts and folds judged; the report only shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from graphml.alert_budgets import BudgetRow, budget_table
from graphml.calibration import Calibration
from graphml.comparison import Comparison, compare
from graphml.data_view import EvaluationData
from graphml.errors import ModelMismatch
from graphml.folds import Fold, FoldPlan, plan_folds
from graphml.guards import Finding, check_future, check_label_shuffle, check_own_outcome
from graphml.judged import Judged
from graphml.ladder import OWN_MEANS, Ladder, TestWindow, report_calibration, window_amounts
from graphml.ladder_entries import entries_of
from graphml.model import Model
from graphml.own_fit import FittedRow, fit_on_windows, shuffle_windows
from graphml.own_models import Doubles, Entry
from graphml.own_scores import OwnScores
from graphml.pooled import PooledRow, pool
from graphml.prequential import Prequential
from graphml.segments import (
    Parts,
    SegmentRow,
    amount_bands,
    column_values,
    months,
    party_novelty,
    party_type,
    segment_table,
)
from graphml.tasks import Task, Tasks
from graphml.training import shuffled_name
from graphml.tuning import NUM_FOLDS, Tuned, sealed_before, tune
from ingestion.errors import UsageError
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace
from serving.progress import StageLog

#: Columns of the transaction table that are segments of a report.
_COLUMNS = ("kind", "channel", "currency")
_NO_RATES = (
    "Amounts are of several currencies and the mapping names no rates: shares of the money count each in means of its "
    "currency. Give rates in the mapping for money in one."
)
GUARD_CHOICES = ("own", "all", "none")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked: own models, and how much is done. `guards`: for which rows; `num_folds` 0 for none; `num_settings`
    tried for each row before the folds, 0 for none."""

    entries: tuple[Entry, ...] = ()
    guards: str = "own"
    num_folds: int = 0
    budget: str = "fold-week"
    train_days: int = 7
    embargo_days: int = 0
    num_seeds: int = 1
    num_settings: int = 0

    def __post_init__(self) -> None:
        if self.guards not in GUARD_CHOICES:
            raise UsageError(f"--guards {self.guards} is unknown.", remedy=f"Choose {', '.join(GUARD_CHOICES)}.")
        if self.num_settings and not self.num_folds:
            raise UsageError("--tune chooses settings for folds, but no folds are asked for.", remedy="Add --folds 4.")

    @property
    def needs_snapshot(self) -> bool:
        """Whether anything is fitted."""
        return bool(self.entries) or self.num_folds > 0 or self.guards == "all"


@dataclass(frozen=True, kw_only=True)
class Folds:
    """The part of the report that is judged fold by fold; `reference` is what differences are to."""

    budget: str
    num_seeds: int
    reference: str
    folds: tuple[Fold, ...]
    counts: tuple[tuple[int, int, int, int], ...]
    rows: tuple[PooledRow, ...]
    tuned: tuple[Tuned, ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready; `counts`: training rows and frauds, test rows and frauds."""
        return {
            "budget": self.budget,
            "num_seeds": self.num_seeds,
            "reference": self.reference,
            "folds": [
                fold.as_dict() | dict(zip(("train", "train_frauds", "test", "test_frauds"), counts, strict=True))
                for fold, counts in zip(self.folds, self.counts, strict=True)
            ],
            "rows": [row.as_dict() for row in self.rows],
            "tuned": [row.as_dict() for row in self.tuned],
        }


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Everything that was found. By row: `budgets` of all, `segments` and `reliability` of the served and own rows."""

    model: Model
    comparison: Comparison
    own: Mapping[str, OwnScores]
    fitted: tuple[str, ...]
    guards: tuple[Finding, ...]
    budgets: Mapping[str, Sequence[BudgetRow]]
    segments: Mapping[str, Sequence[SegmentRow]]
    reliability: Mapping[str, Mapping[str, list[float]]]
    folds: Folds | None
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return self.comparison.as_dict() | {
            "model_id": self.model.id,
            "guards": [finding.as_dict() for finding in self.guards],
            "budgets": {name: [row.as_dict() for row in rows] for name, rows in self.budgets.items()},
            "segments": {name: [row.as_dict() for row in rows] for name, rows in self.segments.items()},
            "reliability": self.reliability,
            "folds": None if self.folds is None else self.folds.as_dict(),
        }


@dataclass(frozen=True, kw_only=True)
class _Opened:
    """A model with the snapshot that it was trained on."""

    model: Model
    judged: Judged
    snapshot: Snapshot
    data: EvaluationData
    tasks: Tasks

    @property
    def delay_days(self) -> int:
        return int(self.model.config["label_maturity_days"])

    @property
    def seed(self) -> int:
        return int(self.model.config["training"]["seed"])


def evaluate(
    workspace: Workspace, model: Model, given: Mapping[str, OwnScores], request: Request, log: StageLog
) -> Evaluation:
    """Judge a model's ladder, `given` scores and the request's models. Raises `UsageError` for a name given twice."""
    ladder, judged = Ladder.from_dict(model.metrics["ladder"]), Judged.read(model.path)
    _require_new_names([entry.name for entry in request.entries], taken={*judged.test_scores, *given})
    opened, notes = _open(workspace, model, judged, request, log)
    own = dict(given)
    guards: tuple[Finding, ...] = ()
    if opened is not None:
        found, guards = _fit_and_guard(opened, request, log)
        own |= {entry.name: found[entry.name].scores for entry in request.entries}
    with log.stage("compare") as stage:
        stage("rows and draws", 0.1)
        comparison = compare(ladder, judged, own)
        scores = dict(judged.test_scores) | {name: each.test for name, each in own.items()}
        stage("alert budgets", 0.5)
        budgets = {name: budget_table(judged.test, values) for name, values in scores.items()}
        stage("segments", 0.7)
        shown = [ladder.served, *own]
        columns = _segments(opened, judged.test)
        segments = {
            name: segment_table(judged.test, scores[name], columns, alert_budget=ladder.alert_budget) for name in shown
        }
        reliability = _reliability(judged, ladder.served, own)
    if judged.test.unit == OWN_MEANS:
        notes += (_NO_RATES,)
    elif judged.test.unit.endswith(OWN_MEANS):
        notes += (f"Money is counted in {judged.test.unit}. Give the missing rates in the mapping.",)
    folds = None if opened is None or not request.num_folds else _folds(workspace, opened, ladder, request, log)
    return Evaluation(
        model=model,
        comparison=comparison,
        own=own,
        fitted=tuple(entry.name for entry in request.entries),
        guards=guards,
        budgets=budgets,
        segments=segments,
        reliability=reliability,
        folds=folds,
        notes=notes,
    )


def _require_new_names(names: Sequence[str], *, taken: set[str]) -> None:
    for number, name in enumerate(names):
        if name in taken or name in names[:number]:
            raise UsageError(f"There is a row {name} already.", remedy="Give the class or the file another name.")


def _open(
    workspace: Workspace, model: Model, judged: Judged, request: Request, log: StageLog
) -> tuple[_Opened | None, tuple[str, ...]]:
    """The snapshot's data. Without the snapshot only what needs none is judged, and a note says so."""
    if not (workspace.snapshots / model.snapshot_id).is_dir() and not request.needs_snapshot:
        note = f"{model.snapshot_id} is no longer there: parts are judged by the amount alone."
        return None, (note,)
    with log.stage("read") as stage:
        stage("snapshot and graph", 0.1)
        snapshot = Snapshot.open(workspace, model.snapshot_id)
        data = EvaluationData.of(snapshot)
        tasks = Tasks.of(
            data.graph,
            model.windows,
            delay_days=int(model.config["label_maturity_days"]),
            not_for_training=snapshot.not_for_training,
        )
        if tuple(snapshot.transaction_ids.take(tasks.test.positions).to_pylist()) != judged.test_ids:
            raise ModelMismatch(
                f"{model.id} was judged on other transactions than its windows hold now: another version made it.",
                remedy="Train it again.",
            )
    return _Opened(model=model, judged=judged, snapshot=snapshot, data=data, tasks=tasks), ()


def _fit_and_guard(
    opened: _Opened, request: Request, log: StageLog
) -> tuple[dict[str, FittedRow], tuple[Finding, ...]]:
    ladder = [entry for entry in entries_of(opened.model.config["training"]) if not entry.edges_shuffled]
    asked = [*(ladder if request.guards == "all" else []), *request.entries]
    if not asked:
        return {}, ()
    windows = opened.model.windows
    fitted: dict[str, FittedRow] = {}
    findings: list[Finding] = []
    with log.stage("fit") as stage:
        for number, entry in enumerate(asked):
            stage(entry.name, number / len(asked))
            fitted[entry.name] = fit_on_windows(entry, opened.data, windows, opened.tasks, seed=opened.seed)
    if request.guards == "none":
        return fitted, ()
    with log.stage("guards") as stage:
        for number, entry in enumerate(asked):

            def told(moment: str, share: float, entry: Entry = entry, number: int = number) -> None:
                stage(f"{entry.name}: {moment}", (number + share) / len(asked))

            row = fitted[entry.name]
            findings.append(check_future(entry.name, row.model, row.data, opened.tasks.test, progress=told))
            findings.append(check_own_outcome(entry.name, row.model, row.data, opened.tasks.test))
        shuffled = shuffle_windows(windows, delay_days=opened.delay_days)
        findings += check_label_shuffle(asked, opened.snapshot, opened.data, shuffled, progress=stage)
    return fitted, tuple(findings)


def _segments(opened: _Opened | None, window: TestWindow) -> dict[str, Parts]:
    """The columns that the test window is cut by; those with one value say nothing."""
    found = {f"amount ({window.unit})": amount_bands(window.amount)}
    if opened is not None:
        graph, at = opened.data.graph, opened.tasks.test.positions
        role = opened.model.alert_party
        found |= {name: column_values(_column(opened, name, at)) for name in _COLUMNS}
        found[f"{role} seen"] = party_novelty(graph, at, role=graph.roles.index(role))
        found["target seen"] = party_novelty(graph, at, role=1)
        found |= {"type of target": party_type(graph, at), "month": months(graph, at)}
    return {name: parts for name, parts in found.items() if len(np.unique(parts.code)) > 1}


def _column(opened: _Opened, name: str, positions: Any) -> Sequence[Any]:
    values: Sequence[Any] = opened.data.read(name).take(positions).to_pylist()
    return values


def _reliability(judged: Judged, served: str, own: Mapping[str, OwnScores]) -> dict[str, dict[str, list[float]]]:
    """Reliability on test of what validation calibrated."""
    validation = {served: judged.validation_scores[served]} | {
        name: scores.validation for name, scores in own.items() if scores.validation is not None
    }
    test = dict(judged.test_scores) | {name: scores.test for name, scores in own.items()}

    def told(name: str, scores: Doubles) -> dict[str, list[float]]:
        calibration = Calibration.fit(scores, judged.validation_is_fraud)
        return report_calibration(judged.test, calibration(test[name]))

    return {name: told(name, scores) for name, scores in validation.items()}


def _folds(workspace: Workspace, opened: _Opened, ladder: Ladder, request: Request, log: StageLog) -> Folds:
    data, snapshot = opened.data, opened.snapshot
    windows = opened.model.windows
    plan = FoldPlan(
        num_folds=request.num_folds,
        delay_days=opened.delay_days,
        train_days=request.train_days,
        test_days=(windows.test_end - windows.test_start) // 86_400_000_000,
        embargo_days=request.embargo_days,
    )
    folds = plan_folds(data.graph, plan)

    def prequential(over: EvaluationData, of: tuple[Fold, ...]) -> Prequential:
        return Prequential.of(
            over,
            of,
            budget=request.budget,
            delay_days=opened.delay_days,
            folder=workspace.cache / "evaluation",
            snapshot_id=snapshot.id,
            not_for_training=snapshot.not_for_training,
        )

    entries = [*entries_of(opened.model.config["training"]), *request.entries]
    tuned: list[Tuned] = []
    if request.num_settings:
        earlier = plan_folds(data.graph, replace(plan, num_folds=NUM_FOLDS), until=min(f.train_end for f in folds))
        trials = prequential(sealed_before(data, folds), earlier)
        entries, tuned = _tune(trials, entries, request.num_settings, log)
    judged = prequential(data, folds)
    with log.stage("folds") as stage:
        results = judged.run(entries, range(request.num_seeds), progress=stage)
    shown = [_window(opened, tasks.test) for tasks in judged.tasks]
    rows = pool(shown, folds, results, reference=ladder.served, alert_budget=ladder.alert_budget)
    counts = [
        (len(t.train), int(t.train.is_fraud.sum()), len(t.test), int(t.test.is_fraud.sum())) for t in judged.tasks
    ]
    return Folds(
        budget=request.budget,
        num_seeds=request.num_seeds,
        reference=ladder.served,
        folds=folds,
        counts=tuple(counts),
        rows=rows,
        tuned=tuple(tuned),
    )


def _tune(
    earlier: Prequential, entries: Sequence[Entry], num_settings: int, log: StageLog
) -> tuple[list[Entry], list[Tuned]]:
    """The entries under their best settings. A control on shuffled links takes what its network chose."""
    found: dict[str, Tuned] = {}
    with log.stage("tune") as stage:
        for entry in entries:
            if entry.space and not entry.edges_shuffled:
                found[entry.name] = tune(entry, earlier, num_trials=num_settings, progress=stage)
        stage.output = {f"{name}_cpu_minutes": round(one.cpu_minutes, 2) for name, one in found.items()}
    chosen = found | {shuffled_name(name): one for name, one in found.items()}
    under = [e.under(chosen[e.name].best.setting) if e.name in chosen else e for e in entries]
    return under, list(found.values())


def _window(opened: _Opened, task: Task) -> TestWindow:
    amount, unit = window_amounts(
        opened.snapshot.feature_arrays, task.positions, base=opened.snapshot.manifest.get("base_currency")
    )
    return TestWindow.of(
        opened.data.graph,
        task,
        role=opened.data.graph.roles.index(opened.model.alert_party),
        amount=amount,
        unit=unit,
    )


def default_out(workspace: Workspace, model: Model) -> Path:
    """Where a report goes when nobody says."""
    return workspace.root / "evaluations" / model.id
