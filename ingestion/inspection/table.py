"""A table as the checks see it: every raw column (the unmapped and dropped ones too), the clock, labels, parties."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ingestion.contracts import MICROSECONDS_PER_DAY
from ingestion.inspection.statistics import num_distinct
from ingestion.numbers import PLAIN, NumberFormat, plain_numbers
from ingestion.pan import scrub

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

UNKNOWN, LEGITIMATE, FRAUD = -1, 0, 1
#: Up to so many different texts a column is a category; beyond, its values are names of things.
MOST_CATEGORIES = 1_000
#: Whole numbers of nine digits and more may be telephones, accounts or cards: evidence shows their form.
LONG_NUMBER = 1e8
_MASKED = "(personal)"
#: The field of a column that the mapping reads times from, beside `event_time` and `known_at`.
CLOCK = "clock"

ColumnKind = Literal["number", "category", "identifier", "time"]


@dataclass(frozen=True, kw_only=True)
class Column:
    """One raw column (N,): `numbers` (NaN where empty) of a number or a time (µs), `codes` (-1 where empty) into
    `values` of a category or an identifier. `field` is the contract's name for it, None when unmapped.
    """

    name: str
    kind: ColumnKind
    filled: Bools
    numbers: Floats | None = None
    codes: Ints | None = None
    values: pa.Array | None = None
    field: str | None = None
    personal: bool = False

    @property
    def num_values(self) -> int:
        """How many different values a category or identifier has."""
        return 0 if self.values is None else len(self.values)

    def shown(self, value: Any) -> str:
        """A value as evidence may show it: masked where personal, an identifier only as its form."""
        if self.personal:
            return _MASKED
        if self.kind == "time" and isinstance(value, float):
            return str(np.datetime64(int(value), "us"))
        if isinstance(value, float):
            return form_of(f"{value:.0f}") if value.is_integer() and abs(value) >= LONG_NUMBER else f"{value:.12g}"
        text = str(value)
        return form_of(text) if self.kind == "identifier" else scrub(text)[:80]

    def value_at(self, row: int) -> Any:
        """The value of one row, None where empty."""
        if not self.filled[row]:
            return None
        if self.numbers is not None:
            return float(self.numbers[row])
        assert self.codes is not None and self.values is not None
        return self.values[int(self.codes[row])].as_py()

    def take(self, rows: Ints) -> Column:
        """The column at some rows."""
        return replace(
            self,
            filled=self.filled[rows],
            numbers=None if self.numbers is None else self.numbers[rows],
            codes=None if self.codes is None else self.codes[rows],
        )


@dataclass(frozen=True, kw_only=True)
class LabelTimes:
    """Explicit labels with a time of their own (L,): row of the table, µs when known, and whether fraud."""

    row: Ints
    known_at: Ints
    is_fraud: Bools


@dataclass(frozen=True, kw_only=True)
class InspectedTable:
    """N rows in the order of the file.

    `event_time`, `available_at` (N,) µs; `label` (N,) int8 (UNKNOWN, LEGITIMATE, FRAUD) as known at the end of
    the data, `explicit` (N,) whether a label was given and not merely assumed after maturing; `parties` maps a
    role to (N,) codes, -1 where absent; `amount_minor` (N,); `stratum` (N,) groups of like transactions (kind,
    outcome and currency). `stated_delay_days` is the mapping's, and `dropped` the columns that it keeps out;
    `label_times` is None for a label column.
    """

    name: str
    mapping_name: str
    columns: dict[str, Column]
    event_time: Ints
    available_at: Ints
    amount_minor: Ints
    amount_step: Ints
    stratum: Ints
    label: NDArray[np.int8]
    explicit: Bools
    parties: dict[str, Ints]
    party_columns: dict[str, str]
    label_column: str | None
    label_times: LabelTimes | None
    dropped: frozenset[str]
    stated_delay_days: float
    num_unreadable: int
    has_labels: bool
    now: int

    def __len__(self) -> int:
        return len(self.event_time)

    @cached_property
    def known(self) -> Bools:
        """(N,) whether the label is known."""
        return self.label != UNKNOWN

    @cached_property
    def fraud(self) -> Bools:
        """(N,) whether fraud is known."""
        return self.label == FRAUD

    @cached_property
    def num_frauds(self) -> int:
        """Rows known to be fraud."""
        return int(self.fraud.sum())

    @cached_property
    def num_known(self) -> int:
        """Rows with a known label."""
        return int(self.known.sum())

    @cached_property
    def end(self) -> int:
        """The last moment that the table speaks of, µs."""
        return int(self.available_at.max(initial=0))

    @cached_property
    def late_half(self) -> Bools:
        """(N,) rows after the median time of the frauds: each half holds half of the frauds."""
        middle = np.median(self.event_time[self.fraud]) if self.num_frauds else np.median(self.event_time)
        return self.event_time > middle

    @cached_property
    def bursts(self) -> Floats:
        """(N,) weights of the frauds that count a burst as one: 1 / the frauds that hang together by their parties
        within a fortnight; 0 for other rows. A sum of it is a number of independent cases.
        """
        weights = np.zeros(len(self))
        rows = np.flatnonzero(self.fraud)
        fortnight = self.event_time[rows] // (14 * MICROSECONDS_PER_DAY)
        nodes, start = [], len(rows)
        for role in ("source", "target"):
            codes = self.parties[role][rows]
            if num_distinct(codes) < 2:  # one stand-in party for all rows binds nothing
                continue
            _, place = np.unique(np.stack([codes, fortnight]), axis=1, return_inverse=True)
            nodes.append(place.ravel() + start)
            start += int(place.max()) + 1
        if not nodes:
            weights[rows] = 1.0
            return weights
        fraud, node = np.tile(np.arange(len(rows)), len(nodes)), np.concatenate(nodes)
        links = coo_array((np.ones(len(node), np.bool_), (fraud, node)), shape=(start, start))
        _, component = connected_components(links, directed=False)
        component = component[: len(rows)]
        weights[rows] = 1.0 / np.bincount(component)[component]
        return weights

    @cached_property
    def fold(self) -> Bools:
        """(N,) half of the rows, cut by paying party: what is chosen on one half is measured on the other."""
        source = self.parties["source"]
        number = int(source.max(initial=-1)) + 1
        rng = np.random.default_rng(0)
        if number < 20:
            return rng.random(len(self)) < 0.5
        half = rng.permutation(number) < number // 2
        chosen: Bools = half[source]
        return chosen

    def candidates(self, *kinds: ColumnKind) -> list[Column]:
        """Columns of these kinds without the label, the ids, the parties and the times that the mapping reads."""
        out = {self.label_column, *self.party_columns.values()}
        roles = ("transaction_id", "refers_to", "event_time", "known_at", CLOCK)
        return [
            column
            for column in self.columns.values()
            if column.kind in kinds and column.name not in out and column.field not in roles
        ]

    def take(self, rows: Ints) -> InspectedTable:
        """The table at some rows, for checks that may sample; label times are left out."""
        arrays = ("event_time", "available_at", "amount_minor", "amount_step", "stratum", "label", "explicit")
        return replace(
            self,
            columns={name: column.take(rows) for name, column in self.columns.items()},
            parties={role: codes[rows] for role, codes in self.parties.items()},
            label_times=None,
            **{name: getattr(self, name)[rows] for name in arrays},
        )

    def examples(self, rows: Bools | Ints, names: tuple[str, ...], most: int = 5) -> list[dict[str, str | None]]:
        """Up to five rows as evidence: line in the table (from 1) and the named columns, masked where needed."""
        index = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        found: list[dict[str, str | None]] = []
        for row in index[:most].tolist():
            values = {name: self.columns[name].value_at(row) for name in names if name in self.columns}
            shown = {name: None if value is None else self.columns[name].shown(value) for name, value in values.items()}
            found.append({"row": str(row + 1), **shown})
        return found


def form_of(text: str) -> str:
    """The form of a text: letters as A or a, digits as 9.

    >>> form_of("Ab-1234")
    'Aa-9999'
    """
    return "".join(
        "9" if sign.isdigit() else "A" if sign.isupper() else "a" if sign.isalpha() else sign for sign in text[:40]
    )


def read_column(
    values: pa.Array, *, name: str, field: str | None, personal: bool, identifier: bool, numbers: NumberFormat = PLAIN
) -> Column:
    """A raw column, its kind told from its values: times, numbers, few texts (category) or many (identifier)."""
    about: dict[str, Any] = {"name": name, "field": field, "personal": personal}
    kind = values.type
    if pa.types.is_dictionary(kind):
        values, kind = values.dictionary_decode(), values.type.value_type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _time(values.cast(pa.timestamp("us", tz=getattr(kind, "tz", None)), safe=False), about)
    if not identifier and (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        return _number(values.cast(pa.float64(), safe=False), about)
    texts = pc.utf8_trim_whitespace(values.cast(pa.string()))
    texts = pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)
    encoded = texts.dictionary_encode()
    if not identifier:
        parsed = _parsed(encoded, about, numbers)
        if parsed is not None:
            return parsed
    codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    few = len(encoded.dictionary) <= MOST_CATEGORIES and not identifier
    return Column(
        kind="category" if few else "identifier", codes=codes, values=encoded.dictionary, filled=codes >= 0, **about
    )


def _parsed(encoded: pa.DictionaryArray, about: dict[str, Any], numbers: NumberFormat) -> Column | None:
    """Texts that are all numbers or all ISO times, as such; None for other texts."""
    distinct = encoded.dictionary
    if len(distinct) == 0:
        return None
    numerals = plain_numbers(distinct, numbers)
    if pc.any(pc.match_substring_regex(numerals, r"^[+-]?0\d")).as_py():
        return None  # leading zeros: a code, not a number
    if pc.all(pc.match_substring_regex(numerals, r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")).as_py():
        return _number(numerals.cast(pa.float64()).take(encoded.indices), about)
    if pc.all(pc.match_substring_regex(distinct, r"^\d{4}-\d\d-\d\d")).as_py():
        try:
            zoned = pc.any(pc.match_substring_regex(distinct, r"\d(?:Z|[+-]\d\d:?\d\d)$")).as_py()
            times = distinct.cast(pa.timestamp("us", tz="UTC" if zoned else None))
        except pa.ArrowInvalid:
            return None
        return _time(times.take(encoded.indices), about)
    return None


def _number(values: pa.Array, about: dict[str, Any]) -> Column:
    numbers = pc.fill_null(values, np.nan).to_numpy(zero_copy_only=False)
    return Column(kind="number", numbers=numbers, filled=~np.isnan(numbers), **about)


def _time(values: pa.Array, about: dict[str, Any]) -> Column:
    filled = pc.is_valid(values).to_numpy(zero_copy_only=False)
    micros = pc.fill_null(values.cast(pa.int64()), 0).to_numpy(zero_copy_only=False).astype(np.float64)
    return Column(kind="time", numbers=np.where(filled, micros, np.nan), filled=filled, **about)
