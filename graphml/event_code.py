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

from graphml.context import GraphContext
from graphml.graph import SOURCE, TARGET, Floats, Seeds
from graphml.neighbors import bag_means, party_statistics
from graphml.nn.piecewise import PiecewiseBins, PiecewiseLinearEncoding
from graphml.sampling import labels_known, recent_slots
from graphml.scaling import Scaler
from graphml.torch_first import torch

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
        """(n, F) -> (n, W) float32."""
        graded = features[:, list(self.graded)]
        binned = self._encoding(torch.from_numpy(features[:, list(self.columns)])).numpy()
        return np.concatenate([*(scaler(graded) for scaler in self.scalers), binned], axis=1)

    @cached_property
    def _encoding(self) -> PiecewiseLinearEncoding:
        return PiecewiseLinearEncoding(self.bins)

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
        table = context.inputs(self.code)
        parties = [self._party(context, table, seeds, role) for role in range(self.num_roles)]
        return np.concatenate([self.code(seeds.features), *parties], axis=1)

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

    def _party(self, context: GraphContext, table: Floats, seeds: Seeds, role: int) -> Floats:
        graph = context.graph
        entity = seeds.entity[:, role].copy()
        offsets, slots = recent_slots(
            graph.starts, graph.stops, graph.incident, entity, seeds.cuts.position, self.num_recent
        )
        transaction = graph.incident[slots]
        label = labels_known(graph, transaction, np.repeat(seeds.cuts.label_time, np.diff(offsets)))
        means = bag_means(offsets, transaction, label, table, np.arange(table.shape[1]))
        count = (np.diff(offsets) / self.num_recent).astype(np.float32)[:, None]
        means[:, -1] /= np.maximum(np.diff(offsets), 1)  # number of known labels -> their share
        parts = [means, count]
        if self.pair_history:
            partner = seeds.entity[:, TARGET if role == SOURCE else SOURCE].copy()
            ends, times = graph.incident_other[slots], graph.event_time[transaction]
            parts.append(_pair_columns(party_statistics(offsets, ends, partner, times, seeds.cuts.event_time)))
        columns = np.concatenate(parts, axis=1)
        columns[np.isnan(columns)] = 0.0
        return columns


def _pair_columns(statistics: Floats) -> Floats:
    """(S, 5) of `party_statistics` -> (S, `NUM_PAIR_COLUMNS`)."""
    num, distinct, same, *gaps = statistics.T
    some = np.maximum(num, 1)
    return np.stack([distinct / some, same / some, same == 0, *(gap / 5 for gap in gaps)], axis=1).astype(np.float32)
