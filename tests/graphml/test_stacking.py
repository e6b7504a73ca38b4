"""Out-of-fold logits: no model scores a row whose outcome it was told."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from graphml.context import GraphContext
from graphml.stacking import out_of_fold, party_folds, time_folds
from graphml.tasks import Task
from tests.graphml.cases import random_graph


@dataclass(frozen=True)
class Told:
    """Scores a row 1 if it was among its training rows, plus ten times its number."""

    told: frozenset[int]
    number: int
    name: str = "told"
    cost: int = 0

    def logits(self, context, seeds):
        return np.asarray([float(at in self.told) for at in seeds.cuts.position]) + 10 * self.number

    def save(self, folder) -> None:
        raise NotImplementedError


def fit(task: Task, number: int) -> Told:
    return Told(frozenset(task.positions.tolist()), number)


def test_each_row_is_scored_by_the_model_that_was_not_told() -> None:
    context = GraphContext(random_graph(0, num=40))
    train = Task(positions=np.arange(5, 35), is_fraud=np.arange(30) % 5 == 0)
    fold = np.arange(30) % 3
    found = out_of_fold(context, train, fold, fit)
    assert found.logits.tolist() == (10.0 * fold).tolist()
    new = context.graph.seeds(np.asarray([38, 39]))
    assert found.score(context, new).tolist() == [10.0, 10.0]  # the mean of 0, 10 and 20


def test_a_party_s_rows_share_a_fold_and_folds_are_even() -> None:
    party = np.repeat(np.arange(10), 3)
    fold = party_folds(party, num_folds=5)
    assert np.bincount(fold).tolist() == [6] * 5
    assert all(len(set(fold[party == one])) == 1 for one in range(10))
    assert fold.tolist() == party_folds(party, num_folds=5).tolist() != party_folds(party, num_folds=5, seed=1).tolist()


def test_more_folds_than_parties_are_refused() -> None:
    with pytest.raises(ValueError, match="2 parties"):
        party_folds(np.asarray([1, 2, 1]), num_folds=3)


def test_folds_of_time_are_blocks_of_equal_size() -> None:
    fold = time_folds(1_000, num_folds=3)
    assert (np.diff(fold) >= 0).all()
    assert set(np.bincount(fold).tolist()) <= {333, 334}


def test_too_few_rows_for_folds_of_time_are_refused() -> None:
    with pytest.raises(ValueError, match="2 rows cannot fill 3 folds"):
        time_folds(2, num_folds=3)
