"""The rows that always run: logistic regression, XGBoost, and XGBoost with causal neighbor aggregates."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import xgboost
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from graphml.context import GraphContext
from graphml.graph import Floats, Seeds
from graphml.neighbors import NeighborConfig, neighbor_aggregates
from graphml.scaling import SeedEncoder
from graphml.scorer import Doubles

Bools = NDArray[np.bool_]

#: Up to so many cells (rows x columns) trees are grown on exact splits: on the Handbook's data histogram splits
#: lose 0.06 of average precision.
MAX_EXACT_CELLS = 40_000_000


@dataclass(frozen=True, kw_only=True)
class TreeConfig:
    """Boosted trees; the defaults are the Handbook's. One thread: on a shared box two wait for each other."""

    num_trees: int = 100
    depth: int = 3
    learning_rate: float = 0.1
    seed: int = 0
    num_threads: int = 1

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class LogisticRow:
    """Logistic regression on standardised features (absent -> the mean, with a flag)."""

    encoder: SeedEncoder
    coefficients: tuple[float, ...]
    intercept: float
    name: str = "logistic"
    cost: int = 0

    @classmethod
    def fit(cls, features: Floats, is_fraud: Bools, *, inverse_penalty: float = 1.0) -> LogisticRow:
        """Fit on training rows (n, F); `inverse_penalty` is scikit-learn's C."""
        encoder = SeedEncoder.fit(features, compress=(False,))
        model = LogisticRegression(C=inverse_penalty, max_iter=500).fit(encoder(features).astype(np.float64), is_fraud)
        return cls(encoder=encoder, coefficients=tuple(model.coef_[0].tolist()), intercept=float(model.intercept_[0]))

    def logits(self, context: GraphContext, seeds: Seeds) -> Doubles:
        """See `Scorer`."""
        inputs = self.encoder(seeds.features).astype(np.float64)
        result: Doubles = inputs @ np.asarray(self.coefficients) + self.intercept
        return result

    def save(self, folder: Path) -> None:
        """Write `logistic.json`."""
        data = {
            "encoder": self.encoder.as_dict(),
            "coefficients": self.coefficients,
            "intercept": self.intercept,
        }
        (folder / "logistic.json").write_bytes(orjson.dumps(data))

    @classmethod
    def load(cls, folder: Path) -> LogisticRow:
        """Read what `save` wrote."""
        data = orjson.loads((folder / "logistic.json").read_bytes())
        return cls(
            encoder=SeedEncoder.from_dict(data["encoder"]),
            coefficients=tuple(data["coefficients"]),
            intercept=data["intercept"],
        )


@dataclass(frozen=True, kw_only=True)
class TreeRow:
    """XGBoost on a seed's features and, with `neighbors`, on its causal neighbor aggregates."""

    booster: xgboost.Booster
    neighbors: NeighborConfig | None = None

    @property
    def name(self) -> str:
        return "xgboost" if self.neighbors is None else "xgboost_neighbors"

    @property
    def cost(self) -> int:
        return 1 if self.neighbors is None else 2

    @classmethod
    def fit(
        cls,
        context: GraphContext,
        seeds: Seeds,
        is_fraud: Bools,
        config: TreeConfig,
        neighbors: NeighborConfig | None = None,
    ) -> TreeRow:
        """Fit on training seeds (n,)."""
        inputs = _tree_inputs(context, seeds, neighbors)
        return cls(booster=grow(inputs, is_fraud, config), neighbors=neighbors)

    def logits(self, context: GraphContext, seeds: Seeds) -> Doubles:
        """See `Scorer`."""
        return margins(self.booster, _tree_inputs(context, seeds, self.neighbors))

    def save(self, folder: Path) -> None:
        """Write `<name>.trees.json` (XGBoost's JSON) and, with neighbors, `<name>.json`."""
        self.booster.save_model(folder / f"{self.name}.trees.json")
        if self.neighbors is not None:
            (folder / f"{self.name}.json").write_bytes(orjson.dumps(self.neighbors.as_dict()))

    @classmethod
    def load(cls, folder: Path, name: str) -> TreeRow:
        """Read what `save` wrote."""
        booster = xgboost.Booster(model_file=folder / f"{name}.trees.json")
        booster.set_param({"nthread": 1})
        config = folder / f"{name}.json"
        neighbors = NeighborConfig.from_dict(orjson.loads(config.read_bytes())) if config.exists() else None
        return cls(booster=booster, neighbors=neighbors)


def grow(inputs: Floats, is_fraud: Bools, config: TreeConfig) -> xgboost.Booster:
    """Trees on inputs (n, F) and outcomes (n,)."""
    parameters = {
        "objective": "binary:logistic",
        "tree_method": "exact" if inputs.size <= MAX_EXACT_CELLS else "hist",
        "max_bin": 1024,
        "max_depth": config.depth,
        "eta": config.learning_rate,
        "base_score": 0.5,  # as the Handbook's runs had it; newer versions start from the base rate
        "seed": config.seed,
        "nthread": config.num_threads,
    }
    if parameters["tree_method"] == "exact":
        del parameters["max_bin"]
    return xgboost.train(parameters, xgboost.DMatrix(inputs, is_fraud), config.num_trees)


def margins(booster: xgboost.Booster, inputs: Floats) -> Doubles:
    """Log odds (n,) float64 of inputs (n, F)."""
    return np.asarray(booster.inplace_predict(inputs, predict_type="margin"), np.float64)


def _tree_inputs(context: GraphContext, seeds: Seeds, neighbors: NeighborConfig | None) -> Floats:
    if neighbors is None:
        return seeds.features
    return np.concatenate([seeds.features, neighbor_aggregates(context.graph, seeds, neighbors)], axis=1)
