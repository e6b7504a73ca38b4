"""A learner on made-up numbers, for tests of the trainer; importable by processes that a test starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from torch import nn

from graphml.distributed import current_ranks
from graphml.torch_first import torch
from graphml.trainer import Run, fit
from graphml.trainer_config import TrainerConfig


class ToyLearner:
    """A small network on `num` rows; `judgements` by epoch, or none; `spoil(ids, loss)` changes a loss."""

    def __init__(
        self,
        *,
        num: int = 50,
        dropout: float = 0.0,
        judgements: list[float] | None = None,
        spoil: Callable[[np.ndarray, torch.Tensor], torch.Tensor] | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(5)
            self.x = torch.randn(num, 3, dtype=dtype)
            self.y = (self.x.sum(dim=1) > 0).to(dtype)
            layers = nn.Sequential(nn.Linear(3, 8), nn.Dropout(dropout), nn.ReLU(), nn.Linear(8, 1))
            self.network = layers.to(dtype)
        self.judgements, self.spoil = judgements, spoil
        self.judged: list[dict[str, torch.Tensor]] = []
        self.seen: list[np.ndarray] = []

    def epoch(self, number: int) -> np.ndarray:
        return np.random.default_rng([3, number]).permutation(len(self.x))

    def loss(self, module: nn.Module, ids: np.ndarray) -> torch.Tensor:
        self.seen.append(ids)
        device = next(module.parameters()).device
        logits = module(self.x[ids].to(device)).squeeze(1)
        loss = nn.functional.binary_cross_entropy_with_logits(logits, self.y[ids].to(device), reduction="sum")
        return loss if self.spoil is None else self.spoil(ids, loss)

    def judge(self) -> float | None:
        self.judged.append({name: tensor.clone() for name, tensor in self.network.state_dict().items()})
        return None if self.judgements is None else self.judgements[len(self.judged) - 1]


def weights(run: Run) -> dict[str, bytes]:
    """What the network of a run holds, as bytes."""
    return {name: tensor.cpu().numpy().tobytes() for name, tensor in run.learner.network.state_dict().items()}


def train_on_rank(
    rank: int, world: int, out: Path, config: TrainerConfig, checkpoint: Path | None, stop_at: int | None
) -> None:
    """One of `world` processes; each leaves its weights, losses and seeds in the folder `out`."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{out / 'store'}", rank=rank, world_size=world)
    calls = iter(range(1, 1_000))

    def stop(_: float) -> None:
        if next(calls) == stop_at:
            raise RuntimeError(f"stopped at step {stop_at}")

    try:
        learner = ToyLearner()
        run = fit(learner, config, checkpoint=checkpoint, progress=stop, ranks=current_ranks())
        found = {
            "weights": {name: tensor.cpu() for name, tensor in learner.network.state_dict().items()},
            "losses": run.losses,
            "seen": [ids.tolist() for ids in learner.seen],
        }
        torch.save(found, out / f"{rank}.pt")
    finally:
        torch.distributed.destroy_process_group()
