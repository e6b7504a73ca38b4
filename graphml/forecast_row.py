"""Anomalies by forecast: a transaction is as odd as it is far from what its parties' histories led to expect.

No outcome is a target; outcomes that were known by then are events of the histories.

Legend: S seeds, R roles.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from graphml.context import GraphContext
from graphml.distributed import current_ranks
from graphml.event_code import EventToken
from graphml.fused_row import fused_inputs
from graphml.fused_training import FusedTraining, drawn_before, event_token, reader_config
from graphml.graph import Ints, Seeds
from graphml.graph_row import take_seeds
from graphml.nn.event_reader import EventInputs
from graphml.nn.forecast import Forecaster, ForecasterConfig, Forecasts
from graphml.nn.transformer import TransformerConfig
from graphml.scorer import Doubles
from graphml.torch_first import torch
from graphml.trainer import fit
from graphml.trainer_config import TrainerConfig

_SEEDS_AT_ONCE = 512


@dataclass(frozen=True, kw_only=True)
class ForecastRow:
    """The fitted forecaster."""

    network: Forecaster
    config: ForecasterConfig
    token: EventToken
    name: str = "forecast"

    def inputs(self, context: GraphContext, seeds: Seeds) -> EventInputs:
        """What the network is called with, on its device: each seed's window ends at the seed."""
        device = next(self.network.parameters()).device
        found = fused_inputs(context, self.token, seeds, self.config.receptive_field, num_near=0, alone=True)
        return found.to(device)

    def errors(self, context: GraphContext, seeds: Seeds) -> tuple[Doubles, Doubles]:
        """Absolute errors (S,) of the forecasts and of the last value, means over parties, anchors and numbers; 0 for a
        seed whose parties have no history."""
        found: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        self.network.eval()
        for start in range(0, len(seeds), _SEEDS_AT_ONCE):
            inputs = self.inputs(context, take_seeds(seeds, slice(start, start + _SEEDS_AT_ONCE)))
            with torch.inference_mode():
                told = self.network(inputs)
            for kept, expected in zip(found, (told.expected_DJF, told.latest_DJF), strict=True):
                kept.append(_of_seeds(told.error(expected), told.there_DJ, inputs.index_SR).cpu().numpy())
        forecast, latest = (np.concatenate(parts).astype(np.float64) for parts in found)
        return forecast, latest

    def logits(self, context: GraphContext, seeds: Seeds) -> Doubles:
        """The error of the forecast (S,), higher is odder: a ranking, no log odds."""
        return self.errors(context, seeds)[0]


@dataclass(frozen=True, kw_only=True)
class ForecastLearner:
    """See `graphml.trainer.Learner`; ids of seeds are positions before `end`."""

    context: GraphContext
    row: ForecastRow
    config: TrainerConfig
    seeds_per_epoch: int
    end: int

    @cached_property
    def network(self) -> torch.nn.Module:
        """The row's network."""
        return self.row.network

    def epoch(self, number: int) -> Ints:
        """See `Learner`."""
        return drawn_before(self.end, self.seeds_per_epoch, seed=self.config.seed, epoch=number)

    def loss(self, module: torch.nn.Module, ids: Ints) -> torch.Tensor:
        """See `Learner`."""
        told: Forecasts = module(self.row.inputs(self.context, self.context.graph.seeds(ids)))
        return len(ids) * told.error(told.expected_DJF).mean()

    def judge(self) -> None:
        """All epochs are run."""


def fit_forecast(
    context: GraphContext, rows: Ints, config: FusedTraining, *, horizon: int = 4, checkpoint: Path | None = None
) -> ForecastRow:
    """Learn from transactions up to the last of the positions `rows`, on which encodings are fitted. In one process.

    `config`: a decoder's settings; its `trainer` and `seeds_per_epoch` say how long.
    """
    if config.network != "decoder":
        raise ValueError(f"network is {config.network}; a forecaster reads what a decoder reads: give that.")
    if current_ranks().world > 1:
        raise ValueError("A forecaster is trained by one process: start it without torchrun.")
    token = event_token(context, rows, config)
    sizes = ForecasterConfig(
        reader=reader_config(context, token, config),
        numbers=(len(token.code.graded), 2 * len(token.code.graded)),
        transformer=TransformerConfig(
            width=config.width,
            num_blocks=config.num_blocks,
            num_heads=config.num_heads,
            window=config.window,
            dropout=config.dropout,
        ),
        horizon=horizon,
    )
    with torch.random.fork_rng():
        torch.manual_seed(config.trainer.seed)
        network = Forecaster(sizes)
    row = ForecastRow(network=network, config=sizes, token=token)
    learner = ForecastLearner(
        context=context,
        row=row,
        config=config.trainer,
        seeds_per_epoch=config.seeds_per_epoch,
        end=int(rows.max()) + 1,
    )
    fit(learner, config.trainer, checkpoint=checkpoint)
    return row


def _of_seeds(error_D: torch.Tensor, there_DJ: torch.Tensor, index_SR: torch.Tensor) -> torch.Tensor:
    """(S,) mean over the parties of a seed that have a history."""
    known_D = there_DJ.any(dim=1)
    counts_SR = (index_SR >= 0) & known_D[index_SR.clamp(min=0)]
    result: torch.Tensor = (error_D[index_SR.clamp(min=0)] * counts_SR).sum(dim=1) / counts_SR.sum(dim=1).clamp(min=1)
    return result
