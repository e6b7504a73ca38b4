"""Label sources at work: columns of the table, or rows of a file of labels, become rows of the contract.

A label whose time is not in its row yet (days after the event, or the end of the data) carries a `delay` instead:
`ingestion.jobs.label_times` settles it when all rows are there.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from ingestion.contract_rows import read_times, text_of, translate
from ingestion.contracts import LABEL, MICROSECONDS_PER_DAY, TIMESTAMP
from ingestion.expression_values import Rows, clean_text, condition
from ingestion.expressions import parse_expression
from ingestion.label_sources import END_OF_DATA, LabelColumn, LabelFile
from ingestion.mapping import Mapping
from ingestion.quality import MAX_KEY_LENGTH, Faults

#: `delay` of a label that is known at the end of the data.
AT_THE_END = -1
DELAY = pa.field("delay", pa.int64())
LOOSE_LABEL = pa.schema([*[field.with_nullable(True) for field in LABEL], DELAY])
_ORIGINS = ("analyst", "chargeback", "rule")


def labels_of_column(raw: Rows | pa.Table, transactions: pa.Table, labels: LabelColumn, faults: Faults) -> pa.Table:
    """Labels (N,) of a label column, row for row with the transactions; null where the column is empty.

    A label that is counted from the event is not known before its own row has arrived. One that says so itself is
    a fault.
    """
    rows = raw if isinstance(raw, Rows) else Rows.of(raw)
    values = clean_text(rows.column(labels.column))
    label = _label(values, labels.fraud, labels.legitimate)
    faults.add(pc.and_(pc.is_valid(values), pc.is_null(label)), "label_unknown", labels.column, values)
    event, known = (transactions.column(name).cast(pa.int64()) for name in ("event_time", "known_at"))
    arrival = pc.max_element_wise(event, known, skip_nulls=False)
    if labels.known_at is not None:
        known_at = read_times(rows, labels.known_at, faults, labels.known_at.told)
        has_label = pc.is_valid(label)
        faults.add(pc.and_(has_label, pc.is_null(known_at)), "time_missing", labels.known_at.told)
        early = pc.less_equal(known_at.cast(pa.int64()), arrival)
        faults.add(pc.and_(has_label, early), "label_before_transaction", labels.known_at.told, known_at)
    else:
        due = pc.add(event, (labels.delay_days or 0) * MICROSECONDS_PER_DAY)
        known_at = pc.max_element_wise(due, pc.add(arrival, 1), skip_nulls=False).cast(TIMESTAMP)
    return _table(
        len(rows),
        transaction_id=transactions.column("transaction_id"),
        label=label,
        known_at=known_at,
        origin=pa.repeat(pa.scalar(labels.origin), len(rows)),
        for_training=None if labels.for_training else pa.repeat(pa.scalar(False), len(rows)),
    )


def labels_of_file(rows: Rows, source: LabelFile, mapping: Mapping, *, now: int) -> tuple[pa.Table, Faults]:
    """Labels (N,) of the rows of a file that are of this source, and their faults."""
    faults = Faults(len(rows), columns=label_fields(source), personal=_personal(source, mapping))
    (subject, column), num = next(iter(source.subject.items())), len(rows)
    keys = clean_text(rows.column(column))
    label = _label(text_of(rows, source.label), source.fraud, source.legitimate)
    origin = text_of(rows, source.origin)
    faults.add(pc.is_null(keys), "id_missing" if source.entity is None else "party_missing", subject)
    faults.add(pc.greater(pc.utf8_length(keys), MAX_KEY_LENGTH), "key_too_long", subject, keys)
    known_at = pa.nulls(num, TIMESTAMP)
    if source.time is not None:
        known_at = read_times(rows, source.time, faults, "known_at")
        faults.add(pc.is_null(known_at), "time_missing", "known_at")
        latest = now + mapping.rules.max_future_minutes * 60_000_000
        faults.add(pc.greater(known_at.cast(pa.int64()), latest), "time_in_future", "known_at", known_at)
    faults.add(pc.is_null(label), "label_unknown", "label", text_of(rows, source.label))
    faults.add(pc.invert(pc.is_in(origin, pa.array(_ORIGINS))), "origin_unknown", "origin", origin)
    table = _table(
        num,
        transaction_id=keys if source.entity is None else None,
        entity_type=None if source.entity is None else pa.repeat(pa.scalar(source.entity.type), num),
        entity_key=None if source.entity is None else keys,
        label=label,
        known_at=known_at,
        origin=origin,
        reviewer=None if source.reviewer is None else clean_text(rows.column(source.reviewer)),
        reason=None if source.reason is None else clean_text(rows.column(source.reason)),
        for_training=None if source.for_training else pa.repeat(pa.scalar(False), num),
        delay=None if source.time is not None else pa.repeat(pa.scalar(_delay(source), pa.int64()), num),
    )
    return table, faults


def of_source(rows: Rows, source: LabelFile) -> pa.Array:
    """Which rows (N,) of a file are of this source."""
    return pa.repeat(pa.scalar(True), len(rows)) if source.keep is None else condition(source.keep, rows)


def label_fields(source: LabelFile) -> dict[str, str]:
    """Field of a label -> column of the file of labels, the first of several."""
    found = dict(source.subject)
    if source.time is not None:
        found["known_at"] = source.time.read_columns[0]
    for name in ("label", "origin"):
        if columns := getattr(source, name).columns:
            found[name] = columns[0]
    return found | {name: column for name in ("reviewer", "reason") if (column := getattr(source, name)) is not None}


def label_columns(source: LabelFile) -> tuple[str, ...]:
    """Every column of the file of labels that a source reads."""
    found = [*label_fields(source).values(), *source.label.columns, *source.origin.columns]
    found += source.time.read_columns if source.time is not None else ()
    found += parse_expression(source.keep).columns if source.keep is not None else ()
    return tuple(dict.fromkeys(found))


def _delay(source: LabelFile) -> int:
    if source.known_at == END_OF_DATA:
        return AT_THE_END
    assert source.delay_days is not None, "a source has one clock"
    return source.delay_days * MICROSECONDS_PER_DAY


def _personal(source: LabelFile, mapping: Mapping) -> frozenset[str]:
    if source.entity is None or source.entity.type not in mapping.personal_types:
        return frozenset()
    key = source.entity.key
    others = {"label": source.label.columns, "origin": source.origin.columns}
    others["known_at"] = source.time.read_columns if source.time is not None else ()
    return frozenset({key, *(name for name, columns in others.items() if key in columns)})


def _label(values: pa.Array, fraud: tuple[str, ...], legitimate: tuple[str, ...]) -> pa.Array:
    return translate(values, dict.fromkeys(legitimate, "legitimate") | dict.fromkeys(fraud, "fraud"))


def _table(num_rows: int, **columns: pa.Array | pa.ChunkedArray | None) -> pa.Table:
    arrays = []
    for field in LOOSE_LABEL:
        given = columns.get(field.name)
        arrays.append(pa.nulls(num_rows, field.type) if given is None else given)
    return pa.Table.from_arrays(arrays, schema=LOOSE_LABEL)
