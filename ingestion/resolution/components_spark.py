"""Connected components over a DataFrame of edges: alternating large-star and small-star.

Kiveris et al., Connected Components in MapReduce and Beyond (SoCC 2014). Each round writes its edges to a folder and
reads them back, so the plan does not grow and a lost worker repeats one round; nothing but a count and a checksum
comes to the driver. The smallest neighbor is a grouped minimum with partial results and no list of neighbors is
ever held, so a hub costs no task its memory. `components` gives the same answer on one machine.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ingestion.errors import IngestionError

#: Rounds grow with the logarithm of the longest path; so many were never needed.
_MOST_ROUNDS = 64


def connected(edges: DataFrame, scratch: Path) -> DataFrame:
    """`entity_id` and `component_id` (bigint), the smallest entity connected, for the two columns of ids in `edges`.

    `scratch` is a folder that every worker reaches, for the edges of each round; it must outlive the result.
    """
    a, b = edges.columns
    pairs = edges.select(F.greatest(a, b).alias("u"), F.least(a, b).alias("v")).distinct()
    ends = _written(pairs.select("u").union(pairs.select("v")).distinct(), scratch / "entities")
    stars = _written(pairs.where("u > v"), scratch / "round-0")
    before = _checksum(stars)
    for number in range(1, _MOST_ROUNDS + 1):
        stars = _written(small_star(large_star(stars)), scratch / f"round-{number}")
        if number > 1:
            shutil.rmtree(scratch / f"round-{number - 2}", ignore_errors=True)
        now = _checksum(stars)
        if now == before:
            labels = stars.select(F.col("u").alias("entity_id"), F.col("v").alias("component_id"))
            joined = ends.withColumnRenamed("u", "entity_id").join(labels, "entity_id", "left")
            return joined.select("entity_id", F.coalesce("component_id", "entity_id").alias("component_id"))
        before = now
    raise IngestionError(
        f"Components did not settle in {_MOST_ROUNDS} rounds: this is a fault of ours.",
        remedy="Run with --spark-master local[2], which takes another way.",
    )


def large_star(stars: DataFrame) -> DataFrame:
    """Edges (u, v), u > v: every neighbor greater than u moves from u to u's smallest neighbor, or stays."""
    both = stars.unionByName(stars.select(F.col("v").alias("u"), F.col("u").alias("v")))
    smallest = both.groupBy("u").agg(F.least("u", F.min("v")).alias("m"))
    moved = both.where("v > u").join(smallest, "u", "inner")
    return moved.select(F.col("v").alias("u"), F.col("m").alias("v")).distinct()


def small_star(stars: DataFrame) -> DataFrame:
    """Edges (u, v), u > v: u and its smaller neighbors move to the smallest of them."""
    smallest = stars.groupBy("u").agg(F.min("v").alias("m"))
    others = stars.join(smallest, "u", "inner").where("v > m").select(F.col("v").alias("u"), F.col("m").alias("v"))
    return others.unionByName(smallest.select("u", F.col("m").alias("v"))).distinct()


def _written(rows: DataFrame, folder: Path) -> DataFrame:
    rows.write.mode("overwrite").parquet(str(folder))
    return rows.sparkSession.read.schema(rows.schema).parquet(str(folder))


def _checksum(stars: DataFrame) -> tuple[int, int]:
    """Number of edges and the sum of their hashes: the same when a round changed nothing."""
    digest = F.sum(F.xxhash64("u", "v").cast("decimal(38,0)")).alias("digest")
    row = stars.agg(F.count(F.lit(1)).alias("num"), digest).collect()[0]
    return int(row.num), int(row.digest or 0)
