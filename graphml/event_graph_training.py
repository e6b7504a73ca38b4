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
from graphml.graph_training import GraphTraining, kept_share, train_row
from graphml.nn.event_graph import EventGraph, EventGraphConfig
from graphml.nn.piecewise import PiecewiseBins
from graphml.sampling import NUM_PLAIN_ATTRIBUTES, sample_block, seed_nodes
from graphml.tasks import Task
from graphml.torch_first import torch
from graphml.trainer_config import TrainerConfig

#: Training rows whose gaps tell where the bins of a gap lie.
_ROWS_FOR_GAPS = 4_096


@dataclass(frozen=True, kw_only=True)
class EventGraphTraining(GraphTraining):
    """`GraphTraining` with `fanouts` (transactions of a party that a seed asks, transactions in a token's means),
    widths of the message's MLP, numbers of bins of an event feature and of the gap, and whether tokens tell whom a
    party's recent transactions were with (`pair_history`: 0.03 to 0.04 of average precision on simulated banks). Small
    networks on few frauds need many passes: 24 epochs instead of 12 brought 0.03 on earlier weeks of the Handbook."""

    fanouts: tuple[int, int] = (64, 16)
    dropout: float = 0.1
    message_widths: tuple[int, ...] = (64, 64)
    aggregators: tuple[str, ...] = ("mean", "max", "attention")
    feature_bins: int = 8
    gap_bins: int = 24
    pair_history: bool = True
    trainer: TrainerConfig = field(
        default_factory=lambda: TrainerConfig(epochs=24, batch_size=256, learning_rate=2e-3, final_share=0.0)
    )


def fit_event_graph(
    context: GraphContext,
    train: Task,
    columns: Sequence[int],
    config: EventGraphTraining,
    *,
    fitted_on: Ints | None = None,
    checkpoint: Path | None = None,
) -> EventGraphRow:
    """Train on `train` from the snapshot's feature `columns` (those of the event itself: `range(len(spec.event))`).

    Encodings, which no outcome enters, are fitted on the positions `fitted_on`, the training rows if unset: models that
    share them share the table of tokens.
    """
    row = event_graph_row(context, train, columns, config, fitted_on=fitted_on)
    train_row(row, context, train, None, config, checkpoint=checkpoint)
    return row


def event_graph_row(
    context: GraphContext,
    train: Task,
    columns: Sequence[int],
    config: EventGraphTraining,
    *,
    fitted_on: Ints | None = None,
) -> EventGraphRow:
    """The row with a fresh network."""
    graph = context.graph
    rows = train.positions if fitted_on is None else fitted_on
    code = EventCode.fit(graph.features[rows], columns, num_bins=config.feature_bins)
    token = EventToken(
        code=code, num_roles=len(graph.roles), num_recent=config.fanouts[1], pair_history=config.pair_history
    )
    sizes = EventGraphConfig(
        token_width=token.width,
        num_attributes=len(graph.roles) + NUM_PLAIN_ATTRIBUTES,
        num_roles=len(graph.roles),
        edges_hours=_gap_edges(context, rows, config),
        width=config.width,
        message_widths=config.message_widths,
        aggregators=config.aggregators,
        dropout=config.dropout,
    )
    with torch.random.fork_rng():
        torch.manual_seed(config.trainer.seed)
        network = EventGraph(sizes)
    return EventGraphRow(
        network=network,
        config=sizes,
        token=token,
        fanout=config.fanouts[0],
        correction=config.loss.correction(prior=float(train.is_fraud.mean()), kept=kept_share(train, config)),
    )


def _gap_edges(context: GraphContext, positions: Ints, config: EventGraphTraining) -> tuple[float, ...]:
    """Quantiles of the gaps (hours) that seeds at `positions` see."""
    rows = np.random.default_rng(0).permutation(positions)[:_ROWS_FOR_GAPS]
    seeds = context.graph.seeds(rows)
    nodes, _ = seed_nodes(seeds.entity)
    gap = sample_block(context.graph, nodes, seeds.cuts, config.fanouts[0]).gap
    return PiecewiseBins.fit(gap[:, None], num_bins=config.gap_bins).edges[0]
