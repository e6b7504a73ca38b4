"""The rows of our own ladder as models with `fit` and `score`: what is asked of a user's model is asked of ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import orjson

from graphml.baselines import LogisticRow, TreeConfig, TreeRow
from graphml.code_version import code_version
from graphml.data_view import DataView
from graphml.neighbors import NeighborConfig
from graphml.own_models import Entry, OwnModel
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


def ladder_entries(trees: TreeConfig, neighbors: NeighborConfig, graphsage: SageTraining) -> tuple[Entry, ...]:
    """The entries of the ladder in its order; a seed takes the place of the configs' own."""

    def tree(seed: int) -> OwnModel:
        return TreeModel(config=replace(trees, seed=seed))

    def tree_with_neighbors(seed: int) -> OwnModel:
        return TreeModel(config=replace(trees, seed=seed), neighbors=neighbors)

    def sage(seed: int) -> OwnModel:
        return SageModel(config=replace(graphsage, seed=seed))

    fixed = [trees.as_dict(), neighbors.as_dict(), graphsage.as_dict(), code_version()]

    def entry(name: str, make: Callable[[int], OwnModel], *, edges_shuffled: bool = False) -> Entry:
        printed = short_hash([name, *[orjson.loads(orjson.dumps(part)) for part in fixed]])
        return Entry(name=name, make=make, fingerprint=printed, edges_shuffled=edges_shuffled)

    return (
        entry("logistic", lambda seed: LogisticModel()),
        entry("xgboost", tree),
        entry("xgboost_neighbors", tree_with_neighbors),
        entry("graphsage", sage),
        entry(SHUFFLED, sage, edges_shuffled=True),
    )


def _task(view: DataView) -> Task:
    assert view.is_fraud is not None, "a view to fit on has outcomes"
    return Task(positions=view.positions, is_fraud=view.is_fraud)


def _logits(row: Scorer | None, view: DataView) -> Doubles:
    if row is None:
        raise ValueError("score was called before fit")
    return row.logits(view.context, view.graph.seeds(view.positions))
