"""Everything that decides what a model of a snapshot is, beside the snapshot and the code."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from graphml.baselines import TreeConfig
from graphml.embedders import embedder_training
from graphml.fused_training import KINDS, FusedTraining, event_columns
from graphml.graph_training import GraphTraining
from graphml.neighbors import NeighborConfig
from graphml.trainer_config import TrainerConfig
from ingestion.config import Embedding, Settings, TrainSettings
from ingestion.features.spec import FeatureSpec
from ingestion.snapshot import Snapshot


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that decides what a model of a snapshot is."""

    validation_days: int
    test_days: int
    alert_budget: float
    seed: int
    trees: TreeConfig
    neighbors: NeighborConfig
    networks: tuple[GraphTraining, ...]
    stack: bool
    embedding: Embedding
    embedder: FusedTraining | None

    @classmethod
    def of(cls, settings: Settings, snapshot: Snapshot, *, seed: int | None = None) -> TrainConfig:
        """From a workspace's settings; `seed` overrides the settings'."""
        train = settings.train
        chosen = train.seed if seed is None else seed
        return cls(
            validation_days=train.validation_days,
            test_days=train.test_days,
            alert_budget=train.alert_budget,
            seed=chosen,
            trees=TreeConfig(seed=chosen),
            neighbors=NeighborConfig.for_spec(snapshot.spec),
            networks=tuple(_network(name, train, snapshot.spec, chosen) for name in train.networks),
            stack=train.stack,
            embedding=train.embedding,
            embedder=embedder_training(
                train.embedding, snapshot.spec, _of_run(train, chosen), seeds_per_epoch=train.seeds_per_epoch // 2
            ),
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def _network(name: str, train: TrainSettings, spec: FeatureSpec, seed: int) -> GraphTraining:
    of_run = _of_run(train, seed)
    if name not in KINDS:
        return GraphTraining(
            network=name,
            fanouts=train.fanouts,
            seeds_per_epoch=train.seeds_per_epoch,
            trainer=TrainerConfig(**of_run),
        )
    own = FusedTraining(
        network=name,
        columns=event_columns(spec),
        fanouts=FusedTraining.fanouts if name == "fused" else (0, 0),
        seeds_per_epoch=train.seeds_per_epoch,
    )
    return replace(own, trainer=replace(own.trainer, **of_run))


def _of_run(train: TrainSettings, seed: int) -> dict[str, Any]:
    return {"epochs": train.epochs, "seed": seed, "precision": train.precision}
