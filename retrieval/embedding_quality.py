"""What vectors of parties are worth to whoever searches with them: do neighbors of a fraudster become fraudsters, do
vectors tell which party will, and does another training give the same neighbors.

Legend: V parties, H width of a vector, Q queries, K neighbors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphml.evaluation import Interval, average_precision
from retrieval.faiss_runtime import faiss

# after faiss, which sets up the threads
from sklearn.linear_model import LogisticRegressionCV  # isort: skip
from sklearn.pipeline import make_pipeline  # isort: skip
from sklearn.preprocessing import StandardScaler  # isort: skip

Vectors = NDArray[np.float32]
Ids = NDArray[np.int64]
Flags = NDArray[np.bool_]
_NUM_BOOTSTRAPS = 1_000


@dataclass(frozen=True, kw_only=True)
class Suspects:
    """Parties as of one time (V,): `is_confirmed` whose fraud is known by then, `becomes_fraud` those with a fraud
    after it."""

    is_confirmed: Flags
    becomes_fraud: Flags

    @property
    def base_rate(self) -> float:
        """Share that becomes fraud, of those not confirmed."""
        return float(self.becomes_fraud[~self.is_confirmed].mean())


def nearest(vectors: Vectors, queries: Ids, candidates: Ids, k: int) -> Ids:
    """(Q, K) the rows of `candidates` nearest by cosine to the row of each query, itself left out, nearest first.

    Exact; `vectors` (V, H) have length 1. K is less than `k` where there are fewer others.
    """
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(np.ascontiguousarray(vectors[candidates]))
    are_among = int(np.isin(queries, candidates).any())
    _, found = index.search(np.ascontiguousarray(vectors[queries]), min(k + are_among, len(candidates)))
    rows = candidates[found]
    # itself is not always the first one: others may have the same vector
    others = np.argsort(rows == queries[:, None], axis=1, kind="stable")[:, : min(k, len(candidates) - are_among)]
    result: Ids = np.take_along_axis(rows, others, axis=1)
    return result


def neighbor_fraud_lift(vectors: Vectors, suspects: Suspects, *, k: int = 10, seed: int = 0) -> Interval:
    """How many times the base rate the `k` nearest parties that are not confirmed, of each confirmed one, become
    fraud. The interval (95 %) draws confirmed parties. Raises ValueError where none is confirmed or becomes fraud."""
    queries, candidates = np.flatnonzero(suspects.is_confirmed), np.flatnonzero(~suspects.is_confirmed)
    if len(queries) == 0 or suspects.base_rate == 0:
        raise ValueError(
            f"{len(queries)} parties are confirmed and {int(suspects.becomes_fraud.sum())} become fraud; each must be "
            "1 or more to speak of a lift. Take a longer time, or more data."
        )
    share_Q = suspects.becomes_fraud[nearest(vectors, queries, candidates, k)].mean(axis=1) / suspects.base_rate
    drawn = np.random.default_rng(seed).integers(0, len(share_Q), (_NUM_BOOTSTRAPS, len(share_Q)))
    low, high = np.quantile(share_Q[drawn].mean(axis=1), [0.025, 0.975])
    return Interval(value=float(share_Q.mean()), low=float(low), high=float(high))


def entity_precision(
    earlier_vectors: Vectors, earlier: Suspects, vectors: Vectors, suspects: Suspects, *, seed: int = 0
) -> Interval:
    """Average precision of a logistic regression on the vectors of parties that are not confirmed: fitted as of an
    `earlier` time, its strength chosen there by cross-validation, judged now. The interval (95 %) draws parties."""
    probe = make_pipeline(
        StandardScaler(),
        LogisticRegressionCV(
            Cs=5, cv=3, scoring="average_precision", max_iter=2_000, l1_ratios=(0,), use_legacy_attributes=False
        ),
    )
    probe.fit(earlier_vectors[~earlier.is_confirmed], earlier.becomes_fraud[~earlier.is_confirmed])
    outcome, score = (
        suspects.becomes_fraud[~suspects.is_confirmed],
        probe.decision_function(vectors[~suspects.is_confirmed]),
    )
    drawn = np.random.default_rng(seed).integers(0, len(outcome), (_NUM_BOOTSTRAPS, len(outcome)))
    values = [average_precision(outcome[rows], score[rows]) for rows in drawn if outcome[rows].any()]
    low, high = np.quantile(values, [0.025, 0.975])
    return Interval(value=average_precision(outcome, score), low=float(low), high=float(high))


def neighbors_kept(one: Vectors, other: Vectors, queries: Ids, *, k: int = 10) -> float:
    """Mean share of the `k` nearest parties of each query that two embedders have in common."""
    everyone = np.arange(len(one))
    found = [nearest(vectors, queries, everyone, k) for vectors in (one, other)]
    shares = [len(np.intersect1d(*rows)) / len(rows[0]) for rows in zip(*found, strict=True)]
    return float(np.mean(shares))
