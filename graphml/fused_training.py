"""Training of the fused row: learners for the one trainer, over the inputs that the row scores on.

A network learns from outcomes of seeds, from what each transaction of their windows was like (`FusedTraining`'s
`next_event`), and before both, if asked (`pretraining`), from the latter alone, on seeds drawn from all transactions up
to the last training row, whatever is known of their outcome.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy.special import expit

from graphml.context import GraphContext
from graphml.distributed import current_ranks
from graphml.event_code import EventCode, EventToken
from graphml.fused_row import FusedRow
from graphml.graph import Ints
from graphml.graph_training import GraphLearner, GraphRun, GraphTraining, Progress, graph_run, kept_share
from graphml.nn.counterparty import Counterparty
from graphml.nn.event_reader import EventInputs, ReaderConfig
from graphml.nn.fused import Fused, FusedConfig
from graphml.nn.next_event import next_event_loss
from graphml.nn.time_encoding import geometric_hours
from graphml.nn.transformer import TransformerConfig
from graphml.scorer import Doubles
from graphml.tasks import Task
from graphml.torch_first import torch
from graphml.trainer import Tracker, fit
from graphml.trainer_config import TrainerConfig
from ingestion.errors import UsageError
from ingestion.features.spec import FeatureSpec

#: Rows by what they read of the past: both ends' sequences and what the other end did; the sequences alone, oldest to
#: newest or both ways.
KINDS = ("fused", "decoder", "encoder")


@dataclass(frozen=True, kw_only=True)
class FusedTraining(GraphTraining):
    """`GraphTraining` of one of `KINDS` from `columns` of the snapshot (those of the event itself, see
    `event_columns`), and `tabular` ones that the head alone is given, with `fanouts` (last transactions of the other
    end, transactions in a token's means), blocks, heads and window of the transformer, bins of a feature and of a gap,
    the weights of `next_event`'s loss and of `counterparty`'s beside that of the outcome, whether the head is told how
    unusual a transaction is (`surprise`), and how to pretrain (`seeds_per_epoch` seeds an epoch; unset: not at all). On
    one earlier week of the Handbook, with one network, `next_event` and `surprise` together lost average precision
    (docs/experiments.md): off until more is known, as is `counterparty`."""

    network: str = "fused"
    columns: tuple[int, ...] = ()
    tabular: tuple[int, ...] = ()
    fanouts: tuple[int, int] = (4, 64)
    width: int = 32
    dropout: float = 0.1
    num_blocks: int = 2
    num_heads: int = 4
    window: int = 16
    feature_bins: int = 8
    gap_bins: int = 24
    pair_history: bool = True
    max_seeds_per_epoch: int = 16_384
    next_event: float = 0.0
    counterparty: float = 0.0
    surprise: bool = False
    pretraining: TrainerConfig | None = None
    trainer: TrainerConfig = field(
        default_factory=lambda: TrainerConfig(epochs=12, batch_size=128, learning_rate=2e-3, final_share=0.0)
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("next_event", "counterparty"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; a weight is 0 or more.")
        if self.counterparty and self.network == "encoder":
            raise ValueError("counterparty with an encoder: its states before a transaction have seen the transaction.")
        if self.surprise and self.next_event == 0 and self.pretraining is None:
            raise ValueError("surprise without next_event or pretraining: the network would not know what to expect.")
        if (min(self.fanouts) > 0) != (self.network == "fused") or (max(self.fanouts) > 0 and self.network != "fused"):
            raise ValueError(
                f"network is {self.network} with fanouts {self.fanouts}: fused reads what the other end did, so its "
                "fanouts are 1 or more; a decoder or an encoder has (0, 0): tokens that tell of earlier transactions "
                "give away what it is to tell."
            )

    @property
    def hangs_on_ranks(self) -> bool:
        """Also with `next_event`, `counterparty` or pretraining: each process tells what is in its own windows."""
        return super().hangs_on_ranks or self.next_event + self.counterparty > 0 or self.pretraining is not None

    @classmethod
    def known(cls) -> Iterable[str]:
        """What `network` may be."""
        return KINDS


def event_columns(spec: FeatureSpec) -> tuple[int, ...]:
    """Columns of a snapshot's features that are the event's own. Raises `UsageError` where the spec has none."""
    if not spec.event:
        raise UsageError(
            "The feature spec has no features of the event itself, and transformers read nothing else.",
            remedy='Add some to the spec, e.g. event = ["amount", "hour"], and ingest again; or train other networks.',
        )
    return tuple(range(len(spec.event)))


class Telling(torch.nn.Module):
    """The network as it is trained: logits of seeds and the loss beside that of outcomes, by one call: `next_event`
    times that of telling transactions, `counterparty` times that of telling the other end."""

    def __init__(self, network: Fused, *, next_event: float, counterparty: float = 0.0, seed: int = 0) -> None:
        super().__init__()
        self.network, self.next_event, self.weight = network, next_event, counterparty
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.counterparty = Counterparty(network.config.transformer.width) if counterparty else None

    def forward(self, inputs: EventInputs) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Fused.told`, `next_event_loss` and `Counterparty`."""
        # ranks wait for the gradients of all parameters, of a rank without a share of the last batch too
        loss: torch.Tensor = 0.0 * torch.stack([parameter.sum() for parameter in self.parameters()]).sum()
        if self.next_event == 0 and self.counterparty is None:
            return self.network(inputs), loss
        told = self.network.told(inputs)
        if self.next_event:
            loss = loss + self.next_event * next_event_loss(told.expected_MB, told.filled_MB)
        if self.counterparty is not None:
            loss = loss + self.weight * self.counterparty(told.state_LH, inputs)
        return told.logits, loss


@dataclass(frozen=True, kw_only=True)
class FusedLearner(GraphLearner):
    """`GraphLearner` whose loss has `Telling`'s in it; ids of seeds are rows of `train`. `teacher` (n,) are chances of
    fraud among the rows that are drawn, which then take the place of outcomes."""

    row: FusedRow
    config: FusedTraining
    teacher: Doubles | None = None

    @cached_property
    def network(self) -> torch.nn.Module:
        """The row's network, as it is trained."""
        config = self.config
        return Telling(
            self.row.network,
            next_event=config.next_event,
            counterparty=config.counterparty,
            seed=config.trainer.seed,
        )

    def loss(self, module: torch.nn.Module, ids: Ints) -> torch.Tensor:
        """See `graphml.trainer.Learner`."""
        logits, beside = module(*self.row.inputs(self.context, self.train.seeds(self.context.graph, ids)))
        chance = self.train.is_fraud[ids] if self.teacher is None else self.teacher[ids]
        targets = torch.from_numpy(chance).to(logits.device, logits.dtype)
        outcome = self.config.loss.total(logits, targets, float(self.train.is_fraud.mean()))
        return outcome + len(ids) * beside


@dataclass(frozen=True, kw_only=True)
class Pretraining:
    """Learns to tell the next transaction of each party; ids of seeds are positions before `end`. No outcome enters but
    as what a party had been told of by then."""

    context: GraphContext
    row: FusedRow
    config: TrainerConfig
    seeds_per_epoch: int
    end: int

    @cached_property
    def network(self) -> torch.nn.Module:
        """The row's network, as it is trained."""
        return Telling(self.row.network, next_event=1.0)

    def epoch(self, number: int) -> Ints:
        """See `graphml.trainer.Learner`."""
        return drawn_before(self.end, self.seeds_per_epoch, seed=self.config.seed, epoch=number)

    def loss(self, module: torch.nn.Module, ids: Ints) -> torch.Tensor:
        """See `graphml.trainer.Learner`."""
        logits, told = module(*self.row.inputs(self.context, self.context.graph.seeds(ids)))
        return len(ids) * told + 0.0 * logits.sum()  # ranks exchange the gradients of all parameters

    def judge(self) -> None:
        """Nothing tells epochs apart: all are run."""


def fit_fused(
    context: GraphContext,
    train: Task,
    config: FusedTraining,
    *,
    validation: Task | None = None,
    teacher: Doubles | None = None,
    fitted_on: Ints | None = None,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
    tracker: Tracker | None = None,
) -> GraphRun[FusedRow]:
    """Train on `train`; with `teacher` (n,), another row's logits of `train`, on what it says instead of on outcomes
    (Hinton, Vinyals, Dean, Distilling the Knowledge in a Neural Network, 2015), so that a small network scores nearly
    as a large one.

    Encodings, which no outcome enters, are fitted on the positions `fitted_on`, the training rows if unset: models that
    share them share the table of tokens. A killed run that is called again with the same arguments and `checkpoint`
    file goes on; the epoch with the best AP on `validation` is kept, the last one where none is given.
    """
    row = fused_row(context, train, config, fitted_on=fitted_on)
    ranks = current_ranks()
    told: Progress = progress or (lambda name, share: None)
    if config.pretraining is not None:
        pretrain(row, context, config, end=int(train.positions.max()) + 1, checkpoint=checkpoint, progress=told)
    learner = FusedLearner(
        context=context,
        train=train,
        validation=validation,
        config=config,
        row=row,
        ranks=ranks,
        teacher=None if teacher is None else _among_drawn(teacher, train, config),
    )
    run = fit(
        learner,
        config.trainer,
        checkpoint=checkpoint,
        progress=lambda share: told(row.name, share),
        tracker=tracker,
        ranks=ranks,
    )
    return graph_run(row, run)


def pretrain(
    row: FusedRow,
    context: GraphContext,
    config: FusedTraining,
    *,
    end: int,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> None:
    """Teach the row's network what transactions before position `end` were like."""
    if config.pretraining is None:
        raise ValueError("pretraining is not set: say how to pretrain.")
    learner = Pretraining(
        context=context, row=row, config=config.pretraining, seeds_per_epoch=config.seeds_per_epoch, end=end
    )
    fit(
        learner,
        config.pretraining,
        checkpoint=None if checkpoint is None else checkpoint.with_stem(f"{checkpoint.stem}_pretraining"),
        progress=None if progress is None else lambda share: progress(f"{row.name}, pretraining", share),
    )


def drawn_before(end: int, num: int, *, seed: int, epoch: int) -> Ints:
    """`num` positions before `end` (all, where there are fewer), other ones each epoch."""
    return np.random.default_rng([seed, epoch]).choice(end, min(end, num), replace=False)


def fused_row(
    context: GraphContext,
    train: Task,
    config: FusedTraining,
    *,
    fitted_on: Ints | None = None,
) -> FusedRow:
    """The row with a fresh network."""
    rows = train.positions if fitted_on is None else fitted_on
    token = event_token(context, rows, config)
    tabular = None
    if config.tabular:
        tabular = EventCode.fit(context.graph.features[rows], config.tabular, num_bins=config.feature_bins)
    sizes = FusedConfig(
        reader=reader_config(context, token, config),
        transformer=TransformerConfig(
            width=config.width,
            num_blocks=config.num_blocks,
            num_heads=config.num_heads,
            window=config.window,
            dropout=config.dropout,
            both_ways=config.network == "encoder",
        ),
        dropout=config.dropout,
        surprise=config.surprise,
        num_tabular=0 if tabular is None else tabular.width,
    )
    with torch.random.fork_rng():
        torch.manual_seed(config.trainer.seed)
        network = Fused(sizes)
    return FusedRow(
        network=network,
        config=sizes,
        token=token,
        correction=config.loss.correction(prior=float(train.is_fraud.mean()), kept=kept_share(train, config)),
        name=config.network,
        tabular=tabular,
    )


def _among_drawn(teacher: Doubles, train: Task, config: FusedTraining) -> Doubles:
    """Log odds at the natural base rate (n,) as chances of fraud among the rows that an epoch draws."""
    if config.loss.kind != "cross_entropy":
        raise ValueError(f"The loss is {config.loss.kind}; a teacher's chances are learned by cross_entropy alone.")
    if len(teacher) != len(train):
        raise ValueError(f"The teacher has {len(teacher)} logits and there are {len(train)} training rows: one each.")
    chances: Doubles = expit(teacher - np.log(kept_share(train, config)))
    return chances


def event_token(context: GraphContext, rows: Ints, config: FusedTraining) -> EventToken:
    """What a transaction is as a token, its bins and scalers fitted on the positions `rows`."""
    graph = context.graph
    code = EventCode.fit(graph.features[rows], config.columns, num_bins=config.feature_bins)
    return EventToken(
        code=code, num_roles=len(graph.roles), num_recent=config.fanouts[1], pair_history=config.pair_history
    )


def reader_config(context: GraphContext, token: EventToken, config: FusedTraining) -> ReaderConfig:
    """How events of such tokens are read."""
    return ReaderConfig(
        token_width=token.width,
        num_near=config.fanouts[0],
        first_bin=token.code.first_bin,
        bins=token.code.bin_counts,
        num_roles=len(context.graph.roles),
        edges_hours=geometric_hours(number=config.gap_bins),
    )
