"""The same tuning effort for every row: so many random settings, seed 0, judged on folds before the judged ones.

Trials get data from which everything behind the judged folds' first training end is gone: no trial can open a test row,
nor a label of one. Asking for one by position raises `SealedRow`, which ends the tuning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.model_selection import ParameterSampler

from graphml.data_view import EvaluationData
from graphml.evaluation import average_precision
from graphml.folds import Fold
from graphml.label_table import as_of
from graphml.own_models import Entry
from graphml.prequential import Prequential, Progress

NUM_TRIALS, NUM_FOLDS = 12, 2


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A setting, its average precision on each earlier fold, and the processor minutes it took."""

    setting: Mapping[str, Any]
    by_fold: tuple[float, ...]
    cpu_minutes: float

    @property
    def mean(self) -> float:
        """Mean over the folds: what settings are chosen by."""
        return float(np.mean(self.by_fold))


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """All trials of a row, in the order they were drawn, and the best (the first of equals)."""

    name: str
    trials: tuple[Trial, ...]
    best: Trial

    @property
    def cpu_minutes(self) -> float:
        """Of all trials together."""
        return sum(trial.cpu_minutes for trial in self.trials)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "row": self.name,
            "best": dict(self.best.setting),
            "cpu_minutes": self.cpu_minutes,
            "trials": [
                {"setting": dict(trial.setting), "mean": trial.mean, "by_fold": list(trial.by_fold)}
                for trial in self.trials
            ],
        }


def sealed_before(data: EvaluationData, judged: Sequence[Fold]) -> EvaluationData:
    """The data as of the moment before the first judged fold's training ends: all that trials may see.

    Its test rows, and all labels known from then on, are not in it.
    """
    time = min(fold.train_end for fold in judged) - 1
    num = int(np.searchsorted(data.graph.available_at, time, side="right"))
    return replace(data, graph=as_of(data.graph, num, time), rows=data.rows[:num])


def tune(
    row: Entry,
    earlier: Prequential,
    *,
    num_trials: int = NUM_TRIALS,
    seed: int = 0,
    progress: Progress | None = None,
) -> Tuned:
    """Judge `num_trials` random settings of a row on the earlier folds (over data from `sealed_before`).

    A space with fewer settings is tried whole. Results are kept by `Prequential`, so a killed tuning goes on.
    """
    trials: list[Trial] = []
    for setting in settings_of(row.space, num_trials, seed):
        if progress is not None:
            progress(f"tuning {row.name}, setting {len(trials) + 1}", len(trials) / num_trials)
        results = [earlier.result(row.under(setting), number, seed) for number in range(len(earlier.folds))]
        by_fold = tuple(
            average_precision(tasks.test.is_fraud, one.scores)
            for tasks, one in zip(earlier.tasks, results, strict=True)
        )
        spent = sum(one.cpu_seconds for one in results) / 60
        trials.append(Trial(setting=setting, by_fold=by_fold, cpu_minutes=spent))
    return Tuned(name=row.name, trials=tuple(trials), best=max(trials, key=lambda trial: trial.mean))


def settings_of(space: Mapping[str, Sequence[Any]], num: int, seed: int) -> list[dict[str, Any]]:
    """`num` settings drawn from a space without drawing one of a finite space twice."""
    finite = not any(hasattr(values, "rvs") for values in space.values())
    size = int(np.prod([len(values) for values in space.values()])) if finite else num
    drawn = ParameterSampler({key: space[key] for key in space}, n_iter=min(num, size), random_state=seed)
    return [dict(setting) for setting in drawn]
