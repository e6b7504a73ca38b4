"""Fraud can be learned from structure, and hardly from single rows: measured on three seeds.

Training rows are the first three fifths of the sequence, test rows the others; the truth is the target, so
what labels say or hide plays no part.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest
import xgboost
from sklearn.metrics import average_precision_score
from sklearn.tree import DecisionTreeClassifier

from ingestion.simulator.config import SimulatorConfig
from ingestion.simulator.simulate import simulate
from tests.ingestion.simulator.oracle import oracle_scores
from tests.ingestion.simulator.raw_fields import Floats, in_sequence, neighbor_matrix, raw_matrix

SEEDS = (0, 1, 2)
TRAIN_SHARE = 0.6


@dataclass(frozen=True, kw_only=True)
class Split:
    """One simulation in sequence: rows, raw features, truth, number of training rows, scores of boosted raw trees."""

    rows: pa.Table
    raw: Floats
    is_fraud: np.ndarray
    train: int
    raw_scores: Floats

    def average_precision(self, scores: Floats) -> float:
        """Average precision of scores of the test rows."""
        return float(average_precision_score(self.is_fraud[self.train :], scores))


def boosted_scores(features: Floats, is_fraud: np.ndarray, train: int) -> Floats:
    """Scores of the test rows by boosted trees of depth 4, trained on all frauds and a third of the honest rows."""
    rows = np.flatnonzero(is_fraud[:train] | (np.arange(train) % 3 == 0))
    model = xgboost.XGBClassifier(n_estimators=40, max_depth=4, learning_rate=0.15, tree_method="hist", n_jobs=1)
    model.fit(features[rows], is_fraud[rows])
    return model.predict_proba(features[train:])[:, 1].astype(np.float64)


@pytest.fixture(scope="module", params=SEEDS)
def split(request: pytest.FixtureRequest) -> Split:
    tables = simulate(SimulatorConfig(seed=request.param))
    rows, truth = in_sequence(tables.transactions, tables.truth)
    train = int(TRAIN_SHARE * rows.num_rows)
    raw, is_fraud = raw_matrix(rows, train), truth["is_fraud"].to_numpy()
    return Split(rows=rows, raw=raw, is_fraud=is_fraud, train=train, raw_scores=boosted_scores(raw, is_fraud, train))


def test_raw_fields_give_little_away(split: Split) -> None:
    tree = DecisionTreeClassifier(max_depth=4, min_samples_leaf=10, random_state=0)
    tree.fit(split.raw[: split.train], split.is_fraud[: split.train])
    assert split.average_precision(tree.predict_proba(split.raw[split.train :])[:, 1]) < 0.15
    assert split.average_precision(split.raw_scores) < 0.15


def test_the_adversary_finds_what_is_given_away() -> None:
    """Were the last digit of the transaction id to tell, the same trees would find it among all the other fields."""
    tables = simulate(SimulatorConfig(num_transactions=30_000, fraud_rate=0.01))
    rows, truth = in_sequence(tables.transactions, tables.truth)
    is_fraud, train = truth["is_fraud"].to_numpy(), int(TRAIN_SHARE * rows.num_rows)
    ids = rows["transaction_id"].to_pylist()
    told = [
        f"{item[:-1]}{'f' if fraud else item[-1].replace('f', '0')}" for item, fraud in zip(ids, is_fraud, strict=True)
    ]
    given_away = rows.set_column(0, "transaction_id", pa.array(told))
    hidden, found = (
        average_precision_score(is_fraud[train:], boosted_scores(raw_matrix(table, train), is_fraud, train))
        for table in (rows, given_away)
    )
    assert hidden < 0.3
    assert found > 0.9


def test_an_oracle_finds_most_of_it(split: Split) -> None:
    assert split.average_precision(oracle_scores(split.rows)[split.train :]) >= 0.6


def test_causal_neighbor_aggregates_beat_raw_trees(split: Split) -> None:
    features = np.hstack([split.raw, neighbor_matrix(split.rows)])
    with_neighbors = boosted_scores(features, split.is_fraud, split.train)
    low = _gain_interval(split, with_neighbors)[0]
    assert low > 0


def _gain_interval(split: Split, scores: Floats, *, rounds: int = 200) -> tuple[float, float]:
    """95 % bootstrap interval, over days of the test rows, of the gain in average precision over raw trees."""
    day = split.rows["event_time"].cast(pa.int64()).to_numpy()[split.train :] // 86_400_000_000
    rows_of_day = [np.flatnonzero(day == value) for value in np.unique(day)]
    rng, target = np.random.default_rng(0), split.is_fraud[split.train :]
    gains = []
    for _ in range(rounds):
        rows = np.concatenate([rows_of_day[index] for index in rng.integers(len(rows_of_day), size=len(rows_of_day))])
        gains.append(
            average_precision_score(target[rows], scores[rows])
            - average_precision_score(target[rows], split.raw_scores[rows])
        )
    low, high = np.quantile(gains, [0.025, 0.975])
    return float(low), float(high)
