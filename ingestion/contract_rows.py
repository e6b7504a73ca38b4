"""A mapping at work: the user's columns become rows of the contract, and what cannot be one is a fault.

Whole Arrow tables at once; nothing here knows Spark.
"""

from __future__ import annotations

from collections.abc import Mapping as Dictionary

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ingestion.contracts import LABEL, LABELS, MICROSECONDS_PER_DAY, PARTY, QUARANTINE, TIMESTAMP, TRANSACTION
from ingestion.mapping import LabelColumn, LabelFile, Mapping, TextField, TypeColumn
from ingestion.money import CURRENCY_EXPONENTS
from ingestion.parsing import Parsed, clean_text, parse_amounts, parse_times
from ingestion.pieces import RawRows
from ingestion.quality import REMEDIES, Faults, find_faults

#: TRANSACTION before validation: any field may be null.
LOOSE = pa.schema([field.with_nullable(True) for field in TRANSACTION])
_ORIGINS = ("analyst", "chargeback", "rule")


def transactions_of(raw: pa.Table, mapping: Mapping, *, now: int) -> tuple[pa.Table, Faults]:
    """Rows (N,) of LOOSE in the order of `raw`, and their faults; `now` is our clock in µs."""
    faults = Faults(raw.num_rows, columns=mapping.columns, personal=mapping.personal_columns)
    fields = mapping.fields
    event_time = _take(
        faults, "event_time", raw, parse_times(_column(raw, fields.event_time.column), fields.event_time)
    )
    known_at = event_time
    if fields.known_at is not None:
        given = _take(faults, "known_at", raw, parse_times(_column(raw, fields.known_at.column), fields.known_at))
        known_at = pc.coalesce(given, event_time)
    currency = pc.utf8_upper(_text(raw, fields.currency))
    amounts = parse_amounts(_column(raw, fields.amount.column), fields.amount, _exponents(currency))
    columns = {
        "transaction_id": _text(raw, fields.transaction_id),
        "event_time": event_time,
        "known_at": known_at,
        "source_type": _party_type(raw, mapping.source.type),
        "source_key": clean_text(_column(raw, mapping.source.key)),
        "target_type": _party_type(raw, mapping.target.type),
        "target_key": clean_text(_column(raw, mapping.target.key)),
        "refers_to": _text(raw, fields.refers_to),
        "amount_minor": _take(faults, "amount_minor", raw, amounts),
        "currency": currency,
        "kind": pc.utf8_lower(_text(raw, fields.kind)),
        "outcome": pc.utf8_lower(_text(raw, fields.outcome)),
        "channel": pc.fill_null(_text(raw, fields.channel), "unknown"),
        "parties": _parties(raw, mapping),
        "attributes": _attributes(raw, mapping),
        "memo": _text(raw, fields.memo),
    }
    table = pa.Table.from_arrays([columns[name] for name in LOOSE.names], schema=LOOSE)
    find_faults(table, faults, mapping, now=now)
    return table, faults


def labels_of_column(raw: pa.Table, transactions: pa.Table, labels: LabelColumn, faults: Faults) -> pa.Table:
    """Labels (N,) of a label column, row for row with the transactions; null where the column is empty."""
    values = clean_text(_column(raw, labels.column))
    label = _label(values, labels.fraud, labels.legitimate)
    faults.add(pc.and_(pc.is_valid(values), pc.is_null(label)), "label_unknown", "label", values)
    known_at = pc.add(transactions.column("event_time").cast(pa.int64()), labels.delay_days * MICROSECONDS_PER_DAY)
    origin = pa.repeat(pa.scalar(labels.origin), raw.num_rows)
    return _label_table(transactions.column("transaction_id"), label, known_at.cast(TIMESTAMP), origin, None, None)


