"""Training of the GraphSAGE row: DGL's loader over causal blocks, AdamW, early stop on validation AP.

Deterministic on a CPU: one thread, and everything random is a function of (seed, epoch).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch.nn.functional import binary_cross_entropy_with_logits

from graphml.checkpoint import load_checkpoint, save_checkpoint
from graphml.context import GraphContext
from graphml.dgl_adapter import SeedBatch, from_dgl_block, seed_loader
from graphml.errors import GraphmlError
from graphml.evaluation import average_precision
from graphml.graph import Ints
from graphml.nn.classifier import SageClassifier
from graphml.nn.sage import SageConfig
from graphml.sage_row import SageRow
from graphml.sampling import NUM_PLAIN_ATTRIBUTES
from graphml.scaling import Scaler, SeedEncoder
from graphml.tasks import Task
from graphml.torch_first import torch

Progress = Callable[[str, float], None]

#: With fewer frauds in validation its AP jumps about from epoch to epoch: the best epoch would be the luckiest one,
#: and its AP would beat honest rows of the ladder. Then all epochs are run and the last one is kept.
MIN_FRAUDS_TO_STOP = 100


@dataclass(frozen=True, kw_only=True)
class SageTraining:
    """How to train. An epoch passes over every fraud, each time with `negatives` fresh legitimate rows to one
    fraud, as often as makes about `seeds_per_epoch` seeds; where one pass would be more than `max_seeds_per_epoch`,
    an epoch takes a fresh part of the frauds."""

    fanouts: tuple[int, int] = (16, 8)
    width: int = 64
    dropout: float = 0.3
    epochs: int = 8
    patience: int = 3
    batch_size: int = 512
    negatives: int = 20
    seeds_per_epoch: int = 8_192
    max_seeds_per_epoch: int = 32_768
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    clip_norm: float = 1.0
    seed: int = 0

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


@dataclass(kw_only=True)
class SageRun:
    """A run in progress: what a step needs and what a checkpoint holds."""

    context: GraphContext
    train: Task
    validation: Task | None
    config: SageTraining
    row: SageRow
    optimizer: torch.optim.Optimizer
    best: dict[str, torch.Tensor]
    epoch: int = 0
    best_epoch: int = 0
    best_precision: float = -1.0
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def can_choose(self) -> bool:
        """Whether validation holds enough frauds to tell epochs apart."""
        return self.validation is not None and int(self.validation.is_fraud.sum()) >= MIN_FRAUDS_TO_STOP

    @property
    def finished(self) -> bool:
        """All epochs done, or none better on validation for `patience` epochs."""
        stale = self.can_choose and self.epoch - self.best_epoch >= self.config.patience
        return self.epoch >= self.config.epochs or stale


def fit_sage(
    context: GraphContext,
    train: Task,
    validation: Task | None,
    config: SageTraining,
    *,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> SageRun:
    """Train on `train`; keep the epoch with the best AP on `validation`, or the last one when there is none or it
    holds too few frauds to tell (`MIN_FRAUDS_TO_STOP`).

    A killed run that is called again with the same arguments and `checkpoint` file ends in the same weights.
    """
    with single_thread(config.seed):
        run = _start(context, train, validation, config)
        if checkpoint is not None:
            _resume(run, checkpoint)
        while not run.finished:
            loss = _train_epoch(run)
            run.epoch += 1
            _judge_epoch(run, loss)
            if checkpoint is not None:
                _save(run, checkpoint)
            if progress is not None:
                progress("graphsage", run.epoch / config.epochs)
    run.row.network.load_state_dict(run.best)
    run.row.network.eval()
    return run


def epoch_positions(train: Task, config: SageTraining, epoch: int) -> Ints:
    """Positions of the seeds of one epoch, in the order of training; a function of (seed, epoch)."""
    rng = np.random.default_rng([config.seed, epoch])
    frauds, others = train.positions[train.is_fraud], train.positions[~train.is_fraud]
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


def prior_offset(train: Task, config: SageTraining) -> float:
    """What to add to a logit learned with down-sampled negatives: log of the share that was kept."""
    num_frauds = int(train.is_fraud.sum())
    num_others = len(train) - num_frauds
    return float(np.log(min(1.0, config.negatives * num_frauds / num_others)))


@contextmanager
def single_thread(seed: int) -> Iterator[None]:
    """One torch thread and a random state of our own, both given back afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)


