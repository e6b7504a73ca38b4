"""What of the rows that were read is accepted: repeats and labels without a transaction are sorted out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from ingestion.contracts import LABEL, QUARANTINE, TRANSACTION
from ingestion.jobs.entities import parties_of
from ingestion.jobs.hashes import hashed_labels, hashed_transactions, total_hash
from ingestion.jobs.label_times import settled, too_early, without_subject
from ingestion.jobs.read import ReadResult
from ingestion.jobs.repeats import CONFLICT, DUPLICATE, ORIGIN, repeats, suspects, without
from ingestion.mapping import Mapping
from ingestion.pan import scrub_array
from ingestion.quality import REMEDIES

_LABEL_KEY = ("transaction_id", "entity_type", "entity_key", "known_at", "origin")
#: A row of a file of labels may hold labels of several sources.
_LABEL_ORIGIN = (*ORIGIN, "source")


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """New rows and labels, the bad ones among those read (as `contracts.QUARANTINE`), and their numbers.

    `num_duplicates` counts transactions; a label that was handed over before is just not new. `hash_sum` is over
    the new rows and labels.
    """

    rows: DataFrame
    labels: DataFrame
    quarantine: DataFrame
    num_new: int
    num_new_labels: int
    num_duplicates: int
    num_quarantined: int
    hash_sum: int


@dataclass(frozen=True, kw_only=True)
class Known:
    """What the parent snapshot holds: `num_rows` transactions, its entities, and the labels that were handed over."""

    transactions: DataFrame
    entities: DataFrame
    labels: DataFrame
    num_rows: int


def accept(
    rows: DataFrame,
    labels: DataFrame,
    quarantine: DataFrame,
    read: ReadResult,
    *,
    known: Known | None,
    mapping: Mapping,
    names: list[str],
) -> Accepted:
    """Compare what was read with itself and with what is known; `names` are the files' names by their number."""
    row_counts, row_repeats = _repeats_of_rows(rows, known)
    conflicts = row_repeats.where(F.col("repeat") == CONFLICT)
    bad = quarantine
    if row_counts[CONFLICT]:
        bad = bad.unionByName(_conflicting_rows(rows, conflicts, mapping, names))
    new_rows = without(rows, row_repeats) if any(row_counts.values()) else rows
    if row_counts[CONFLICT] and mapping.label_columns:
        labels = without(labels, conflicts)  # the labels of a row that is not taken
    labels_in = labels.count() if row_counts[CONFLICT] else read.num_labels
    everything = new_rows if known is None else _both(new_rows, known.transactions)
    if read.num_delayed:
        labels = settled(labels, everything, horizon=_horizon(everything)).persist()
    same_rows_as_labels = len(mapping.labels) == 1 and bool(mapping.label_columns) and not any(row_counts.values())
    label_counts, label_repeats = _repeats_of_labels(labels, known, none_possible=same_rows_as_labels)
    new_labels = without(labels, label_repeats, _LABEL_ORIGIN) if any(label_counts.values()) else labels
    if label_counts[CONFLICT]:
        contrary = label_repeats.where(F.col("repeat") == CONFLICT)
        bad = bad.unionByName(_bad_labels(contrary, "label_conflict", "label", names))
    num_bad_labels = 0
    if mapping.label_files and read.num_labels:
        parties = _parties(new_rows, known) if read.num_entity_labels else None
        for reason, field, found in _bad_subjects(new_labels, everything, parties):
            found = found.persist()
            if number := found.count():
                num_bad_labels += number
                new_labels = without(new_labels, found, _LABEL_ORIGIN)
                bad = bad.unionByName(_bad_labels(found, reason, field, names))
    dropped = num_bad_labels + sum(row_counts.values()) + sum(label_counts.values()) + read.num_delayed
    return Accepted(
        rows=new_rows.select(*TRANSACTION.names),
        labels=new_labels.select(*LABEL.names),
        quarantine=bad,
        num_new=read.num_good - sum(row_counts.values()),
        num_new_labels=labels_in - sum(label_counts.values()) - num_bad_labels,
        num_duplicates=row_counts[DUPLICATE],
        num_quarantined=read.num_quarantined + row_counts[CONFLICT] + label_counts[CONFLICT] + num_bad_labels,
        hash_sum=(total_hash(new_rows) + total_hash(new_labels)) if dropped else read.hash_sum,
    )


def _both(new_rows: DataFrame, before: DataFrame) -> DataFrame:
    columns = ["transaction_id", "event_time", "known_at"]
    return new_rows.select(*columns).unionByName(before.select(*columns))


def _horizon(transactions: DataFrame) -> int:
    """The end of the data: the last `available_at` in µs."""
    last = transactions.agg(F.max(F.unix_micros(F.greatest("event_time", "known_at"))).alias("last")).collect()[0]
    return int(last["last"] or 0)


def _parties(new_rows: DataFrame, known: Known | None) -> DataFrame:
    """Type and key of every entity that there is."""
    available = F.greatest("event_time", "known_at").alias("available_at")
    parties = parties_of(new_rows.select("*", available)).select("type", "key")
    return parties if known is None else parties.unionByName(known.entities.select("type", "key"))


