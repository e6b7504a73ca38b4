"""What a model is shown: rows to learn from or to score, and the past, cut off behind them.

A view holds no transaction behind its `horizon` and no label that became known later. What lies behind is not hidden
but gone; asking for it by position raises `SealedRow`. So a trial of tuning cannot open a test row, and a model's
`fit` cannot see the window that it will be judged on. All arrays of a view are copies: a model may work in place, what
it is judged by stays as it was. *Between* the rows of a view it is the model's own duty to look
back only (`recent` and `known_labels` do); `guards` find out whether it does.

Legend: n rows of the view, H transactions up to the horizon, N of the whole data, F features, E recent transactions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from graphml.context import GraphContext
from graphml.errors import GraphmlError
from graphml.graph import Floats, Ints, SmallInts, TransactionGraph
from graphml.label_table import as_of
from graphml.sampling import labels_known, recent_slots
from graphml.tasks import Task
from ingestion.contracts import TRANSACTION
from ingestion.snapshot import Snapshot

Bools = NDArray[np.bool_]


class SealedRow(GraphmlError):
    """A model asked for a transaction behind the horizon of its view."""


@dataclass(frozen=True, kw_only=True)
class DataView:
    """See the module. `positions` (n,) places in the sequence; `is_fraud` (n,) outcomes in a view to fit on, None in
    one to score; `graph` everything up to the horizon; `read` a column of the transaction table up to it, (H,)."""

    positions: Ints
    is_fraud: Bools | None
    context: GraphContext
    feature_names: tuple[str, ...]
    read: Callable[[str], pa.Array]

    @property
    def graph(self) -> TransactionGraph:
        """All transactions up to the horizon, with the labels known by then."""
        return self.context.graph

    @property
    def horizon(self) -> int:
        """Number of transactions that the view holds."""
        return len(self.graph)

    @property
    def features(self) -> Floats:
        """(n, F) float32 of the view's rows, each as of its own place in the sequence; NaN where absent."""
        return self.features_at(self.positions)

    def features_at(self, positions: Ints) -> Floats:
        """(k, F) of any positions up to the horizon. Raises `SealedRow`."""
        return self.graph.features[self._open(positions)]

    def column(self, name: str, positions: Ints | None = None) -> pa.Array:
        """A column of the transaction table (`amount_minor`, `currency`, `kind`, `channel`, `source_key`, …) at the
        view's rows, or at any positions up to the horizon. Raises `SealedRow`; `ValueError` for an unknown name."""
        if name not in TRANSACTION.names:
            raise ValueError(f"there is no column {name!r}; a transaction has {', '.join(TRANSACTION.names)}")
        at = self._open(self.positions if positions is None else positions)
        return self.read(name).take(pa.array(at))

    def recent(self, role: str, num: int) -> tuple[Ints, Ints]:
        """The most recent `num` transactions of each row's party in a role, all before the row, oldest first.

        Returns offsets (n + 1,) and positions (E,); those of row i are `positions[offsets[i]:offsets[i + 1]]`.
        """
        graph = self.graph
        party = graph.entity[self.positions, graph.roles.index(role)]
        offsets, slots = recent_slots(graph.starts, graph.stops, graph.incident, party, self.positions, num)
        return offsets, graph.incident[slots]

    def known_labels(self, offsets: Ints, positions: Ints) -> SmallInts:
        """What each row knew of `positions` (E,), given as by `recent`: 1 fraud, 0 legitimate, -1 nothing yet."""
        graph = self.graph
        time = np.repeat(graph.available_at[self.positions], np.diff(offsets))
        return labels_known(graph, self._open(positions), time)

    def _open(self, positions: Ints) -> Ints:
        """The positions, if all lie before the horizon."""
        wanted = np.asarray(positions, np.int64)
        behind = wanted[(wanted >= self.horizon) | (wanted < 0)]
        if len(behind):
            raise SealedRow(
                f"Position {behind[0]} was asked for, but this view ends before position {self.horizon}: what lies "
                "behind is not known yet.",
                remedy="Look only at what lies before each row: `DataView.recent`, `positions`.",
            )
        return wanted


@dataclass(frozen=True, kw_only=True)
class EvaluationData:
    """Everything, for the evaluation alone: it hands out views. `rows` (N,): which stored row stands at a position."""

    graph: TransactionGraph
    feature_names: tuple[str, ...]
    read: Callable[[str], pa.Array] = field(compare=False)
    rows: Ints

    @classmethod
    def of(cls, snapshot: Snapshot, graph: TransactionGraph | None = None) -> EvaluationData:
        """The data of a snapshot; columns of the transaction table are read when first asked for."""

        @lru_cache(maxsize=16)
        def read(name: str) -> pa.Array:
            column = snapshot.transactions([name]).column(name).combine_chunks()
            return pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column

        found = graph or TransactionGraph.from_snapshot(snapshot)
        return cls(graph=found, feature_names=tuple(snapshot.spec.names), read=read, rows=np.arange(len(found)))

    def to_fit(self, task: Task, *, deadline: int) -> DataView:
        """The task's rows with their outcomes, in all that was known at `deadline` (µs, open for transactions)."""
        num = int(np.searchsorted(self.graph.available_at, deadline))
        return self._view(task.positions, task.is_fraud, self._known(num, deadline))

    def to_score(self, positions: Ints) -> DataView:
        """The rows (n,), ascending and at least one, in all that was known when the last of them became available."""
        last = int(positions[-1])
        return self._view(positions, None, self._known(last + 1, int(self.graph.available_at[last])))

    def to_probe(self, positions: Ints) -> DataView:
        """The rows in all of the data, later transactions and labels too: what `guards` show a model to tempt it."""
        latest = int(self.graph.label_known_at.max(initial=0))
        return self._view(positions, None, self._known(len(self.graph), latest))

    def _known(self, num: int, label_time: int) -> GraphContext:
        return GraphContext(as_of(self.graph, num, label_time))

    def _view(self, positions: Ints, is_fraud: Bools | None, context: GraphContext) -> DataView:
        assert len(positions) and positions[-1] < len(context.graph), "rows lie before the horizon of their view"
        rows = pa.array(self.rows[: len(context.graph)])

        @lru_cache(maxsize=16)
        def read(name: str) -> pa.Array:
            return self.read(name).take(rows)  # a copy: a slice would still hold what lies behind

        return DataView(
            positions=positions.copy(),
            is_fraud=None if is_fraud is None else is_fraud.copy(),
            context=context,
            feature_names=self.feature_names,
            read=read,
        )

    def under(self, graph: TransactionGraph, rows: Ints | None = None) -> EvaluationData:
        """The same table under another graph, rows of the table dealt out anew if given."""
        return replace(self, graph=graph, rows=self.rows if rows is None else rows)
