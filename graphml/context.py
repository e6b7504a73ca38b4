"""What a model scores against: the graph of a snapshot and its transaction table, encoded as the model wants it."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from graphml.event_log import EventLog
from graphml.graph import Floats, Seeds, TransactionGraph
from graphml.torch_first import torch
from ingestion.snapshot import Snapshot

_ROWS_AT_ONCE = 100_000


class RowEncoder(Protocol):
    """Encodes transactions, each as of its own time; hashable, as tables are kept by encoder."""

    @property
    def width(self) -> int:
        """Columns of the result."""
        ...

    @property
    def depth(self) -> int:
        """Earlier transactions of a party that a row looks at, 0 for none."""
        ...

    def rows(self, context: GraphContext, seeds: Seeds) -> Floats:
        """(S, width) float32; a row's result depends on its seed, as of the seed's cut, alone."""
        ...


class GraphContext:
    """The graph and, by encoder, the encoded table (N, W) float32, made when first asked for.

    Model-free, so one context serves the champion and a challenger.
    """

    def __init__(self, source: Snapshot | TransactionGraph) -> None:
        self.graph = source if isinstance(source, TransactionGraph) else TransactionGraph.from_snapshot(source)
        self._encoded: dict[RowEncoder, Floats] = {}
        self._on_device: dict[tuple[RowEncoder, torch.device], torch.Tensor] = {}
        self._events: EventLog | None = None

    def events(self) -> EventLog:
        """The log of all parties' events."""
        if self._events is None:
            self._events = EventLog.of(self.graph)
        return self._events

    def inputs(self, encoder: RowEncoder) -> Floats:
        """All transactions through `encoder`, row for row with the graph."""
        if encoder not in self._encoded:
            self._encoded[encoder] = self.encode(encoder, len(self.graph))
        return self._encoded[encoder]

    def table(self, encoder: RowEncoder, device: torch.device) -> torch.Tensor:
        """`inputs` as a tensor: the same memory on a processor, else one copy that is kept on the device."""
        if device.type == "cpu":
            return torch.from_numpy(self.inputs(encoder))
        key = (encoder, device)
        if key not in self._on_device:
            self._on_device[key] = torch.from_numpy(self.inputs(encoder)).to(device)
        return self._on_device[key]

    def encode(self, encoder: RowEncoder, num: int) -> Floats:
        """The first `num` transactions through `encoder`, (num, W)."""
        table = np.empty((num, encoder.width), np.float32)
        for start in range(0, num, _ROWS_AT_ONCE):
            positions = np.arange(start, min(num, start + _ROWS_AT_ONCE))
            table[positions] = encoder.rows(self, self.graph.seeds(positions))
        return table