def _start(context: GraphContext, train: Task, validation: Task | None, config: SageTraining) -> SageRun:
    graph = context.graph
    features = graph.features[train.positions]
    encoder = SeedEncoder.fit(features, compress=(False, True))
    sizes = SageConfig(
        num_types=len(graph.types),
        num_features=features.shape[1],
        num_attributes=len(graph.roles) + NUM_PLAIN_ATTRIBUTES,
        width=config.width,
        dropout=config.dropout,
    )
    network = SageClassifier(sizes, encoder.width)
    row = SageRow(
        network=network,
        config=sizes,
        fanouts=config.fanouts,
        edge_scaler=Scaler.fit(features, compress=True),
        encoder=encoder,
        offset=prior_offset(train, config),
    )
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, foreach=False
    )
    return SageRun(
        context=context,
        train=train,
        validation=validation,
        config=config,
        row=row,
        optimizer=optimizer,
        best=_copy(network),
    )


def _train_epoch(run: SageRun) -> float:
    """One epoch; the mean loss."""
    torch.manual_seed(run.config.seed * 1_000_003 + run.epoch)
    is_fraud_N = np.zeros(len(run.context.graph), np.float32)
    is_fraud_N[run.train.positions] = run.train.is_fraud
    targets_N = torch.from_numpy(is_fraud_N)
    positions = epoch_positions(run.train, run.config, run.epoch)
    loader = seed_loader(run.context.graph, positions, run.config.fanouts, batch_size=run.config.batch_size)
    run.row.network.train()
    total = sum(_step(run, batch, targets_N) * len(batch[0]) for batch in loader)
    return total / len(positions)


def _step(run: SageRun, batch: SeedBatch, targets_N: torch.Tensor) -> float:
    """One step of the optimizer; the loss."""
    positions, index_SR, dgl_blocks = batch
    graph = run.context.graph
    types = torch.from_numpy(graph.entity_type)[dgl_blocks[0].srcdata["entity"]]
    logits = run.row.network(
        [from_dgl_block(block) for block in dgl_blocks],
        types,
        torch.from_numpy(run.context.inputs(run.row.edge_scaler)),
        index_SR,
        torch.from_numpy(run.row.encoder(graph.features[positions.numpy()])),
    )
    loss = binary_cross_entropy_with_logits(logits, targets_N[positions])
    if not torch.isfinite(loss):
        raise GraphmlError(
            f"The loss of GraphSAGE became {loss.item()} in epoch {run.epoch + 1}.",
            remedy="Lower the learning rate; look for absurd amounts in the snapshot.",
        )
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(run.row.network.parameters(), run.config.clip_norm)
    run.optimizer.step()
    return float(loss.item())


def _judge_epoch(run: SageRun, loss: float) -> None:
    """Keep the weights when they are the best so far, or when no epoch can be told from another."""
    entry = {"epoch": float(run.epoch), "loss": loss}
    if run.validation is not None:
        logits = run.row.logits(run.context, run.context.graph.seeds(run.validation.positions))
        entry["validation_average_precision"] = average_precision(run.validation.is_fraud, logits)
    run.history.append(entry)
    precision = entry.get("validation_average_precision", -1.0)
    if precision > run.best_precision or not run.can_choose:
        run.best_precision, run.best_epoch, run.best = precision, run.epoch, _copy(run.row.network)


def _save(run: SageRun, path: Path) -> None:
    state = {
        "epoch": run.epoch,
        "best_epoch": run.best_epoch,
        "best_precision": run.best_precision,
        "history": run.history,
    }
    save_checkpoint(path, state=state, weights=run.row.network.state_dict(), best=run.best, optimizer=run.optimizer)


def _resume(run: SageRun, path: Path) -> None:
    found = load_checkpoint(path, optimizer=run.optimizer)
    if found is None:
        return
    state, weights, run.best = found
    run.row.network.load_state_dict(weights)
    run.epoch, run.best_epoch = state["epoch"], state["best_epoch"]
    run.best_precision, run.history = state["best_precision"], state["history"]


def _copy(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
