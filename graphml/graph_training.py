"""Training of a graph row (GraphSAGE, GAT, relational): a learner over the blocks that the row scores on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from graphml.context import GraphContext
from graphml.distributed import Ranks, current_ranks
from graphml.evaluation import average_precision
from graphml.graph import Ints, Seeds, TransactionGraph
from graphml.graph_row import NODE_HEADS, TRANSACTION, GraphRow, NetworkRow, classifier
from graphml.losses import Loss
from graphml.networks import NETWORKS, Sizes
from graphml.scaling import Scaler, SeedEncoder
from graphml.tasks import Task
from graphml.torch_first import torch
from graphml.trainer import Run, Tracker, fit
from graphml.trainer_config import TrainerConfig


class SeedTask(Protocol):
    """Seeds with a known outcome: transactions (`graphml.tasks.Task`), entities, pairs (`graphml.node_tasks`)."""

    @property
    def is_fraud(self) -> NDArray[np.bool_]:
        """Outcomes (n,)."""
        ...

    def __len__(self) -> int: ...

    def seeds(self, graph: TransactionGraph, rows: Ints) -> Seeds:
        """The seeds of `rows`."""
        ...

    def seen(self, graph: TransactionGraph) -> Ints:
        """Positions that scalers may be fitted on."""
        ...


Progress = Callable[[str, float], None]

#: With fewer frauds in validation its AP jumps about from epoch to epoch: the best epoch would be the luckiest one,
#: and its AP would beat honest rows of the ladder. Then all epochs are run and the last one is kept.
MIN_FRAUDS_TO_STOP = 100


@dataclass(frozen=True, kw_only=True)
class GraphTraining:
    """How to train; `network` is one of `graphml.networks.NETWORKS` and names the row.

    An epoch passes over every fraud, each time with `negatives` fresh legitimate rows to one fraud, as often as makes
    about `seeds_per_epoch` seeds; where one pass would be more than `max_seeds_per_epoch`, an epoch takes a fresh part
    of the frauds.
    """

    network: str = "graphsage"
    fanouts: tuple[int, int] = (16, 8)
    width: int = 64
    dropout: float = 0.3
    negatives: int = 20
    seeds_per_epoch: int = 8_192
    max_seeds_per_epoch: int = 32_768
    loss: Loss = field(default_factory=Loss)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)

    def __post_init__(self) -> None:
        if self.network not in self.known():
            raise ValueError(f"{self.network!r} is no network; there are {', '.join(self.known())}")

    @classmethod
    def known(cls) -> Iterable[str]:
        """What `network` may be."""
        return NETWORKS

    @property
    def hangs_on_ranks(self) -> bool:
        """Whether another number of processes trains to other weights."""
        return self.dropout > 0

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


Row = TypeVar("Row", bound=NetworkRow)


@dataclass(frozen=True, kw_only=True)
class GraphRun(Generic[Row]):
    """A trained row, the epoch that was kept (from 1), the precision that was chosen and an entry an epoch."""

    row: Row
    best_epoch: int
    num_epochs: int
    precision: str
    history: list[dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class GraphLearner:
    """See `graphml.trainer.Learner`; ids of seeds are rows of `train`. `judge` shares validation among the ranks."""

    context: GraphContext
    train: SeedTask
    validation: SeedTask | None
    config: GraphTraining
    row: NetworkRow
    ranks: Ranks

    @property
    def network(self) -> torch.nn.Module:
        """The row's network."""
        return self.row.network

    def epoch(self, number: int) -> Ints:
        """See `epoch_rows`."""
        return epoch_rows(self.train, self.config, number)

    def loss(self, module: torch.nn.Module, ids: Ints) -> torch.Tensor:
        """Sum of the losses of the seeds in these rows."""
        logits = module(*self.row.inputs(self.context, self.train.seeds(self.context.graph, ids)))
        targets = torch.from_numpy(self.train.is_fraud[ids]).to(logits.device, logits.dtype)
        return self.config.loss.total(logits, targets, float(self.train.is_fraud.mean()))

    def judge(self) -> float | None:
        """AP on validation; None when it holds too few frauds to tell epochs apart."""
        if self.validation is None or int(self.validation.is_fraud.sum()) < MIN_FRAUDS_TO_STOP:
            return None
        part = self.ranks.shard(np.arange(len(self.validation)))
        logits = self.row.logits(self.context, self.validation.seeds(self.context.graph, part))
        return average_precision(self.validation.is_fraud, self.ranks.gathered(logits, len(self.validation)))


