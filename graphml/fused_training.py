"""Training of the fused row: a learner for the one trainer, over the inputs that the row scores on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from graphml.context import GraphContext
from graphml.event_code import EventCode, EventToken
from graphml.fused_row import FusedRow
from graphml.graph import Ints
from graphml.graph_training import GraphTraining, kept_share, train_row
from graphml.nn.fused import Fused, FusedConfig
from graphml.nn.time_encoding import geometric_hours
from graphml.nn.transformer import TransformerConfig
from graphml.tasks import Task
from graphml.torch_first import torch
from graphml.trainer_config import TrainerConfig


@dataclass(frozen=True, kw_only=True)
class FusedTraining(GraphTraining):
    """`GraphTraining` with `fanouts` (last transactions of the other end, transactions in a token's means), blocks,
    heads and window of the transformer, and bins of an event feature and of a gap."""

    fanouts: tuple[int, int] = (10, 16)
    dropout: float = 0.1
    num_blocks: int = 2
    num_heads: int = 4
    window: int = 32
    feature_bins: int = 8
    gap_bins: int = 24
    pair_history: bool = True
    trainer: TrainerConfig = field(
        default_factory=lambda: TrainerConfig(epochs=24, batch_size=256, learning_rate=2e-3, final_share=0.0)
    )


def fit_fused(
    context: GraphContext,
    train: Task,
    columns: Sequence[int],
    config: FusedTraining,
    *,
    fitted_on: Ints | None = None,
    checkpoint: Path | None = None,
) -> FusedRow:
    """Train on `train` from the snapshot's feature `columns`; see `graphml.event_graph_training.fit_event_graph`."""
    row = fused_row(context, train, columns, config, fitted_on=fitted_on)
    train_row(row, context, train, None, config, checkpoint=checkpoint)
    return row


def fused_row(
    context: GraphContext,
    train: Task,
    columns: Sequence[int],
    config: FusedTraining,
    *,
    fitted_on: Ints | None = None,
) -> FusedRow:
    """The row with a fresh network."""
    graph = context.graph
    rows = train.positions if fitted_on is None else fitted_on
    code = EventCode.fit(graph.features[rows], columns, num_bins=config.feature_bins)
    token = EventToken(
        code=code, num_roles=len(graph.roles), num_recent=config.fanouts[1], pair_history=config.pair_history
    )
    sizes = FusedConfig(
        token_width=token.width,
        num_roles=len(graph.roles),
        edges_hours=geometric_hours(number=config.gap_bins),
        transformer=TransformerConfig(
            width=config.width,
            num_blocks=config.num_blocks,
            num_heads=config.num_heads,
            window=config.window,
            dropout=config.dropout,
        ),
        dropout=config.dropout,
    )
    with torch.random.fork_rng():
        torch.manual_seed(config.trainer.seed)
        network = Fused(sizes)
    return FusedRow(
        network=network,
        config=sizes,
        token=token,
        num_near=config.fanouts[0],
        correction=config.loss.correction(prior=float(train.is_fraud.mean()), kept=kept_share(train, config)),
    )
