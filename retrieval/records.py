"""What a snapshot knows that the graph does not hold: labels as of a time, memos, dense ids of parties.

Look-ups are binary searches over sorted columns, so a million transactions cost tens of megabytes, not a
dictionary of Python objects.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ingestion.contracts import LABEL_ORIGINS, PartyRef
from ingestion.snapshot import Snapshot

Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class KnownLabel:
    """The label in force at the time that was asked about; `known_at` in µs."""

    transaction_id: str | None
    label: str
    known_at: int
    origin: str


class SnapshotRecords:
    """Read-only look-ups over one snapshot; every answer about labels takes an `as_of` (µs, closed)."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.num_transactions = len(snapshot.transaction_ids)
        self._transactions = _SortedKeys(snapshot.transaction_ids)
        entities = snapshot.entities()
        names = pc.binary_join_element_wise(entities.column("type"), entities.column("key"), ":").combine_chunks()
        self._names = _one_array(names)
        self._entities = _SortedKeys(self._names)
        self._first_known_at: Ints = entities.column("first_known_at").cast(pa.int64()).to_numpy()

    def position(self, transaction_id: str) -> int | None:
        """Position of a transaction in the sequence."""
        return self._transactions.find(transaction_id)

    def entity_id(self, ref: PartyRef) -> int | None:
        """Dense id of a party."""
        return self._entities.find(str(ref))

    def ref(self, entity_id: int) -> PartyRef:
        """The party of a dense id."""
        return PartyRef.parse(self._names[entity_id].as_py())

    def is_known(self, ref: PartyRef, *, as_of: int) -> bool:
        """Whether a transaction that names the party was available by then."""
        entity_id = self.entity_id(ref)
        return entity_id is not None and bool(self._first_known_at[entity_id] <= as_of)

    def cut(self, as_of: int) -> int:
        """Number of transactions available by then: the first position that must not be seen."""
        return int(np.searchsorted(self.snapshot.arrays.available_at, as_of, side="right"))

    def memo(self, transaction_id: str) -> str | None:
        """The memo as it came: untrusted text."""
        position = self.position(transaction_id)
        return None if position is None else self._memos[position].as_py()

    def label(self, transaction_id: str, *, as_of: int) -> KnownLabel | None:
        """The label of a transaction as known by then, None when there was none."""
        position = self.position(transaction_id)
        return None if position is None else self._label_at(position, as_of)

    def known_frauds(self, ref: PartyRef, *, as_of: int) -> tuple[KnownLabel, ...]:
        """The party's transactions (in any role) that were labelled fraud as of then, by `known_at`."""
        entity_id = self.entity_id(ref)
        if entity_id is None:
            return ()
        entity, position = self._fraud_candidates
        low, high = np.searchsorted(entity, [entity_id, entity_id + 1])
        labels = (self._label_at(int(candidate), as_of) for candidate in position[low:high])
        frauds = [label for label in labels if label is not None and label.label == "fraud"]
        return tuple(sorted(frauds, key=_by_known_at))

    def entity_label(self, ref: PartyRef, *, as_of: int) -> KnownLabel | None:
        """The label of the party itself (not of a transaction) as known by then."""
        candidates = [label for label in self._entity_labels.get(str(ref), []) if label.known_at <= as_of]
        return max(candidates, key=_strength, default=None)

    def _label_at(self, position: int, as_of: int) -> KnownLabel | None:
        events, (starts, order) = self.snapshot.label_events, self._labels_by_position
        known = [row for row in order[starts[position] : starts[position + 1]] if events.known_at[row] <= as_of]
        if not known:
            return None
        last = known[-1]  # the latest known_at; on a tie the stronger origin
        return KnownLabel(
            transaction_id=self.snapshot.transaction_ids[position].as_py(),
            label="fraud" if events.is_fraud[last] else "legitimate",
            known_at=int(events.known_at[last]),
            origin=LABEL_ORIGINS[events.origin[last]],
        )

    @cached_property
    def _memos(self) -> pa.ChunkedArray:
        return self.snapshot.transactions(["memo"]).column("memo")

    @cached_property
    def _labels_by_position(self) -> tuple[Ints, Ints]:
        """(N + 1,) bounds and (L,) label rows by transaction, weakest to strongest within one."""
        events = self.snapshot.label_events
        order = np.lexsort((-events.origin, events.known_at, events.position))
        return np.searchsorted(events.position[order], np.arange(self.num_transactions + 1)), order

    @cached_property
    def _fraud_candidates(self) -> tuple[Ints, Ints]:
        """Party and position of every transaction that ever had a fraud label, by party, then position."""
        events = self.snapshot.label_events
        position = np.unique(events.position[events.is_fraud])
        entity_PR = self.snapshot.arrays.entity[position]
        pairs = np.stack([entity_PR.ravel(), np.repeat(position, entity_PR.shape[1])], axis=1)
        pairs = np.unique(pairs[pairs[:, 0] >= 0], axis=0)
        return pairs[:, 0], pairs[:, 1]

    @cached_property
    def _entity_labels(self) -> dict[str, list[KnownLabel]]:
        table = self.snapshot.labels()
        table = table.filter(pc.is_valid(table.column("entity_key")))
        table = table.set_column(
            table.schema.get_field_index("known_at"), "known_at", table.column("known_at").cast(pa.int64())
        )
        labels: dict[str, list[KnownLabel]] = {}
        for row in table.to_pylist():
            labels.setdefault(f"{row['entity_type']}:{row['entity_key']}", []).append(
                KnownLabel(transaction_id=None, label=row["label"], known_at=row["known_at"], origin=row["origin"])
            )
        return labels


class _SortedKeys:
    """Rows of unique strings, found by binary search."""

    def __init__(self, keys: pa.Array) -> None:
        self._keys = keys
        self._order: Ints = pc.sort_indices(keys).to_numpy().astype(np.int64)  # by UTF-8 bytes, as str compares

    def find(self, key: str) -> int | None:
        at = bisect.bisect_left(self._order, key, key=self._key)
        if at == len(self._order) or self._key(self._order[at]) != key:
            return None
        return int(self._order[at])

    def _key(self, row: int) -> str:
        return str(self._keys[row].as_py())


def _one_array(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    if isinstance(column, pa.ChunkedArray):
        return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    return column


def _by_known_at(label: KnownLabel) -> tuple[int, str]:
    return label.known_at, label.transaction_id or ""


def _strength(label: KnownLabel) -> tuple[int, int]:
    return label.known_at, -LABEL_ORIGINS.index(label.origin)
