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
from ingestion.features import job as feature_job
from ingestion.features.code import feature_code
from ingestion.features.spec import FeatureSpec
from ingestion.jobs.accept import Accepted, Known
from ingestion.jobs.base_amounts import with_base_amounts
from ingestion.jobs.entities import known_and_new, parties_of, with_entity_ids
from ingestion.jobs.labels import label_events
from ingestion.jobs.parts import Parts, in_time_order, num_parts, time_bounds, write_parts
from ingestion.jobs.sharing import (
    Tail,
    cut_further,
    earliest,
    first_change,
    full_parts,
    link_parts,
    part_files,
    tail_from,
)
from ingestion.mapping import Mapping
from ingestion.rates import Rates
from ingestion.resolution.job import LinkJob
from ingestion.resolution.periods import Decision
from ingestion.snapshot import Snapshot
from ingestion.spark import parallelism

Stage = Callable[[str], None]

_NEW_ENTITY = pa.schema([field for field in ENTITY if field.name != "entity_id"])
_SEQUENCE = ("available_at", "event_time", "transaction_id")
_LABEL_ORDER = ("known_at", "transaction_id", "entity_type", "entity_key", "origin")
#: Entities of one part, by dense id.
ENTITIES_A_PART = 131_072


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
    parent: Snapshot | None
    unreviewed_alerts: tuple[str, ...] = ()
    decisions: tuple[Decision, ...] = ()
    rates: Rates | None = None
    replayed: pa.Table | None = None

    def build(self, accepted: Accepted, *, currencies: set[str], known: Known | None, stage: Stage) -> Built:
        """Write everything; `stage` is told the name of each stage as it begins."""
        stage("entities")
        new = accepted.rows.withColumn("available_at", F.greatest("event_time", "known_at"))
        new = with_base_amounts(new, self.rates)
        if known is not None:
            found = known.transactions.select("currency").distinct().collect()
            currencies = currencies | {row.currency for row in found}
        first_new = earliest(new, "available_at")
        entities = self._entities(new)
        stage("sequence")
        transactions, bounds = self._transactions(new, entities, accepted.num_new, first_new)
        span = self._span()
        num_entities = self._counts_by_type()
        stage("links")
        links = self._links(sum(num_entities.values()), horizon=span["horizon"])
        stage("labels")
        explicit = accepted.labels if known is None else known.labels.unionByName(accepted.labels)
        labels, first_label = self._labels(explicit, transactions, bounds, horizon=span["horizon"])
        stage("features")
        changes = [change for change in (first_new, first_label) if change is not None]
        self._features(transactions, currencies, change=min(changes, default=None))
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
        part = (F.col("entity_id") / F.lit(ENTITIES_A_PART)).cast("int")
        kept, offset, first = None, 0, 0
        if self.parent is not None:
            known = self.session.read.parquet(str(self.parent.path / "entities"))
            parties = parties.persist()
            kept, parties = known_and_new(parties, known)
            offset = sum(self.parent.manifest["num_entities"].values())
            first = full_parts(self.parent.path / "entities", ENTITIES_A_PART)
            changed = kept.where(F.col("is_earlier")).agg(F.min(part).alias("part")).collect()[0].part
            first = first if changed is None else min(first, changed)
            link_parts(self.parent.path / "entities", self.folder / "entities", first)
        partitions = parallelism(self.session)
        in_order = parties.repartitionByRange(partitions, "type", "key").sortWithinPartitions("type", "key")
        written = write_parts(in_order, [(self.work / "new_entities", _NEW_ENTITY)])
        entities = written.numbered(self.session, "entity_id", start=offset).select(*ENTITY.names)
        if kept is not None:
            entities = kept.where(part >= first).select(*ENTITY.names).unionByName(entities)
        total = offset + written.total
        by_id = entities.repartitionById(max(-(-total // ENTITIES_A_PART) - first, 1), part - F.lit(first))
        write_parts(by_id.sortWithinPartitions("entity_id"), [(self.folder / "entities", ENTITY)], first=first)
        return self.session.read.parquet(str(self.folder / "entities"))

    def _transactions(
        self, new: DataFrame, entities: DataFrame, num_new: int, first_new: int | None
    ) -> tuple[Parts, list[int]]:
        """Write the transactions in the order of the sequence; returns them and the times that cut the new parts."""
        folder = self.folder / "transactions"
        wide = with_entity_ids(new, entities, self.mapping.roles)
        if self.parent is None:
            bounds = time_bounds(new.select("available_at"), num_parts(num_new, parallelism(self.session)))
            return write_parts(in_time_order(wide, _SEQUENCE, bounds), [(folder, self._at_rest())]), bounds
        tail = self._kept("transactions", "available_at", first_new)
        if first_new is None:
            return Parts.of(folder), []
        if tail.files:
            wide = self.session.read.parquet(*tail.files).select(*wide.columns).unionByName(wide)
        bounds = cut_further(wide.select("available_at"), tail.bounds)
        in_order = in_time_order(wide, _SEQUENCE, bounds)
        return write_parts(in_order, [(folder, self._at_rest())], first=tail.num_kept), bounds

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

    def _kept(self, name: str, column: str, first_change: int | None) -> Tail:
        """Link the parent's parts that end before the change; the rest of them."""
        assert self.parent is not None
        tail = tail_from(self.parent.path / name, column, first_change)
        link_parts(self.parent.path / name, self.folder / name, tail.num_kept)
        return tail

    def _labels(
        self, explicit: DataFrame, transactions: Parts, bounds: list[int], *, horizon: int
    ) -> tuple[Parts, int | None]:
        """Write all labels in the order of the sequence, and as events in `label_events` for the features.

        Returns them and the first `known_at` (µs) of a label that the parent has not, or has too many.
        """
        events = self._label_events(explicit, transactions, horizon=horizon)
        folder, events_folder = self.folder / "labels", self.work / "label_events"
        schema = pa.schema([*LABEL, pa.field("position", pa.int64()), *self._entity_fields])
        if self.parent is None:
            in_order = in_time_order(events, _LABEL_ORDER, [bound + (self._maturity or 0) for bound in bounds])
            return write_parts(in_order, [(folder, LABEL), (events_folder, schema)]), None
        write_parts(events, [(events_folder, schema)])
        events = self.session.read.parquet(str(events_folder)).select(*LABEL.names)
        change = first_change(self.session.read.parquet(str(self.parent.path / "labels")), events)
        tail = self._kept("labels", "known_at", change)
        if change is None:
            return Parts.of(folder), None
        rest = events if tail.begin is None else events.where(F.unix_micros("known_at") > F.lit(tail.begin))
        in_order = in_time_order(rest, _LABEL_ORDER, cut_further(rest.select("known_at"), tail.bounds))
        return write_parts(in_order, [(folder, LABEL)], first=tail.num_kept), change

    def _label_events(self, explicit: DataFrame, transactions: Parts, *, horizon: int) -> DataFrame:
        """All labels, explicit and matured, with position and entity ids."""
        wanted = ["position", "transaction_id", "event_time", "available_at", "outcome", *self._entity_columns]
        numbered = transactions.numbered(self.session, "position").select(*wanted)
        alerts = pa.table({"transaction_id": pa.array(self.unreviewed_alerts, pa.string())})
        unreviewed = self.session.createDataFrame(alerts)
        return label_events(explicit, numbered, unreviewed=unreviewed, maturity=self._maturity, horizon=horizon)

    def _features(self, transactions: Parts, currencies: set[str], *, change: int | None) -> None:
        """Write the features; of the parent's parts those that lie before the first change (µs) are kept."""
        first_part = self._kept_features(transactions, change)
        if first_part * feature_job.ROWS_A_PART >= transactions.total:
            return
        labels = self.session.read.parquet(str(self.work / "label_events"))
        job = feature_job.FeatureJob(
            spec=self.spec,
            roles=self.mapping.roles,
            currencies=tuple(sorted(currencies | ({self._base} if self._base else set()))),
            base=self._base,
            transactions=transactions,
            folder=self.folder / "features",
            work=self.work / "features",
            first_part=first_part,
            parallelism=parallelism(self.session),
            rows_a_part=feature_job.ROWS_A_PART,
        )
        values, make = job.values(self.session, labels.where(F.col("position").isNotNull()))
        write_parts(values, [(job.folder, feature_job.wide_schema(self.spec))], make=make, first=first_part)

    def _kept_features(self, transactions: Parts, change: int | None) -> int:
        """Link the parent's parts of features that stay; returns their number.

        None stay when the spec, the base currency or the code changed.
        """
        parent = self.parent
        if parent is None or parent.spec != self.spec or parent.manifest.get("feature_code") != feature_code():
            return 0
        if parent.manifest.get("base_currency") != self._base:
            return 0
        before = transactions.total
        if change is not None:
            rows = self.session.read.parquet(str(transactions.folder)).select(F.unix_micros("available_at").alias("at"))
            before = rows.where(F.col("at") < F.lit(change)).count()
        kept = min(full_parts(parent.path / "features", feature_job.ROWS_A_PART), before // feature_job.ROWS_A_PART)
        if before == transactions.total == parent.manifest["num_transactions"]:
            kept = len(part_files(parent.path / "features"))
        link_parts(parent.path / "features", self.folder / "features", kept)
        return kept

    def _quarantine(self, accepted: Accepted) -> int:
        """Write the bad rows of the parent and of this ingest, when there are any; returns how many.

        Rows that were `replayed` are in the quarantine only if they are bad again.
        """
        bad = accepted.quarantine if accepted.num_quarantined else None
        if self.parent is not None and (self.parent.path / "quarantine").exists():
            before = self.session.read.parquet(str(self.parent.path / "quarantine"))
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
    def _maturity(self) -> int | None:
        """µs after which a transaction without a label counts as legitimate; None when nothing matures."""
        days = self.mapping.label_maturity_days if self.mapping.labels_transactions else None
        return None if days is None else days * MICROSECONDS_PER_DAY

    @property
    def _base(self) -> str | None:
        return self.rates.base if self.rates else None

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
