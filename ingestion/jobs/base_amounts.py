"""Amounts in the base currency, in Spark: set once, when a transaction enters, by the rates known then."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
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


def in_base_currency(transactions: DataFrame, base: str | None) -> DataFrame:
    """Transactions with amount and currency as features see them: in the base currency where there is a rate."""
    if base is None:
        return transactions
    has_rate = F.col("amount_base_minor").isNotNull()
    currency = F.when(has_rate, F.lit(base)).otherwise(F.col("currency"))
    amount = F.coalesce("amount_base_minor", "amount_minor")
    return transactions.withColumn("currency", currency).withColumn("amount_minor", amount)
