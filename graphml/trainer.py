"""The one trainer: any network, any task, one process or many.

A *learner* says which seeds an epoch has and what their loss is; the trainer does the rest: AdamW, warm-up and cosine,
clipping, averaged weights, accumulation, early stop, guards against unstable steps, checkpoints, ranks, precision.

The order of an epoch and the dropout of a step are functions of the seed, so a run that is killed at any step and
called again goes on to the same losses, bit for bit in deterministic mode, on one rank or on several.
"""

from __future__ import annotations

import logging
import math
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from graphml.checkpoint import Checkpoint, Tensors, load_optimizer, optimizer_tensors
from graphml.distributed import Ranks, current_ranks
from graphml.errors import UnstableTraining
from graphml.precision import Precision, autocast, probe_precision
from graphml.stability import Stability
from graphml.torch_first import torch
from graphml.trainer_config import TrainerConfig, learning_rate

Ints = NDArray[np.int64]
Progress = Callable[[float], None]
Tracker = Callable[[int, dict[str, float]], None]

_log = logging.getLogger(__name__)


class Learner(Protocol):
    """What is trained. Everything that it draws must be a function of the epoch's number and of the seeds."""

    @property
    def network(self) -> torch.nn.Module:
        """The module whose parameters are trained, in training and evaluation mode as the trainer says."""
        ...

    def epoch(self, number: int) -> Ints:
        """Ids of the seeds of epoch `number` (from 0), in the order of training; the same on every rank."""
        ...

    def loss(self, module: torch.nn.Module, ids: Ints) -> torch.Tensor:
        """Sum of the losses of these seeds (a scalar), by one call of `module`: the network, or a wrapper of it."""
        ...

    def judge(self) -> float | None:
        """Validation metric of the network, higher is better; None where nothing can tell epochs apart."""
        ...


@dataclass(kw_only=True)
class Progressed:
    """How far a run is: what a checkpoint holds beside tensors. `step` counts within the epoch, `total_loss` and
    `num_seeds` sum over its steps that were taken."""

    epoch: int = 0
    step: int = 0
    steps_done: int = 0
    total_loss: float = 0.0
    num_seeds: int = 0
    best_epoch: int = 0
    best_value: float = -math.inf
    has_choice: bool = False
    precision: Precision = "fp32"
    history: list[dict[str, float]] = field(default_factory=list)


@dataclass(kw_only=True)
class Run:
    """A run in progress. `best` are the weights to keep; `losses` those of this process's steps, by step."""

    learner: Learner
    config: TrainerConfig
    ranks: Ranks
    module: torch.nn.Module
    optimizer: torch.optim.Optimizer
    average: AveragedModel | None
    best: Tensors
    state: Progressed
    stability: Stability
    steps_an_epoch: int
    losses: dict[int, float] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """All epochs done, or none better for `patience` epochs."""
        stale = self.state.has_choice and self.state.epoch - self.state.best_epoch >= self.config.patience
        return self.state.epoch >= self.config.epochs or stale

    @property
    def history(self) -> list[dict[str, float]]:
        """An entry an epoch: its number, mean loss, and the judgement where there is one."""
        return self.state.history


def fit(
    learner: Learner,
    config: TrainerConfig,
    *,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
    tracker: Tracker | None = None,
    ranks: Ranks | None = None,
) -> Run:
    """Train; the network ends with the weights of the epoch that was judged best, or the last where none could be.

    `progress(share)` is called after every step, `tracker(step, metrics)` after every epoch. Called again with the same
    arguments and `checkpoint` file, a killed run goes on. Raises `UnstableTraining` when steps keep failing.
    """
    with reproducible(config):
        run = _start(learner, config, ranks or current_ranks())
        _resume(run, checkpoint)
        try:
            while not run.finished:
                seconds = _train_epoch(run, checkpoint, progress)
                _close_epoch(run)
                _save(run, checkpoint)
                _report(run, seconds, tracker)
        except UnstableTraining:
            _resume(run, checkpoint)
            raise
    learner.network.load_state_dict(run.best)
    learner.network.eval()
    return run


