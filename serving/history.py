"""Single transactions of a snapshot by id, without holding the whole table in memory."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ingestion.contracts import TRANSACTION, micros
from ingestion.snapshot import Snapshot
from retrieval.records import SnapshotRecords
from serving.events import TransactionEvent


class History:
    """Transactions of a snapshot: position by id, logical row by position."""

    def __init__(self, snapshot: Snapshot, records: SnapshotRecords) -> None:
        self._records = records
        self._row_groups = [
            (file, group)
            for file in sorted((snapshot.path / "transactions").glob("*.parquet"))
            for group in range(pq.read_metadata(file).num_row_groups)
        ]
        sizes = [pq.read_metadata(file).row_group(group).num_rows for file, group in self._row_groups]
        self._starts = [0, *accumulate(sizes)]

    def position(self, transaction_id: str) -> int | None:
        """Its position in the sequence, None when the snapshot does not have it."""
        return self._records.position(transaction_id)

    def event(self, position: int) -> TransactionEvent:
        """The logical row at a position."""
        group = bisect_right(self._starts, position) - 1
        file, number = self._row_groups[group]
        table = pq.ParquetFile(file, page_checksum_verification=True).read_row_group(number, columns=TRANSACTION.names)
        return TransactionEvent.from_row(_plain(table.slice(position - self._starts[group], 1)))


def _plain(table: pa.Table) -> dict[str, Any]:
    row: dict[str, Any] = table.to_pylist()[0]
    row["event_time"], row["known_at"] = micros(row["event_time"]), micros(row["known_at"])
    row["attributes"] = dict(row["attributes"] or [])
    return row
