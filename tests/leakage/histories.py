"""Random histories for the guards of features, what is done to their future, and planted leaks.

A history is what the feature job is given: transactions in the order of the sequence, some of them late, and labels
with a delay. Fraud happens at some targets for some weeks, so past labels of a target do tell something.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ingestion.contracts import TIMESTAMP
from ingestion.features.batch import Events, LabelRows, event_features, scales, table_features
from ingestion.features.spec import FeatureSpec, load_spec
from ingestion.money import exponent
from tests.builders import DAY, START

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

ROLES = ("source", "target", "device")
CURRENCIES = ("EUR", "JPY", "USD")
SPEC: FeatureSpec = load_spec("default").for_roles(ROLES, two_way=True)


@dataclass(frozen=True, kw_only=True)
class History:
    """N transactions in sequence order and L labels by `known_at`; `entity` (N, R), -1 where absent."""

    event_time: Ints
    available_at: Ints
    amount_minor: Ints
    currency: Ints
    kind: NDArray[np.object_]
    outcome: NDArray[np.object_]
    entity: Ints
    label_position: Ints
    label_known_at: Ints
    label_is_fraud: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.event_time)


def random_history(num: int, seed: int, *, days: int = 60, late_share: float = 0.1) -> History:
    """The same history for the same arguments; times in steps of ten minutes, so that equal times happen."""
    rng = np.random.default_rng(seed)
    step = DAY // 144
    event_time = START + rng.integers(0, days * 144, num) * step
    late = rng.random(num) < late_share
    available_at = event_time + np.where(late, rng.integers(0, 3 * 144, num) * step, 0)
    order = np.lexsort((np.arange(num), event_time, available_at))
    event_time, available_at = event_time[order], available_at[order]
    target = rng.integers(0, 30, num)
    bad = rng.random((30, days // 20 + 1)) < 0.15
    is_fraud = rng.random(num) < np.where(bad[target, (event_time - START) // (20 * DAY)], 0.5, 0.005)
    source, device = 100 + rng.integers(0, max(3, num // 20), num), 10_000 + rng.integers(0, 50, num)
    device[rng.random(num) < 0.3] = -1
    position = np.flatnonzero(rng.random(num) < 0.9)
    known_at = available_at[position] + 1 + rng.integers(1, 10 * 144, len(position)) * step
    by_time = np.lexsort((position, known_at))
    return History(
        event_time=event_time,
        available_at=available_at,
        amount_minor=rng.integers(0, 100_000, num),
        currency=rng.integers(0, len(CURRENCIES), num),
        kind=rng.choice(np.asarray(["payment", "transfer", "refund", "authorisation"], object), num),
        outcome=rng.choice(np.asarray(["approved", "declined"], object), num),
        entity=np.stack([source, target, device], axis=1),
        label_position=position[by_time],
        label_known_at=known_at[by_time],
        label_is_fraud=is_fraud[position[by_time]],
    )


def features(history: History, spec: FeatureSpec = SPEC) -> Floats:
    """(N, F) by the array path."""
    exponents = [exponent(code) for code in CURRENCIES]
    own = event_features(
        spec,
        event_time=history.event_time,
        amount_minor=history.amount_minor,
        exponent=np.asarray(exponents, np.int64)[history.currency],
        kind=history.kind,
        outcome=history.outcome,
    )
    events = Events(
        position=np.arange(len(history)),
        event_time=history.event_time,
        available_at=history.available_at,
        amount_minor=history.amount_minor,
        currency=history.currency,
        declined=(history.outcome == "declined").astype(np.int64),
        entity=history.entity,
    )
    labels = LabelRows(
        position=history.label_position,
        known_at=history.label_known_at,
        is_fraud=history.label_is_fraud.astype(np.int64),
        unusual=np.zeros(len(history.label_position), np.int64),
        entity=history.entity[history.label_position],
    )
    return table_features(spec, events, labels, own=own, roles=ROLES, scale=scales(exponents))


def altered(history: History, cut: int, seed: int) -> History:
    """Everything from position `cut` on changed in place, places in the sequence kept; labels of then as well."""
    rng = np.random.default_rng(seed)
    num = len(history)
    after = np.arange(num) >= cut
    last = history.available_at[cut - 1]
    other = rng.permutation(num)
    late = history.label_known_at > last
    moved = np.where(late, history.label_known_at + rng.integers(0, 3 * DAY, len(late)), history.label_known_at)
    new_position = rng.integers(0, num, 20)
    new_known_at = np.maximum(history.available_at[new_position], last) + 1 + rng.integers(0, DAY, 20)
    position = np.concatenate([history.label_position, new_position])
    known_at = np.concatenate([moved, new_known_at])
    is_fraud = np.concatenate([history.label_is_fraud ^ late, rng.random(20) < 0.5])
    order = np.lexsort((position, known_at))
    earlier = rng.integers(0, 5 * DAY, num)
    return History(
        event_time=np.where(after, history.available_at - earlier, history.event_time),
        available_at=history.available_at,
        amount_minor=np.where(after, rng.integers(0, 10**9, num), history.amount_minor),
        currency=np.where(after, history.currency[other], history.currency),
        kind=np.where(after, history.kind[other], history.kind),
        outcome=np.where(after, history.outcome[other], history.outcome),
        entity=np.where(after[:, None], history.entity[other], history.entity),
        label_position=position[order],
        label_known_at=known_at[order],
        label_is_fraud=is_fraud[order],
    )


def deleted(history: History, cut: int) -> History:
    """Without the transactions from position `cut` on, and without the labels that came after the last one left."""
    kept = (history.label_known_at <= history.available_at[cut - 1]) & (history.label_position < cut)
    columns: dict[str, Any] = {
        name: getattr(history, name)[:cut]
        for name in ("event_time", "available_at", "amount_minor", "currency", "kind", "outcome", "entity")
    }
    labels = {name: getattr(history, name)[kept] for name in ("label_position", "label_known_at", "label_is_fraud")}
    return History(**columns, **labels)


def shuffled_labels(history: History, seed: int) -> History:
    """The label table permuted: who is fraud is drawn anew, how many and when is not."""
    rng = np.random.default_rng(seed)
    return replace(history, label_is_fraud=rng.permutation(history.label_is_fraud))


Leak = Callable[[History], History]


def labels_without_delay(history: History) -> History:
    """A leak: labels are taken to be known when the transaction happened."""
    known_at = history.event_time[history.label_position]
    order = np.lexsort((history.label_position, known_at))
    return replace(
        history,
        label_position=history.label_position[order],
        label_known_at=known_at[order],
        label_is_fraud=history.label_is_fraud[order],
    )


def arrival_ignored(history: History) -> History:
    """A leak: late transactions are taken to be known when they happened."""
    return replace(history, available_at=history.event_time)


def window_ahead(history: History) -> Floats:
    """A leak: the source's first window ends a day after the scored transaction."""
    values = features(history).copy()
    source, time = history.entity[:, 0], history.event_time
    same = source[:, None] == source[None, :]
    ahead = (time[None, :] > time[:, None]) & (time[None, :] <= time[:, None] + DAY)
    values[:, SPEC.names.index("source_count_1d")] += (same & ahead).sum(axis=1)
    return values


def as_tables(history: History) -> tuple[pa.Table, pa.Table]:
    """Transactions and labels as the Spark job reads them."""
    ids = [f"t{index:06d}" for index in range(len(history))]
    entity = {
        f"entity_{role}": pa.array(history.entity[:, index], mask=history.entity[:, index] < 0)
        for index, role in enumerate(ROLES)
    }
    transactions = pa.table(
        {
            "position": np.arange(len(history)),
            "transaction_id": ids,
            "event_time": pa.array(history.event_time).cast(TIMESTAMP),
            "available_at": pa.array(history.available_at).cast(TIMESTAMP),
            "amount_minor": history.amount_minor,
            "currency": [CURRENCIES[code] for code in history.currency],
            "kind": history.kind.tolist(),
            "outcome": history.outcome.tolist(),
        }
        | entity
    )
    position = history.label_position
    labels = pa.table(
        {
            "position": position,
            "known_at": pa.array(history.label_known_at).cast(TIMESTAMP),
            "label": np.where(history.label_is_fraud, "fraud", "legitimate").tolist(),
        }
        | {name: column.take(pa.array(position)) for name, column in entity.items()}
    )
    return transactions, labels
