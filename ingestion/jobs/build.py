"""The job that builds a snapshot's folder: entities, transactions in sequence, labels, features, quarantine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from ingestion.contracts import (
    ENTITY,
    LABEL,
    MICROSECONDS_PER_DAY,
    QUARANTINE,
    TRANSACTION_AT_REST,
)
from ingestion.features.job import features, wide_schema
from ingestion.features.spec import FeatureSpec
from ingestion.jobs.accept import Accepted, Known
from ingestion.jobs.base_amounts import in_base_currency, with_base_amounts
from ingestion.jobs.entities import known_and_new, parties_of, with_entity_ids
from ingestion.jobs.labels import label_events
from ingestion.jobs.parts import Parts, in_time_order, num_parts, time_bounds, write_parts
from ingestion.mapping import Mapping
from ingestion.rates import Rates
from ingestion.resolution.job import LinkJob
from ingestion.resolution.periods import Decision
from ingestion.spark import SHUFFLE_PARTITIONS, parallelism

Stage = Callable[[str], None]

_NEW_ENTITY = pa.schema([field for field in ENTITY if field.name != "entity_id"])
_SEQUENCE = ("available_at", "event_time", "transaction_id")
_LABEL_ORDER = ("known_at", "transaction_id", "entity_type", "entity_key", "origin")
_ENTITIES_A_PART = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Built:
    """What the folder holds, for the manifest. Times in µs."""

    num_transactions: int
    num_entities: dict[str, int]
    num_labels: int
    num_quarantined: int
    first_event_time: int
    last_event_time: int
    horizon: int
    schema: dict[str, str]
    links: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Builder:
    """Builds one snapshot in `folder`, with `work` for what is not kept."""

    session: SparkSession
    mapping: Mapping
    spec: FeatureSpec
    folder: Path
    work: Path
    parent: Path | None
    unreviewed_alerts: tuple[str, ...] = ()
    decisions: tuple[Decision, ...] = ()
    rates: Rates | None = None
    replayed: pa.Table | None = None

    def build(self, accepted: Accepted, *, currencies: set[str], known: Known | None, stage: Stage) -> Built:
        """Write everything; `stage` is told the name of each stage as it begins."""
        stage("entities")
        new = accepted.rows.withColumn("available_at", F.greatest("event_time", "known_at"))
        new = with_base_amounts(new, self.rates)
        rows = new
        if known is not None:
            before = known.transactions.select(*TRANSACTION_AT_REST.names)
            rows = before.unionByName(new)
            found = known.transactions.select("currency").distinct().collect()
            currencies = currencies | {row.currency for row in found}
        entities = self._entities(new)
        stage("sequence")
        transactions, bounds = self._transactions(rows, entities, accepted.num_new + (known.num_rows if known else 0))
        span = self._span()
        num_entities = self._counts_by_type()
        stage("links")
        links = self._links(sum(num_entities.values()), horizon=span["horizon"])
        stage("labels")
        explicit = accepted.labels if known is None else known.labels.unionByName(accepted.labels)
        labels = self._labels(explicit, transactions, bounds, horizon=span["horizon"])
        stage("features")
        self._features(transactions, labels, currencies)
        num_quarantined = self._quarantine(accepted)
        if self.rates is not None:
            self.rates.write(self.folder / "rates")
        at_rest = self._at_rest()
        return Built(
            num_transactions=transactions.total,
            num_entities=num_entities,
            num_labels=labels.total,
            num_quarantined=num_quarantined,
            schema={field.name: str(field.type) for field in at_rest},
            links=links,
            **span,
        )

    def _entities(self, new_rows: DataFrame) -> DataFrame:
        """Write all entities by dense id; returns them."""
        parties = parties_of(new_rows)
        kept, offset = None, 0
        if self.parent is not None:
            known = self.session.read.parquet(str(self.parent / "entities"))
            parties = parties.persist()
            kept, parties = known_and_new(parties, known)
            offset = known.count()
        partitions = parallelism(self.session)
        in_order = parties.repartitionByRange(partitions, "type", "key").sortWithinPartitions("type", "key")
        written = write_parts(in_order, [(self.work / "new_entities", _NEW_ENTITY)])
        entities = written.numbered(self.session, "entity_id", start=offset).select(*ENTITY.names)
        if kept is not None:
            entities = kept.select(*ENTITY.names).unionByName(entities)
        parts = -(-(offset + written.total) // _ENTITIES_A_PART)
        part = (F.col("entity_id") / F.lit(_ENTITIES_A_PART)).cast("int")
        by_id = entities.repartitionById(max(parts, 1), part).sortWithinPartitions("entity_id")
        write_parts(by_id, [(self.folder / "entities", ENTITY)])
        return self.session.read.parquet(str(self.folder / "entities"))

    def _transactions(self, rows: DataFrame, entities: DataFrame, num_rows: int) -> tuple[Parts, list[int]]:
        """Write the transactions in the order of the sequence; returns them and the times that cut the parts."""
        bounds = time_bounds(rows.select("available_at"), num_parts(num_rows, parallelism(self.session)))
        wide = with_entity_ids(rows, entities, self.mapping.roles)
        in_order = in_time_order(wide, _SEQUENCE, bounds)
        return write_parts(in_order, [(self.folder / "transactions", self._at_rest())]), bounds

    def _links(self, num_entities: int, *, horizon: int) -> dict[str, Any]:
        """Write links, hubs and components by the mapping's rules; returns what the manifest tells of them."""
        job = LinkJob(
            session=self.session,
            resolution=self.mapping.resolution,
            decisions=self.decisions,
            folder=self.folder,
            work=self.work,
        )
        return job.run(num_entities=num_entities, horizon=horizon)

    def _labels(self, explicit: DataFrame, transactions: Parts, bounds: list[int], *, horizon: int) -> Parts:
        """Write all labels in the order of the sequence; returns them as events for the features."""
        days = self.mapping.label_maturity_days if self.mapping.labels_transactions else None
        maturity = None if days is None else days * MICROSECONDS_PER_DAY
        numbered = transactions.numbered(self.session, "position")
        wanted = ["position", "transaction_id", "event_time", "available_at", "outcome", *self._entity_columns]
        alerts = pa.table({"transaction_id": pa.array(self.unreviewed_alerts, pa.string())})
        unreviewed = self.session.createDataFrame(alerts)
        events = label_events(
            explicit, numbered.select(*wanted), unreviewed=unreviewed, maturity=maturity, horizon=horizon
        )
        in_order = in_time_order(events, _LABEL_ORDER, [bound + (maturity or 0) for bound in bounds])
        names = ("label", "known_at")
        kept = [field for field in LABEL if field.name in names]
        schema = pa.schema([*kept, pa.field("position", pa.int64()), *self._entity_fields])
        outputs = [(self.work / "label_events", schema), (self.folder / "labels", LABEL)]
        return write_parts(in_order, outputs)

    def _features(self, transactions: Parts, labels: Parts, currencies: set[str]) -> None:
        rows, base = transactions.numbered(self.session, "position"), self.rates.base if self.rates else None
        values, make = features(
            in_base_currency(rows, base),
            self.session.read.parquet(str(labels.folder)).where(F.col("position").isNotNull()),
            self.spec,
            currencies=sorted(currencies | ({base} if base else set())),
            num_partitions=max(SHUFFLE_PARTITIONS, 2 * num_parts(transactions.total, parallelism(self.session))),
            num_rows=transactions.total,
        )
        write_parts(values, [(self.folder / "features", wide_schema(self.spec))], make=make)

    def _quarantine(self, accepted: Accepted) -> int:
        """Write the bad rows of the parent and of this ingest, when there are any; returns how many.

        Rows that were `replayed` are in the quarantine only if they are bad again.
        """
        bad = accepted.quarantine if accepted.num_quarantined else None
        if self.parent is not None and (self.parent / "quarantine").exists():
            before = self.session.read.parquet(str(self.parent / "quarantine"))
            if self.replayed is not None:
                before = before.join(self.session.createDataFrame(self.replayed), ["source_file", "line"], "left_anti")
                before = before.select(*QUARANTINE.names)
            bad = before if bad is None else before.unionByName(bad)
        return 0 if bad is None else write_quarantine(bad, self.folder / "quarantine")

    def _span(self) -> dict[str, int]:
        """First and last event time, and the end of the data."""
        times = self.session.read.parquet(str(self.folder / "transactions")).agg(
            F.min(F.unix_micros("event_time")).alias("first_event_time"),
            F.max(F.unix_micros("event_time")).alias("last_event_time"),
            F.max(F.unix_micros("available_at")).alias("horizon"),
        )
        return dict(times.collect()[0].asDict())

    def _counts_by_type(self) -> dict[str, int]:
        entities = self.session.read.parquet(str(self.folder / "entities"))
        return {row["type"]: row["count"] for row in entities.groupBy("type").count().collect()}

    def _at_rest(self) -> pa.Schema:
        return pa.schema([*TRANSACTION_AT_REST, *self._entity_fields])

    @property
    def _entity_columns(self) -> list[str]:
        return [f"entity_{role}" for role in self.mapping.roles]

    @property
    def _entity_fields(self) -> list[Any]:
        return [pa.field(name, pa.int64()) for name in self._entity_columns]


def write_quarantine(bad: DataFrame, folder: Path) -> int:
    """Write bad rows by file and line; returns how many."""
    in_order = bad.repartitionByRange(2, "source_file", "line").sortWithinPartitions("source_file", "line", "reason")
    return write_parts(in_order, [(folder, QUARANTINE)]).total
