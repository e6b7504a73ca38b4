"""A snapshot as the rows of a graph: entities, transactions, uses and links, each with the batch that brought it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ingestion.compiled import jit
from ingestion.errors import ArtifactError
from ingestion.graph.link_states import link_states
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace

Ints = NDArray[np.int64]

ENTITY_COLUMNS = ("id", "key", "batch", "type")
TRANSACTION_COLUMNS = (
    "source",
    "target",
    "tx",
    "event_time",
    "known_at",
    "available_at",
    "amount_minor",
    "currency",
    "kind",
    "outcome",
    "refers_to",
    "parties",
    "batch",
)
USE_COLUMNS = ("user", "used", "first_known_at", "batch")


@dataclass(frozen=True, kw_only=True)
class GraphRows:
    """Arrow tables with the columns above; times in µs as int64, entities by dense id, `parties` a list of
    `type:key` in the order of the types (null when there are none)."""

    entities: pa.Table
    transactions: pa.Table
    uses: pa.Table
    links: pa.Table

    def after(self, batch: int) -> GraphRows:
        """The rows of later batches alone, and the links that a later batch ended."""
        keep = [table.filter(pc.greater(table.column("batch"), batch)) for table in (self.entities, self.transactions)]
        uses = self.uses.filter(pc.greater(self.uses.column("batch"), batch))
        later = pc.or_(
            pc.greater(self.links.column("batch"), batch),
            pc.fill_null(pc.greater(self.links.column("until_batch"), batch), False),
        )
        return GraphRows(entities=keep[0], transactions=keep[1], uses=uses, links=self.links.filter(later))

    @property
    def num_rows(self) -> int:
        return sum(table.num_rows for table in (self.entities, self.transactions, self.uses, self.links))


def ancestors(workspace: Workspace, snapshot: Snapshot) -> list[Snapshot]:
    """The snapshots that it was appended to, newest first, as far as they are still there."""
    chain: list[Snapshot] = []
    parent = snapshot.manifest.get("parent")
    while parent is not None:
        try:
            chain.append(Snapshot.at(workspace.snapshots / parent))
        except ArtifactError:  # removed, or damaged: the chain ends here
            break
        parent = chain[-1].manifest.get("parent")
    return chain


def batches_of(snapshot: Snapshot, older: list[Snapshot]) -> Ints:
    """(N,) the batch that brought each transaction, as far as `older` (newest first) tell; 1 for what the oldest
    of them holds already."""
    batch = np.full(snapshot.manifest["num_transactions"], snapshot.manifest["batch"] if older else 1, np.int64)
    for index, ancestor in enumerate(older):
        is_oldest = index == len(older) - 1
        found = pc.index_in(snapshot.transaction_ids, value_set=ancestor.transaction_ids)
        batch[found.is_valid().to_numpy(zero_copy_only=False)] = 1 if is_oldest else ancestor.manifest["batch"]
    return batch


def graph_rows(snapshot: Snapshot, batch: Ints, older: list[Snapshot]) -> GraphRows:
    """All rows of a snapshot whose transactions came with these batches, (N,); `older` are its ancestors, newest
    first, as far as they tell what its links were before."""
    entities = snapshot.entities()
    texts = pc.binary_join_element_wise(entities.column("type"), entities.column("key"), ":").combine_chunks()
    arrays = snapshot.arrays
    return GraphRows(
        entities=_entities(entities, texts, arrays.entity, batch),
        transactions=_transactions(snapshot, texts, batch),
        uses=_uses(arrays.entity, arrays.available_at, batch),
        links=link_states(snapshot, older),
    )


def _entities(entities: pa.Table, texts: pa.Array, entity_NR: Ints, batch: Ints) -> pa.Table:
    first = np.full(entities.num_rows, np.iinfo(np.int64).max)
    for role in range(entity_NR.shape[1]):
        named = entity_NR[:, role] >= 0
        np.minimum.at(first, entity_NR[named, role], batch[named])
    columns = [entities.column("entity_id"), texts, pa.array(first), entities.column("type")]
    return pa.table(columns, names=list(ENTITY_COLUMNS))


def _transactions(snapshot: Snapshot, texts: pa.Array, batch: Ints) -> pa.Table:
    names = ["transaction_id", "event_time", "known_at", "available_at", "amount_minor", "currency", "kind"]
    table = snapshot.transactions([*names, "outcome", "refers_to"])
    entity_NR = snapshot.arrays.entity
    columns = [pa.array(entity_NR[:, 0]), pa.array(entity_NR[:, 1]), table.column("transaction_id")]
    columns += [table.column(name).cast(pa.int64()) for name in ("event_time", "known_at", "available_at")]
    columns += [table.column(name) for name in ("amount_minor", "currency", "kind", "outcome", "refers_to")]
    columns += [_party_lists(entity_NR[:, 2:], texts), pa.array(batch)]
    return pa.table(columns, names=list(TRANSACTION_COLUMNS))


def _party_lists(party_NP: Ints, texts: pa.Array) -> pa.Array:
    """List of `type:key` of each transaction; roles lie in the order of the types. Null where there is none."""
    present = party_NP >= 0
    counts = present.sum(axis=1, dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    values = texts.take(pa.array(party_NP[present]))
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=pa.array(counts == 0))


def _uses(entity_NR: Ints, available_at: Ints, batch: Ints) -> pa.Table:
    """One row a pair of source and further party, and one more each time a later batch brought an earlier time."""
    position, role = np.nonzero(entity_NR[:, 2:] >= 0)
    user, used = entity_NR[position, 0], entity_NR[position, 2 + role]
    order = np.lexsort((batch[position], available_at[position], used, user))
    user, used = user[order], used[order]
    first_known_at, brought_by = available_at[position][order], batch[position][order]
    keep = np.zeros(len(order), np.bool_)
    _first_seen(user, used, brought_by, keep)
    columns = (user, used, first_known_at, brought_by)
    return pa.table([pa.array(column[keep]) for column in columns], names=list(USE_COLUMNS))


@jit
def _first_seen(user: Ints, used: Ints, batch: Ints, keep: NDArray[np.bool_]) -> None:
    """Mark, of each pair's rows in the order of time, those that no earlier row of the same or an older batch
    makes superfluous: the first, and each that comes of an older batch than all before it."""
    oldest = 0
    for row in range(user.shape[0]):
        if row == 0 or user[row] != user[row - 1] or used[row] != used[row - 1] or batch[row] < oldest:
            keep[row] = True
            oldest = batch[row]
