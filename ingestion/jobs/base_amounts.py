"""Amounts in the base currency: set once, when a transaction enters, by the rates known then."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ingestion.rates import Rates


def with_base_amounts(rows: DataFrame, rates: Rates | None) -> DataFrame:
    """Rows with `available_at` as rows with `amount_base_minor` beside; null without rates."""
    if rates is None:
        return rows.withColumn("amount_base_minor", F.lit(None).cast("bigint"))
    schema = ", ".join([*[f"`{name}` {kind}" for name, kind in rows.dtypes], "amount_base_minor bigint"])

    def convert(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            amounts, currency, time = (batch.column(name) for name in ("amount_minor", "currency", "available_at"))
            base = rates.base_amounts(amounts, currency, time.cast(pa.int64()))
            fields = [*batch.schema, pa.field("amount_base_minor", pa.int64())]
            yield pa.RecordBatch.from_arrays([*batch.columns, base], schema=pa.schema(fields))

    return rows.mapInArrow(convert, schema)


def in_base_currency(transactions: pa.Table, base: str | None) -> pa.Table:
    """Transactions with amount and currency as features see them: in the base currency where there is a rate."""
    if base is None:
        return transactions
    amount, currency = transactions.column("amount_base_minor"), transactions.column("currency")
    seen = {
        "currency": pc.if_else(amount.is_valid(), base, currency),
        "amount_minor": pc.coalesce(amount, transactions.column("amount_minor")),
    }
    for name, values in seen.items():
        transactions = transactions.set_column(transactions.column_names.index(name), name, values)
    return transactions
