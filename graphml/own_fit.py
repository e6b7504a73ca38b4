"""Any row fitted on the windows of a trained model, so that it stands beside that model's ladder."""

from __future__ import annotations

from dataclasses import dataclass

from graphml.data_view import EvaluationData
from graphml.guards import ShuffleWindows
from graphml.own_models import Entry, OwnModel, scored
from graphml.own_scores import OwnScores
from graphml.rewire import rewire
from graphml.tasks import Tasks, Windows


@dataclass(frozen=True, kw_only=True)
class FittedRow:
    """A fitted model and its scores of both judged windows; `data` is what it was shown (rewired for a control)."""

    model: OwnModel
    scores: OwnScores
    data: EvaluationData


def fit_on_windows(entry: Entry, data: EvaluationData, windows: Windows, tasks: Tasks, *, seed: int) -> FittedRow:
    """Fit on the training window as known at its deadline; score validation and test, each as known at its end."""
    shown = data.under(rewire(data.graph, seed=seed)) if entry.edges_shuffled else data
    model = entry.model(seed)
    model.fit(shown.to_fit(tasks.train, deadline=windows.train_targets_at))
    scores = OwnScores(
        validation=scored(entry.name, model, shown.to_score(tasks.validation.positions)),
        test=scored(entry.name, model, shown.to_score(tasks.test.positions)),
        num_ignored=0,
    )
    return FittedRow(model=model, scores=scores, data=shown)


def shuffle_windows(windows: Windows, *, delay_days: int) -> ShuffleWindows:
    """The windows of a trained model for a label shuffle."""
    names = ("train_start", "train_end", "train_targets_at", "test_start", "test_end", "test_targets_at")
    return ShuffleWindows(**{name: getattr(windows, name) for name in names}, delay_days=delay_days)
