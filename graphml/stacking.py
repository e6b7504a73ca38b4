"""Out-of-fold logits: what a learned model says of rows whose outcome it was not told, as an input to trees.

Logits on a model's own training rows are too good; trees that saw them would trust them too much (Wolpert, Stacked
Generalization, 1992). Here each row of a task is scored by the model that learned from the other folds' rows.

Legend: n training rows, K folds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphml.context import GraphContext
from graphml.graph import Ints, Seeds
from graphml.scorer import Doubles, Scorer
from graphml.tasks import Task


@dataclass(frozen=True, kw_only=True)
class OutOfFold:
    """`logits` (n,) of the training rows, each by a model that was not told its outcome, and the K models."""

    logits: Doubles
    models: tuple[Scorer, ...]

    def score(self, context: GraphContext, seeds: Seeds) -> Doubles:
        """Mean logit of the K models, for rows that none of them has learned from."""
        total: Doubles = np.mean([model.logits(context, seeds) for model in self.models], axis=0)
        return total


def party_folds(party: Ints, *, num_folds: int, seed: int = 0) -> Ints:
    """Fold (n,) of each row, in which all rows of a party (n,) stay together.

    >>> folds = party_folds(np.array([4, 7, 4, 9]), num_folds=2)
    >>> bool(folds[0] == folds[2])
    True
    """
    parties, member = np.unique(party, return_inverse=True)
    if len(parties) < num_folds:
        raise ValueError(f"{len(parties)} parties cannot fill {num_folds} folds; take fewer folds or more rows.")
    dealt = np.random.default_rng(seed).permutation(np.arange(len(parties)) % num_folds)
    return dealt[member].astype(np.int64)


def time_folds(num_rows: int, *, num_folds: int) -> Ints:
    """Fold (n,) of each of a task's rows, which are in order of time: blocks of it, equal in rows.

    For fraud that comes in cases of many parties: a case stays in one fold, but for those that a bound cuts, so the
    other folds' models have not seen it. `party_folds` cannot see to that, as a case's payments have different payers.

    >>> time_folds(5, num_folds=2).tolist()
    [0, 0, 0, 1, 1]
    """
    if num_rows < num_folds:
        raise ValueError(f"{num_rows} rows cannot fill {num_folds} folds; take fewer folds or more rows.")
    return np.arange(num_rows) * num_folds // num_rows


def fraud_folds(is_fraud: NDArray[np.bool_], *, num_folds: int) -> Ints:
    """As `time_folds`, blocks equal in frauds instead of rows: each holds one at least.

    >>> fraud_folds(np.array([False, True, False, True, False]), num_folds=2).tolist()
    [0, 0, 1, 1, 1]
    """
    num = int(is_fraud.sum())
    if num < num_folds:
        raise ValueError(f"{num} frauds cannot fill {num_folds} folds; take fewer folds or more rows.")
    before: Ints = np.cumsum(is_fraud) - is_fraud
    return np.minimum(before * num_folds // num, num_folds - 1).astype(np.int64)


def out_of_fold(context: GraphContext, train: Task, fold: Ints, fit: Callable[[Task, int], Scorer]) -> OutOfFold:
    """Fit a model on the rows outside each of the folds (n,), numbered from 0, and score the rows inside.

    `fit(task, number)` learns from a task; `number` is the fold's, a seed of its own for each.
    """
    logits = np.full(len(train), np.nan)
    models = []
    for number in range(int(fold.max()) + 1):
        outside, inside = fold != number, np.flatnonzero(fold == number)
        model = fit(Task(positions=train.positions[outside], is_fraud=train.is_fraud[outside]), number)
        logits[inside] = model.logits(context, context.graph.seeds(train.positions[inside]))
        models.append(model)
    return OutOfFold(logits=logits, models=tuple(models))
