"""Rows fitted and scored fold by fold; every result is a small file, so a killed evaluation goes on where it was.

A result belongs to (row, fold, label budget, seed). Its file is written whole or not at all, named by all that decides
its content; the folder by the data. So what is found is right, and an evaluation that was killed, or that is asked for
more seeds or rows, computes only the rest and ends in the same numbers.
"""

from __future__ import annotations

import hashlib
import io
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from graphml.code_version import code_version
from graphml.data_view import EvaluationData
from graphml.folds import Fold, FoldTasks
from graphml.graph import Ints
from graphml.own_models import Doubles, Entry, scored
from graphml.rewire import rewire
from ingestion.artifacts import short_hash, write_atomically

Progress = Callable[[str, float], None]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FoldScores:
    """One result: `scores` (n,) of the fold's test rows, and the processor seconds of its fit and score."""

    scores: Doubles
    cpu_seconds: float


@dataclass(frozen=True, kw_only=True)
class Prequential:
    """What rows are fitted and scored on: `tasks` by fold, under one label `budget`."""

    data: EvaluationData
    folds: tuple[Fold, ...]
    tasks: tuple[FoldTasks, ...]
    budget: str
    folder: Path

    @classmethod
    def of(
        cls,
        data: EvaluationData,
        folds: tuple[Fold, ...],
        *,
        budget: str,
        delay_days: int,
        folder: Path,
        snapshot_id: str,
        not_for_training: Ints,
    ) -> Prequential:
        """Folds of a snapshot; results go to a folder of their own in `folder`."""
        tasks = tuple(
            FoldTasks.of(data.graph, fold, budget=budget, delay_days=delay_days, not_for_training=not_for_training)
            for fold in folds
        )
        return cls(
            data=data, folds=folds, tasks=tasks, budget=budget, folder=folder / f"folds-{short_hash(snapshot_id)}"
        )

    def run(
        self, entries: Sequence[Entry], seeds: Sequence[int], *, progress: Progress | None = None
    ) -> dict[str, list[list[FoldScores]]]:
        """Results by row, then seed, then fold."""
        total, done = len(entries) * len(seeds) * len(self.folds), 0
        found: dict[str, list[list[FoldScores]]] = {}
        for entry in entries:
            found[entry.name] = []
            for seed in seeds:
                of_seed = []
                for number in range(len(self.folds)):
                    if progress is not None:
                        progress(f"{entry.name}, fold {self.folds[number].name}, seed {seed}", done / total)
                    of_seed.append(self.result(entry, number, seed))
                    done += 1
                found[entry.name].append(of_seed)
        return found

    def result(self, entry: Entry, number: int, seed: int) -> FoldScores:
        """The result of a row on fold `number`: read when it is there, else computed and kept."""
        tasks = self.tasks[number]
        path = self.folder / self._file(entry, number, seed)
        kept = _read(path, len(tasks.test))
        if kept is not None:
            return kept
        made = fit_and_score(self.data, entry, tasks, self.folds[number].deadline, seed)
        buffer = io.BytesIO()
        np.savez(buffer, scores=made.scores, cpu_seconds=made.cpu_seconds)
        write_atomically(path, buffer.getvalue())
        return made

    def _file(self, entry: Entry, number: int, seed: int) -> str:
        fold = self.folds[number]
        what = [entry.fingerprint, entry.edges_shuffled, code_version()]
        inputs = [*what, fold.as_dict(), self.budget, seed, self._rows_of(number)]
        return f"{entry.name}-{fold.name}-{self.budget}-{seed}-{short_hash(inputs)}.npz"

    def _rows_of(self, number: int) -> str:
        """A hash of a fold's rows and outcomes, which change with the label maturity."""
        tasks = self.tasks[number]
        parts = (tasks.train.positions, tasks.train.is_fraud, tasks.test.positions)
        return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


def fit_and_score(data: EvaluationData, entry: Entry, tasks: FoldTasks, deadline: int, seed: int) -> FoldScores:
    """Fit a fresh model on the training task as known at the deadline, score the test task as known at each row."""
    shown = data.under(rewire(data.graph, seed=seed)) if entry.edges_shuffled else data
    to_fit = shown.to_fit(tasks.train, deadline=deadline)
    to_score = shown.to_score(tasks.test.positions)
    started = time.process_time()
    model = entry.model(seed)
    model.fit(to_fit)
    scores = scored(entry.name, model, to_score)
    return FoldScores(scores=scores, cpu_seconds=time.process_time() - started)


def _read(path: Path, num_rows: int) -> FoldScores | None:
    """A kept result; None when there is none or the disk damaged it (every part of a .npz has a checksum).

    A damaged archive fails in as many ways as it has bytes (zlib, zipfile, numpy's header), so any failure counts, and
    is logged.
    """
    try:
        with np.load(path, allow_pickle=False) as kept:
            scores, seconds = kept["scores"], float(kept["cpu_seconds"])
    except FileNotFoundError:
        return None
    except MemoryError:
        raise
    except Exception as error:
        _log.warning("%s is damaged (%s: %s) and is made again", path, type(error).__name__, error)
        return None
    return FoldScores(scores=scores, cpu_seconds=seconds) if scores.shape == (num_rows,) else None
