"""Labels: those that were handed over and those that matured, as events in the sequence.

The rule of `ingestion.labels.matured_labels`, over a DataFrame: an approved transaction becomes legitimate
`maturity` after its event time (on arrival if that is later), unless a label was known by then; never after the end
of the data, and never when it is an alert that nobody has reviewed.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from ingestion.contracts import LABEL, LABEL_ORIGINS


def label_events(
    explicit: DataFrame, transactions: DataFrame, *, unreviewed: DataFrame, maturity: int | None, horizon: int
) -> DataFrame:
    """All labels: the fields of `contracts.LABEL`, and position and entity ids of the transaction.

    Labels of entities come along with a null position: they are no events of transactions.

    Args:
        explicit: labels as they were handed over; each names a transaction that is there.
        transactions: position, transaction_id, event_time, available_at, outcome and entity_<role>.
        unreviewed: transaction_id of alerts without a review; they do not mature.
        maturity: µs from event time to maturing; None when nothing matures.
        horizon: end of the data in µs.
    """
    entity_columns = [name for name in transactions.columns if name.startswith("entity_")]
    columns = [*LABEL.names, "position", *entity_columns]
    given = explicit.join(
        transactions.select("transaction_id", "position", *entity_columns), "transaction_id", "inner"
    ).select(*_as_labels(explicit.columns), "position", *entity_columns)
    nowhere = [F.lit(None).cast("bigint").alias(name) for name in ("position", *entity_columns)]
    of_entities = explicit.where(F.col("entity_key").isNotNull())
    given = given.unionByName(of_entities.select(*_as_labels(explicit.columns), *nowhere))
    if maturity is None:
        return given.select(*columns)
    due = transactions.where(F.col("outcome") == "approved").join(unreviewed, "transaction_id", "left_anti")
    return given.select(*columns).unionByName(_matured(given, due, maturity, horizon).select(*columns))


def without_transaction(labels: DataFrame, transactions: DataFrame) -> DataFrame:
    """Labels whose transaction is not there."""
    return labels.join(transactions.select("transaction_id"), "transaction_id", "left_anti").select(*labels.columns)


def _matured(given: DataFrame, due: DataFrame, maturity: int, horizon: int) -> DataFrame:
    matures_at = F.greatest(F.unix_micros("event_time") + F.lit(maturity), F.unix_micros("available_at") + F.lit(1))
    of_transactions = given.where(F.col("position").isNotNull())
    first = of_transactions.groupBy("position").agg(F.min(F.unix_micros("known_at")).alias("first_label"))
    open_until_then = F.col("first_label").isNull() | (F.col("first_label") > F.col("matures_at"))
    timed = due.withColumn("matures_at", matures_at)
    chosen = timed.where(F.col("matures_at") <= F.lit(horizon)).join(first, "position", "left").where(open_until_then)
    nothing = F.lit(None).cast("string")
    return chosen.select(
        "*",
        nothing.alias("entity_type"),
        nothing.alias("entity_key"),
        F.lit("legitimate").alias("label"),
        F.timestamp_micros("matures_at").alias("known_at"),
        F.lit(LABEL_ORIGINS[-1]).alias("origin"),
        nothing.alias("reviewer"),
        nothing.alias("reason"),
        F.lit(None).cast("boolean").alias("for_training"),
    )


def _as_labels(columns: Sequence[str]) -> list[Column]:
    return [F.col(name) for name in LABEL.names if name in columns]
