"""Training of the event graph row: a learner for the one trainer, over the blocks that the row scores on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from graphml.context import GraphContext
from graphml.event_code import EventCode, EventToken
from graphml.event_graph_row import EventGraphRow
from graphml.graph import Ints
from graphml.graph_training import GraphTraining, epoch_positions, kept_share
from graphml.nn.event_graph import EventGraph, EventGraphConfig
from graphml.nn.piecewise import PiecewiseBins
from graphml.sampling import NUM_PLAIN_ATTRIBUTES, sample_block, seed_nodes
from graphml.tasks import Task
from graphml.torch_first import torch
from graphml.trainer import fit
from graphml.trainer_config import TrainerConfig

#: Training rows whose gaps tell where the bins of a gap lie.
_ROWS_FOR_GAPS = 4_096


@dataclass(frozen=True, kw_only=True)
class EventGraphTraining(GraphTraining):
    """`GraphTraining` with `fanouts` (transactions of a party that a seed asks, transactions in a token's means),
    widths of the message's MLP and numbers of bins of an event feature and of the gap. Small networks on few frauds
    need many passes: 24 epochs instead of 12 brought 0.03 of average precision on earlier weeks of the Handbook."""

    fanouts: tuple[int, int] = (64, 16)
    dropout: float = 0.1
    message_widths: tuple[int, ...] = (64, 64)
    aggregators: tuple[str, ...] = ("mean", "max", "attention")
    feature_bins: int = 16
    gap_bins: int = 32
    trainer: TrainerConfig = field(
        default_factory=lambda: TrainerConfig(epochs=24, batch_size=256, learning_rate=2e-3, final_share=0.0)
    )


@dataclass(kw_only=True)
class EventGraphLearner:
    """See `graphml.trainer.Learner`; ids of seeds are positions. All epochs are run and the last is kept."""

    context: GraphContext
    train: Task
    config: EventGraphTraining
    row: EventGraphRow
    targets_N: torch.Tensor

    @property
    def network(self) -> torch.nn.Module:
        """The row's network."""
        return self.row.network

    def epoch(self, number: int) -> Ints:
        """See `epoch_positions`."""
        return epoch_positions(self.train, self.config, number)

    def loss(self, module: torch.nn.Module, ids: Ints) -> torch.Tensor:
        """Sum of the losses of the seeds at positions `ids`."""
        logits = module(*self.row.inputs(self.context, self.context.graph.seeds(ids)))
        return self.config.loss.total(logits, self.targets_N[ids].to(logits.device), float(self.train.is_fraud.mean()))

    def judge(self) -> float | None:
        """Nothing tells epochs apart."""
        return None


def fit_event_graph(
    context: GraphContext,
    train: Task,
    columns: Sequence[int],
    config: EventGraphTraining,
    *,
    checkpoint: Path | None = None,
) -> EventGraphRow:
    """Train on `train` from the snapshot's feature `columns` (those of the event itself: `range(len(spec.event))`)."""
    learner = event_graph_learner(context, train, columns, config)
    fit(learner, config.trainer, checkpoint=checkpoint)
    return learner.row


def event_graph_learner(
    context: GraphContext, train: Task, columns: Sequence[int], config: EventGraphTraining
) -> EventGraphLearner:
    """The learner with a fresh network, its encodings fitted on the training rows."""
    graph = context.graph
    code = EventCode.fit(graph.features[train.positions], columns, num_bins=config.feature_bins)
    token = EventToken(code=code, num_roles=len(graph.roles), num_recent=config.fanouts[1])
    sizes = EventGraphConfig(
        token_width=token.width,
        num_attributes=len(graph.roles) + NUM_PLAIN_ATTRIBUTES,
        num_roles=len(graph.roles),
        edges_hours=_gap_edges(context, train, config),
        width=config.width,
        message_widths=config.message_widths,
        aggregators=config.aggregators,
        dropout=config.dropout,
    )
    with torch.random.fork_rng():
        torch.manual_seed(config.trainer.seed)
        network = EventGraph(sizes)
    row = EventGraphRow(
        network=network,
        config=sizes,
        token=token,
        fanout=config.fanouts[0],
        correction=config.loss.correction(prior=float(train.is_fraud.mean()), kept=kept_share(train, config)),
    )
    targets = np.zeros(len(graph), np.float32)
    targets[train.positions] = train.is_fraud
    return EventGraphLearner(context=context, train=train, config=config, row=row, targets_N=torch.from_numpy(targets))


def _gap_edges(context: GraphContext, train: Task, config: EventGraphTraining) -> tuple[float, ...]:
    """Quantiles of the gaps (hours) that training seeds see."""
    rows = np.random.default_rng(config.trainer.seed).permutation(train.positions)[:_ROWS_FOR_GAPS]
    seeds = context.graph.seeds(rows)
    nodes, _ = seed_nodes(seeds.entity)
    gap = sample_block(context.graph, nodes, seeds.cuts, config.fanouts[0]).gap
    return PiecewiseBins.fit(gap[:, None], num_bins=config.gap_bins).edges[0]
