"""What the default features' groups are worth: each is left out once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from _handbook_data import Data, Fold
from _handbook_trees import tree_logits
from _report import Report
from _results import Arrays, Results
from _workers import run_all

from graphml.evaluation import average_precision
from ingestion.features.spec import FeatureSpec


def groups(spec: FeatureSpec) -> dict[str, list[int]]:
    """Columns by what they are of."""
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


def drop_one(
    report: Report,
    data: Data,
    folds: Sequence[Fold],
    setting: Mapping[str, Any],
    results: Results,
    full: float,
    *,
    workers: int,
) -> None:
    """Mean AP at the budget fold-week without each group, less `full`, with all."""
    table = data.default.graph.features
    of = groups(data.default_snapshot.spec)

    def without(name: str, fold: Fold) -> Arrays:
        kept = [index for index in range(table.shape[1]) if index not in set(of[name])]

        def fit() -> Arrays:
            train, test = (table[task.positions][:, kept] for task in (fold.week, fold.test))
            return {"logits": tree_logits(train, fold.week.is_fraud, test, setting, np.ones(len(train)))}

        key = {"left_out": of[name], "day": fold.day, "setting": dict(setting)}
        return results.get(f"without-{name.replace(' ', '-')}-{fold.day}", key, fit)

    if not results.kept_only:
        run_all([partial(without, name, fold) for name in of for fold in folds], workers=workers)
    for name, left_out in of.items():
        found = [average_precision(fold.test.is_fraud, without(name, fold)["logits"]) for fold in folds]
        report.row(f"B, fold-week, without {name} ({len(left_out)} columns)", float(np.mean(found)) - full, "AP")
