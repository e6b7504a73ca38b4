"""Row hashes in Spark: of rows at rest, and the sum over a set of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
from pyspark.sql import DataFrame

from ingestion.canonical import HASH, MODULUS, hash_sum, label_hashes, transaction_hashes
from ingestion.contracts import LABEL, TRANSACTION

Batches = Iterator[pa.RecordBatch]

_HASHED = pa.schema([("transaction_id", pa.string()), ("row_hash", HASH)])
_SUM = pa.schema([("total", pa.string())])


def hashed_transactions(transactions: DataFrame) -> DataFrame:
    """transaction_id and row_hash of rows with the fields of `contracts.TRANSACTION`."""

    def hashes(batches: Batches) -> Batches:
        for batch in batches:
            table = pa.Table.from_batches([batch])
            columns = [batch.column("transaction_id"), transaction_hashes(table)]
            yield pa.RecordBatch.from_arrays(columns, schema=_HASHED)

    return transactions.select(*TRANSACTION.names).mapInArrow(hashes, "transaction_id string, row_hash binary")


def hashed_labels(labels: DataFrame, *, keep: Sequence[str] = ()) -> DataFrame:
    """Labels with the fields of `contracts.LABEL`, the columns of `keep`, and row_hash."""
    wanted = labels.select(*LABEL.names, *keep)
    schema = ", ".join([*[f"{name} {kind}" for name, kind in wanted.dtypes], "row_hash binary"])

    def hashes(batches: Batches) -> Batches:
        for batch in batches:
            fields = pa.schema([*[field.with_nullable(True) for field in batch.schema], pa.field("row_hash", HASH)])
            table = pa.Table.from_batches([batch])
            yield pa.RecordBatch.from_arrays([*batch.columns, label_hashes(table)], schema=fields)

    return wanted.mapInArrow(hashes, schema)


def total_hash(rows: DataFrame) -> int:
    """The sum of `row_hash` modulo 2^256; partial sums come from the workers."""

    def add(batches: Batches) -> Batches:
        total = sum(hash_sum(batch.column("row_hash")) for batch in batches)
        yield pa.RecordBatch.from_arrays([pa.array([f"{total % MODULUS:x}"])], schema=_SUM)

    partial = rows.select("row_hash").mapInArrow(add, "total string").collect()
    return sum(int(row.total, 16) for row in partial) % MODULUS
