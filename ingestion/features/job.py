"""The Spark feature job: point-in-time features over history, by the kernels that score one event online.

Each round has two exchanges, whatever the number of streams: rows go to the partition of their party, where the kernel
replays whole parties, and values meet again by position, where they become one float32 row for each transaction. What
the second round needs of the first lies in files of the work folder, part by part. What the workers do is in `tasks`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from ingestion.features import blocks
from ingestion.features.blocks import Batches
from ingestion.features.tasks import ROWS_A_PART, FeatureTasks, wide_schema

__all__ = ["ROWS_A_PART", "FeatureJob", "wide_schema"]


class FeatureJob(FeatureTasks):
    """The features of a table of transactions, part by part; its arguments are those of `FeatureTasks`."""

    def values(
        self, session: SparkSession, transactions: DataFrame, labels: DataFrame
    ) -> tuple[DataFrame, Callable[[Batches], Batches]]:
        """Blocks by part from `first_part` on, and the function that makes the wide rows of a part from them.

        Args:
            transactions: position, transaction_id, event_time, available_at, amount_minor, currency, kind, outcome and
                entity_<role>.
            labels: position of the labelled transaction, known_at, label and entity_<role>.
        """
        rows = self._rows(transactions, labels)
        found = self._replayed(rows, 1)
        if not self.has_round(2):
            begin = self.first_part * self.rows_a_part
            events = self._events(transactions.where(F.col("position") >= F.lit(begin)))
            return self._by_part(found.unionByName(events)), self.wide
        everything = found.unionByName(self._events(transactions))
        labelled = self._known(labels)
        if labelled is not None:
            everything = everything.unionByName(labelled.mapInArrow(self.label_blocks, blocks.SCHEMA))
        self._by_part(everything, first=0).mapInArrow(self.keep, "part int").collect()
        parts = session.range(0, self.num_parts, numPartitions=self.num_parts)
        return self._by_part(self._replayed(parts.mapInArrow(self.second_rows, blocks.SCHEMA), 2)), self.wide

    def _by_part(self, values: DataFrame, *, first: int | None = None) -> DataFrame:
        first = self.first_part if first is None else first
        return values.repartitionById(self.num_parts - first, F.col("target") - F.lit(first))

    def _rows(self, transactions: DataFrame, labels: DataFrame) -> DataFrame:
        """Blocks of the rows of the first round's streams."""
        rows = _select(transactions, self._of_streams).mapInArrow(self.first_rows, blocks.SCHEMA)
        known = self._known(labels)
        if known is not None:
            rows = rows.unionByName(known.mapInArrow(self.first_label_rows, blocks.SCHEMA))
        return rows

    def _known(self, labels: DataFrame) -> DataFrame | None:
        """What features need of labels; None when they need nothing."""
        if not any(stream.has_labels for stream in self.streams):
            return None
        known_at = F.unix_micros("known_at").alias("known_at")
        is_fraud = (F.col("label") == "fraud").cast("bigint").alias("is_fraud")
        return labels.select("position", known_at, is_fraud, *self.entities)

    @property
    def _of_streams(self) -> list[str]:
        """Columns that streams need of transactions."""
        wanted = ["position", "event_time", "available_at", "amount_minor", *self.entities]
        wanted += ["currency"] if len(self.currencies) > 1 else []
        return wanted + (["outcome"] if self.counts_declined else [])

    def _events(self, transactions: DataFrame) -> DataFrame:
        """Blocks of the events' ids and own features, and of all that the second round needs."""
        wanted = ["position", "transaction_id"]
        wanted += ["event_time", "currency", "kind", "outcome", "amount_minor"] if self.spec.event else []
        wanted += self._of_streams if self.has_round(2) else []
        return _select(transactions, wanted).mapInArrow(self.event_blocks, blocks.SCHEMA)

    def _replayed(self, rows: DataFrame, number: int) -> DataFrame:
        num_tasks = self.num_tasks(number)
        replay = self.replay_of(number)
        return rows.repartitionById(num_tasks, F.col("target")).mapInArrow(replay, blocks.SCHEMA)


def _select(transactions: DataFrame, names: Sequence[str]) -> DataFrame:
    """Columns by name, each once, times as µs."""
    times = ("event_time", "available_at")
    wanted = [F.unix_micros(name).alias(name) if name in times else F.col(name) for name in dict.fromkeys(names)]
    return transactions.select(*wanted)
