"""What the default features' groups are worth: each is left out once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from _handbook_data import Data, Fold
from _handbook_trees import tree_logits
from _report import Report
from _results import Results

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
) -> None:
    """Mean AP at the budget fold-week without each group, less `full`, with all."""
    table = data.default.graph.features
    for name, left_out in groups(data.default_snapshot.spec).items():
        kept = [index for index in range(table.shape[1]) if index not in set(left_out)]
        found = []
        for fold in folds:
            train, test = (table[task.positions][:, kept] for task in (fold.week, fold.test))
            arrays = results.get(
                f"without-{name.replace(' ', '-')}-{fold.day}",
                {"left_out": left_out, "day": fold.day, "setting": dict(setting)},
                lambda fold=fold, train=train, test=test: {
                    "logits": tree_logits(train, fold.week.is_fraud, test, setting, np.ones(len(train)))
                },
            )
            found.append(average_precision(fold.test.is_fraud, arrays["logits"]))
        report.row(f"B, fold-week, without {name} ({len(left_out)} columns)", float(np.mean(found)) - full, "AP")
