"""What each feature did to a transaction's score, by occlusion.

One feature at a time is replaced by its typical value (the median over the training window) and the transaction is
scored again; the change of the logit is what the feature did. It says how the model reads the transaction's own
features, with the graph around it as it was.
"""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from graphml.context import GraphContext
from graphml.graph import Cuts, Floats, Seeds
from graphml.model import Model
from retrieval.reader import Attribution
from retrieval.records import SnapshotRecords

#: Rows that the medians are taken from at most, evenly spread over the training window.
_MEDIAN_ROWS = 50_000


class Attributions:
    """An `Attributor` over one snapshot; transactions that it does not hold have no attributions."""

    def __init__(self, model: Model, context: GraphContext, records: SnapshotRecords) -> None:
        self._model = model
        self._context = context
        self._records = records

    def __call__(self, transaction_id: str) -> list[Attribution]:
        """One attribution a feature."""
        position = self._records.position(transaction_id)
        if position is None:
            return []
        own = self._context.graph.seeds(np.asarray([position], np.int64))
        names = self._model.spec.names
        logits = self._model.score_seeds(self._context, self._occluded(own, len(names)))
        return [
            Attribution(
                feature=name,
                value=_number(own.features[0, index]),
                typical=_number(self._typical[index]),
                logit_change=float(logits[-1] - logits[index]),
            )
            for index, name in enumerate(names)
        ]

    def _occluded(self, own: Seeds, num_features: int) -> Seeds:
        """(F + 1) copies of a seed, feature i typical in row i; the last row is the seed as it is."""
        copies = num_features + 1
        features = np.repeat(own.features, copies, axis=0)
        features[np.arange(num_features), np.arange(num_features)] = self._typical
        cuts = Cuts(
            position=np.repeat(own.cuts.position, copies),
            label_time=np.repeat(own.cuts.label_time, copies),
            event_time=np.repeat(own.cuts.event_time, copies),
        )
        return Seeds(cuts=cuts, entity=np.repeat(own.entity, copies, axis=0), features=features)

    @cached_property
    def _typical(self) -> Floats:
        """(F,) medians over the training window; 0 for a feature that is absent in all of it."""
        graph, windows = self._context.graph, self._model.windows
        start, end = np.searchsorted(graph.available_at, [windows.train_start, windows.train_end])
        step = max(1, (end - start) // _MEDIAN_ROWS)
        rows = graph.features[start:end:step]
        present = ~np.isnan(rows).all(axis=0)
        typical = np.zeros(rows.shape[1], np.float32)
        typical[present] = np.nanmedian(rows[:, present], axis=0)
        return typical


def _number(value: np.float32) -> float | None:
    return None if math.isnan(value) else float(value)
