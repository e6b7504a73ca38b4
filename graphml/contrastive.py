"""Contrastive learning of parties' states: two moments of one history are alike, those of others are not.

After CoLES (Babaev and others, Contrastive Learning for Event Sequences with Self-Supervision, 2022), whose views are
slices of one sequence: a causal state after an event is the slice that ends there. The loss is InfoNCE over the
parties of a batch (van den Oord, Li, Vinyals, 2018), both ways. No outcome is a target.

Legend: B parties of a batch, H width of a state, V entities.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from torch.nn.functional import cross_entropy, normalize

from graphml.context import GraphContext
from graphml.errors import TooLittleData
from graphml.fused_row import FusedRow, history_inputs
from graphml.fused_training import FusedTraining
from graphml.graph import Ints
from graphml.graph_training import Progress
from graphml.nn.counterparty import TEMPERATURE, alike
from graphml.nn.event_reader import EventInputs
from graphml.nn.fused import Fused
from graphml.torch_first import torch
from graphml.trainer import fit
from graphml.trainer_config import TrainerConfig

_MIX = np.uint64(0x9E3779B97F4A7C15)


class LastStates(torch.nn.Module):
    """States (B, H), of length 1, after the last events of windows: the network as it is trained here."""

    def __init__(self, network: Fused) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: EventInputs) -> torch.Tensor:
        """See the class."""
        states = normalize(self.network.states(inputs), dim=1)
        # ranks wait for the gradients of all parameters, the head's too
        return states + 0.0 * sum(parameter.sum() for parameter in self.network.parameters())


@dataclass(frozen=True, kw_only=True)
class ContrastiveLearner:
    """See `graphml.trainer.Learner`; an id is a slot of the event log behind an event: the first view of its party.
    The second is behind another of the party's events, one for each slot."""

    context: GraphContext
    row: FusedRow
    config: TrainerConfig
    parties_per_epoch: int
    end: int

    @cached_property
    def network(self) -> torch.nn.Module:
        """The row's network, as it is trained."""
        return LastStates(self.row.network)

    @cached_property
    def behind(self) -> Ints:
        """(V,) slot behind each party's last event before `end`."""
        log, graph = self.context.events(), self.context.graph
        cut = graph.cut_after(self.end)
        everyone = np.arange(graph.num_entities)
        return np.maximum(log.before(everyone, cut), log.starts[:-1])

    def epoch(self, number: int) -> Ints:
        """Moments of parties with two events or more: passes over all of them until there are `parties_per_epoch`."""
        starts = self.context.events().starts
        rng = np.random.default_rng([self.config.seed, number])
        parties = np.flatnonzero(self.behind - starts[:-1] >= 2)
        if len(parties) < 2:
            raise TooLittleData(
                f"{len(parties)} parties have two events before the end of the training rows; contrastive vectors need "
                "two parties to tell apart.",
                remedy='Ingest more data, or set embedding = "outcomes" in [train].',
            )
        num_passes = -(-self.parties_per_epoch // len(parties))
        drawn = np.concatenate([rng.permutation(parties) for _ in range(num_passes)])[: self.parties_per_epoch]
        low, high = starts[drawn] + 1, self.behind[drawn] + 1
        return rng.integers(low, high)

    def loss(self, module: torch.nn.Module, ids: Ints) -> torch.Tensor:
        """Sum over the parties of the loss of finding each one's other view among those of all, and back."""
        first, second = module(self.inputs(np.concatenate([ids, self.partner(ids)]))).chunk(2)
        similarity_BB = first @ second.T / TEMPERATURE
        owner_B = torch.from_numpy(self.context.events().owner(ids - 1)).to(similarity_BB.device)
        similarity_BB = similarity_BB.masked_fill(alike(owner_B), -torch.inf)  # one party twice is no wrong answer
        itself = torch.arange(len(ids), device=similarity_BB.device)
        both = [cross_entropy(part, itself, reduction="sum") for part in (similarity_BB, similarity_BB.T)]
        return (both[0] + both[1]) / 2

    def judge(self) -> None:
        """Nothing tells epochs apart: all are run."""

    def partner(self, ids: Ints) -> Ints:
        """The other view of each slot (B,): another of the party's slots, always the same one."""
        log = self.context.events()
        owner = log.owner(ids - 1)
        low, num = log.starts[owner] + 1, self.behind[owner] - log.starts[owner]
        with np.errstate(over="ignore"):
            mixed = (ids.astype(np.uint64) + np.uint64(self.config.seed)) * _MIX
        step = 1 + ((mixed >> np.uint64(33)) % np.maximum(num - 1, 1).astype(np.uint64)).astype(np.int64)
        other: Ints = low + (ids - low + step) % num
        return other

    def inputs(self, behind: Ints) -> EventInputs:
        """Windows that end before these slots, on the network's device."""
        device = next(self.row.network.parameters()).device
        return history_inputs(self.context, self.row.token, behind, self.row.config).to(device)


def fit_contrastive(
    row: FusedRow,
    context: GraphContext,
    config: FusedTraining,
    *,
    end: int,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> None:
    """Teach the row's network, by `config.trainer`, which moments before position `end` are of one party."""
    learner = ContrastiveLearner(
        context=context, row=row, config=config.trainer, parties_per_epoch=config.seeds_per_epoch, end=end
    )
    fit(
        learner,
        config.trainer,
        checkpoint=checkpoint,
        progress=None if progress is None else lambda share: progress(row.name, share),
    )
