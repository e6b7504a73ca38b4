"""Rates of exchange with a clock of their own: what one unit of a currency was worth in the base currency, as known.

A transaction takes the newest rate (latest `date`, then latest `known_at`) with `known_at` at or before its
`available_at`; without one it has no base amount. A rate that becomes known later changes nothing before.

The amount is `amount_minor x rate x 10^(base exponent - own exponent)`, exact, then rounded half to even.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from ingestion.artifacts import read_parquet, short_hash
from ingestion.contracts import TIMESTAMP
from ingestion.errors import DataContractError
from ingestion.mapping_fields import TimeField
from ingestion.money import CURRENCY_EXPONENTS
from ingestion.pan import scrub
from ingestion.parsing_times import parse_times

RATE = pa.schema(
    [
        pa.field("date", pa.string(), nullable=False, metadata={"description": "Day that it holds for, ISO 8601"}),
        pa.field("currency", pa.string(), nullable=False, metadata={"description": "ISO 4217 code"}),
        pa.field("rate", pa.string(), nullable=False, metadata={"description": "Base units for one unit, decimal"}),
        pa.field("known_at", TIMESTAMP, nullable=False, metadata={"description": "When it could have been known"}),
    ]
)
MAX_RATE, MAX_DECIMALS = Decimal(1_000_000_000), 15
_DAY = r"^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])$"
_REMEDY = (
    "Columns: date (2024-05-31), currency (USD), rate (0.92), known_at (2024-05-31T16:00:00Z); one row a day and"
    " currency, a correction with a later known_at."
)


@dataclass(frozen=True)
class Rates:
    """Rates into `base`; `table` has the columns of RATE, in order of currency, known_at and date."""

    base: str
    table: pa.Table
    _steps: dict[str, tuple[list[int], list[tuple[int, int]]]] = field(
        init=False, default_factory=dict, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        newest: dict[str, str] = {}
        for row in self.table.set_column(3, "known_at", self.table.column("known_at").cast(pa.int64())).to_pylist():
            times, factors = self._steps.setdefault(row["currency"], ([], []))
            if row["date"] < newest.get(row["currency"], ""):
                continue  # an older day, told late: the newest rate stays
            newest[row["currency"]] = row["date"]
            times.append(row["known_at"])
            factors.append(self._factor(row["currency"], Decimal(row["rate"])))

    def __reduce__(self) -> tuple[type[Rates], tuple[str, pa.Table]]:
        return Rates, (self.base, self.table)

    @classmethod
    def read(cls, path: Path, base: str, *, delimiter: str = ",", before: Rates | None = None) -> Rates:
        """The rates of a file and those of `before`. Raises `DataContractError` naming the row at fault."""
        name = scrub(path.name)
        found = _checked(_file(path, delimiter), name, base)
        if before is not None:
            found = pa.concat_tables([before.table, found])
        return cls(base, _sorted(found, name))

    @classmethod
    def at(cls, folder: Path, base: str) -> Rates:
        """The rates that a snapshot keeps."""
        return cls(base, _sorted(read_parquet(folder).cast(RATE), folder.name))

    def write(self, folder: Path) -> None:
        """Keep them in a snapshot."""
        folder.mkdir(parents=True)
        pq.write_table(self.table, folder / "part-00000.parquet", compression="zstd", write_page_checksum=True)

    @property
    def digest(self) -> str:
        """Hash of what they say."""
        rows = self.table.set_column(3, "known_at", self.table.column("known_at").cast(pa.int64())).to_pylist()
        return short_hash([self.base, rows])

    def base_amount(self, amount_minor: int, currency: str, available_at: int) -> tuple[int, str]:
        """Amount and currency as features see them: in the base currency, or as given where no rate is known.

        >>> Rates("EUR", RATE.empty_table()).base_amount(500, "USD", 0)
        (500, 'USD')
        """
        amount = self._converted(amount_minor, currency, available_at)
        return (amount_minor, currency) if amount is None else (amount, self.base)

    def base_amounts(self, amounts: pa.Array, currencies: pa.Array, available_at: pa.Array) -> pa.Array:
        """(N,) int64 amounts in the base currency, null where no rate is known; times in µs."""
        rows = zip(amounts.to_pylist(), currencies.to_pylist(), available_at.to_pylist(), strict=True)
        return pa.array([self._converted(amount, currency, time) for amount, currency, time in rows], pa.int64())

    def _converted(self, amount: int, currency: str, time: int) -> int | None:
        if currency == self.base:
            return amount
        times, factors = self._steps.get(currency, ([], []))
        index = bisect.bisect_right(times, time) - 1
        if index < 0:
            return None
        numerator, denominator = factors[index]
        converted = _half_even(amount * numerator, denominator)
        return converted if converted < 2**62 else None

    def _factor(self, currency: str, rate: Decimal) -> tuple[int, int]:
        """The rate between minor units, as a fraction of integers."""
        numerator, denominator = rate.as_integer_ratio()
        shift = CURRENCY_EXPONENTS[self.base] - CURRENCY_EXPONENTS[currency]
        return (numerator * 10**shift, denominator) if shift >= 0 else (numerator, denominator * 10**-shift)


def _half_even(numerator: int, denominator: int) -> int:
    whole, rest = divmod(numerator, denominator)
    return whole + (2 * rest > denominator or (2 * rest == denominator and whole % 2 == 1))


def _file(path: Path, delimiter: str) -> pa.Table:
    try:
        if path.suffix.lower() == ".parquet":
            return pq.read_table(path, page_checksum_verification=True)
        return pa_csv.read_csv(
            path,
            parse_options=pa_csv.ParseOptions(delimiter=delimiter),
            convert_options=pa_csv.ConvertOptions(column_types={name: pa.string() for name in RATE.names}),
        )
    except (pa.ArrowInvalid, OSError) as error:
        raise DataContractError(
            f"{scrub(path.name)} holds no table of rates: {scrub(str(error))}.", remedy=_REMEDY
        ) from None


def _checked(table: pa.Table, name: str, base: str) -> pa.Table:
    if missing := [column for column in RATE.names if column not in table.column_names]:
        raise DataContractError(f"{name} lacks the column {missing[0]}.", remedy=_REMEDY)
    dates = table.column("date").cast(pa.string()).combine_chunks()
    currencies = pc.utf8_upper(table.column("currency").cast(pa.string())).combine_chunks()
    rates = table.column("rate").cast(pa.string()).combine_chunks()
    known_at = parse_times(table.column("known_at").combine_chunks(), TimeField(column="known_at")).values
    for row, values in enumerate(zip(*(part.to_pylist() for part in (dates, currencies, rates)), strict=True)):
        date, currency, rate = values
        for column, value, good in (
            ("date", date, date is not None and bool(pc.match_substring_regex(date, _DAY).as_py())),
            ("currency", currency, currency in CURRENCY_EXPONENTS and currency not in ("XXX", base)),
            ("rate", rate, _is_rate(rate)),
            ("known_at", table.column("known_at")[row].as_py(), known_at[row].is_valid),
        ):
            if not good:
                raise DataContractError(
                    f"{name}, row {row + 1}: {column} {scrub(repr(value))} cannot be used.", remedy=_REMEDY
                )
    return pa.Table.from_arrays([dates, currencies, rates, known_at], schema=RATE)


def _is_rate(text: str | None) -> bool:
    try:
        rate = Decimal(text or "")
    except InvalidOperation:
        return False
    exponent = rate.as_tuple().exponent
    return rate.is_finite() and 0 < rate < MAX_RATE and isinstance(exponent, int) and exponent >= -MAX_DECIMALS


def _sorted(table: pa.Table, name: str) -> pa.Table:
    """Each rate once, in order. Raises `DataContractError` when one day has two rates known at one time."""
    table = table.group_by(RATE.names).aggregate([]).select(RATE.names).cast(RATE)
    key = ["currency", "known_at", "date"]
    if table.num_rows > table.group_by(key).aggregate([]).num_rows:
        raise DataContractError(f"{name}: one day and currency has two rates known at one time.", remedy=_REMEDY)
    return table.sort_by([(column, "ascending") for column in key]).combine_chunks()