def _bad_subjects(
    labels: DataFrame, transactions: DataFrame, parties: DataFrame | None
) -> list[tuple[str, str, DataFrame]]:
    """Reason, field and rows of labels whose subject is not there, or arrives after them."""
    nobody = labels.where(F.lit(False)).select(F.col("entity_type").alias("type"), F.col("entity_key").alias("key"))
    orphans, strangers = without_subject(labels, transactions, nobody if parties is None else parties)
    found = [("label_without_transaction", "transaction_id", orphans)]
    found += [] if parties is None else [("label_without_entity", "entity_key", strangers)]
    return [*found, ("label_before_transaction", "known_at", too_early(labels, transactions))]


def _repeats_of_rows(rows: DataFrame, known: Known | None) -> tuple[dict[str, int], DataFrame]:
    key = ["transaction_id"]
    keys = rows.select(*key, "row_hash", *ORIGIN)
    ids = keys.select(*key)
    if known is not None:
        ids = ids.unionByName(known.transactions.select(*key))
    suspect = suspects(ids, key).persist()
    if suspect.count() == 0:
        return _none(repeats(keys, suspect, key))
    if known is not None:
        hashes = F.xxhash64(*key).alias("suspect")
        same_id = known.transactions.select("*", hashes).join(suspect, "suspect", "left_semi")
        keys = keys.unionByName(_from_parent(hashed_transactions(same_id)))
    return _counted(repeats(keys, suspect, key))


def _repeats_of_labels(
    labels: DataFrame, known: Known | None, *, none_possible: bool
) -> tuple[dict[str, int], DataFrame]:
    key = list(_LABEL_KEY)
    keys = labels.select(*key, "row_hash", *_LABEL_ORIGIN)
    if known is not None:
        before = _from_parent(hashed_labels(known.labels)).withColumn("source", F.lit(0))
        keys = keys.unionByName(before.select(*keys.columns))
    suspect = suspects(keys, key).persist()
    if none_possible or suspect.count() == 0:
        return _none(repeats(keys, suspect, key, _LABEL_ORIGIN))
    return _counted(repeats(keys, suspect, key, _LABEL_ORIGIN))


def _from_parent(hashed: DataFrame) -> DataFrame:
    """Rows of the parent come before any file."""
    return hashed.select("*", F.lit(-1).alias("file"), F.lit(0).cast("bigint").alias("line"))


def _none(repeated: DataFrame) -> tuple[dict[str, int], DataFrame]:
    """No repeats, in the columns of repeats."""
    return {DUPLICATE: 0, CONFLICT: 0}, repeated.where(F.lit(False))


def _counted(found: DataFrame) -> tuple[dict[str, int], DataFrame]:
    found = found.persist()
    counts = {row["repeat"]: row["count"] for row in found.groupBy("repeat").count().collect()}
    return {verdict: counts.get(verdict, 0) for verdict in (DUPLICATE, CONFLICT)}, found


def _conflicting_rows(rows: DataFrame, conflicts: DataFrame, mapping: Mapping, names: list[str]) -> DataFrame:
    whole = rows.join(conflicts.select(*ORIGIN), list(ORIGIN), "left_semi")
    column = mapping.columns.get("transaction_id", "transaction_id")
    raw = F.to_json(F.struct(*TRANSACTION.names))  # tokens stand in it already
    return _quarantined(whole, "id_conflict", column, F.col("transaction_id"), raw, names)


def _bad_labels(labels: DataFrame, reason: str, field: str, names: list[str]) -> DataFrame:
    shown = {
        "transaction_id": F.col("transaction_id"),
        "known_at": F.date_format("known_at", "yyyy-MM-dd HH:mm:ss.SSSSSSXXX"),
        "entity_key": F.concat_ws(":", "entity_type", "entity_key"),
    }
    value = shown.get(field, F.lit(None).cast("string"))
    return _quarantined(labels, reason, field, value, F.lit(None).cast("string"), names)


def _quarantined(rows: DataFrame, reason: str, field: str, value: Column, raw: Column, names: list[str]) -> DataFrame:
    files = F.array(*[F.lit(name) for name in names])
    found = rows.select(
        F.element_at(files, F.col("file") + 1).alias("source_file"),
        F.col("line"),
        F.col("transaction_id"),
        F.lit(reason).alias("reason"),
        F.lit(field).alias("field"),
        value.alias("value"),
        F.lit(REMEDIES[reason]).alias("remedy"),
        raw.alias("raw"),
    ).select(*QUARANTINE.names)
    return found.mapInArrow(_without_cards, found.schema)


def _without_cards(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Rows of the quarantine without card numbers: an id that nobody knows may be one."""
    for batch in batches:
        table = pa.Table.from_batches([batch])
        for name in ("transaction_id", "value", "raw"):
            at = table.schema.get_field_index(name)
            table = table.set_column(at, table.schema.field(at), scrub_array(table.column(name).combine_chunks()))
        yield from table.to_batches()