def labels_of_file(raw: pa.Table, mapping: Mapping, *, now: int) -> tuple[pa.Table, Faults]:
    """Labels (N,) of a file of labels, and their faults."""
    wanted = mapping.labels
    assert isinstance(wanted, LabelFile), "only a mapping with a file of labels has one to read"
    columns = label_columns(wanted)
    faults = Faults(raw.num_rows, columns=columns)
    known_at = _take(faults, "known_at", raw, parse_times(_column(raw, wanted.known_at.column), wanted.known_at))
    ids = clean_text(_column(raw, wanted.transaction_id))
    label, origin = _text(raw, wanted.label), _text(raw, wanted.origin)
    reviewer, reason = (
        None if name is None else clean_text(_column(raw, name)) for name in (wanted.reviewer, wanted.reason)
    )
    faults.add(pc.is_null(ids), "id_missing", "transaction_id")
    faults.add(pc.is_null(known_at), "time_missing", "known_at")
    latest = now + mapping.rules.max_future_minutes * 60_000_000
    faults.add(pc.greater(known_at.cast(pa.int64()), latest), "time_in_future", "known_at", known_at)
    for name, values, known in (("label", label, LABELS), ("origin", origin, _ORIGINS)):
        outside = pc.invert(pc.is_in(values, pa.array(known)))
        faults.add(outside, f"{name}_unknown", name, values)
    return _label_table(ids, label, known_at, origin, reviewer, reason), faults


def label_columns(labels: LabelFile) -> dict[str, str]:
    """Field of a label -> column of the file of labels."""
    found = {"transaction_id": labels.transaction_id, "known_at": labels.known_at.column}
    for name in ("label", "origin"):
        text: TextField = getattr(labels, name)
        if text.column is not None:
            found[name] = text.column
    for name in ("reviewer", "reason"):
        if (column := getattr(labels, name)) is not None:
            found[name] = column
    return found


def quarantine_of(raw: RawRows, faults: Faults, *, name: str, id_column: str | None) -> pa.Table:
    """The bad rows of some raw rows, with reason and line, as `contracts.QUARANTINE`; personal values masked."""
    rows = sorted(faults.problems)
    raws = raw.table.take(pa.array(rows, pa.int64())).to_pylist()
    found = [
        _quarantined(name, int(raw.lines[row]), vars(faults.problems[row]), values, id_column, faults)
        for row, values in zip(rows, raws, strict=True)
    ]
    for broken in raw.broken:
        problem = {
            "reason": broken.reason,
            "field": broken.field or None,
            "value": faults.safe_value(broken.field, broken.value),
            "remedy": REMEDIES[broken.reason],
        }
        if broken.reason in ("too_few_columns", "too_many_columns"):
            problem["value"] = broken.value
        known = {id_column: broken.values.get(id_column)} if id_column else {}
        found.append(_quarantined(name, broken.line, problem, known, id_column, faults) | {"raw": None})
    return pa.Table.from_pylist(found, schema=QUARANTINE)


def _quarantined(
    name: str,
    line: int,
    problem: Dictionary[str, str | None],
    values: Dictionary[str, object],
    id_column: str | None,
    faults: Faults,
) -> dict[str, object]:
    safe = {column: faults.safe_value(column, value) for column, value in values.items()}
    key = values.get(id_column) if id_column else None
    return dict(problem) | {
        "source_file": name,
        "line": line,
        "transaction_id": None if key is None else str(key).strip(),
        "raw": orjson.dumps(safe, option=orjson.OPT_SORT_KEYS).decode(),
    }


def _column(raw: pa.Table, name: str) -> pa.Array:
    column = raw.column(name).combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks else pa.array([], column.type)
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _text(raw: pa.Table, field: TextField | None) -> pa.Array:
    """A text field (N,): a constant or a column, its values translated."""
    if field is None:
        return pa.nulls(raw.num_rows, pa.string())
    if field.column is None:
        return pa.repeat(pa.scalar(field.constant, pa.string()), raw.num_rows)
    texts = clean_text(_column(raw, field.column))
    if field.values:
        translated = _translate(texts, field.values)
        texts = translated if field.default is not None else pc.coalesce(translated, texts)
    return texts if field.default is None else pc.fill_null(texts, field.default)


def _translate(texts: pa.Array, values: Dictionary[str, str]) -> pa.Array:
    """What `values` says of each text; null for a text that it does not have."""
    found = pc.index_in(texts, pa.array(list(values), pa.string()))
    return pa.array(list(values.values()), pa.string()).take(found)


