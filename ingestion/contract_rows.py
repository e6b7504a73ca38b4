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

from ingestion.contracts import PARTY, QUARANTINE, TRANSACTION
from ingestion.expression_values import Rows, clean_text, condition, evaluate
from ingestion.mapping import Mapping
from ingestion.mapping_fields import AmountField, TextField, TimeField, TypeColumn
from ingestion.money import CURRENCY_EXPONENTS
from ingestion.numbers import without_mark
from ingestion.pan import scrub
from ingestion.parsing import Parsed, parse_amounts
from ingestion.parsing_times import times_of
from ingestion.pieces import RawRows
from ingestion.quality import REMEDIES, Faults, find_faults

#: TRANSACTION before validation: any field may be null.
LOOSE = pa.schema([field.with_nullable(True) for field in TRANSACTION])


def left_out(rows: Rows, mapping: Mapping) -> tuple[pa.Array, dict[str, int]]:
    """The rows (N,) that the filters keep, and how many they leave out by reason (the first that applies)."""
    keep = pa.repeat(pa.scalar(True), len(rows))
    counts: dict[str, int] = {}
    for wanted in mapping.filters:
        out = pc.and_not(keep, condition(wanted.keep, rows))
        keep = pc.and_not(keep, out)
        counts[wanted.reason] = counts.get(wanted.reason, 0) + int(pc.sum(out).as_py() or 0)
    return keep, counts


def transactions_of(raw: Rows | pa.Table, mapping: Mapping, *, now: int) -> tuple[pa.Table, Faults]:
    """Rows (N,) of LOOSE in the order of `raw`, and their faults; `now` is our clock in µs."""
    rows = raw if isinstance(raw, Rows) else Rows.of(raw, numbers=mapping.numbers)
    faults = Faults(len(rows), columns=mapping.columns, personal=mapping.personal_columns | mapping.personal_fields)
    fields = mapping.fields
    event_time = read_times(rows, fields.event_time, faults, "event_time")
    known_at = event_time
    if fields.known_at is not None:
        known_at = pc.coalesce(read_times(rows, fields.known_at, faults, "known_at"), event_time)
    currency = pc.utf8_upper(text_of(rows, fields.currency))
    amount = _amount(rows, fields.amount, currency, faults)
    kind = pc.utf8_lower(text_of(rows, fields.kind))
    if fields.amount.sign != "refuse":
        if fields.amount.sign == "negative_is_refund":
            kind = pc.if_else(pc.fill_null(pc.less(amount, 0), False), "refund", kind)
        amount = pc.abs(amount)
    columns = {
        "transaction_id": text_of(rows, fields.transaction_id),
        "event_time": event_time,
        "known_at": known_at,
        "source_type": _party_type(rows, mapping.source.type),
        "source_key": text_of(rows, mapping.source.key),
        "target_type": _party_type(rows, mapping.target.type),
        "target_key": text_of(rows, mapping.target.key),
        "refers_to": text_of(rows, fields.refers_to),
        "amount_minor": amount,
        "currency": currency,
        "kind": kind,
        "outcome": pc.utf8_lower(text_of(rows, fields.outcome)),
        "channel": pc.fill_null(text_of(rows, fields.channel), "unknown"),
        "parties": _parties(rows, mapping),
        "attributes": _attributes(rows, mapping),
        "memo": text_of(rows, fields.memo),
    }
    table = pa.Table.from_arrays([columns[name] for name in LOOSE.names], schema=LOOSE)
    find_faults(table, faults, mapping, now=now)
    return table, faults


def quarantine_of(
    raw: RawRows, faults: Faults, *, name: str, id_column: str | None, ids: pa.Array | None = None
) -> pa.Table:
    """The bad rows of some raw rows, with reason and line, as `contracts.QUARANTINE`; personal values masked.

    The id of a row is in `id_column`, or in `ids` (N,) where the mapping makes it.
    """
    rows = sorted(faults.problems)
    raws = raw.table.take(pa.array(rows, pa.int64())).to_pylist()
    found = [
        _quarantined(name, int(raw.lines[row]), vars(faults.problems[row]), values, id_column, faults)
        for row, values in zip(rows, raws, strict=True)
    ]
    if id_column is None and ids is not None:
        for bad, key in zip(found, ids.take(pa.array(rows, pa.int64())).to_pylist(), strict=True):
            bad["transaction_id"] = None if key is None else scrub(key)
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
        "transaction_id": None if key is None else scrub(str(key).strip()),
        "raw": orjson.dumps(safe, option=orjson.OPT_SORT_KEYS).decode(),
    }


