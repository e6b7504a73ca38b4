"""A graph network in double precision without dropout, trained by a process of many; importable by those processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from graphml.context import GraphContext
from graphml.distributed import current_ranks
from graphml.fused_training import FusedLearner, FusedTraining, fused_row
from graphml.graph_training import GraphLearner, GraphTraining, epoch_rows, graph_row
from graphml.tasks import Task
from graphml.torch_first import torch
from graphml.trainer import Run, fit
from graphml.trainer_config import TrainerConfig
from tests.graphml.cases import random_graph


def train_double(network: str = "relational_gat") -> Run:
    """Train 5 epochs of 11 steps on this process's share of each batch."""
    context = GraphContext(random_graph(1, num=300, entities=30))
    train = Task(positions=np.arange(50, 200), is_fraud=np.random.default_rng(0).random(150) < 0.1)
    config = GraphTraining(
        network=network,
        width=8,
        dropout=0.0,
        negatives=4,
        seeds_per_epoch=170,
        trainer=TrainerConfig(epochs=5, batch_size=15, learning_rate=1e-2, precision="fp32"),
    )
    row = graph_row(context, train, config)
    row.network.double()
    ranks = current_ranks()
    learner = GraphLearner(context=context, train=train, validation=None, config=config, row=row, ranks=ranks)
    return fit(learner, config.trainer, ranks=ranks)


def train_double_fused() -> Run:
    """The fused network, two epochs of two steps; the second has one seed, so that other ranks have none. Without
    `next_event`, which hangs on the windows of a rank."""
    context = GraphContext(random_graph(1, num=300, entities=30))
    train = Task(positions=np.arange(50, 200), is_fraud=np.random.default_rng(0).random(150) < 0.1)
    config = FusedTraining(
        columns=(0, 1),
        width=8,
        num_heads=2,
        window=4,
        dropout=0.0,
        next_event=0.0,
        negatives=4,
        seeds_per_epoch=170,
        trainer=TrainerConfig(epochs=2, learning_rate=1e-2, precision="fp32"),
    )
    size = len(epoch_rows(train, config, 0)) - 1
    config = replace(config, trainer=replace(config.trainer, batch_size=size))
    row = fused_row(context, train, config)
    row.network.double()
    ranks = current_ranks()
    learner = FusedLearner(context=context, train=train, validation=None, config=config, row=row, ranks=ranks)
    return fit(learner, config.trainer, ranks=ranks)


def train_graph_on_rank(rank: int, world: int, out: Path, train: Callable[[], Run] = train_double) -> None:
    """One of `world` processes; leaves its weights in `out`."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{out / 'store'}", rank=rank, world_size=world)
    try:
        torch.save(train().learner.network.state_dict(), out / f"{rank}.pt")
    finally:
        torch.distributed.destroy_process_group()