def _party_type(raw: pa.Table, kind: str | TypeColumn) -> pa.Array:
    if isinstance(kind, str):
        return pa.repeat(pa.scalar(kind, pa.string()), raw.num_rows)
    texts = clean_text(_column(raw, kind.column))
    return pc.coalesce(_translate(texts, kind.values), texts) if kind.values else texts


def _exponents(currency: pa.Array) -> NDArray[np.int64]:
    """(N,) decimals of each currency; those of XXX where it is unknown, which is a fault of its own."""
    codes = pa.array([*CURRENCY_EXPONENTS, None])
    digits = np.asarray([*CURRENCY_EXPONENTS.values(), CURRENCY_EXPONENTS["XXX"]], np.int64)
    found = pc.fill_null(pc.index_in(currency, codes), len(codes) - 1)
    return digits[found.to_numpy(zero_copy_only=False)]


def _take(faults: Faults, name: str, raw: pa.Table, parsed: Parsed) -> pa.Array:
    """The parsed values; what could not be read becomes a fault of this contract field."""
    if any(mask.any() for _, mask in parsed.faults):
        written = _column(raw, faults.columns[name]).cast(pa.string())
        for reason, mask in parsed.faults:
            faults.add(mask, reason, name, written)
    return parsed.values


def _parties(raw: pa.Table, mapping: Mapping) -> pa.Array:
    """Further parties (N,), in alphabetical order of type; an empty key means none."""
    parties = sorted(mapping.parties, key=lambda party: party.type)
    kinds = pa.array([party.type for party in parties], pa.string())
    keys = [clean_text(_column(raw, party.key)) for party in parties]
    offsets, which, flat = _interleave(keys, raw.num_rows)
    fields = [PARTY.field(index) for index in range(PARTY.num_fields)]
    items = pa.StructArray.from_arrays([kinds.take(which), flat], fields=fields)
    return pa.ListArray.from_arrays(offsets, items, type=LOOSE.field("parties").type)


def _attributes(raw: pa.Table, mapping: Mapping) -> pa.Array:
    """Attributes (N,) in alphabetical order of name; an empty value means none."""
    names = sorted(mapping.attributes)
    values = [clean_text(_column(raw, name)) for name in names]
    offsets, which, flat = _interleave(values, raw.num_rows)
    return pa.MapArray.from_arrays(offsets, pa.array(names, pa.string()).take(which), flat)


def _interleave(columns: list[pa.Array], num_rows: int) -> tuple[pa.Array, pa.Array, pa.Array]:
    """Several columns (N,) as one list a row, nulls left out: offsets, column of each item, items."""
    if not columns:
        return pa.array(np.zeros(num_rows + 1, np.int32)), pa.array([], pa.int64()), pa.array([], pa.string())
    valid_NC = np.stack([pc.is_valid(column).to_numpy(zero_copy_only=False) for column in columns], axis=1)
    offsets = np.concatenate([[0], np.cumsum(valid_NC.sum(axis=1))]).astype(np.int32)
    row, which = np.nonzero(valid_NC)
    flat = pa.concat_arrays(columns).take(pa.array(which * num_rows + row))
    return pa.array(offsets), pa.array(which), flat


def _label(values: pa.Array, fraud: tuple[str, ...], legitimate: tuple[str, ...]) -> pa.Array:
    return _translate(values, dict.fromkeys(legitimate, "legitimate") | dict.fromkeys(fraud, "fraud"))


def _label_table(
    ids: pa.Array, label: pa.Array, known_at: pa.Array, origin: pa.Array, reviewer: pa.Array, reason: pa.Array
) -> pa.Table:
    nothing = pa.nulls(len(label), pa.string())
    columns = {
        "transaction_id": ids,
        "entity_type": nothing,
        "entity_key": nothing,
        "label": label,
        "known_at": known_at,
        "origin": origin,
        "reviewer": nothing if reviewer is None else reviewer,
        "reason": nothing if reason is None else reason,
    }
    schema = pa.schema([field.with_nullable(True) for field in LABEL])
    return pa.Table.from_arrays([columns[name] for name in LABEL.names], schema=schema)
