"""Entities and their dense ids: append-only, the parent's kept, new ones in the order of (type, key)."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F


def party_key(role: str) -> tuple[Column, Column]:
    """Type and key of a transaction's party in a role; null where it has none."""
    if role in ("source", "target"):
        return F.col(f"{role}_type"), F.col(f"{role}_key")
    party = F.try_element_at(F.filter("parties", lambda item: item["type"] == role), F.lit(1))
    return party["type"], party["key"]


def parties_of(transactions: DataFrame) -> DataFrame:
    """Every party that the transactions name, once: type, key, first_known_at."""
    ends = [
        F.struct(F.col(f"{end}_type").alias("type"), F.col(f"{end}_key").alias("key")) for end in ("source", "target")
    ]
    named = transactions.select(F.explode(F.concat(F.array(*ends), "parties")).alias("party"), "available_at")
    return (
        named.groupBy(F.col("party.type").alias("type"), F.col("party.key").alias("key"))
        .agg(F.min("available_at").alias("first_known_at"))
        .select("type", "key", "first_known_at")
    )


def known_and_new(parties: DataFrame, known: DataFrame) -> tuple[DataFrame, DataFrame]:
    """Split parties into those with an id in `known` (entity_id, type, key, first_known_at), and new ones.

    A late row may make a known entity known earlier (`is_earlier`).
    """
    seen = parties.withColumnRenamed("first_known_at", "seen_at")
    first = F.least("first_known_at", "seen_at").alias("first_known_at")
    is_earlier = F.coalesce(F.col("seen_at") < F.col("first_known_at"), F.lit(False)).alias("is_earlier")
    kept = known.join(seen, ["type", "key"], "left").select("entity_id", "type", "key", first, is_earlier)
    new = parties.join(known.select("type", "key"), ["type", "key"], "left_anti")
    return kept, new.select("type", "key", "first_known_at")


def with_entity_ids(transactions: DataFrame, entities: DataFrame, roles: Sequence[str]) -> DataFrame:
    """Transactions with a column `entity_<role>` for each role, null where the party is absent."""
    columns = list(transactions.columns)
    for role in roles:
        kind, key = party_key(role)
        ids = entities.select(
            F.col("type").alias("_type"), F.col("key").alias("_key"), F.col("entity_id").alias(f"entity_{role}")
        )
        transactions = transactions.join(ids, (kind == F.col("_type")) & (key == F.col("_key")), "left")
        columns.append(f"entity_{role}")
        transactions = transactions.select(*columns)
    return transactions
