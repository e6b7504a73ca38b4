"""Labels as they were read, against the rows that they speak of: their times, and what has nothing to speak of."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from ingestion.jobs.hashes import hashed_labels
from ingestion.label_rows import AT_THE_END


def settled(labels: DataFrame, transactions: DataFrame, *, horizon: int) -> DataFrame:
    """Labels with a time and a hash each.

    What is known days after the event is not known before its transaction has arrived; what is known at the end of
    the data is known at its last `available_at`. Labels of a transaction that is not there keep the null.

    Args:
        transactions: transaction_id, event_time and known_at of all transactions.
        horizon: the last `available_at` in µs.
    """
    columns = labels.columns
    timed = labels.where(F.col("delay").isNull())
    late = labels.where(F.col("delay").isNotNull())
    events = transactions.select(
        "transaction_id",
        F.unix_micros("event_time").alias("event"),
        F.unix_micros(F.greatest("event_time", "known_at")).alias("arrival"),
    )
    due = F.greatest(F.col("event") + F.col("delay"), F.col("arrival") + F.lit(1))
    at = F.when(F.col("delay") == F.lit(AT_THE_END), F.lit(horizon)).otherwise(due)
    joined = late.join(events, "transaction_id", "left").withColumn("known_at", F.timestamp_micros(at))
    return timed.unionByName(_hashed(joined.select(*columns)))


def too_early(labels: DataFrame, transactions: DataFrame) -> DataFrame:
    """Labels that are known by the time that their own transaction arrives: they would tell it its outcome."""
    arrivals = transactions.select("transaction_id", F.greatest("event_time", "known_at").alias("arrival"))
    early: Column = F.col("known_at") <= F.col("arrival")
    return labels.join(arrivals, "transaction_id", "inner").where(early).select(*labels.columns)


def without_subject(labels: DataFrame, transactions: DataFrame, parties: DataFrame) -> tuple[DataFrame, DataFrame]:
    """Labels of transactions, and of entities, that are not there; `parties` has columns type and key."""
    of_transactions = labels.where(F.col("transaction_id").isNotNull())
    orphans = of_transactions.join(transactions.select("transaction_id"), "transaction_id", "left_anti")
    known = parties.select(F.col("type").alias("entity_type"), F.col("key").alias("entity_key")).distinct()
    strangers = labels.where(F.col("entity_key").isNotNull()).join(known, ["entity_type", "entity_key"], "left_anti")
    return orphans.select(*labels.columns), strangers.select(*labels.columns)


def _hashed(labels: DataFrame) -> DataFrame:
    """The labels with the hash of their fields; a label without a time gets none."""
    columns = labels.columns
    numbered = labels.drop("row_hash").persist()
    key = ["file", "line", "source"]
    hashes = hashed_labels(numbered, keep=key).select(*key, "row_hash")
    return numbered.join(hashes, key, "inner").select(*columns)
