"""Rows that came before: exact duplicates are dropped and counted, the same key with other content is a conflict.

Most tables have none, so a cheap count of key hashes comes first, and only the rows of suspect keys are compared.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

DUPLICATE, CONFLICT = "duplicate", "conflict"
#: Where a row came from: (file, line). Rows of the parent snapshot have file -1.
ORIGIN = ("file", "line")


def suspects(rows: DataFrame, key: Sequence[str]) -> DataFrame:
    """Hashes (`suspect`, bigint) of keys that may occur more than once."""
    return (
        rows.groupBy(_key_hash(key).alias("suspect"))
        .agg(F.count(F.lit(1)).alias("times"))
        .where(F.col("times") > 1)
        .select("suspect")
    )


def repeats(rows: DataFrame, suspects: DataFrame, key: Sequence[str], origin: Sequence[str] = ORIGIN) -> DataFrame:
    """The rows that repeat an earlier one's key: origin, key, row_hash and `repeat` (duplicate or conflict).

    The first in the order of `origin` is the one that stays.
    """
    candidates = rows.withColumn("suspect", _key_hash(key)).join(suspects, "suspect", "left_semi")
    in_order = Window.partitionBy(*key).orderBy(*origin)
    verdict = F.when(F.col("row_hash") == F.col("first_hash"), DUPLICATE).otherwise(CONFLICT)
    return (
        candidates.withColumn("first_hash", F.first("row_hash").over(in_order))
        .withColumn("place", F.row_number().over(in_order))
        .where(F.col("place") > 1)
        .select(*origin, *key, "row_hash", verdict.alias("repeat"))
    )


def without(rows: DataFrame, repeats: DataFrame, origin: Sequence[str] = ORIGIN) -> DataFrame:
    """Rows that are none of the repeats."""
    return rows.join(repeats.select(*origin).distinct(), list(origin), "left_anti").select(*rows.columns)


def _key_hash(key: Sequence[str]) -> Column:
    return F.xxhash64(*key)