@contextmanager
def reproducible(config: TrainerConfig) -> Iterator[None]:
    """One torch thread, a random state of our own and, in deterministic mode, deterministic kernels; all given back."""
    threads, was_deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(config.deterministic)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(was_deterministic)


def _start(learner: Learner, config: TrainerConfig, ranks: Ranks) -> Run:
    network = learner.network.to(ranks.device)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, foreach=False
    )
    is_cuda = ranks.device.type == "cuda"
    module = network
    if ranks.world > 1:
        module = DistributedDataParallel(network, device_ids=[ranks.device.index] if is_cuda else None)
    average = None
    if config.average_decay is not None:
        average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(config.average_decay), use_buffers=True)
    return Run(
        learner=learner,
        config=config,
        ranks=ranks,
        module=module,
        optimizer=optimizer,
        average=average,
        best=_copy(network),
        state=Progressed(),
        stability=Stability(),
        steps_an_epoch=math.ceil(len(learner.epoch(0)) / config.batch_size),
    )


def _train_epoch(run: Run, checkpoint: Path | None, progress: Progress | None) -> float:
    """All that is left of the epoch; the seconds that a whole epoch takes at this pace."""
    size, first = run.config.batch_size, run.state.step
    ids = run.learner.epoch(run.state.epoch)
    run.learner.network.train()
    begin = time.perf_counter()
    for start in range(first * size, len(ids), size):
        _step(run, ids[start : start + size])
        if run.state.step % run.config.checkpoint_steps == 0:
            _save(run, checkpoint)
        if progress is not None:
            progress(run.state.steps_done / (run.config.epochs * run.steps_an_epoch))
    return (time.perf_counter() - begin) * run.steps_an_epoch / max(1, run.steps_an_epoch - first)


def _step(run: Run, batch: Ints) -> None:
    """One step of the optimizer on a global batch; a step that is not sound is counted and leaves no trace."""
    config, state = run.config, run.state
    _seed((config.seed * 1_000_003 + state.steps_done) * 4_099 + run.ranks.rank, run.ranks.device)
    rate = learning_rate(config, state.steps_done, config.epochs * run.steps_an_epoch)
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    before = [buffer.clone() for buffer in run.learner.network.buffers()]
    total = run.ranks.total(_backward(run, batch))
    norm = float(torch.nn.utils.clip_grad_norm_(run.learner.network.parameters(), config.clip_norm))
    state.step += 1
    state.steps_done += 1
    mean = total / len(batch)
    is_sound = False
    try:
        is_sound = run.stability.is_sound(mean, norm, step=state.steps_done)
    finally:
        if not is_sound:  # running statistics: the forward pass has put the batch into them already
            for buffer, earlier in zip(run.learner.network.buffers(), before, strict=True):
                buffer.copy_(earlier)
    if is_sound:
        run.optimizer.step()
        if run.average is not None:
            run.average.update_parameters(run.learner.network)
        state.total_loss += total
        state.num_seeds += len(batch)
        run.losses[state.steps_done] = mean


def _seed(value: int, device: torch.device) -> None:
    """`torch.manual_seed`, which notes a stack trace for every kind of device, only where there is another device."""
    if device.type == "cpu":
        torch.default_generator.manual_seed(value)
    else:
        torch.manual_seed(value)


def _backward(run: Run, batch: Ints) -> float:
    """Gradients of the mean loss over the global batch; the sum of this rank's losses."""
    run.optimizer.zero_grad(set_to_none=True)
    share = run.ranks.shard(batch)
    parts = [part for part in np.array_split(share, run.config.accumulation) if len(part)] or [share]
    total = 0.0
    for number, part in enumerate(parts):
        is_last = number == len(parts) - 1  # gradients are exchanged once, with the last part
        waits = isinstance(run.module, DistributedDataParallel) and not is_last
        with cast(DistributedDataParallel, run.module).no_sync() if waits else nullcontext():
            with autocast(run.state.precision, run.ranks.device):
                loss = run.learner.loss(run.module, part)
            # ranks average their gradients, so each gives its share of the sum times the number of ranks
            (loss * (run.ranks.world / len(batch))).backward()
        total += float(loss.item())
    return total