def text_of(rows: Rows, field: TextField | None) -> pa.Array:
    """A text field (N,): a constant, a column or an expression, its values translated."""
    if field is None:
        return pa.nulls(len(rows), pa.string())
    if field.constant is not None:
        return pa.repeat(pa.scalar(field.constant, pa.string()), len(rows))
    values = rows.column(field.column) if field.column is not None else evaluate(field.expression or "", rows)
    texts = clean_text(values)
    if field.values:
        translated = translate(texts, field.values)
        texts = translated if field.default is not None else pc.coalesce(translated, texts)
    return texts if field.default is None else pc.fill_null(texts, field.default)


def read_times(rows: Rows, field: TimeField, faults: Faults, name: str) -> pa.Array:
    """A time field (N,); what could not be read becomes a fault of the contract field `name`."""
    written = [rows.column(column).cast(pa.string()) for column in field.read_columns]
    return _take(faults, name, times_of(rows, field), written)


def _amount(rows: Rows, field: AmountField, currency: pa.Array, faults: Faults) -> pa.Array:
    written = [rows.column(column).cast(pa.string()) for column in field.columns]
    if field.column is not None:
        values = without_mark(rows.column(field.column), field.currency_sign)
        parsed = parse_amounts(values, field, _exponents(currency), numbers=rows.numbers)
        return _take(faults, "amount_minor", parsed, written)
    values = evaluate(field.expression or "", rows)
    parsed = parse_amounts(values, field, _exponents(currency))
    given = pc.is_valid(clean_text(written[0])) if written else pa.repeat(pa.scalar(True), len(rows))
    for column in written[1:]:
        given = pc.and_(given, pc.is_valid(clean_text(column)))
    nothing = pc.and_(pc.is_null(values), given).to_numpy(zero_copy_only=False)
    unreadable = [*parsed.faults, ("amount_unreadable", nothing)]
    return _take(faults, "amount_minor", Parsed(parsed.values, unreadable), written)


def translate(texts: pa.Array, values: Dictionary[str, str]) -> pa.Array:
    """What `values` says of each text; null for a text that it does not have."""
    found = pc.index_in(texts, pa.array(list(values), pa.string()))
    return pa.array(list(values.values()), pa.string()).take(found)


def _party_type(rows: Rows, kind: str | TypeColumn) -> pa.Array:
    return text_of(rows, kind) if isinstance(kind, TypeColumn) else pa.repeat(pa.scalar(kind, pa.string()), len(rows))


def _exponents(currency: pa.Array) -> NDArray[np.int64]:
    """(N,) decimals of each currency; those of XXX where it is unknown, which is a fault of its own."""
    codes = pa.array([*CURRENCY_EXPONENTS, None])
    digits = np.asarray([*CURRENCY_EXPONENTS.values(), CURRENCY_EXPONENTS["XXX"]], np.int64)
    found = pc.fill_null(pc.index_in(currency, codes), len(codes) - 1)
    return digits[found.to_numpy(zero_copy_only=False)]


def _take(faults: Faults, name: str, parsed: Parsed, written: list[pa.Array]) -> pa.Array:
    """The parsed values; what could not be read becomes a fault of this contract field, with what was written."""
    if any(mask.any() for _, mask in parsed.faults):
        told = pc.binary_join_element_wise(*written, " ", null_handling="skip") if len(written) > 1 else None
        for reason, mask in parsed.faults:
            faults.add(mask, reason, name, told if told is not None else written[0] if written else None)
    return parsed.values


def _parties(rows: Rows, mapping: Mapping) -> pa.Array:
    """Further parties (N,), in alphabetical order of type; an empty key means none."""
    parties = sorted(mapping.parties, key=lambda party: party.type)
    kinds = pa.array([party.type for party in parties], pa.string())
    offsets, which, flat = _interleave([text_of(rows, party.key) for party in parties], len(rows))
    fields = [PARTY.field(index) for index in range(PARTY.num_fields)]
    items = pa.StructArray.from_arrays([kinds.take(which), flat], fields=fields)
    return pa.ListArray.from_arrays(offsets, items, type=LOOSE.field("parties").type)


def _attributes(rows: Rows, mapping: Mapping) -> pa.Array:
    """Attributes (N,) in alphabetical order of name; an empty value means none."""
    names = sorted(mapping.attributes)
    offsets, which, flat = _interleave([clean_text(rows.column(name)) for name in names], len(rows))
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
