"""Features over histories of many parties: the arrays version that the Spark job runs on each partition.

`assemble` turns the kernel's integers into feature values; the online state calls it too, so a value is made
in one place. Absent party: NaN. Empty window: 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ingestion.contracts import MICROSECONDS_PER_DAY
from ingestion.features.kernels import LABEL_ROW, TRANSACTION_ROW, Ints, replay
from ingestion.features.spec import FeatureSpec, WindowFamily

Floats = NDArray[np.float32]
_NO_WIDTHS = np.empty(0, np.int64)


@dataclass(frozen=True, kw_only=True)
class PartyStream:
    """Rows of one role: each party's labels and transactions, parties contiguous, each in sequence order.

    All (M,) int64: `party` (any code, only equality counts), `rank` (LABEL_ROW or TRANSACTION_ROW), `time`
    (event time of a transaction, `known_at` of a label, µs), `value` (amount in minor units; 1 for fraud, 0 for
    legitimate), `currency` (code 0 … C-1). `exponents` (C,) int64: minor-unit digits of each code.
    """

    party: Ints
    rank: Ints
    time: Ints
    value: Ints
    currency: Ints
    exponents: Ints

    @property
    def starts(self) -> Ints:
        """(G + 1,) bounds of the parties."""
        if len(self.party) == 0:
            return np.zeros(1, np.int64)
        changes = np.flatnonzero(np.diff(self.party)) + 1
        return np.concatenate([[0], changes, [len(self.party)]]).astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class WindowCounts:
    """What the kernel counted: (M, W) for transaction windows, (M, V) for label windows."""

    counts: Ints
    amount_counts: Ints
    amount_sums: Ints
    label_counts: Ints
    fraud_counts: Ints

    @classmethod
    def zeros(cls, rows: int, spec: FeatureSpec, role: str) -> WindowCounts:
        """Room for `rows` rows of a role."""
        transactions, labels = (len(widths(family)) for family in spec.family(role))
        return cls(
            counts=np.zeros((rows, transactions), np.int64),
            amount_counts=np.zeros((rows, transactions), np.int64),
            amount_sums=np.zeros((rows, transactions), np.int64),
            label_counts=np.zeros((rows, labels), np.int64),
            fraud_counts=np.zeros((rows, labels), np.int64),
        )


def widths(family: WindowFamily | None) -> Ints:
    """Window widths of a family in microseconds, (W,)."""
    if family is None:
        return _NO_WIDTHS
    return np.asarray(family.days, np.int64) * MICROSECONDS_PER_DAY


def role_names(spec: FeatureSpec, role: str) -> list[str]:
    """Names of the columns that `role_features` makes."""
    return [name for family in spec.family(role) if family is not None for name in family.names()]


def role_features(spec: FeatureSpec, role: str, stream: PartyStream) -> Floats:
    """Features of one role, (M, F) float32, aligned with the stream; rows of labels are meaningless."""
    transaction_family, label_family = spec.family(role)
    counted = WindowCounts.zeros(len(stream.party), spec, role)
    replay(
        stream.starts,
        stream.rank,
        stream.time,
        stream.value,
        stream.currency,
        transaction_family is not None and transaction_family.counts_self,
        widths(transaction_family),
        widths(label_family),
        counted.counts,
        counted.amount_counts,
        counted.amount_sums,
        counted.label_counts,
        counted.fraud_counts,
    )
    return assemble(spec, role, counted, stream.exponents[stream.currency])


def assemble(spec: FeatureSpec, role: str, counted: WindowCounts, exponent: Ints) -> Floats:
    """Feature values from counts; `exponent` (M,) are the minor-unit digits of each row's currency."""
    transaction_family, label_family = spec.family(role)
    columns: list[NDArray[np.float64]] = []
    if transaction_family is not None:
        values = {
            "count": counted.counts.astype(np.float64),
            "amount_mean": _ratio(counted.amount_sums, counted.amount_counts) / (10.0 ** exponent[:, None]),
        }
        columns += _in_order(transaction_family, values)
    if label_family is not None:
        values = {
            "label_count": counted.label_counts.astype(np.float64),
            "fraud_rate": _ratio(counted.fraud_counts, counted.label_counts),
        }
        columns += _in_order(label_family, values)
    if not columns:
        return np.empty((len(exponent), 0), np.float32)
    return np.stack(columns, axis=1).astype(np.float32)


def event_features(
    spec: FeatureSpec,
    *,
    event_time: Ints,
    amount_minor: Ints,
    exponent: Ints,
    kind: NDArray[np.object_],
    outcome: NDArray[np.object_],
) -> Floats:
    """Features of the transactions alone, (N, E) float32."""
    hour = (event_time // 3_600_000_000) % 24
    weekday = (event_time // MICROSECONDS_PER_DAY + 3) % 7  # 1970-01-01 was a Thursday; Monday is 0
    values = {
        "amount": amount_minor / (10.0**exponent),
        "is_weekend": weekday >= 5,
        "is_night": hour <= 6,
        "hour": hour,
        "is_declined": outcome == "declined",
        "is_transfer": kind == "transfer",
        "is_refund": (kind == "refund") | (kind == "reversal"),
        "is_authorisation": kind == "authorisation",
    }
    if not spec.event:
        return np.empty((len(event_time), 0), np.float32)
    return np.stack([np.asarray(values[name], np.float64) for name in spec.event], axis=1).astype(np.float32)


def merge_streams(
    *,
    party: Ints,
    event_time: Ints,
    amount_minor: Ints,
    currency: Ints,
    exponents: Ints,
    available_at: Ints,
    label_position: Ints,
    label_known_at: Ints,
    label_is_fraud: NDArray[np.bool_],
) -> tuple[PartyStream, Ints]:
    """The stream of one role from transactions in sequence order (N,) and their labels in sequence order (L,).

    `party` (N,) is the role's entity id, -1 where absent; `label_position` (L,) the labelled transaction's
    position. Returns the stream and (M,) the position of each of its transaction rows (-1 for a label row).
    """
    has_party = np.flatnonzero(party >= 0)
    labelled = np.flatnonzero(party[label_position] >= 0)
    position = np.concatenate([np.full(len(labelled), -1), has_party]).astype(np.int64)
    rank = np.concatenate([np.full(len(labelled), LABEL_ROW), np.full(len(has_party), TRANSACTION_ROW)])
    keys = np.concatenate([party[label_position[labelled]], party[has_party]])
    available = np.concatenate([label_known_at[labelled], available_at[has_party]])
    ordinal = np.concatenate([labelled, has_party])  # both inputs lie in sequence order already
    order = np.lexsort((ordinal, rank, available, keys))
    time = np.concatenate([label_known_at[labelled], event_time[has_party]])
    value = np.concatenate([label_is_fraud[labelled].astype(np.int64), amount_minor[has_party]])
    codes = np.concatenate([np.zeros(len(labelled), np.int64), currency[has_party]])
    stream = PartyStream(
        party=keys[order],
        rank=rank[order].astype(np.int64),
        time=time[order],
        value=value[order],
        currency=codes[order],
        exponents=exponents,
    )
    return stream, position[order]


def _ratio(part: Ints, whole: Ints) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros(part.shape, np.float64), where=whole > 0)


def _in_order(family: WindowFamily, values: dict[str, NDArray[np.float64]]) -> list[NDArray[np.float64]]:
    return [values[statistic][:, index] for index in range(len(family.days)) for statistic in family.statistics]
