"""What makes a row bad: one definition, for the ingest of a table and for a row that comes in by the API.

`find_faults` looks at whole Arrow tables, `check_row` at one row. A bad row is quarantined with a reason code, the
field and value at fault (masked where personal) and a remedy; only its first fault is told.
"""

from __future__ import annotations

from collections.abc import Mapping as Dictionary
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ingestion.contracts import KINDS, OUTCOMES, TRANSACTION
from ingestion.mapping import Mapping
from ingestion.money import CURRENCY_EXPONENTS
from ingestion.pan import scrub
from ingestion.privacy import MASKED

Mask = NDArray[np.bool_]
MAX_KEY_LENGTH = 256
_MICROSECONDS_PER_MINUTE = 60_000_000
_MAX_VALUE_LENGTH = 200

#: Reason code -> what to do about it.
REMEDIES = {
    "amount_missing": "Give an amount; zero where none moved and the mapping allows it.",
    "amount_negative": "Give the amount without a sign, and say by `kind` that it was a refund or reversal.",
    "amount_not_a_number": "Give a finite number.",
    "amount_too_large": "Check the unit (minor or decimal); or raise `rules.max_amount_minor` in the mapping.",
    "amount_too_precise": "The currency has fewer decimals: correct it, or set `rounding` in the mapping.",
    "amount_unreadable": "Give digits; set `decimal` and `thousands`, and the amount's `currency_sign`.",
    "amount_zero": "Correct it; or set `rules.allow_zero_amount` in the mapping if zero is meant.",
    "broken_quotes": "Close the quotation mark, or double it inside a quoted value.",
    "broken_utf8": "Write the file in UTF-8, or set `encoding` in the mapping.",
    "currency_missing": "Give the ISO 4217 code; or name a constant or default in the mapping.",
    "currency_unknown": "Use an ISO 4217 code, or XXX for none.",
    "damaged_row_group": "These bytes are damaged and cannot be decoded: fetch the file again.",
    "id_conflict": "This id came before with other content: give the row an id of its own, or leave it out.",
    "id_missing": "Give each transaction a unique id.",
    "key_too_long": f"Use at most {MAX_KEY_LENGTH} characters.",
    "kind_unknown": f"Use one of {', '.join(KINDS)}; or translate it by `values` in the mapping.",
    "label_before_transaction": "A label is known after its transaction arrives: correct its time.",
    "label_conflict": "Another label of this transaction, time and origin says otherwise: keep one of them.",
    "label_unknown": "Use a value that the mapping lists for fraud or legitimate.",
    "label_without_entity": "Hand the label over with, or after, a transaction of this entity; check its type and key.",
    "label_without_transaction": "Hand the label over again with, or after, its transaction.",
    "origin_unknown": "Use analyst, chargeback or rule; or translate it by `values` in the mapping.",
    "outcome_unknown": f"Use one of {', '.join(OUTCOMES)}; or translate it by `values` in the mapping.",
    "party_missing": "Name the party; or a stand-in party for those without one.",
    "party_repeated": "Give at most one further party of a type.",
    "party_type_unknown": "Use a type that the mapping allows.",
    "self_transfer": "Source and target are one party: correct it, or set `rules.allow_self_transfer`.",
    "step_unreadable": "Give a whole number of steps.",
    "time_ambiguous": "Clocks were put back, so it came twice: give an offset, or set `ambiguous` in the mapping.",
    "time_in_future": "It lies ahead of our clock: check the zone and the clock of the sender.",
    "time_leap_second": "A leap second has no place of its own here: write the second before it.",
    "time_missing": "Give the time.",
    "time_skipped": "Clocks were put forward, so it never was: give an offset, or the right `zone` in the mapping.",
    "time_too_old": "It lies before 1970: check the format in the mapping.",
    "time_unreadable": "Give a real time in the format that the mapping names.",
    "time_without_zone": "Give an offset such as +01:00; or name the `zone` in the mapping.",
    "zone_unknown": "Name a time zone such as UTC or Europe/Paris.",
    "too_few_columns": "The row is cut short or lacks a separator: write it again.",
    "too_many_columns": "Quote values that contain the separator.",
}


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Why a row is bad. `field` is the user's column; `value` is safe to show."""

    reason: str
    field: str
    value: str | None
    remedy: str


