"""Texts and numbers of a user's table as times (µs UTC) and amounts (int64 minor units), whole columns at once.

What cannot be read comes back null with a reason; an empty value is null without one.
"""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ingestion.contracts import TIMESTAMP, micros
from ingestion.errors import MappingError
from ingestion.mapping import EPOCH_UNITS, AmountField, TimeField

Mask = NDArray[np.bool_]

_PLAIN_TIME = pa.timestamp("us")
_HAS_OFFSET = r"\d(?:Z|[+-]\d{2}:?\d{2})$"
_ISO = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(?:\.\d{1,6})?(?:Z|[+-]\d{2}:?\d{2})?$"
_SHORT_DECIMAL = r"^-?\d{1,11}(?:\.\d{1,4})?$"
_LIMIT = 2**62


@dataclass
class Parsed:
    """Values (N,) with nulls, and the masks (N,) of what could not be read, each with its reason."""

    values: pa.Array
    faults: list[tuple[str, Mask]] = field(default_factory=list)


def parse_times(values: pa.Array, wanted: TimeField) -> Parsed:
    """Times in µs UTC. Times without an offset are taken in `wanted.zone`; of two that a clock change makes
    equal the earlier is meant. Raises `MappingError` for a column that no time can come from.
    """
    kind = values.type
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return Parsed(values.cast(TIMESTAMP, safe=False))
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        plain = values.cast(_PLAIN_TIME, safe=False)
        return Parsed(_in_zone(plain, wanted, column_type=str(kind)))
    if wanted.format in EPOCH_UNITS:
        return _epoch(values, EPOCH_UNITS[wanted.format])
    if not _is_text(kind):
        raise MappingError(
            f"Column {wanted.column} is {kind}, which has no time in it.",
            remedy="Set `format` to epoch_seconds, epoch_milliseconds or epoch_microseconds, or name another column.",
        )
    texts = clean_text(values)
    return _iso(texts, wanted) if wanted.format == "iso" else _formatted(texts, wanted)


def parse_amounts(values: pa.Array, wanted: AmountField, exponents: NDArray[np.int64]) -> Parsed:
    """Amounts in minor units; `exponents` (N,) are the decimals of each row's currency."""
    digits = np.zeros_like(exponents) if wanted.unit == "minor" else exponents
    if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
        return _from_numbers(values, digits, wanted)
    return _from_texts(clean_text(values.cast(pa.string())), digits, wanted)


def clean_text(values: pa.Array) -> pa.Array:
    """A column as text: spaces around it go, empty becomes null."""
    texts = pc.utf8_trim_whitespace(values.cast(pa.string()))
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind))


def _in_zone(plain: pa.Array, wanted: TimeField, *, column_type: str) -> pa.Array:
    if wanted.zone is None:
        raise MappingError(
            f"Column {wanted.column} ({column_type}) says no time zone, so its times are not known.",
            remedy=f'Name it in the mapping: {{ column = "{wanted.column}", zone = "UTC" }}.',
        )
    zoned = pc.assume_timezone(plain, wanted.zone, ambiguous="earliest", nonexistent="latest")
    return zoned.cast(TIMESTAMP)