def fit_graph(
    context: GraphContext,
    train: SeedTask,
    validation: SeedTask | None,
    config: GraphTraining,
    *,
    fitted_on: Ints | None = None,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
    tracker: Tracker | None = None,
) -> GraphRun[GraphRow]:
    """Train on `train`; keep the epoch with the best AP on `validation`, or the last one when there is none or it
    holds too few frauds to tell (`MIN_FRAUDS_TO_STOP`). Scalers, which no outcome enters, are fitted on the positions
    `fitted_on`, the training rows if unset: models that share them share the tables of what they read.

    A killed run that is called again with the same arguments and `checkpoint` file ends in the same weights.
    """
    row = graph_row(context, train, config, fitted_on=fitted_on)
    run = train_row(row, context, train, validation, config, checkpoint=checkpoint, progress=progress, tracker=tracker)
    return graph_run(row, run)


def graph_run(row: Row, run: Run) -> GraphRun[Row]:
    """What a training of the row's network has come to."""
    return GraphRun(
        row=row,
        best_epoch=run.state.best_epoch,
        num_epochs=run.state.epoch,
        precision=run.state.precision,
        history=run.history,
    )


def train_row(
    row: NetworkRow,
    context: GraphContext,
    train: SeedTask,
    validation: SeedTask | None,
    config: GraphTraining,
    *,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
    tracker: Tracker | None = None,
) -> Run:
    """Train the network of any row; see `fit_graph`."""
    learner = GraphLearner(
        context=context, train=train, validation=validation, config=config, row=row, ranks=current_ranks()
    )
    return fit(
        learner,
        config.trainer,
        checkpoint=checkpoint,
        progress=None if progress is None else lambda share: progress(row.name, share),
        tracker=tracker,
        ranks=learner.ranks,
    )


def epoch_rows(train: SeedTask, config: GraphTraining, epoch: int) -> Ints:
    """Rows of the seeds of one epoch, in the order of training; a function of (seed, epoch)."""
    rng = np.random.default_rng([config.trainer.seed, epoch])
    frauds, others = np.flatnonzero(train.is_fraud), np.flatnonzero(~train.is_fraud)
    kept = min(len(others), config.negatives * len(frauds))
    share = min(1.0, config.max_seeds_per_epoch / (len(frauds) + kept))
    passes = max(1, round(config.seeds_per_epoch / (len(frauds) + kept)))
    sizes = [max(1, round(share * num)) for num in (len(frauds), kept)]
    drawn = [
        rng.choice(rows, size, replace=False)
        for _ in range(passes)
        for rows, size in zip((frauds, others), sizes, strict=True)
    ]
    return rng.permutation(np.concatenate(drawn))


def kept_share(train: SeedTask, config: GraphTraining) -> float:
    """Share of the legitimate rows that an epoch draws."""
    num_frauds = int(train.is_fraud.sum())
    return min(1.0, config.negatives * num_frauds / (len(train) - num_frauds))


def graph_row(
    context: GraphContext, train: SeedTask, config: GraphTraining, *, fitted_on: Ints | None = None
) -> GraphRow:
    """The row with a fresh network; see `fit_graph`."""
    graph = context.graph
    features = graph.features[train.seen(graph) if fitted_on is None else fitted_on]
    own = train.seeds(graph, np.arange(len(train)))
    encoder = SeedEncoder.fit(own.features if fitted_on is None else features, compress=(False, True))
    sizes = Sizes(
        num_types=len(graph.types),
        num_roles=len(graph.roles),
        num_features=features.shape[1],
        width=config.width,
        dropout=config.dropout,
    )
    chosen = NETWORKS[config.network](sizes)
    head = TRANSACTION if isinstance(train, Task) else NODE_HEADS[own.entity.shape[1]]
    with torch.random.fork_rng():
        torch.manual_seed(config.trainer.seed)
        network = classifier(chosen, head, encoder.width)
    return GraphRow(
        network=network,
        config=chosen,
        head=head,
        name=config.network,
        fanouts=config.fanouts,
        edge_scaler=Scaler.fit(features, compress=True),
        encoder=encoder,
        correction=config.loss.correction(prior=float(train.is_fraud.mean()), kept=kept_share(train, config)),
    )
