"""What a model scores against: the graph of a snapshot and its transaction table, scaled as the model wants it."""

from __future__ import annotations

import numpy as np

from graphml.graph import Floats, TransactionGraph
from graphml.scaling import Scaler
from ingestion.snapshot import Snapshot

_ROWS_AT_ONCE = 100_000


class GraphContext:
    """The graph and, by scaler, the scaled table (N, F) float32, made when first asked for.

    Model-free, so one context serves the champion and a challenger.
    """

    def __init__(self, source: Snapshot | TransactionGraph) -> None:
        self.graph = source if isinstance(source, TransactionGraph) else TransactionGraph.from_snapshot(source)
        self._scaled: dict[Scaler, Floats] = {}

    def inputs(self, scaler: Scaler) -> Floats:
        """All transactions' features through `scaler`, row for row with the graph."""
        if scaler not in self._scaled:
            table = np.empty_like(self.graph.features)
            for start in range(0, len(table), _ROWS_AT_ONCE):
                table[start : start + _ROWS_AT_ONCE] = scaler(self.graph.features[start : start + _ROWS_AT_ONCE])
            self._scaled[scaler] = table
        return self._scaled[scaler]
