"""Transactions as numbers for a network that is given no engineered features.

`EventCode` is a transaction's own features; `EventToken` adds what its parties' recent transactions were like by then.
A token is as of its own time, so it never changes and one table serves every seed that comes later.

Legend: n, N transactions, S seeds, R roles, F features of the snapshot, C encoded columns, W columns of a code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphml.context import GraphContext
from graphml.graph import SOURCE, TARGET, Floats, Ints, Seeds
from graphml.neighbors import bag_means, party_statistics
from graphml.nn.piecewise import PiecewiseBins, PiecewiseLinearEncoding
from graphml.sampling import labels_known, recent_slots
from graphml.scaling import CLIP, Scaler
from ingestion.compiled import jit

#: After the means of a party's codes: share of frauds and of known labels, number of transactions against the most.
NUM_PARTY_COLUMNS = 3
#: With pair history: share of distinct other ends, share with the seed's own other end, whether that one is new to the
#: party, mean and last gap (log1p hours, in fives).
NUM_PAIR_COLUMNS = 5


@dataclass(frozen=True, kw_only=True)
class EventCode:
    """[x standardised, log x standardised] of the `graded` columns, and all `columns` (C,) in piecewise-linear bins.

    Bins make a sharp threshold of a raw amount learnable; logarithms make a ratio of two amounts a difference. A column
    of one bin, such as a flag, is graded by it already. Columns are those of the snapshot.
    """

    columns: tuple[int, ...]
    graded: tuple[int, ...]
    scalers: tuple[Scaler, Scaler]
    bins: PiecewiseBins

    @classmethod
    def fit(cls, features: Floats, columns: Sequence[int], *, num_bins: int = 8) -> EventCode:
        """Fit on training rows (n, F); a column of `columns` that never varies is left out."""
        varying = [column for column in columns if len(np.unique(features[:, column])) > 1]
        if not varying:
            raise ValueError(
                f"None of the columns {list(columns)} varies in {len(features)} training rows: there is nothing to "
                "learn from. Give columns of the event that vary, or more rows."
            )
        bins = PiecewiseBins.fit(features[:, varying], num_bins=num_bins)
        graded = [column for column, edges in zip(varying, bins.edges, strict=True) if len(edges) > 2]
        chosen = features[:, graded]
        return cls(
            columns=tuple(varying),
            graded=tuple(graded),
            scalers=(Scaler.fit(chosen, compress=False), Scaler.fit(chosen, compress=True)),
            bins=bins,
        )

    @property
    def width(self) -> int:
        """W."""
        return 2 * len(self.graded) + self.bins.width

    @property
    def first_bin(self) -> int:
        """First column of the bins."""
        return 2 * len(self.graded)

    @property
    def bin_counts(self) -> tuple[int, ...]:
        """Bins of each column, then one for each flag of absence."""
        return (*(len(edges) - 1 for edges in self.bins.edges if edges), *(1 for _ in self.bins.flags))

    @property
    def depth(self) -> int:
        """See `RowEncoder`."""
        return 0

    def rows(self, context: GraphContext, seeds: Seeds) -> Floats:
        """See `RowEncoder`."""
        return self(seeds.features)

    def __call__(self, features: Floats) -> Floats:
        """(n, F) -> (n, W) float32: the numbers of `Scaler` and `PiecewiseLinearEncoding`, a row at a time."""
        needed = 1 + max(self.columns)
        if features.shape[1] < needed:
            raise ValueError(f"Features have {features.shape[1]} columns; the code reads column {needed - 1}.")
        return _coded(features, self._sizes, self._bins, self._flags)

    def __hash__(self) -> int:
        return self._hash  # tables are found by encoder for every transaction

    @cached_property
    def _hash(self) -> int:
        return hash((self.columns, self.graded, self.scalers, self.bins))

    @cached_property
    def _sizes(self) -> tuple[Ints, NDArray[np.float64], NDArray[np.float64]]:
        """Graded columns (C,), then mean and deviation (2, C) of x and of log x."""
        mean = np.asarray([scaler.mean for scaler in self.scalers], np.float64)
        deviation = np.asarray([scaler.deviation for scaler in self.scalers], np.float64)
        return np.asarray(self.graded, np.int64), mean, deviation

    @cached_property
    def _bins(self) -> tuple[Ints, Floats, Floats]:
        """Of each bin (B,): its column, its lower edge and one over its width."""
        encoding = PiecewiseLinearEncoding(self.bins)
        column = np.asarray(self.columns, np.int64)[encoding.column_B.numpy()]
        return column, encoding.lower_B.numpy(), encoding.slope_B.numpy()

    @cached_property
    def _flags(self) -> Ints:
        """Columns of the features whose absence is told."""
        return np.asarray([self.columns[number] for number in self.bins.flags], np.int64)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` reads it back."""
        return {
            "columns": list(self.columns),
            "graded": list(self.graded),
            "scalers": [scaler.as_dict() for scaler in self.scalers],
            "bins": self.bins.as_dict(),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> EventCode:
        """Read what `as_dict` gave."""
        plain, compressed = (Scaler.from_dict(item) for item in data["scalers"])
        return cls(
            columns=tuple(data["columns"]),
            graded=tuple(data["graded"]),
            scalers=(plain, compressed),
            bins=PiecewiseBins.from_dict(data["bins"]),
        )


@dataclass(frozen=True, kw_only=True)
class EventToken:
    """A transaction's code, then for each of `num_roles` parties the mean code of its `num_recent` transactions before,
    what was known of them by then (`NUM_PARTY_COLUMNS`) and, with `pair_history`, whom they were with and when
    (`NUM_PAIR_COLUMNS`); zeros for a party without any. With `num_recent` 0 the code alone."""

    code: EventCode
    num_roles: int
    num_recent: int = 16
    pair_history: bool = True

    @property
    def width(self) -> int:
        """Columns of a token."""
        if self.num_recent == 0:
            return self.code.width
        of_party = NUM_PARTY_COLUMNS + (NUM_PAIR_COLUMNS if self.pair_history else 0)
        return self.code.width + self.num_roles * (self.code.width + of_party)

    @property
    def depth(self) -> int:
        """See `RowEncoder`."""
        return self.num_recent

    def rows(self, context: GraphContext, seeds: Seeds) -> Floats:
        """See `RowEncoder`."""
        if self.num_recent == 0:
            return self.code(seeds.features)
        parties = self._parties(context, context.inputs(self.code), seeds)
        return np.concatenate([self.code(seeds.features), parties], axis=1)

    def __hash__(self) -> int:
        return hash((self.code, self.num_roles, self.num_recent, self.pair_history))

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` reads it back."""
        return {
            "code": self.code.as_dict(),
            "num_roles": self.num_roles,
            "num_recent": self.num_recent,
            "pair_history": self.pair_history,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> EventToken:
        """Read what `as_dict` gave."""
        return cls(**data | {"code": EventCode.from_dict(data["code"])})

    def _parties(self, context: GraphContext, table: Floats, seeds: Seeds) -> Floats:
        """(S, R columns): all roles at once, one after the other in each row."""
        graph, (num, roles) = context.graph, seeds.entity.shape
        seed = np.repeat(np.arange(num), roles)
        cuts = seeds.cuts
        offsets, slots = recent_slots(
            graph.starts, graph.stops, graph.incident, seeds.entity.ravel(), cuts.position[seed], self.num_recent
        )
        count, transaction = np.diff(offsets), graph.incident[slots]
        label = labels_known(graph, transaction, np.repeat(cuts.label_time[seed], count))
        means = bag_means(offsets, transaction, label, table, np.arange(table.shape[1]))
        means[:, -1] /= np.maximum(count, 1)  # number of known labels -> their share
        parts = [means, (count / self.num_recent).astype(np.float32)[:, None]]
        if self.pair_history:
            partner = np.repeat(seeds.entity[:, SOURCE, None], roles, axis=1)
            partner[:, SOURCE] = seeds.entity[:, TARGET]
            ends, times = graph.incident_other[slots], graph.event_time[transaction]
            found = party_statistics(offsets, ends, partner.ravel(), times, cuts.event_time[seed])
            parts.append(_pair_columns(found))
        columns = np.concatenate(parts, axis=1)
        columns[np.isnan(columns)] = 0.0
        return columns.reshape(num, roles * columns.shape[1])


@jit
def _coded(
    features: Floats,
    sizes: tuple[Ints, NDArray[np.float64], NDArray[np.float64]],
    bins: tuple[Ints, Floats, Floats],
    flags: Ints,
) -> Floats:
    """See `EventCode.__call__`."""
    graded, mean, deviation = sizes
    column, lower, slope = bins
    num_graded, num_bins = graded.shape[0], column.shape[0]
    out = np.zeros((features.shape[0], 2 * num_graded + num_bins + flags.shape[0]), np.float32)
    for row in range(features.shape[0]):
        for index in range(num_graded):
            value = np.float64(features[row, graded[index]])
            if not np.isnan(value):
                compressed = np.sign(value) * np.log1p(np.abs(value))
                plain = (value - mean[0, index]) / deviation[0, index]
                log = (compressed - mean[1, index]) / deviation[1, index]
                if not np.isnan(plain):
                    out[row, index] = min(max(plain, -CLIP), CLIP)
                if not np.isnan(log):
                    out[row, num_graded + index] = min(max(log, -CLIP), CLIP)
        for number in range(num_bins):
            share = (features[row, column[number]] - lower[number]) * slope[number]
            if not np.isnan(share):
                out[row, 2 * num_graded + number] = min(max(share, np.float32(0)), np.float32(1))
        for number in range(flags.shape[0]):
            out[row, 2 * num_graded + num_bins + number] = np.isnan(features[row, flags[number]])
    return out


def _pair_columns(statistics: Floats) -> Floats:
    """(S, 5) of `party_statistics` -> (S, `NUM_PAIR_COLUMNS`)."""
    some = np.maximum(statistics[:, :1], 1)
    columns = np.empty((len(statistics), NUM_PAIR_COLUMNS), np.float32)
    columns[:, :2] = statistics[:, 1:3] / some
    columns[:, 2] = statistics[:, 2] == 0
    columns[:, 3:] = statistics[:, 3:] / 5
    return columns
