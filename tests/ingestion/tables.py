"""Tables as a bank hands them over, in the columns of the `ringfence` mapping, from the builders' logical rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from ingestion.contracts import TIMESTAMP
from tests.builders import Row

COLUMNS = pa.schema(
    [
        ("transaction_id", pa.string()),
        ("event_time", TIMESTAMP),
        ("known_at", TIMESTAMP),
        ("source_type", pa.string()),
        ("source_id", pa.string()),
        ("target_type", pa.string()),
        ("target_id", pa.string()),
        ("holder_name", pa.string()),
        ("email", pa.string()),
        ("card_number", pa.string()),
        ("device_id", pa.string()),
        ("ip_address", pa.string()),
        ("amount_minor", pa.int64()),
        ("currency", pa.string()),
        ("kind", pa.string()),
        ("outcome", pa.string()),
        ("channel", pa.string()),
        ("merchant_category", pa.string()),
        ("country", pa.string()),
        ("memo", pa.string()),
        ("refers_to", pa.string()),
    ]
)
_LABELS = pa.schema(
    [
        ("transaction_id", pa.string()),
        ("label", pa.string()),
        ("known_at", TIMESTAMP),
        ("origin", pa.string()),
        ("reviewer", pa.string()),
        ("reason", pa.string()),
    ]
)


def handed_over(row: Row) -> dict[str, Any]:
    """One logical row as a row of the table."""
    parties = {party["type"]: party["key"] for party in row["parties"]}
    attributes = row.get("attributes") or {}
    return {name: row.get(name, attributes.get(name)) for name in COLUMNS.names} | {
        "source_id": row["source_key"],
        "target_id": row["target_key"],
        "card_number": parties.get("card"),
        "device_id": parties.get("device"),
        "ip_address": parties.get("ip"),
    }


def transactions_table(rows: Sequence[Row]) -> pa.Table:
    """The table of some logical rows."""
    return pa.Table.from_pylist([handed_over(row) for row in rows], schema=COLUMNS)


def write_source(
    folder: Path, rows: Sequence[Row], labels: Sequence[Row] | None = None, *, name: str = "transactions.parquet"
) -> Path:
    """Write a source, with its labels beside it when there are any; returns the file of transactions."""
    folder.mkdir(parents=True, exist_ok=True)
    table, path = transactions_table(rows), folder / name
    if path.suffix == ".csv":
        pa_csv.write_csv(table, path)
    else:
        pq.write_table(table, path, write_page_checksum=True)
    if labels is not None:
        wanted = [{field: row[field] for field in _LABELS.names} for row in labels]
        pq.write_table(pa.Table.from_pylist(wanted, schema=_LABELS), folder / "labels.parquet")
    return path