@dataclass
class Faults:
    """The first problem of each bad row of a table with `num_rows` rows.

    `columns` gives the user's column of a contract field; values of `personal` columns and fields are masked.
    """

    num_rows: int
    columns: Dictionary[str, str] = field(default_factory=dict)
    personal: frozenset[str] = frozenset()
    problems: dict[int, Problem] = field(default_factory=dict)
    bad: Mask = field(init=False)

    def __post_init__(self) -> None:
        self.bad = np.zeros(self.num_rows, np.bool_)

    def add(self, mask: Mask | pa.Array, reason: str, field: str, values: pa.Array | None = None) -> None:
        """Rows of `mask` (N,) that have no problem yet get this one; `values` (N,) are those at fault."""
        flags = mask if isinstance(mask, np.ndarray) else pc.fill_null(mask, False).to_numpy(zero_copy_only=False)
        rows = np.flatnonzero(flags & ~self.bad)
        if len(rows) == 0:
            return
        self.bad[rows] = True
        column = self.columns.get(field, field)
        told = [None] * len(rows) if values is None else values.take(pa.array(rows)).cast(pa.string()).to_pylist()
        for row, value in zip(rows.tolist(), told, strict=True):
            safe = self.safe_value(field if field in self.personal else column, value)
            self.problems[row] = Problem(reason=reason, field=column, value=safe, remedy=REMEDIES[reason])

    def safe_value(self, column: str, value: Any) -> str | None:
        """A value as it may be shown: masked where personal, without card numbers, cut."""
        if value is None:
            return None
        return MASKED if column in self.personal else scrub(str(value))[:_MAX_VALUE_LENGTH]


def find_faults(table: pa.Table, faults: Faults, mapping: Mapping, *, now: int) -> None:
    """Add what breaks the contract in rows with the fields of `contracts.TRANSACTION`, any of them null.

    Args:
        now: our clock in µs; times may lie `rules.max_future_minutes` ahead of it.
    """
    column = {name: table.column(name).combine_chunks() for name in table.column_names}
    _ids(column, faults)
    _times(column, faults, now + mapping.rules.max_future_minutes * _MICROSECONDS_PER_MINUTE)
    _parties(column, faults, mapping)
    _money(column, faults, mapping)
    for name, known, reason in (("kind", KINDS, "kind_unknown"), ("outcome", OUTCOMES, "outcome_unknown")):
        faults.add(_not_in(column[name], known), reason, name, column[name])
    if not mapping.rules.allow_self_transfer:
        same_type = pc.equal(column["source_type"], column["target_type"])
        same = pc.and_(same_type, pc.equal(column["source_key"], column["target_key"]))
        faults.add(same, "self_transfer", "target_key", column["target_key"])


def check_row(row: Dictionary[str, Any], mapping: Mapping, *, now: int) -> Problem | None:
    """The first problem of one row (fields of `contracts.TRANSACTION`, original keys), None when it is good."""
    plain = dict(row) | {"attributes": list((row.get("attributes") or {}).items())}
    schema = pa.schema([part.with_nullable(True) for part in TRANSACTION])
    try:
        table = pa.Table.from_pylist([plain], schema=schema)
    except (pa.ArrowInvalid, OverflowError):  # an integer beyond 64 bits
        return Problem(reason="amount_too_large", field="amount_minor", value=None, remedy=REMEDIES["amount_too_large"])
    faults = Faults(1, personal=frozenset(_personal_fields(row, mapping)))
    find_faults(table, faults, mapping, now=now)
    return faults.problems.get(0)


