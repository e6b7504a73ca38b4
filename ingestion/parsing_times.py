"""Texts and numbers of a user's table as times (µs UTC), whole columns at once.

A time with an offset is what it says; one without is taken in the zone of its row. An hour that a clock change skips
is no time, one that it repeats says two: both come back null with a reason. An empty value is null without one.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ingestion.contracts import TIMESTAMP, micros
from ingestion.errors import MappingError
from ingestion.expression_values import Rows, clean_text
from ingestion.mapping_fields import EPOCH_UNITS, STEP_UNITS, TimeField
from ingestion.parsing import Parsed

Mask = NDArray[np.bool_]

_PLAIN_TIME = pa.timestamp("us")
_HAS_OFFSET = r"\d(?:Z|[+-]\d{2}:?\d{2})$"
_ISO = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(?:\.\d{1,6})?(?:Z|[+-]\d{2}:?\d{2})?$"
_LEAP_SECOND = r"\d{2}:?[0-5]\d:?60(?:\D|$)"
_LIMIT = 2**62


@dataclass(frozen=True)
class _Read:
    """Times (N,) that say their offset (µs UTC), and those that do not (µs of the clock on the wall)."""

    fixed: pa.Array
    plain: pa.Array


def times_of(rows: Rows, wanted: TimeField) -> Parsed:
    """The times (N,) of a time field. Raises `MappingError` for a column that no time can come from."""
    zones = None if wanted.zone_column is None else clean_text(rows.column(wanted.zone_column))
    if wanted.columns:
        parts = [clean_text(rows.column(name)) for name in wanted.columns]
        return parse_times(pc.binary_join_element_wise(*parts, " "), wanted, zones=zones)
    return parse_times(rows.column(wanted.column or ""), wanted, zones=zones)


def parse_times(values: pa.Array, wanted: TimeField, *, zones: pa.Array | None = None) -> Parsed:
    """Times in µs UTC; `zones` (N,) names the zone of each row, `wanted.zone` that of the others."""
    kind = values.type
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return Parsed(values.cast(TIMESTAMP, safe=False))
    has_zone = wanted.zone is not None or zones is not None
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        if not has_zone:
            raise MappingError(
                f"Column {wanted.told} ({kind}) says no time zone, so its times are not known.",
                remedy=f'Name it in the mapping: {{ column = "{wanted.told}", zone = "UTC" }}.',
            )
        plain = values.cast(_PLAIN_TIME, safe=False)
        return _placed(_Read(pa.nulls(len(values), TIMESTAMP), plain), values, wanted, zones)
    if wanted.start is not None and wanted.unit is not None:
        return _counted(values, STEP_UNITS[wanted.unit], micros(wanted.start), "step_unreadable")
    if wanted.format in EPOCH_UNITS:
        return _counted(values, EPOCH_UNITS[wanted.format], 0, "time_unreadable")
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)):
        raise MappingError(
            f"Column {wanted.told} is {kind}, which has no time in it.",
            remedy="Set `format` to epoch_seconds, epoch_milliseconds or epoch_microseconds, give `start` and `unit`"
            " of steps, or name another column.",
        )
    if wanted.format != "iso" and "%z" not in wanted.format and not has_zone:
        raise MappingError(
            f"Format {wanted.format!r} of column {wanted.told} has no %z, so its times are not known.",
            remedy=f'Name the zone in the mapping: {{ column = "{wanted.told}", zone = "UTC", … }}.',
        )
    texts = clean_text(values)
    return _placed(_iso(texts) if wanted.format == "iso" else _formatted(texts, wanted.format), texts, wanted, zones)


def _counted(values: pa.Array, unit: int, start: int, reason: str) -> Parsed:
    """Whole numbers of a unit since `start`."""
    texts = clean_text(values)
    readable = pc.fill_null(pc.match_substring_regex(texts, r"^-?\d{1,18}(?:\.0*)?$"), False)
    digits = pc.replace_substring_regex(texts, r"\.0*$", "")
    numbers = pc.if_else(readable, digits, pa.scalar(None, pa.string())).cast(pa.int64())
    fits = pc.less(pc.abs(numbers), _LIMIT // unit)
    scaled = pc.multiply(pc.if_else(fits, numbers, pa.scalar(None, pa.int64())), unit)
    times = pc.add(scaled, start).cast(TIMESTAMP)
    return Parsed(times, [(reason, _missing(times, texts))])


def _placed(read: _Read, given: pa.Array, wanted: TimeField, zones: pa.Array | None) -> Parsed:
    """Put the times without an offset where their zones say, and tell what could not be read."""
    zone = pa.repeat(pa.scalar(wanted.zone, pa.string()), len(given))
    zone = zone if zones is None else pc.coalesce(zones, zone)
    has_plain = pc.is_valid(read.plain)
    times = read.fixed
    masks = {reason: np.zeros(len(given), np.bool_) for reason in ("zone_unknown", "time_skipped", "time_ambiguous")}
    for name in pc.unique(zone.filter(has_plain)).drop_null().to_pylist():
        rows = pc.fill_null(pc.and_(has_plain, pc.equal(zone, name)), False)
        chosen = rows.to_numpy(zero_copy_only=False)
        if not _is_zone(name):
            masks["zone_unknown"][chosen] = True
            continue
        placed, skipped, ambiguous = _in_zone(read.plain.filter(rows), name, wanted.ambiguous)
        times = pc.replace_with_mask(times, rows, placed)
        masks["time_skipped"][chosen], masks["time_ambiguous"][chosen] = skipped, ambiguous
    lacks_zone = pc.and_(has_plain, pc.is_null(zone)).to_numpy(zero_copy_only=False)
    nothing = pc.and_(pc.is_null(read.fixed), pc.is_null(read.plain))
    unreadable = pc.and_(nothing, pc.is_valid(given)).to_numpy(zero_copy_only=False)
    leap = np.zeros(len(given), np.bool_)
    if unreadable.any() and pa.types.is_string(given.type):
        leap = unreadable & pc.fill_null(pc.match_substring_regex(given, _LEAP_SECOND), False).to_numpy(
            zero_copy_only=False
        )
    faults = [*masks.items(), ("time_without_zone", lacks_zone), ("time_leap_second", leap)]
    return Parsed(times, [*faults, ("time_unreadable", unreadable & ~leap)])


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def _in_zone(plain: pa.Array, zone: str, ambiguous: str) -> tuple[pa.Array, Mask, Mask]:
    """Times of a zone's clock in UTC, and the masks of those that it skipped, and of those that it showed twice."""
    early = pc.assume_timezone(plain, zone, ambiguous="earliest", nonexistent="earliest")
    late = pc.assume_timezone(plain, zone, ambiguous="latest", nonexistent="latest")
    odd = pc.not_equal(early.cast(TIMESTAMP), late.cast(TIMESTAMP))
    real = pc.equal(pc.local_timestamp(early), plain)
    skipped, twice = pc.and_(odd, pc.invert(real)), pc.and_(odd, real)
    times = (late if ambiguous == "later" else early).cast(TIMESTAMP)
    refused = pc.or_(skipped, twice) if ambiguous == "refuse" else skipped
    times = pc.if_else(refused, pa.scalar(None, TIMESTAMP), times)
    doubtful = pc.and_(twice, pa.scalar(ambiguous == "refuse"))
    return times, skipped.to_numpy(zero_copy_only=False), doubtful.to_numpy(zero_copy_only=False)


