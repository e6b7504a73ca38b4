"""Trees on top of a network: XGBoost on a seed's features and on what a network says of it.

Trees learn from out-of-fold logits (`graphml.stacking`): folds are blocks of time, so that a case of many parties stays
in one. What is scored later has the logit of the network that learned from all training rows (Wolpert, Stacked
Generalization, 1992), so a stacked row costs no more online than its network and trees.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xgboost

from graphml.baselines import TreeConfig, grow, margins
from graphml.context import GraphContext
from graphml.errors import TooLittleData
from graphml.fused_row import FusedRow
from graphml.graph import Floats, Seeds
from graphml.graph_row import GraphRow
from graphml.scorer import Doubles
from graphml.stacking import out_of_fold, time_folds
from graphml.tasks import Task

NUM_FOLDS = 4

Network = GraphRow | FusedRow


@dataclass(frozen=True, kw_only=True)
class StackedRow:
    """See the module; `network` is a row of the same ladder."""

    booster: xgboost.Booster
    network: Network

    @property
    def name(self) -> str:
        """`xgboost_` and the network's name."""
        return stacked_name(self.network.name)

    @property
    def cost(self) -> int:
        """See `Scorer`."""
        return self.network.cost + 1

    def logits(self, context: GraphContext, seeds: Seeds) -> Doubles:
        """See `Scorer`."""
        return self.told(seeds, self.network.logits(context, seeds))

    def told(self, seeds: Seeds, logits: Doubles) -> Doubles:
        """Logits (S,) of the trees, from the network's (S,)."""
        return margins(self.booster, with_logit(seeds, logits))

    def save(self, folder: Path) -> None:
        """Write `<name>.trees.json`; the network is saved as a row of its own."""
        self.booster.save_model(folder / f"{self.name}.trees.json")

    @classmethod
    def load(cls, folder: Path, network: Network) -> StackedRow:
        """Read what `save` wrote."""
        booster = xgboost.Booster(model_file=folder / f"{stacked_name(network.name)}.trees.json")
        booster.set_param({"nthread": 1})
        return cls(booster=booster, network=network)


def stacked_name(network: str) -> str:
    """Name of the row of trees on a network."""
    return f"xgboost_{network}"


def with_logit(seeds: Seeds, logits: Doubles) -> Floats:
    """Features and logit, (S, F + 1) float32."""
    return np.concatenate([seeds.features, logits.astype(np.float32)[:, None]], axis=1)


def fit_stacked(
    context: GraphContext,
    train: Task,
    trees: TreeConfig,
    network: Network,
    fit: Callable[[Task, int], Network],
) -> StackedRow:
    """`fit(task, number)` trains a network of the kind of `network` on the rows outside of fold `number`.

    Raises `TooLittleData` when the frauds do not suffice for every fold to have some outside of it and inside.
    """
    fold = time_folds(len(train), num_folds=min(NUM_FOLDS, len(train)))
    counts = np.bincount(fold, weights=train.is_fraud, minlength=NUM_FOLDS)
    if not counts.all():
        raise TooLittleData(
            f"{int(train.is_fraud.sum())} training frauds, {counts.astype(int).tolist()} in four blocks of time: "
            f"{stacked_name(network.name)} needs some in each.",
            remedy="Train without stack ([train] stack, --stack), or on a longer snapshot.",
        )
    found = out_of_fold(context, train, fold, fit)
    inputs = with_logit(context.graph.seeds(train.positions), found.logits)
    return StackedRow(booster=grow(inputs, train.is_fraud, trees), network=network)
