"""What the index needs of a model: vectors of parties as of a position in the sequence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ingestion.contracts import PartyRef
from retrieval.errors import EmbeddingError
from retrieval.records import SnapshotRecords

Vectors = NDArray[np.float32]
Ids = NDArray[np.int64]

#: The state of a party at a time (µs, closed), (D,) float32, or None when nothing was known of it by then.
QueryEmbedder = Callable[[PartyRef, int], Vectors | None]


class EntityEmbedder(Protocol):
    """A trained model that embeds parties. `graphml.model.Model` is one."""

    @property
    def id(self) -> str:
        """The model's id; an index is bound to it."""
        ...

    def embed_entities(self, context: Any, entity_ids: Ids, cut_position: int) -> Vectors:
        """(n, D) float32 states of `entity_ids` (n,), from events at positions before `cut_position` alone."""
        ...


def embed_normalized(model: EntityEmbedder, context: Any, entity_ids: Ids, cut: int) -> Vectors:
    """`embed_entities`, checked (shape, finite, not zero) and L2-normalized."""
    vectors = np.asarray(model.embed_entities(context, entity_ids, cut), np.float32)
    if vectors.ndim != 2 or len(vectors) != len(entity_ids):
        raise EmbeddingError(
            f"Model {model.id} gave vectors of shape {vectors.shape} for {len(entity_ids)} parties.",
            remedy="Train the model again; embed_entities must return (n, D).",
        )
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    bad = np.flatnonzero(~np.isfinite(norms) | (norms <= 0))
    if len(bad):
        raise EmbeddingError(
            f"Model {model.id} gave {len(bad)} zero or non-finite vectors, first for party {entity_ids[bad[0]]}; "
            "they have no direction to compare.",
            remedy="Train the model again.",
        )
    return np.ascontiguousarray(vectors / norms[:, None], np.float32)


@dataclass(frozen=True)
class SnapshotEmbedder:
    """A `QueryEmbedder` over one snapshot: the model reads events available by the asked time, no later ones."""

    model: EntityEmbedder
    context: Any
    records: SnapshotRecords

    def __call__(self, ref: PartyRef, as_of: int) -> Vectors | None:
        """See `QueryEmbedder`."""
        entity_id = self.records.entity_id(ref)
        if entity_id is None or not self.records.is_known(ref, as_of=as_of):
            return None
        cut = self.records.cut(as_of)
        return embed_normalized(self.model, self.context, np.asarray([entity_id], np.int64), cut)[0]
