"""A small prequential evaluation of a graph without a snapshot; run as a program it dies in the middle.

python -m tests.graphml.prequential_case FOLDER NUMBER      killed (SIGKILL) in its NUMBER-th fit
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import numpy as np

from graphml.data_view import DataView, EvaluationData
from graphml.folds import FOLD_WEEK, FoldPlan, plan_folds
from graphml.graph import TransactionGraph
from graphml.own_models import Entry
from graphml.prequential import Prequential
from ingestion.contracts import MICROSECONDS_PER_DAY as DAY
from tests.graphml.cases import HOUR, graph_of, labels

SEEDS = (0, 1)
PLAN = FoldPlan(num_folds=3, delay_days=3, train_days=7, test_days=4)


class Noisy:
    """The first feature with noise of its seed's; dies in fit number `dies_in`."""

    fits = 0
    dies_in = 0

    def __init__(self, seed: int, strength: float = 1.0) -> None:
        self.seed, self.strength = seed, strength

    def fit(self, view: DataView) -> None:
        """Count, and die when it is time."""
        Noisy.fits += 1
        if Noisy.fits == Noisy.dies_in:
            os.kill(os.getpid(), signal.SIGKILL)

    def score(self, view: DataView) -> np.ndarray:
        """Strength times the feature, and noise."""
        return self.strength * view.features[:, 0] + np.random.default_rng(self.seed).normal(size=len(view.positions))


def entry(name: str = "noisy", strength: float = 1.0) -> Entry:
    """The row."""
    return Entry(name=name, make=Noisy, setting={"strength": strength}, fingerprint=f"{name} {strength}")


def graph(days: int = 30) -> TransactionGraph:
    """Twelve transactions a day; a fifth is fraud, which the feature tells in part; known after two or three days."""
    rng = np.random.default_rng(0)
    times = np.asarray([day * DAY + hour * 2 * HOUR for day in range(days) for hour in range(12)])
    times[-1] = days * DAY - 1
    is_fraud = rng.random(len(times)) < 0.2
    known = [(i, int(time) + (2 if is_fraud[i] else 3) * DAY, bool(is_fraud[i])) for i, time in enumerate(times)]
    features = (is_fraud + rng.normal(scale=0.7, size=len(times))).astype(np.float32)[:, None]
    parties = [[int(party), 9] for party in rng.integers(0, 9, len(times))]
    return graph_of(parties, times.tolist(), known=labels(*known), features=features)


def case(folder: Path, *, days: int = 30) -> Prequential:
    """The evaluation, its results in `folder`."""
    made = graph(days)
    data = EvaluationData(graph=made, feature_names=("told",), read=lambda name: None, rows=np.arange(len(made)))
    return Prequential.of(
        data,
        plan_folds(made, PLAN),
        budget=FOLD_WEEK,
        delay_days=PLAN.delay_days,
        folder=folder,
        snapshot_id="snap-of-the-tests",
        not_for_training=np.zeros(0, np.int64),
    )


if __name__ == "__main__":
    Noisy.dies_in = int(sys.argv[2])
    case(Path(sys.argv[1])).run([entry()], SEEDS)
