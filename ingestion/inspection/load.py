"""From a file and its mapping, or from a snapshot, to the table that the checks look at."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ingestion.contract_rows import left_out, transactions_of
from ingestion.contracts import LABEL_ORIGINS, MICROSECONDS_PER_DAY, TIMESTAMP
from ingestion.errors import DataContractError
from ingestion.expression_values import Rows, is_plain
from ingestion.inspection.table import (
    CLOCK,
    FRAUD,
    LEGITIMATE,
    UNKNOWN,
    Column,
    InspectedTable,
    Ints,
    LabelTimes,
    read_column,
)
from ingestion.label_rows import AT_THE_END, labels_of_column, labels_of_file, of_source
from ingestion.label_sources import LabelColumn
from ingestion.mapping import Mapping
from ingestion.money import CURRENCY_EXPONENTS
from ingestion.numbers import without_mark
from ingestion.plan import beside
from ingestion.snapshot import Snapshot
from ingestion.sources import find_files, open_file, pieces_of, read_piece


def load_table(source: Path, mapping: Mapping) -> InspectedTable:
    """All rows and all columns of a source that the filters keep. Raises `DataContractError` when no row has a time."""
    now = time.time_ns() // 1_000
    apart = {name: beside(source, name) for name in mapping.label_files}
    others = {*apart.values(), *([beside(source, mapping.rates.file)] if mapping.rates else [])}
    raw = read_raw([path for path in find_files(source) if path not in others], mapping)
    mapping.check_columns(raw.column_names, table=source.name)
    rows = Rows.of(raw, numbers=mapping.numbers)
    rows = rows.filter(left_out(rows, mapping)[0])
    contract, faults = transactions_of(rows, mapping, now=now)
    if (column := _label_column(mapping)) is not None:
        labels: pa.Table | None = labels_of_column(rows, contract, column, faults)
    else:
        labels = _file_labels(apart, contract, mapping, now=now)
    return _table(source.name, rows.table, contract, labels, mapping, now)


def _label_column(mapping: Mapping) -> LabelColumn | None:
    """The first label source in the table itself."""
    return next(iter(mapping.label_columns), None)


def _file_labels(paths: dict[str, Path], contract: pa.Table, mapping: Mapping, *, now: int) -> pa.Table | None:
    """Labels of transactions in files, None when there is no such file; those of entities are not looked at."""
    found = []
    for name, path in paths.items():
        sources = [source for source in mapping.label_files[name] if source.entity is None]
        if not sources or not path.exists():
            continue
        rows = Rows.of(read_raw([path], mapping), numbers=mapping.numbers)
        for source in sources:
            labels, _ = labels_of_file(rows.filter(of_source(rows, source)), source, mapping, now=now)
            found.append(_timed(labels, contract))
    return pa.concat_tables(found) if found else None


def _timed(labels: pa.Table, contract: pa.Table) -> pa.Table:
    """Labels with the times that their delays say (see `ingestion.jobs.label_times`)."""
    row = pc.index_in(labels.column("transaction_id"), value_set=_flat(contract.column("transaction_id")))
    event = contract.column("event_time").cast(pa.int64())
    due = pc.add(event.take(row), labels.column("delay"))
    at_end = pc.equal(labels.column("delay"), AT_THE_END)
    due = pc.if_else(pc.fill_null(at_end, False), pc.max(event), due)
    index = labels.schema.get_field_index("known_at")
    known_at = pc.coalesce(labels.column("known_at"), due.cast(TIMESTAMP))
    return labels.set_column(index, labels.schema.field(index), known_at)


def load_snapshot(snapshot: Snapshot) -> InspectedTable:
    """The transactions of a snapshot, its attributes as columns; what the mapping left out is not there."""
    mapping = Mapping.model_validate(snapshot.manifest["mapping"])
    contract = snapshot.transactions()
    labels = snapshot.labels()
    labels = labels.filter(pc.not_equal(labels.column("origin"), "matured"))
    raw = {name: contract.column(name) for name in ("channel", "kind", "outcome", "currency", "memo", "amount_minor")}
    for name in sorted(mapping.attributes):
        raw[name] = pc.map_lookup(contract.column("attributes"), pa.scalar(name), "first")
    return _table(snapshot.id, pa.table(raw), contract, labels, mapping, time.time_ns() // 1_000, at_rest=True)


def read_raw(paths: list[Path], mapping: Mapping) -> pa.Table:
    """Every column of some files, as written; rows that cannot be read are left out (quarantine counts them)."""
    tables = []
    for index, path in enumerate(paths):
        file = open_file(path, delimiter=mapping.delimiter, encoding=mapping.encoding)
        for piece in pieces_of(file, index, workers=1, delimiter=mapping.delimiter):
            tables += [rows.table for rows in read_piece(piece, file.columns)]
    if not tables:
        raise DataContractError("The table has no rows to inspect.", remedy="Name a file with rows.")
    whole = pa.concat_tables(tables, promote_options="permissive").combine_chunks()
    return whole.select([field.name for field in whole.schema if is_plain(field.type)])


def _table(
    name: str,
    raw: pa.Table,
    contract: pa.Table,
    labels: pa.Table | None,
    mapping: Mapping,
    now: int,
    *,
    at_rest: bool = False,
) -> InspectedTable:
    readable = np.flatnonzero(pc.is_valid(contract.column("event_time")).to_numpy())
    if len(readable) == 0:
        raise DataContractError(
            f"No row of {name} has a time that can be read.",
            remedy="See `ringfence data mapping check`; mend event_time in the mapping.",
        )
    event_time = _micros(contract.column("event_time"))
    available_at = np.maximum(event_time, _micros(contract.column("known_at")))
    label, explicit, times = _labels(contract, labels, mapping, event_time, available_at)
    currency = pc.fill_null(pc.index_in(contract.column("currency"), pa.array(list(CURRENCY_EXPONENTS))), 0)
    exponents = np.asarray(list(CURRENCY_EXPONENTS.values()), np.int64)[currency.to_numpy()]
    given = _label_column(mapping)
    column_label = None if given is None else given.column
    table = InspectedTable(
        name=name,
        mapping_name=mapping.name,
        columns=_columns(raw, mapping, at_rest=at_rest),
        event_time=event_time,
        available_at=available_at,
        amount_minor=pc.fill_null(contract.column("amount_minor"), -1).to_numpy(),
        amount_step=10**exponents,
        stratum=_codes(
            pc.binary_join_element_wise(*(contract.column(n) for n in ("kind", "outcome", "currency")), "|")
        ),
        label=label,
        explicit=explicit,
        parties=_party_codes(contract, mapping),
        party_columns=_party_columns(mapping),
        label_column=column_label,
        label_times=None,
        dropped=frozenset(mapping.dropped),
        stated_delay_days=_stated_delay(mapping),
        num_unreadable=contract.num_rows - len(readable),
        has_labels=labels is not None,
        now=now,
    )
    if len(readable) < contract.num_rows:
        place = np.full(contract.num_rows, -1)
        place[readable] = np.arange(len(readable))
        table = table.take(readable)
        if times is not None:
            keep = place[times.row] >= 0
            times = LabelTimes(row=place[times.row[keep]], known_at=times.known_at[keep], is_fraud=times.is_fraud[keep])
    return _with_times(table, times)


def _with_times(table: InspectedTable, times: LabelTimes | None) -> InspectedTable:
    return InspectedTable(**{**_fields(table), "label_times": times})


def _fields(table: InspectedTable) -> dict[str, Any]:
    return {name: getattr(table, name) for name in table.__dataclass_fields__}


def _stated_delay(mapping: Mapping) -> float:
    column = _label_column(mapping)
    delay = None if column is None else column.delay_days
    return float(mapping.label_maturity_days if delay is None else delay)


def _labels(
    contract: pa.Table, labels: pa.Table | None, mapping: Mapping, event_time: Ints, available_at: Ints
) -> tuple[NDArray[np.int8], NDArray[np.bool_], LabelTimes | None]:
    """Labels (N,) as known at the end, which of them were given, and those that have a time of their own."""
    label = np.full(contract.num_rows, UNKNOWN, np.int8)
    if labels is None:
        return label, label != UNKNOWN, None
    row = pc.index_in(labels.column("transaction_id"), value_set=_flat(contract.column("transaction_id")))
    usable = pc.and_(pc.is_valid(labels.column("label")), pc.is_valid(labels.column("known_at")))
    if _label_column(mapping) is not None:
        row = pa.array(np.arange(labels.num_rows)) if labels.num_rows == contract.num_rows else row
    keep = np.flatnonzero(pc.and_(usable, pc.is_valid(row)).to_numpy())
    times = LabelTimes(
        row=pc.fill_null(row, -1).to_numpy().astype(np.int64)[keep],
        known_at=_micros(labels.column("known_at"))[keep],
        is_fraud=pc.fill_null(pc.equal(labels.column("label"), "fraud"), False).to_numpy()[keep],
    )
    origin = pc.fill_null(pc.index_in(labels.column("origin"), pa.array(LABEL_ORIGINS)), 0).to_numpy()[keep]
    order = np.lexsort((-origin, times.known_at))  # later assignments win, ties the stronger origin
    label[times.row[order]] = np.where(times.is_fraud[order], FRAUD, LEGITIMATE)
    explicit = label != UNKNOWN
    if (column := _label_column(mapping)) is not None:
        return label, explicit, None if column.known_at is None else times
    matured = event_time + mapping.label_maturity_days * MICROSECONDS_PER_DAY <= available_at.max(initial=0)
    label[(label == UNKNOWN) & matured] = LEGITIMATE
    return label, explicit, times


def _columns(raw: pa.Table, mapping: Mapping, *, at_rest: bool) -> dict[str, Column]:
    fields = {column: field for field, column in mapping.columns.items()}
    for clock in (mapping.fields.event_time, mapping.fields.known_at, *(s.known_at for s in mapping.label_columns)):
        for name in () if clock is None else clock.read_columns:
            fields.setdefault(name, CLOCK)
    keys = (mapping.source.key, mapping.target.key, *(party.key for party in mapping.parties))
    ids = {column for key in keys for column in key.columns}
    ids |= {column for column, field in fields.items() if field in ("transaction_id", "refers_to")}
    personal = frozenset(mapping.personal.attributes) if at_rest else mapping.personal_columns
    sign = mapping.fields.amount.currency_sign
    return {
        name: read_column(
            without_mark(_flat(raw.column(name)), sign if name == mapping.fields.amount.column else ""),
            name=name,
            field=name if at_rest else fields.get(name),
            personal=name in personal,
            identifier=name in ids,
            numbers=mapping.numbers,
        )
        for name in raw.column_names
    }


def _party_columns(mapping: Mapping) -> dict[str, str]:
    keys = {"source": mapping.source.key, "target": mapping.target.key}
    keys |= {party.type: party.key for party in mapping.parties}
    return {role: key.columns[0] for role, key in keys.items() if key.columns}


def _party_codes(contract: pa.Table, mapping: Mapping) -> dict[str, Ints]:
    found = {}
    for role in ("source", "target"):
        kind, key = contract.column(f"{role}_type"), contract.column(f"{role}_key")
        found[role] = _codes(pc.binary_join_element_wise(kind, key, ":"))
    lists = _flat(contract.column("parties"))
    if len(lists) and mapping.parties:
        rows, items = pc.list_parent_indices(lists).to_numpy(), pc.list_flatten(lists)
        kinds, keys = items.field("type"), items.field("key")
        for party in mapping.parties:
            chosen = pc.equal(kinds, party.type)
            codes = np.full(contract.num_rows, -1, np.int64)
            codes[rows[chosen.to_numpy(zero_copy_only=False)]] = _codes(keys.filter(chosen))
            found[party.type] = codes
    return found


def _codes(values: pa.Array | pa.ChunkedArray) -> Ints:
    encoded = _flat(values).dictionary_encode()
    codes: Ints = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes


def _flat(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    if not isinstance(column, pa.ChunkedArray):
        return column
    if column.num_chunks == 0:
        return pa.array([], column.type)
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _micros(column: pa.Array | pa.ChunkedArray) -> Ints:
    values: Ints = pc.fill_null(_flat(column).cast(pa.int64()), 0).to_numpy()
    return values