def _iso(texts: pa.Array) -> _Read:
    usual = pc.fill_null(pc.match_substring_regex(texts, _ISO), False)
    offset = pc.fill_null(pc.match_substring_regex(texts, _HAS_OFFSET), False)
    fixed, plain = pa.nulls(len(texts), TIMESTAMP), pa.nulls(len(texts), _PLAIN_TIME)
    with_offset, without = pc.and_(usual, offset), pc.and_(usual, pc.invert(offset))
    try:
        fixed = pc.replace_with_mask(fixed, with_offset, texts.filter(with_offset).cast(TIMESTAMP))
        plain = pc.replace_with_mask(plain, without, texts.filter(without).cast(_PLAIN_TIME))
        slow = pc.and_(pc.is_valid(texts), pc.invert(usual))
    except pa.ArrowInvalid:  # a 13th month among them: look at each
        fixed, plain = pa.nulls(len(texts), TIMESTAMP), pa.nulls(len(texts), _PLAIN_TIME)
        slow = pc.is_valid(texts)
    return _look_at_each(_Read(fixed, plain), texts, slow, dt.datetime.fromisoformat)


def _formatted(texts: pa.Array, form: str) -> _Read:
    nothing = _Read(pa.nulls(len(texts), TIMESTAMP), pa.nulls(len(texts), _PLAIN_TIME))
    return _look_at_each(nothing, texts, pc.is_valid(texts), lambda text: dt.datetime.strptime(text, form))


def _look_at_each(read: _Read, texts: pa.Array, mask: pa.Array, parse: Callable[[str], dt.datetime]) -> _Read:
    """Fill in what `mask` says by a Python function of each distinct text; what it refuses stays null."""

    def attempt(text: str) -> tuple[int | None, int | None]:
        try:
            moment = parse(text)
            if moment.tzinfo is None:
                return None, micros(moment.replace(tzinfo=dt.UTC))
            return micros(moment.astimezone(dt.UTC)), None
        except (ValueError, OverflowError):
            return None, None

    chosen = texts.filter(mask).dictionary_encode()
    if len(chosen) == 0:
        return read
    found = [attempt(text) for text in chosen.dictionary.to_pylist()]
    fixed, plain = (pa.array([pair[side] for pair in found], pa.int64()) for side in (0, 1))
    return _Read(
        pc.replace_with_mask(read.fixed, mask, fixed.cast(TIMESTAMP).take(chosen.indices)),
        pc.replace_with_mask(read.plain, mask, plain.cast(_PLAIN_TIME).take(chosen.indices)),
    )


def _missing(values: pa.Array, given: pa.Array) -> Mask:
    missing: Mask = pc.and_(pc.is_null(values), pc.is_valid(given)).to_numpy(zero_copy_only=False)
    return missing
