"""The trained rows of the ladder, whatever their network: how each is configured, trained, and read back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graphml.context import GraphContext
from graphml.fused_row import FusedRow
from graphml.fused_training import KINDS, FusedTraining, fit_fused
from graphml.graph import Ints
from graphml.graph_row import GraphRow
from graphml.graph_training import GraphRun, GraphTraining, Progress, fit_graph
from graphml.losses import Loss
from graphml.tasks import Task
from graphml.trainer import Tracker
from graphml.trainer_config import TrainerConfig


def training_of(data: Mapping[str, Any]) -> GraphTraining:
    """The settings of a row's training, from what their `as_dict` gave."""
    settings = dict(data)
    settings |= {"loss": Loss(**data["loss"]), "trainer": TrainerConfig(**data["trainer"])}
    settings |= {"fanouts": tuple(data["fanouts"])}
    if data["network"] not in KINDS:
        return GraphTraining(**settings)
    pretraining = data["pretraining"]
    settings |= {"pretraining": None if pretraining is None else TrainerConfig(**pretraining)}
    settings |= {name: tuple(data.get(name, ())) for name in ("columns", "tabular")}
    return FusedTraining(**settings)


def fit_network(
    context: GraphContext,
    train: Task,
    validation: Task | None,
    config: GraphTraining,
    *,
    fitted_on: Ints | None = None,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
    tracker: Tracker | None = None,
) -> GraphRun[GraphRow] | GraphRun[FusedRow]:
    """See `graphml.graph_training.fit_graph` and `graphml.fused_training.fit_fused`."""
    kept: dict[str, Any] = {
        "fitted_on": fitted_on,
        "checkpoint": checkpoint,
        "progress": progress,
        "tracker": tracker,
    }
    if isinstance(config, FusedTraining):
        return fit_fused(context, train, config, validation=validation, **kept)
    return fit_graph(context, train, validation, config, **kept)


def load_network(folder: Path, name: str) -> GraphRow | FusedRow:
    """Read a row that was saved under its name."""
    return FusedRow.load(folder, name) if name in KINDS else GraphRow.load(folder, name)
