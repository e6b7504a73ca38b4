"""Vectors of parties as of a time, for similarity search and entity risk: four ways to make them.

`outcomes`: states of the ladder's first network, trained end to end on outcomes. `contrastive`: two moments of one
party's history are alike, those of different parties are not. `next_event`: states that tell what comes next. Neither
of these two reads an outcome as a target. `features`: means of a party's last transactions' features, no training.

Legend: D entities, H width of a vector, E sampled transactions, F features.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import orjson

from graphml.context import GraphContext
from graphml.contrastive import fit_contrastive
from graphml.fused_row import FusedRow
from graphml.fused_training import FusedTraining, event_columns, fused_row, pretrain
from graphml.graph import Cuts, Floats, Ints
from graphml.graph_training import Progress
from graphml.neighbors import bag_means
from graphml.sampling import recent_slots
from graphml.scaling import Scaler
from graphml.tasks import Task
from graphml.trainer_config import TrainerConfig
from ingestion.config import Embedding
from ingestion.features.spec import FeatureSpec

#: The strategies that train a network of their own.
OWN_NETWORKS: tuple[Embedding, ...] = ("contrastive", "next_event")


class Embedder(Protocol):
    """Makes vectors; saved in a model's folder under its name."""

    @property
    def name(self) -> str:
        """The strategy, or the network of the ladder."""
        ...

    def embed(self, context: GraphContext, entity_ids: Ints, cut: Cuts) -> Floats:
        """(D, H) float32 of entities as of one cut (C = 1), each of length 1, or zeros without an event."""
        ...

    def save(self, folder: Path) -> None:
        """Write into a folder that is there."""
        ...


@dataclass(frozen=True, kw_only=True)
class FeatureEmbedder:
    """Mean of the standardised features of a party's `num_recent` last transactions, at length 1."""

    scaler: Scaler
    num_recent: int = 16
    name: str = "features"

    def embed(self, context: GraphContext, entity_ids: Ints, cut: Cuts) -> Floats:
        """See `Embedder`."""
        graph = context.graph
        position = np.repeat(cut.position, len(entity_ids))
        offsets, slots = recent_slots(graph.starts, graph.stops, graph.incident, entity_ids, position, self.num_recent)
        scaled_EF = self.scaler(graph.features[graph.incident[slots]])
        unlabelled = np.full(len(slots), -1, np.int8)
        columns = np.arange(scaled_EF.shape[1])
        means = bag_means(offsets, np.arange(len(slots)), unlabelled, scaled_EF, columns)[:, : len(columns)]
        means[np.isnan(means)] = 0.0
        length = np.linalg.norm(means, axis=1, keepdims=True)
        vectors: Floats = (means / np.where(length > 0, length, 1.0)).astype(np.float32)
        return vectors

    def save(self, folder: Path) -> None:
        """Write `features.json`."""
        data = {"scaler": self.scaler.as_dict(), "num_recent": self.num_recent}
        (folder / f"{self.name}.json").write_bytes(orjson.dumps(data))

    @classmethod
    def load(cls, folder: Path) -> FeatureEmbedder:
        """Read what `save` wrote."""
        data = orjson.loads((folder / "features.json").read_bytes())
        return cls(scaler=Scaler.from_dict(data["scaler"]), num_recent=data["num_recent"])


def embedder_training(
    strategy: Embedding, spec: FeatureSpec, of_run: dict[str, Any], *, seeds_per_epoch: int = 4_096
) -> FusedTraining | None:
    """How the network of a strategy is trained, a decoder of events; None where there is none to train.

    `of_run` are settings of the trainer; by default half the seeds of the ladder's networks, for vectors are not worth
    as much time. Raises `UsageError` where the spec has no features of the event.
    """
    if strategy not in OWN_NETWORKS:
        return None
    trainer = TrainerConfig(**{"batch_size": 128, "learning_rate": 2e-3} | of_run)
    return FusedTraining(
        network="decoder",
        columns=event_columns(spec),
        fanouts=(0, 0),
        seeds_per_epoch=seeds_per_epoch,
        trainer=trainer,
        pretraining=trainer,
    )


def fit_embedder(
    strategy: Embedding,
    context: GraphContext,
    train: Task,
    config: FusedTraining | None,
    *,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> FusedRow | FeatureEmbedder:
    """The embedder of a strategy other than `outcomes`, from transactions up to the last training row.

    A killed run that is called again with the same arguments and `checkpoint` file goes on.
    """
    end = int(train.positions.max()) + 1
    if strategy == "features":
        return FeatureEmbedder(scaler=Scaler.fit(context.graph.features[train.positions], compress=True))
    if strategy not in OWN_NETWORKS or config is None:
        raise ValueError(f"{strategy!r} trains no embedder of its own; give one of {OWN_NETWORKS} and its training.")
    row = replace(fused_row(context, train, config), name=strategy)
    if strategy == "contrastive":
        fit_contrastive(row, context, config, end=end, checkpoint=checkpoint, progress=progress)
    else:
        pretrain(row, context, config, end=end, checkpoint=checkpoint, progress=progress)
    return row


def load_embedder(folder: Path, strategy: Embedding) -> Embedder:
    """Read the embedder of a strategy other than `outcomes`."""
    return FeatureEmbedder.load(folder) if strategy == "features" else FusedRow.load(folder, strategy)