def _personal_fields(row: Dictionary[str, Any], mapping: Mapping) -> list[str]:
    """Contract fields of this row that hold personal values."""
    roles = [role for role in ("source", "target") if row.get(f"{role}_type") in mapping.personal_types]
    return [f"{role}_key" for role in roles] + [f"parties.{type}" for type in mapping.personal_types]


def _ids(column: dict[str, pa.Array], faults: Faults) -> None:
    for name in ("transaction_id", "refers_to"):
        ids = column[name]
        if name == "transaction_id":
            faults.add(pc.is_null(ids), "id_missing", name)
        faults.add(pc.greater(pc.utf8_length(ids), MAX_KEY_LENGTH), "key_too_long", name)


def _times(column: dict[str, pa.Array], faults: Faults, latest: int) -> None:
    for name in ("event_time", "known_at"):
        times = column[name]
        faults.add(pc.is_null(times), "time_missing", name)
        micros = times.cast(pa.int64())
        faults.add(pc.greater(micros, latest), "time_in_future", name, times)
        faults.add(pc.less(micros, 0), "time_too_old", name, times)


def _parties(column: dict[str, pa.Array], faults: Faults, mapping: Mapping) -> None:
    for role, allowed in (("source", mapping.source.types), ("target", mapping.target.types)):
        kind, key = column[f"{role}_type"], column[f"{role}_key"]
        faults.add(_not_in(kind, allowed), "party_type_unknown", f"{role}_type", kind)
        faults.add(pc.is_null(key), "party_missing", f"{role}_key")
        faults.add(pc.greater(pc.utf8_length(key), MAX_KEY_LENGTH), "key_too_long", f"{role}_key")
    lists = column["parties"]
    rows = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False)
    types, keys = lists.flatten().flatten()
    known = [party.type for party in mapping.parties]
    faults.add(_at(rows, _not_in(types, known), faults), "party_type_unknown", "parties")
    codes = pc.fill_null(pc.index_in(types, pa.array(known, pa.string())), -1).to_numpy(zero_copy_only=False)
    repeated = np.zeros(len(rows), np.bool_)
    pairs = rows * (len(known) + 1) + codes
    order = np.argsort(pairs, kind="stable")
    repeated[order[1:]] = pairs[order[1:]] == pairs[order[:-1]]
    faults.add(_at(rows, repeated, faults), "party_repeated", "parties")
    long = pc.greater(pc.utf8_length(keys), MAX_KEY_LENGTH).to_numpy(zero_copy_only=False)
    for kind in known:
        mask = long & (codes == known.index(kind))
        faults.add(_at(rows, mask, faults), "key_too_long", f"parties.{kind}")


def _money(column: dict[str, pa.Array], faults: Faults, mapping: Mapping) -> None:
    currency, amount = column["currency"], column["amount_minor"]
    faults.add(pc.is_null(currency), "currency_missing", "currency")
    faults.add(_not_in(currency, CURRENCY_EXPONENTS), "currency_unknown", "currency", currency)
    faults.add(pc.is_null(amount), "amount_missing", "amount_minor")
    faults.add(pc.less(amount, 0), "amount_negative", "amount_minor", amount)
    faults.add(pc.greater(amount, mapping.rules.max_amount_minor), "amount_too_large", "amount_minor", amount)
    if not mapping.rules.allow_zero_amount:
        faults.add(pc.equal(amount, 0), "amount_zero", "amount_minor", amount)


def _not_in(values: pa.Array, known: Any) -> Mask:
    inside: Mask = pc.is_in(values, value_set=pa.array(list(known), pa.string())).to_numpy(zero_copy_only=False)
    return ~inside


def _at(rows: NDArray[np.int64], mask: Mask, faults: Faults) -> Mask:
    """A mask over rows from one over their list items."""
    flags = np.zeros(faults.num_rows, np.bool_)
    flags[rows[mask]] = True
    return flags
