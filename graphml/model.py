"""A model: an immutable, verified bundle that scores, calibrates and embeds.

models/model-<12 hex>/
  manifest.json                    id, snapshot id, served row, files with SHA-256
  config.json                      spec, roles, types, alert party, windows, training settings, code version
  logistic.json  xgboost.trees.json  xgboost_neighbors.trees.json + .json  graphsage.safetensors + .json (by network)
  xgboost_graphsage.trees.json     trees on a network, where [train] stack is on (by network)
  fused.transaction.onnx  fused.label.onnx   steps of the online scorer (fused and decoder)
  calibration.json                 by row: sigmoid or steps, and the threshold in logits and as a probability
  judged.parquet                   ids, outcomes and every row's scores in validation and test
  metrics.json                     ladder with intervals, curves, reliability, training history
  card.md                          the model card
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from graphml.baselines import LogisticRow, TreeRow
from graphml.calibration import Calibration
from graphml.context import GraphContext
from graphml.embedders import Embedder, load_embedder
from graphml.errors import ModelMismatch
from graphml.graph import Ints, Seeds, TransactionGraph
from graphml.network_training import load_network
from graphml.scorer import Doubles, Scorer
from graphml.stacked_row import StackedRow
from graphml.tasks import Windows
from ingestion.artifacts import verify
from ingestion.features.spec import FeatureSpec

#: Rows that every model has; after them come the networks of its settings.
BASELINES = ("logistic", "xgboost", "xgboost_neighbors")


@dataclass(frozen=True, kw_only=True)
class RowPolicy:
    """Calibration of a row and the validation quantile of its logits for the alert budget."""

    calibration: Calibration
    threshold_logit: float

    @property
    def threshold(self) -> float:
        """The threshold as a calibrated probability."""
        return float(self.calibration(np.asarray([self.threshold_logit]))[0])

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` reads it back."""
        return {
            "calibration": self.calibration.as_dict(),
            "threshold_logit": self.threshold_logit,
            "threshold": self.threshold,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> RowPolicy:
        """Read what `as_dict` gave."""
        return cls(calibration=Calibration.from_dict(data["calibration"]), threshold_logit=data["threshold_logit"])


@dataclass(frozen=True, kw_only=True)
class Model:
    """An opened model. `served_row` is the row that validation chose; the other rows can be asked by name."""

    path: Path
    manifest: dict[str, Any]
    config: dict[str, Any]
    metrics: dict[str, Any]
    scorers: Mapping[str, Scorer]
    policies: Mapping[str, RowPolicy]
    embedder: Embedder

    @classmethod
    def open(cls, path: Path, *, expected_digest: str | None = None) -> Model:
        """Verify every file against the manifest, then open. Raises `ArtifactError` when one differs."""
        manifest = verify(path, expected_digest=expected_digest)
        policies = orjson.loads((path / "calibration.json").read_bytes())
        config = orjson.loads((path / "config.json").read_bytes())
        scorers: dict[str, Scorer] = {
            "logistic": LogisticRow.load(path),
            "xgboost": TreeRow.load(path, "xgboost"),
            "xgboost_neighbors": TreeRow.load(path, "xgboost_neighbors"),
        }
        networks = {name: load_network(path, name) for name in _networks(config)}
        if config["training"].get("stack", False):  # as below
            stacked = [StackedRow.load(path, network) for network in networks.values()]
            scorers |= {row.name: row for row in stacked}
        strategy = config["training"].get("embedding", "outcomes")  # models of before there was a choice
        return cls(
            path=path,
            manifest=manifest,
            config=config,
            metrics=orjson.loads((path / "metrics.json").read_bytes()),
            scorers=scorers | networks,
            policies={name: RowPolicy.from_dict(data) for name, data in policies.items()},
            embedder=next(iter(networks.values())) if strategy == "outcomes" else load_embedder(path, strategy),
        )

    @property
    def id(self) -> str:
        return str(self.manifest["id"])

    @property
    def snapshot_id(self) -> str:
        return str(self.manifest["snapshot_id"])

    @property
    def served_row(self) -> str:
        return str(self.manifest["served"])

    @property
    def spec(self) -> FeatureSpec:
        return FeatureSpec.from_dict(self.config["feature_spec"])

    @property
    def windows(self) -> Windows:
        return Windows(**self.config["windows"])

    @property
    def alert_party(self) -> str:
        """Role whose party an alert is about."""
        return str(self.config["alert_party"])

    @property
    def threshold(self) -> float:
        """Calibrated probability from which the served row raises an alert."""
        return self.policies[self.served_row].threshold

    @property
    def largest_fanout(self) -> int:
        """Most recent transactions of a party that any row looks at."""
        config = self.config["training"]
        fanouts = [fanout for network in config["networks"] for fanout in network["fanouts"]]
        return int(max(*fanouts, *config["neighbors"]["fanouts"]))

    def score_positions(self, context: GraphContext, positions: Ints, row: str | None = None) -> Doubles:
        """Logits (n,) float64 of transactions of the context's graph, each as of its own place in the sequence."""
        self.require(context.graph)
        return self.score_seeds(context, context.graph.seeds(np.asarray(positions, np.int64)), row)

    def score_seeds(self, context: GraphContext, seeds: Seeds, row: str | None = None) -> Doubles:
        """Logits (S,) float64 of seeds; what the online scorer and occlusion call."""
        return self._scorer(row).logits(context, seeds)

    def probability(self, logits: Doubles, row: str | None = None) -> Doubles:
        """Calibrated probabilities (n,) of a row's logits."""
        return self._policy(row).calibration(logits)

    def embed_entities(self, context: GraphContext, entity_ids: Ints, cut_position: int) -> NDArray[np.float32]:
        """(n, D) float32 vectors of length 1 by the strategy of `[train] embedding`, whichever row is served.

        They see the first `cut_position` transactions and the labels known when the last of them became available.
        """
        self.require(context.graph)
        cut = context.graph.cut_after(cut_position)
        return self.embedder.embed(context, np.asarray(entity_ids, np.int64), cut)

    def require(self, graph: TransactionGraph) -> None:
        """Raise `ModelMismatch` when the graph's roles, types or features are not the model's."""
        mine = {
            "roles": tuple(self.config["roles"]),
            "entity types": tuple(self.config["types"]),
            "number of features": len(self.spec.names),
        }
        theirs = {
            "roles": graph.roles,
            "entity types": graph.types,
            "number of features": graph.features.shape[1],
        }
        for what, wanted in mine.items():
            if theirs[what] != wanted:
                raise ModelMismatch(
                    f"{self.id} was trained on {what} {wanted}, but the snapshot has {theirs[what]}.",
                    remedy="Train a model on this snapshot.",
                )

    def _scorer(self, row: str | None) -> Scorer:
        return self.scorers[self._known(row)]

    def _policy(self, row: str | None) -> RowPolicy:
        return self.policies[self._known(row)]

    def _known(self, row: str | None) -> str:
        name = row or self.served_row
        if name not in self.scorers:
            raise ValueError(f"{name!r} is not a row of {self.id}; it has {', '.join(self.scorers)}")
        return name


def _networks(config: dict[str, Any]) -> list[str]:
    return [str(network["network"]) for network in config["training"]["networks"]]
