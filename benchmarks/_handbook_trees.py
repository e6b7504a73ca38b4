"""Boosted trees of protocol B: one space of settings for every row, exact splits where they are affordable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost

from graphml.scorer import Doubles
from graphml.tasks import Task

#: Rows times columns up to which splits are searched exactly.
EXACT_CELLS = 40_000_000
#: Rows that wide tables are grown on at most: all frauds, and a sample of the rest weighted as if it were the whole.
#: So splits stay exact, which bring more than the rows that are left out (docs/experiments.md).
MAX_ROWS = 180_000
#: Twelve of these combinations are tried, the same number as of every tuned row.
SPACE: dict[str, list[Any]] = {
    "rounds": [100, 150, 300, 450],
    "depth": [3, 4, 5],
    "rate": [0.03, 0.05, 0.1],
    "columns": [0.3, 0.6, 1.0],
    "rows": [0.8, 1.0],
    "weight": [1, 5],
    "start": [0.5, None],
}
#: How wide tables are grown while settings are compared, for every row alike: a quarter of the time of exact splits.
TRIAL = {"splits": "hist"}
#: Untuned: the book's rounds, depth and rate, from the base rate as XGBoost starts today. The book's version started
#: from 0.5, as the peer does here, which brings 0.01 to 0.02 of average precision.
UNTUNED = {"rounds": 100, "depth": 3, "rate": 0.1, "columns": 1.0, "rows": 1.0, "weight": 1, "start": None}


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Rows (m,) of a training task that trees are grown on, and their weights (m,)."""

    rows: np.ndarray
    weight: Doubles

    @classmethod
    def every(cls, train: Task) -> Chosen:
        """All of them."""
        return cls(rows=np.arange(len(train)), weight=np.ones(len(train)))

    @classmethod
    def of(cls, train: Task) -> Chosen:
        """All of them, or a sample of the legitimate ones; see `MAX_ROWS`."""
        if len(train) <= MAX_ROWS:
            return cls.every(train)
        frauds, others = np.flatnonzero(train.is_fraud), np.flatnonzero(~train.is_fraud)
        kept = np.random.default_rng(0).choice(others, MAX_ROWS - len(frauds), replace=False)
        rows = np.sort(np.concatenate([frauds, kept]))
        return cls(rows=rows, weight=np.where(train.is_fraud[rows], 1.0, len(others) / len(kept)))


def tree_logits(
    inputs: np.ndarray, is_fraud: np.ndarray, test_inputs: np.ndarray, setting: Mapping[str, Any], weight: Doubles
) -> Doubles:
    """Margins of the test rows. A setting of which `splits` is "hist" is never searched exactly."""
    exact = inputs.size <= EXACT_CELLS and setting.get("splits") != "hist"
    parameters = {
        "objective": "binary:logistic",
        "tree_method": "exact" if exact else "hist",
        "max_depth": setting["depth"],
        "eta": setting["rate"],
        "colsample_bytree": setting["columns"],
        "subsample": setting["rows"],
        "min_child_weight": setting["weight"],
        "seed": 0,
        "nthread": 1,
    }
    parameters |= {} if exact else {"max_bin": 1024}
    parameters |= {} if setting["start"] is None else {"base_score": setting["start"]}
    booster = xgboost.train(parameters, xgboost.DMatrix(inputs, is_fraud, weight=weight), setting["rounds"])
    return np.asarray(booster.inplace_predict(test_inputs, predict_type="margin"), np.float64)
