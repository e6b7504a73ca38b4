"""Trees on top of a network: XGBoost on a seed's features and on what a network says of it.

Trees learn from out-of-fold logits (`graphml.stacking`): folds are blocks of time with as many frauds each, so that a
case of many parties stays in one unless a bound cuts it. What is scored later has the logit of the network that learned
from all training rows (Wolpert, Stacked Generalization, 1992), so a stacked row costs no more online than its network
and trees. A logit that differs in its last bits may fall on the other side of a split, and the score then jumps.
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
from graphml.stacking import fraud_folds, out_of_fold
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

    See `require_frauds`.
    """
    require_frauds(train)
    found = out_of_fold(context, train, fraud_folds(train.is_fraud, num_folds=NUM_FOLDS), fit)
    inputs = with_logit(context.graph.seeds(train.positions), found.logits)
    return StackedRow(booster=grow(inputs, train.is_fraud, trees), network=network)


def require_frauds(train: Task) -> None:
    """Raise `TooLittleData` when there are fewer frauds than folds: ask before networks are trained."""
    num = int(train.is_fraud.sum())
    if num < NUM_FOLDS:
        raise TooLittleData(
            f"Trees on a network are grown on {NUM_FOLDS} blocks of time with a fraud each; there are {num} among "
            f"{len(train):,} training rows.",
            remedy="Take a longer training window, or a model without stack ([train] stack, --stack).",
        )
