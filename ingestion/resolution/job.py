"""The stage `links` of an ingest: from transactions at rest to links, hubs and components, in Spark.

Within one identifier every entity is linked to its earliest holder (a star), from the time on when it was known with
the identifier itself: so the links as of t need nothing after t, and connect whoever shares the identifier by t. The
order of holders is (first available_at, key), whatever the order of the rows. The holder after the last that a rule
allows makes the identifier a hub: from then on it links nobody.

No step has a single partition. A busy identifier costs no task its memory: only the first holders of each are ranked
(Spark cuts the others off before the shuffle), and the counts are partial sums.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from ingestion.artifacts import read_parquet
from ingestion.canonical import as_hex, link_hashes
from ingestion.contracts import COMPONENT, HUB, LINK
from ingestion.jobs.hashes import total_hash
from ingestion.jobs.parts import write_parts
from ingestion.resolution.components import component_table, holding
from ingestion.resolution.components_spark import connected
from ingestion.resolution.decisions import by_link
from ingestion.resolution.holdings import COLUMNS, HOLDING, holdings
from ingestion.resolution.periods import HUB_REASON, Decision, decided
from ingestion.resolution.rules import Resolution

Batches = Iterator[pa.RecordBatch]

_ENTITIES_A_PART = 1_000_000
_TOP_HUBS = 20


@dataclass(frozen=True, kw_only=True)
class LinkJob:
    """Writes `links/`, `hubs/` and `components/` of the snapshot in `folder`; `work` takes what is not kept."""

    session: SparkSession
    resolution: Resolution
    decisions: Sequence[Decision]
    folder: Path
    work: Path

    def run(self, *, num_entities: int, horizon: int) -> dict[str, Any]:
        """Write them from `folder/transactions`; returns the manifest's entry `links`, {} without rules.

        `horizon` is the end of the data in µs: components are those of then.
        """
        if not self.resolution.rules:
            return {}
        held = self.held()
        shared = self.shared(held.where("identifier is not null"))
        self._write_links(shared, num_entities)
        hubs = self._write_hubs(shared, held)
        links = self._read("links")
        return {
            "rules": self._counts(links, held),
            "hubs": hubs,
            "decisions": len(self.decisions),
            "hash": as_hex(total_hash(links.mapInArrow(_hashes, "row_hash binary"))),
            "components": self._write_components(links, num_entities, horizon),
        }

    def held(self) -> DataFrame:
        """Holders of identifiers (HOLDING), once each; rows with a null identifier count the placeholders."""
        rules = self.resolution.rules

        def of_batch(batches: Batches) -> Batches:
            for batch in batches:
                yield from holdings(pa.Table.from_batches([batch]), rules).to_batches()

        schema = "rule string, identifier string, entity_id bigint, key string, first_at timestamp, num_rows bigint"
        transactions = self._read("transactions").select(*COLUMNS)
        keys = HOLDING.names[:4]
        once = (
            transactions.mapInArrow(of_batch, schema)
            .groupBy(*keys)
            .agg(F.min("first_at").alias("first_at"), F.sum("num_rows").alias("num_rows"))
        )
        return self._kept(once, "holdings")

    def shared(self, held: DataFrame) -> DataFrame:
        """The first holders of each identifier that several entities share, with its earliest one and `hub_at`."""
        limit = _by_rule({rule.name: rule.max_entities for rule in self.resolution.rules})
        identifier = Window.partitionBy("rule", "identifier")
        in_order = identifier.orderBy("first_at", "key")
        hub_at = F.max(F.when(F.col("place") == limit + 1, F.col("first_at"))).over(identifier)
        wide = self.ranked(held).select(
            "*",
            F.first("entity_id").over(in_order).alias("first_id"),
            F.first("key").over(in_order).alias("first_key"),
            F.first("first_at").over(in_order).alias("known_since"),
            F.max("place").over(identifier).alias("holders"),
            hub_at.alias("hub_at"),
        )
        return self._kept(wide.where((F.col("holders") > 1) & (F.col("place") <= limit + 1)), "shared")

    def ranked(self, held: DataFrame) -> DataFrame:
        """The first holders of each identifier with their `place`, from 1 on, one more than any rule allows."""
        in_order = Window.partitionBy("rule", "identifier").orderBy("first_at", "key")
        most = max(rule.max_entities for rule in self.resolution.rules) + 1
        return held.withColumn("place", F.row_number().over(in_order)).where(F.col("place") <= most)

    def _write_links(self, shared: DataFrame, num_entities: int) -> None:
        limit = _by_rule({rule.name: rule.max_entities for rule in self.resolution.rules})
        held_once = F.col("hub_at").isNull() | (F.col("first_at") < F.col("hub_at"))
        later = shared.where((F.col("place") > 1) & (F.col("place") <= limit) & held_once)
        first_is_a = F.col("first_key") < F.col("key")
        kind = _by_rule({rule.name: rule.entity for rule in self.resolution.rules})
        links = later.select(
            F.when(first_is_a, F.col("first_id")).otherwise(F.col("entity_id")).alias("a_id"),
            F.when(first_is_a, F.col("entity_id")).otherwise(F.col("first_id")).alias("b_id"),
            kind.alias("a_type"),
            F.least("first_key", "key").alias("a_key"),
            kind.alias("b_type"),
            F.greatest("first_key", "key").alias("b_key"),
            "rule",
            "identifier",
            F.col("first_at").alias("known_at"),
            F.col("hub_at").alias("revoked_at"),
            F.when(F.col("hub_at").isNotNull(), HUB_REASON).alias("reason"),
            F.col("first_at").alias("shared_at"),
            "hub_at",
        )
        if self.decisions:
            links = _under_decisions(links, self.decisions)
        parts = max(1, -(-num_entities // _ENTITIES_A_PART))
        part = (F.col("a_id") / F.lit(_ENTITIES_A_PART)).cast("int")
        order = ("a_id", "b_id", "rule", "identifier", "known_at")
        in_order = links.repartitionById(parts, part).sortWithinPartitions(*order)
        write_parts(in_order, [(self.folder / "links", LINK)])

    def _write_hubs(self, shared: DataFrame, held: DataFrame) -> dict[str, Any]:
        """Write the hubs; returns their number and the greatest of them."""
        found = shared.where((F.col("place") == 1) & F.col("hub_at").isNotNull())
        keys = found.select("rule", "identifier", F.col("first_at").alias("since"), "hub_at")
        counted = held.join(keys, ["rule", "identifier"], "inner").groupBy("rule", "identifier")
        hubs = counted.agg(
            F.count(F.lit(1)).alias("num_entities"), F.min("since").alias("first_at"), F.min("hub_at").alias("hub_at")
        )
        write_parts(hubs.select(*HUB.names), [(self.folder / "hubs", HUB)])
        hubs = self._read("hubs")
        top = hubs.orderBy(F.desc("num_entities"), "rule", "identifier").limit(_TOP_HUBS).collect()
        fields = ("rule", "identifier", "num_entities")
        return {"count": hubs.count(), "greatest": [{name: row[name] for name in fields} for row in top]}

    def _write_components(self, links: DataFrame, num_entities: int, horizon: int) -> dict[str, int]:
        """By scipy in this process on one machine, in Spark on a cluster: the same answer."""
        if self.session.sparkContext.master.startswith("local"):
            table = component_table(holding(read_parquet(self.folder / "links"), horizon))
            (self.folder / "components").mkdir()
            pq.write_table(table, self.folder / "components" / "part-00000.parquet", write_page_checksum=True)
        else:
            self.write_components_by_spark(links, num_entities, horizon)
        sizes = self._read("components").groupBy("component_id").count()
        number = F.count(F.lit(1)).alias("number")
        row = sizes.agg(number, F.sum("count").alias("entities"), F.max("count").alias("largest")).collect()[0]
        return {name: int(row[name] or 0) for name in ("number", "entities", "largest")}

    def write_components_by_spark(self, links: DataFrame, num_entities: int, horizon: int) -> None:
        """Write the components of the links that hold at `horizon` without a link coming to this process."""
        time = F.timestamp_micros(F.lit(horizon))
        not_revoked = F.col("revoked_at").isNull() | (F.col("revoked_at") > time)
        held = links.where((F.col("known_at") <= time) & not_revoked)
        found = connected(held.select("a_id", "b_id"), self.work / "components")
        parts = max(1, -(-num_entities // _ENTITIES_A_PART))
        part = (F.col("entity_id") / F.lit(_ENTITIES_A_PART)).cast("int")
        in_order = found.repartitionById(parts, part).sortWithinPartitions("entity_id")
        write_parts(in_order, [(self.folder / "components", COMPONENT)])

    def _counts(self, links: DataFrame, held: DataFrame) -> dict[str, Any]:
        """By rule: links, identifiers that link, rows with a placeholder."""
        linked = links.groupBy("rule").agg(
            F.count_distinct("a_id", "b_id").alias("pairs"), F.count_distinct("identifier").alias("identifiers")
        )
        empty = held.where("identifier is null").groupBy("rule").agg(F.sum("num_rows").alias("placeholders"))
        counts = {rule.name: {"pairs": 0, "identifiers": 0, "placeholder_rows": 0} for rule in self.resolution.rules}
        for row in linked.collect():
            counts[row.rule] |= {"pairs": row.pairs, "identifiers": row.identifiers}
        for row in empty.collect():
            counts[row.rule]["placeholder_rows"] = int(row.placeholders)
        return counts

    def _kept(self, rows: DataFrame, name: str) -> DataFrame:
        """The rows, written down: what follows reads them and does not make them again."""
        path = str(self.work / name)
        rows.write.mode("overwrite").parquet(path)
        return self.session.read.schema(rows.schema).parquet(path)

    def _read(self, name: str) -> DataFrame:
        return self.session.read.parquet(str(self.folder / name))


def _by_rule(values: dict[str, Any]) -> Any:
    pairs = [F.lit(item) for pair in values.items() for item in pair]
    return F.element_at(F.create_map(*pairs), F.col("rule"))


def _under_decisions(links: DataFrame, decisions: Sequence[Decision]) -> DataFrame:
    """Links with the periods that people left them; only those that they spoke of pass through Python."""
    about = by_link(decisions)
    names = links.columns
    keys = ["rule", "a_type", "a_key", "b_key"]
    pairs = links.sparkSession.createDataFrame(sorted(about), ", ".join(f"{key} string" for key in keys))

    def split(batches: Batches) -> Batches:
        for batch in batches:
            yield from decided(pa.Table.from_batches([batch]), about).to_batches()

    schema = ", ".join(f"{name} {kind}" for name, kind in links.dtypes)
    spoken = links.join(F.broadcast(pairs), keys, "left_semi").select(*names).mapInArrow(split, schema)
    return links.join(F.broadcast(pairs), keys, "left_anti").select(*names).unionByName(spoken)


def _hashes(batches: Batches) -> Batches:
    for batch in batches:
        hashes = link_hashes(pa.Table.from_batches([batch]))
        yield pa.RecordBatch.from_arrays([hashes], names=["row_hash"])
