"""How to train: the settings of the one trainer, and the learning rate that they make of a step."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class TrainerConfig:
    """How to train. `batch_size`: seeds a step over all ranks; `accumulation`: parts that a rank cuts its share into;
    `warmup_share` of all steps rises to `learning_rate`, then a cosine falls to `final_share` of it; `patience`: epochs
    without a better judgement before it stops; `average_decay`: of averaged weights (EMA), which then are judged and
    kept; `checkpoint_steps`: steps between checkpoints, which the end of an epoch writes too.
    """

    epochs: int = 8
    batch_size: int = 512
    accumulation: int = 1
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    warmup_share: float = 0.05
    final_share: float = 0.1
    clip_norm: float = 1.0
    average_decay: float | None = None
    patience: int = 3
    checkpoint_steps: int = 200
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    deterministic: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "accumulation", "patience", "checkpoint_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 1 or more")
        if self.learning_rate <= 0 or self.clip_norm <= 0:
            raise ValueError("learning_rate and clip_norm must be above 0")
        if self.average_decay is not None and not 0 < self.average_decay < 1:
            raise ValueError(f"average_decay is {self.average_decay}; it must lie between 0 and 1")


def learning_rate(config: TrainerConfig, step: int, num_steps: int) -> float:
    """The rate of a step (from 0): a linear rise, then half a cosine."""
    warmup = max(1, round(config.warmup_share * num_steps))
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    share = (step - warmup) / max(1, num_steps - warmup)
    fall = 0.5 * (1 + math.cos(math.pi * min(1.0, share)))
    return config.learning_rate * (config.final_share + (1 - config.final_share) * fall)
