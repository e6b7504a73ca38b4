"""The rows of our own ladder as models with `fit` and `score`: what is asked of a user's model is asked of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from graphml.baselines import LogisticRow, TreeConfig, TreeRow
from graphml.data_view import DataView
from graphml.graph_training import GraphTraining
from graphml.neighbors import NeighborConfig
from graphml.network_training import fit_network, training_of
from graphml.own_models import Entry, Maker, OwnModel
from graphml.scorer import Doubles, Scorer
from graphml.stacked_row import Network, fit_stacked, require_frauds, stacked_name
from graphml.tasks import Task
from graphml.training import shuffled_name
from ingestion.artifacts import short_hash


@dataclass(kw_only=True)
class LogisticModel:
    """See `LogisticRow`."""

    inverse_penalty: float = 1.0
    row: Scorer | None = field(default=None, init=False)

    def fit(self, view: DataView) -> None:
        """See `OwnModel`."""
        self.row = LogisticRow.fit(view.features, _task(view).is_fraud, inverse_penalty=self.inverse_penalty)

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
class NetworkModel:
    """See `GraphRow`; all epochs are run, for a fold has no window to stop on."""

    config: GraphTraining
    row: Scorer | None = field(default=None, init=False)

    def fit(self, view: DataView) -> None:
        """See `OwnModel`."""
        self.row = fit_network(view.context, _task(view), None, self.config).row

    def score(self, view: DataView) -> Doubles:
        """See `OwnModel`."""
        return _logits(self.row, view)


@dataclass(kw_only=True)
class StackedModel:
    """See `StackedRow`."""

    trees: TreeConfig
    config: GraphTraining
    row: Scorer | None = field(default=None, init=False)

    def fit(self, view: DataView) -> None:
        """See `OwnModel`."""
        train = _task(view)
        require_frauds(train)

        def fit(task: Task, number: int) -> Network:
            return fit_network(view.context, task, None, self.config, fitted_on=train.positions).row

        self.row = fit_stacked(view.context, train, self.trees, fit(train, 0), fit)

    def score(self, view: DataView) -> Doubles:
        """See `OwnModel`."""
        return _logits(self.row, view)


#: What tuning may choose from.
LOGISTIC_SPACE: Mapping[str, Sequence[Any]] = {"inverse_penalty": [1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0]}
TREE_SPACE: Mapping[str, Sequence[Any]] = {
    "num_trees": [100, 200, 300, 500],
    "depth": [3, 4, 5, 6],
    "learning_rate": [0.03, 0.05, 0.1, 0.2],
}
NETWORK_SPACE: Mapping[str, Sequence[Any]] = {
    "width": [32, 64, 128],
    "dropout": [0.1, 0.3, 0.5],
    "negatives": [10, 20, 40],
    "learning_rate": [3e-4, 1e-3, 3e-3],
    "weight_decay": [1e-4, 1e-2],
}
#: Those of the space that are the trainer's.
_OF_TRAINER = ("seed", "learning_rate", "weight_decay")


def ladder_entries(
    trees: TreeConfig, neighbors: NeighborConfig, networks: Sequence[GraphTraining], *, stack: bool = False
) -> tuple[Entry, ...]:
    """The entries of the ladder in its order; seeds and settings take the place of the configs' own. Stacked rows are
    not tuned: each setting would train their networks anew."""

    def logistic(*, seed: int, **setting: Any) -> OwnModel:  # nothing in it is random
        return LogisticModel(**setting)

    def tree(**setting: Any) -> OwnModel:
        return TreeModel(config=replace(trees, **setting))

    def tree_with_neighbors(**setting: Any) -> OwnModel:
        return TreeModel(config=replace(trees, **setting), neighbors=neighbors)

    configs = [short_hash(config.as_dict()) for config in (trees, neighbors)]

    def entry(name: str, make: Maker, space: Mapping[str, Sequence[Any]]) -> Entry:
        return Entry(name=name, make=make, space=space, fingerprint=short_hash([name, *configs]))

    return (
        entry("logistic", logistic, LOGISTIC_SPACE),
        entry("xgboost", tree, TREE_SPACE),
        entry("xgboost_neighbors", tree_with_neighbors, TREE_SPACE),
        *(each for network in networks for each in _network_entries(network, trees if stack else None)),
    )


def _network_entries(config: GraphTraining, trees: TreeConfig | None) -> list[Entry]:
    """A network, `trees` on it if given, and its control on shuffled edges."""

    def make(**setting: Any) -> OwnModel:
        of_trainer = {key: setting.pop(key) for key in _OF_TRAINER if key in setting}
        return NetworkModel(config=replace(config, **setting, trainer=replace(config.trainer, **of_trainer)))

    def entry(name: str, *, edges_shuffled: bool) -> Entry:
        printed = short_hash([name, config.as_dict()])
        return Entry(name=name, make=make, space=NETWORK_SPACE, fingerprint=printed, edges_shuffled=edges_shuffled)

    entries = [entry(config.network, edges_shuffled=False)]
    if trees is not None:
        name = stacked_name(config.network)
        printed = short_hash([name, config.as_dict(), trees.as_dict()])
        entries.append(Entry(name=name, make=partial(_stacked, config, trees), fingerprint=printed))
    return [*entries, entry(shuffled_name(config.network), edges_shuffled=True)]


def _stacked(config: GraphTraining, trees: TreeConfig, *, seed: int) -> OwnModel:
    trainer = replace(config.trainer, seed=seed)
    return StackedModel(trees=replace(trees, seed=seed), config=replace(config, trainer=trainer))


def entries_of(training: Mapping[str, Any]) -> tuple[Entry, ...]:
    """The entries of a model's ladder, from its `config.json`'s `training`."""

    return ladder_entries(
        TreeConfig(**training["trees"]),
        NeighborConfig.from_dict(training["neighbors"]),
        [training_of(data) for data in training["networks"]],
        stack=training.get("stack", False),
    )


def _task(view: DataView) -> Task:
    assert view.is_fraud is not None, "a view to fit on has outcomes"
    return Task(positions=view.positions, is_fraud=view.is_fraud)


def _logits(row: Scorer | None, view: DataView) -> Doubles:
    if row is None:
        raise ValueError("score was called before fit")
    return row.logits(view.context, view.graph.seeds(view.positions))