def _epoch(values: pa.Array, unit: int) -> Parsed:
    texts = clean_text(values)
    readable = pc.match_substring_regex(texts, r"^-?\d{1,18}$")
    numbers = pc.if_else(readable, texts, None).cast(pa.int64())
    fits = pc.less(pc.abs(numbers), _LIMIT // unit)
    times = pc.multiply(pc.if_else(fits, numbers, None), unit).cast(TIMESTAMP)
    return _with_fault(times, texts, "time_unreadable")


def _iso(texts: pa.Array, wanted: TimeField) -> Parsed:
    usual = pc.fill_null(pc.match_substring_regex(texts, _ISO), False)
    offset = pc.fill_null(pc.match_substring_regex(texts, _HAS_OFFSET), False)
    times = pa.nulls(len(texts), TIMESTAMP)
    zoneless = pc.and_(usual, pc.invert(offset))
    try:
        zoned = texts.filter(pc.and_(usual, offset)).cast(TIMESTAMP)
        times = pc.replace_with_mask(times, pc.and_(usual, offset), zoned)
        if wanted.zone is not None:
            plain = _in_zone(texts.filter(zoneless).cast(_PLAIN_TIME), wanted, column_type="text")
            times = pc.replace_with_mask(times, zoneless, plain)
        slow = pc.and_(pc.is_valid(texts), pc.invert(usual))
    except pa.ArrowInvalid:  # a 13th month among them: look at each
        slow = pc.is_valid(texts)
    times = _look_at_each(times, texts, slow, lambda text: _python_time(dt.datetime.fromisoformat(text), wanted))
    if wanted.zone is not None:
        return _with_fault(times, texts, "time_unreadable")
    lacks_zone = _missing(times, texts) & np.asarray(
        [text is not None and _is_naive(text) for text in texts.to_pylist()], np.bool_
    )
    unreadable = _missing(times, texts) & ~lacks_zone
    return Parsed(times, [("time_without_zone", lacks_zone), ("time_unreadable", unreadable)])


def _formatted(texts: pa.Array, wanted: TimeField) -> Parsed:
    def read(text: str) -> int | None:
        return _python_time(dt.datetime.strptime(text, wanted.format), wanted)

    if "%z" not in wanted.format and wanted.zone is None:
        raise MappingError(
            f"Format {wanted.format!r} of column {wanted.column} has no %z, so its times are not known.",
            remedy=f'Name the zone in the mapping: {{ column = "{wanted.column}", zone = "UTC", … }}.',
        )
    times = _look_at_each(pa.nulls(len(texts), TIMESTAMP), texts, pc.is_valid(texts), read)
    return _with_fault(times, texts, "time_unreadable")


def _python_time(moment: dt.datetime, wanted: TimeField) -> int | None:
    """µs of a time; None when it has no zone and none is given."""
    if moment.tzinfo is None:
        if wanted.zone is None:
            return None
        moment = moment.replace(tzinfo=ZoneInfo(wanted.zone))
    return micros(moment.astimezone(dt.UTC))


def _is_naive(text: str) -> bool:
    try:
        return dt.datetime.fromisoformat(text).tzinfo is None
    except ValueError:
        return False


def _look_at_each(values: pa.Array, texts: pa.Array, mask: pa.Array, read: Callable[[str], int | None]) -> pa.Array:
    """Fill `values` at `mask` by a Python function of each distinct text; what it refuses stays null."""

    def attempt(text: str) -> int | None:
        try:
            return read(text)
        except (ValueError, OverflowError):
            return None

    chosen = texts.filter(mask).dictionary_encode()
    if len(chosen) == 0:
        return values
    read_values = pa.array([attempt(text) for text in chosen.dictionary.to_pylist()], pa.int64())
    return pc.replace_with_mask(values, mask, read_values.cast(values.type).take(chosen.indices))


def _missing(values: pa.Array, given: pa.Array) -> Mask:
    missing: Mask = pc.and_(pc.is_null(values), pc.is_valid(given)).to_numpy(zero_copy_only=False)
    return missing


def _with_fault(values: pa.Array, given: pa.Array, reason: str) -> Parsed:
    return Parsed(values, [(reason, _missing(values, given))])


def _from_numbers(values: pa.Array, digits: NDArray[np.int64], wanted: AmountField) -> Parsed:
    given = pc.is_valid(values).to_numpy(zero_copy_only=False)
    numbers = pc.fill_null(values.cast(pa.float64(), safe=False), 0.0).to_numpy(zero_copy_only=False)
    finite = np.isfinite(numbers)
    scaled = np.where(finite, numbers, 0.0) * 10.0**digits
    fits = np.abs(scaled) < _LIMIT
    rounded = np.rint(np.where(fits, scaled, 0.0))
    # What binary fractions cannot say exactly, 57.16 x 100 for one, is not a digit too many.
    tolerance = np.maximum(1e-6, np.abs(scaled) * 4e-15)
    precise = (np.abs(scaled - rounded) <= tolerance) | ~fits | (wanted.rounding == "half_even")
    amounts = rounded.astype(np.int64)
    if pa.types.is_integer(values.type) and not digits.any():  # exact, also above 2**53
        small = pc.if_else(pa.array(fits), values, None)
        amounts = pc.fill_null(small.cast(pa.int64(), safe=False), 0).to_numpy(zero_copy_only=False)
    good = given & finite & fits & precise
    faults = [
        ("amount_not_a_number", given & ~finite),
        ("amount_too_large", given & finite & ~fits),
        ("amount_too_precise", given & finite & ~precise),
    ]
    return Parsed(pa.array(amounts, pa.int64(), mask=~good), faults)


def _from_texts(texts: pa.Array, digits: NDArray[np.int64], wanted: AmountField) -> Parsed:
    short = pc.fill_null(pc.match_substring_regex(texts, _SHORT_DECIMAL), False)
    numbers = pc.if_else(short, texts, None).cast(pa.float64())
    parsed = _from_numbers(numbers, digits, wanted)
    rest = np.flatnonzero(pc.and_(pc.is_valid(texts), pc.invert(short)).to_numpy(zero_copy_only=False))
    if len(rest) == 0:
        return parsed
    amounts = np.array(pc.fill_null(parsed.values, 0))
    known = np.array(pc.is_valid(parsed.values))
    masks: dict[str, Mask] = {reason: mask.copy() for reason, mask in parsed.faults}
    for row, text in zip(rest.tolist(), texts.take(pa.array(rest)).to_pylist(), strict=True):
        outcome = _read_decimal(text, int(digits[row]), wanted)
        if isinstance(outcome, int):
            amounts[row], known[row] = outcome, True
        else:
            masks.setdefault(outcome, np.zeros(len(texts), np.bool_))[row] = True
    return Parsed(pa.array(amounts, pa.int64(), mask=~known), list(masks.items()))


def _read_decimal(text: str, digits: int, wanted: AmountField) -> Any:
    """Minor units of one number, or the reason why it has none."""
    try:
        number = decimal.Decimal(text)
    except decimal.InvalidOperation:
        return "amount_unreadable"
    if not number.is_finite():
        return "amount_not_a_number"
    if number.adjusted() + digits > 18:
        return "amount_too_large"
    with decimal.localcontext() as context:
        context.prec = 60
        scaled = number.scaleb(digits)
        rounded = scaled.to_integral_value(decimal.ROUND_HALF_EVEN)
    if rounded != scaled and wanted.rounding == "refuse":
        return "amount_too_precise"
    return int(rounded) if abs(rounded) < _LIMIT else "amount_too_large"
