"""The rows of our own ladder as models with `fit` and `score`: what is asked of a user's model is asked of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from graphml.baselines import LogisticRow, TreeConfig, TreeRow
from graphml.code_version import code_version
from graphml.data_view import DataView
from graphml.neighbors import NeighborConfig
from graphml.own_models import Entry, Maker, OwnModel
from graphml.sage_training import SageTraining, fit_sage
from graphml.scorer import Doubles, Scorer
from graphml.tasks import Task
from ingestion.artifacts import short_hash

SHUFFLED = "graphsage_shuffled"


@dataclass(kw_only=True)
class LogisticModel:
    """See `LogisticRow`."""

    row: Scorer | None = field(default=None, init=False)

    def fit(self, view: DataView) -> None:
        """See `OwnModel`."""
        self.row = LogisticRow.fit(view.features, _task(view).is_fraud)

    def score(self, view: DataView) -> Doubles:
        """See `OwnModel`."""
        return _logits(self.row, view)


@dataclass(kw_only=True)
class TreeModel:
    """See `TreeRow`."""

    config: TreeConfig
    neighbors: NeighborConfig | None = None
    row: Scorer | None = field(default=None, init=False)

    def fit(self, view: DataView) -> None:
        """See `OwnModel`."""
        seeds = view.graph.seeds(view.positions)
        self.row = TreeRow.fit(view.context, seeds, _task(view).is_fraud, self.config, self.neighbors)

    def score(self, view: DataView) -> Doubles:
        """See `OwnModel`."""
        return _logits(self.row, view)


@dataclass(kw_only=True)
class SageModel:
    """See `SageRow`; all epochs are run, for a fold has no window to stop on."""

    config: SageTraining
    row: Scorer | None = field(default=None, init=False)

    def fit(self, view: DataView) -> None:
        """See `OwnModel`."""
        self.row = fit_sage(view.context, _task(view), None, self.config).row

    def score(self, view: DataView) -> Doubles:
        """See `OwnModel`."""
        return _logits(self.row, view)


#: What tuning may choose from.
TREE_SPACE: Mapping[str, Sequence[Any]] = {
    "num_trees": [100, 200, 300, 500],
    "depth": [3, 4, 5, 6],
    "learning_rate": [0.03, 0.05, 0.1, 0.2],
}
SAGE_SPACE: Mapping[str, Sequence[Any]] = {
    "width": [32, 64, 128],
    "dropout": [0.1, 0.3, 0.5],
    "learning_rate": [3e-4, 1e-3, 3e-3],
    "negatives": [10, 20, 40],
    "weight_decay": [1e-4, 1e-2],
}


def ladder_entries(trees: TreeConfig, neighbors: NeighborConfig, graphsage: SageTraining) -> tuple[Entry, ...]:
    """The entries of the ladder in its order; seeds and settings take the place of the configs' own."""

    def logistic(*, seed: int) -> OwnModel:  # nothing in it is random
        return LogisticModel()

    def tree(**setting: Any) -> OwnModel:
        return TreeModel(config=replace(trees, **setting))

    def tree_with_neighbors(**setting: Any) -> OwnModel:
        return TreeModel(config=replace(trees, **setting), neighbors=neighbors)

    def sage(**setting: Any) -> OwnModel:
        return SageModel(config=replace(graphsage, **setting))

    configs = [short_hash(config.as_dict()) for config in (trees, neighbors, graphsage)]

    def entry(name: str, make: Maker, space: Mapping[str, Sequence[Any]], *, edges_shuffled: bool = False) -> Entry:
        printed = short_hash([name, code_version(), *configs])
        return Entry(name=name, make=make, space=space, fingerprint=printed, edges_shuffled=edges_shuffled)

    return (
        entry("logistic", logistic, {}),
        entry("xgboost", tree, TREE_SPACE),
        entry("xgboost_neighbors", tree_with_neighbors, TREE_SPACE),
        entry("graphsage", sage, SAGE_SPACE),
        entry(SHUFFLED, sage, SAGE_SPACE, edges_shuffled=True),
    )


def entries_of(training: Mapping[str, Any]) -> tuple[Entry, ...]:
    """The entries of a model's ladder, from its `config.json`'s `training`."""
    graphsage = training["graphsage"]
    return ladder_entries(
        TreeConfig(**training["trees"]),
        NeighborConfig.from_dict(training["neighbors"]),
        SageTraining(**(graphsage | {"fanouts": tuple(graphsage["fanouts"])})),
    )


def _task(view: DataView) -> Task:
    assert view.is_fraud is not None, "a view to fit on has outcomes"
    return Task(positions=view.positions, is_fraud=view.is_fraud)


def _logits(row: Scorer | None, view: DataView) -> Doubles:
    if row is None:
        raise ValueError("score was called before fit")
    return row.logits(view.context, view.graph.seeds(view.positions))
