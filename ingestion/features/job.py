"""The Spark feature job: point-in-time features over history, by the kernels that score one event online.

Workers read the transactions' parts themselves. Each round has two exchanges, whatever the number of streams: rows
go to the partition of their party, where the kernel replays whole parties, and values meet again by position, where
they become one float32 row for each transaction. What the second round needs of the first lies in files of the work
folder, part by part. What the workers do is in `tasks`.
"""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from ingestion.features import blocks
from ingestion.features.blocks import Batches
from ingestion.features.tasks import ROWS_A_PART, FeatureTasks, wide_schema

__all__ = ["ROWS_A_PART", "FeatureJob", "wide_schema"]


class FeatureJob(FeatureTasks):
    """The features of a table of transactions, part by part; its arguments are those of `FeatureTasks`."""

    def values(self, session: SparkSession, labels: DataFrame) -> tuple[DataFrame, Callable[[Batches], Batches]]:
        """Blocks by part from `first_part` on, and the function that makes the wide rows of a part from them.

        Args:
            labels: position of the labelled transaction, known_at, label and entity_<role>.
        """
        known = self._known(labels)
        parts = session.range(0, self.num_parts if self.num_rows else 0, numPartitions=self.num_parts)
        rows = parts.mapInArrow(self.first_rows, blocks.SCHEMA)
        if known is not None:
            rows = rows.unionByName(known.mapInArrow(self.first_label_rows, blocks.SCHEMA))
        found = self._replayed(rows, 1)
        if not self.has_round(2):
            return self._by_part(found), self.wide
        if known is not None:
            found = found.unionByName(known.mapInArrow(self.label_blocks, blocks.SCHEMA))
        self._by_part(found, first=0).mapInArrow(self.keep, "part int").collect()
        return self._by_part(self._replayed(parts.mapInArrow(self.second_rows, blocks.SCHEMA), 2)), self.wide

    def _by_part(self, values: DataFrame, *, first: int | None = None) -> DataFrame:
        first = self.first_part if first is None else first
        return values.repartitionById(self.num_parts - first, F.col("target") - F.lit(first))

    def _known(self, labels: DataFrame) -> DataFrame | None:
        """What features need of labels; None when they need nothing."""
        if not any(stream.has_labels for stream in self.streams):
            return None
        known_at = F.unix_micros("known_at").alias("known_at")
        is_fraud = (F.col("label") == "fraud").cast("bigint").alias("is_fraud")
        return labels.select("position", known_at, is_fraud, *self.entities)

    def _replayed(self, rows: DataFrame, number: int) -> DataFrame:
        num_tasks = self.num_tasks(number)
        replay = self.replay_of(number)
        return rows.repartitionById(num_tasks, F.col("target")).mapInArrow(replay, blocks.SCHEMA)