def _close_epoch(run: Run) -> None:
    """Judge, and keep the weights when they are the best so far or nothing can tell."""
    state = run.state
    state.epoch += 1
    kept = run.learner.network if run.average is None else run.average.module
    with _weights_of(run.learner.network, kept):
        run.learner.network.eval()
        value = run.learner.judge()
        if value is None or value > state.best_value:
            run.best, state.best_epoch = _copy(run.learner.network), state.epoch
    entry = {"epoch": float(state.epoch), "loss": state.total_loss / max(1, state.num_seeds)}
    if value is not None:
        state.has_choice = True
        state.best_value = max(state.best_value, value)
        entry["validation"] = value
    state.history.append(entry)
    state.step, state.total_loss, state.num_seeds = 0, 0.0, 0


@contextmanager
def _weights_of(network: torch.nn.Module, other: torch.nn.Module) -> Iterator[None]:
    """`network` with the weights of `other` for a while."""
    if network is other:
        yield
        return
    own = _copy(network)
    network.load_state_dict(other.state_dict())
    try:
        yield
    finally:
        network.load_state_dict(own)


def _report(run: Run, seconds: float, tracker: Tracker | None) -> None:
    """Log an epoch's seeds a second and the memory so far; what hangs on the clock stays out of the history."""
    if not run.ranks.is_first:
        return
    metrics = run.history[-1] | {
        "seeds_per_second": len(run.learner.epoch(run.state.epoch - 1)) / seconds if seconds > 0 else 0.0,
        "peak_memory_bytes": float(_peak_memory_bytes(run.ranks.device)),
        "skipped_steps": float(run.stability.num_skipped),
    }
    _log.info("epoch %d: %s", run.state.epoch, ", ".join(f"{name} {value:.5g}" for name, value in metrics.items()))
    if tracker is not None:
        tracker(run.state.steps_done, metrics)


def _peak_memory_bytes(device: torch.device) -> int:
    """Of the accelerator where `device` is one, else the resident size of the process."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _save(run: Run, path: Path | None) -> None:
    if path is None or not run.ranks.is_first:
        return
    groups = {
        "weights": run.learner.network.state_dict(),
        "best": run.best,
        "optimizer": optimizer_tensors(run.optimizer),
    }
    if run.average is not None:
        groups["average"] = run.average.state_dict()
    state = asdict(run.state) | {"stability": asdict(run.stability)}
    state["best_value"] = None if math.isinf(run.state.best_value) else run.state.best_value
    Checkpoint(state=state, groups=groups).write(path)


def _resume(run: Run, path: Path | None) -> None:
    """Go on from the checkpoint that the first rank finds; without one, choose the precision of a new run."""
    read = Checkpoint.read(path) if path is not None and run.ranks.is_first else None
    found = cast(Checkpoint | None, run.ranks.from_first(read))
    if found is None:
        wanted = run.config.precision
        measured = probe_precision(run.ranks.device) if wanted == "auto" else wanted
        run.state.precision = cast(Precision, run.ranks.from_first(measured))
        return
    state = dict(found.state)
    run.stability = Stability(**state.pop("stability"))
    best = state.pop("best_value")
    run.state = Progressed(**state, best_value=-math.inf if best is None else best)
    run.learner.network.load_state_dict(found.groups["weights"])
    run.best = found.groups["best"]
    load_optimizer(run.optimizer, found.groups.get("optimizer", {}))
    if run.average is not None:
        run.average.load_state_dict(found.groups["average"])


def _copy(network: torch.nn.Module) -> Tensors:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
