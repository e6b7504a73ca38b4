"""What a training of a whole model has at hand, and what it makes: rows with their scores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from graphml.context import GraphContext
from graphml.ladder import TestWindow
from graphml.model import RowPolicy
from graphml.run_config import TrainConfig
from graphml.scorer import Doubles, Scorer
from graphml.tasks import Tasks, Windows
from graphml.trainer import Tracker
from ingestion.snapshot import Snapshot

Progress = Callable[[str, float], None]


class Tracking(Protocol):
    """A store of experiments; `graphml.tracking` has the one for MLflow."""

    def start(self, model_id: str, settings: dict[str, Any]) -> None:
        """Begin or go on with the run of a model."""
        ...

    def tracker(self, stage: str) -> Tracker:
        """What the training of one network calls after every epoch."""
        ...

    def fail(self) -> None:
        """End the run as failed; one that is trained again goes on in it."""
        ...

    def finish(self, metrics: dict[str, float]) -> None:
        """End the run."""
        ...


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What all rows are trained and judged on."""

    snapshot: Snapshot
    config: TrainConfig
    context: GraphContext
    windows: Windows
    tasks: Tasks
    test: TestWindow
    progress: Progress
    checkpoints: Path
    tracking: Tracking | None


@dataclass(frozen=True, kw_only=True)
class FittedRow:
    """A row and its logits on validation and test."""

    scorer: Scorer
    name: str
    is_servable: bool
    validation_logits: Doubles
    test_logits: Doubles
    policy: RowPolicy
    history: list[dict[str, float]]
    precision: str | None
