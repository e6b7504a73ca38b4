"""Times and amounts, exact values on hand-made columns."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.contracts import micros
from ingestion.errors import MappingError
from ingestion.mapping_fields import AmountField, TimeField
from ingestion.parsing import Parsed, parse_amounts
from ingestion.parsing_times import parse_times


def utc(*parts: int) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=dt.UTC)  # type: ignore[misc, arg-type]


def reasons(parsed: Parsed, rows: int) -> list[str | None]:
    found: list[str | None] = [None] * rows
    for reason, mask in parsed.faults:
        for row in np.flatnonzero(mask):
            assert found[row] is None, "a value has one fault"
            found[row] = reason
    return found


def times(texts: list[str | None], **field: str) -> tuple[list[dt.datetime | None], list[str | None]]:
    parsed = parse_times(pa.array(texts, pa.string()), TimeField(column="t", **field))
    return parsed.values.to_pylist(), reasons(parsed, len(texts))


def test_iso_times_with_offsets_and_without() -> None:
    texts = ["2024-03-01T10:00:00Z", "2024-03-01 10:00:00.123456+02:00", "2024-03-01 10:00:00", " ", None]
    values, faults = times(texts, zone="Europe/Paris")
    expected = [utc(2024, 3, 1, 10), utc(2024, 3, 1, 8, 0, 0, 123456), utc(2024, 3, 1, 9), None, None]
    assert values == expected
    assert faults == [None] * 5


def test_unusual_iso_forms_are_read_one_by_one() -> None:
    values, faults = times(["2024-03-01", "20240301T1000Z", "2024-03-01T10:00Z"], zone="UTC")
    assert values == [utc(2024, 3, 1), utc(2024, 3, 1, 10), utc(2024, 3, 1, 10)]
    assert faults == [None] * 3


def test_unreadable_times_do_not_spoil_their_neighbors() -> None:
    texts = ["2024-02-30 10:00:00", "2024-02-29 10:00:00", "tomorrow", "2024-13-01T00:00:00Z", "2016-12-31T23:59:60Z"]
    values, faults = times(texts, zone="UTC")
    assert values == [None, utc(2024, 2, 29, 10), None, None, None]
    assert faults == ["time_unreadable", None, "time_unreadable", "time_unreadable", "time_leap_second"]


def test_times_without_a_zone_are_bad_rows_where_none_is_named() -> None:
    values, faults = times(["2024-03-01 10:00:00", "2024-03-01 10:00:00+00:00", "x"])
    assert values == [None, utc(2024, 3, 1, 10), None]
    assert faults == ["time_without_zone", None, "time_unreadable"]


def test_clock_changes_have_one_answer() -> None:
    """02:30 does not exist on 31 March in Paris, and comes twice on 27 October."""
    texts = ["2024-03-31 02:30:00", "2024-10-27 02:30:00", "2024-10-27 02:30:00+01:00", "2024-10-27 03:00:00"]
    certain = [utc(2024, 10, 27, 1, 30), utc(2024, 10, 27, 2)]
    values, faults = times(texts, zone="Europe/Paris")
    assert values == [None, None, *certain]
    assert faults == ["time_skipped", "time_ambiguous", None, None]
    for ambiguous, hour in (("earlier", 0), ("later", 1)):
        values, faults = times(texts, zone="Europe/Paris", ambiguous=ambiguous)
        assert values == [None, utc(2024, 10, 27, hour, 30), *certain]
        assert faults == ["time_skipped", None, None, None]


def test_formats_of_other_shapes() -> None:
    assert times(["01/03/2024 10:00"], format="%d/%m/%Y %H:%M", zone="UTC")[0] == [utc(2024, 3, 1, 10)]
    assert times(["1709287200", "1709287200.5", "99999999999999999"], format="epoch_seconds") == (
        [utc(2024, 3, 1, 10), None, None],
        [None, "time_unreadable", "time_unreadable"],
    )


def test_naive_timestamp_columns_need_a_zone() -> None:
    naive = pa.array([dt.datetime(2024, 3, 1, 10)], pa.timestamp("ms"))
    assert parse_times(naive, TimeField(column="t", zone="America/New_York")).values.to_pylist() == [
        utc(2024, 3, 1, 15)
    ]
    with pytest.raises(MappingError, match="says no time zone"):
        parse_times(naive, TimeField(column="t"))
    with pytest.raises(MappingError, match="no %z"):
        times(["01.03.2024"], format="%d.%m.%Y")
    with pytest.raises(MappingError, match="int64"):
        parse_times(pa.array([5]), TimeField(column="t", zone="UTC"))


@given(st.datetimes(min_value=dt.datetime(1971, 1, 1), max_value=dt.datetime(2100, 1, 1)))
def test_any_time_is_read_back_exactly(moment: dt.datetime) -> None:
    aware = moment.replace(tzinfo=dt.UTC)
    texts = pa.array([aware.isoformat(), aware.isoformat(sep=" ")])
    parsed = parse_times(texts, TimeField(column="t"))
    assert parsed.values.cast(pa.int64()).to_pylist() == [micros(aware)] * 2


def amounts(values: pa.Array, *, digits: int = 2, **field: str) -> tuple[list[int | None], list[str | None]]:
    wanted = AmountField(column="a", **({"unit": "decimal"} | field))  # type: ignore[arg-type]
    parsed = parse_amounts(values, wanted, np.full(len(values), digits, np.int64))
    return parsed.values.to_pylist(), reasons(parsed, len(values))


def test_decimal_texts_are_exact() -> None:
    texts = ["57.16", "-3.5", "0", "1e2", "12345678901234.56", "+7.10", None, ""]
    assert amounts(pa.array(texts))[0] == [5716, -350, 0, 10_000, 1_234_567_890_123_456, 710, None, None]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("NaN", "amount_not_a_number"),
        ("-inf", "amount_not_a_number"),
        ("1e30", "amount_too_large"),
        ("99999999999999999999", "amount_too_large"),
        ("1.005", "amount_too_precise"),
        ("1,000.00", "amount_unreadable"),
        ("12 EUR", "amount_unreadable"),
    ],
)
def test_amounts_that_cannot_be_read_say_why(text: str, reason: str) -> None:
    assert amounts(pa.array([text, "1.00"])) == ([None, 100], [reason, None])


def test_decimals_follow_the_currency() -> None:
    wanted = AmountField(column="a", unit="decimal")
    parsed = parse_amounts(pa.array(["500", "1.234", "1.5"]), wanted, np.asarray([0, 3, 0]))
    assert parsed.values.to_pylist() == [500, 1234, None]
    assert reasons(parsed, 3) == [None, None, "amount_too_precise"]


def test_numbers_in_binary() -> None:
    values = pa.array([57.16, 0.07, float("nan"), float("inf"), 1.005, None])
    expected = ["amount_not_a_number", "amount_not_a_number", "amount_too_precise"]
    assert amounts(values) == ([5716, 7, None, None, None, None], [None, None, *expected, None])
    assert amounts(values, rounding="half_even")[0][4] == 100


def test_minor_units() -> None:
    assert amounts(pa.array([5, -1, 2**53 + 1]), unit="minor")[0] == [5, -1, 2**53 + 1]
    assert amounts(pa.array(["5", "5.5"]), unit="minor") == ([5, None], [None, "amount_too_precise"])


@given(st.integers(min_value=-(10**15), max_value=10**15))
def test_any_amount_is_read_back_exactly(minor: int) -> None:
    text = f"{'-' if minor < 0 else ''}{abs(minor) // 100}.{abs(minor) % 100:02d}"
    assert amounts(pa.array([text]))[0] == [minor]
    if abs(minor) < 10**13:
        assert amounts(pa.array([minor / 100]))[0] == [minor]


def test_numbers_of_single_precision_are_read_as_they_are_written() -> None:
    """13.29 is 13.28999996 there: what is meant is the shortest number that gives it."""
    values = pa.array([13.29, 0.1, 1234.56, float("nan"), None], pa.float32())
    parsed = parse_amounts(values, AmountField(column="a", unit="decimal"), np.full(5, 2))
    assert parsed.values.to_pylist() == [1329, 10, 123456, None, None]
    assert reasons(parsed, 5) == [None, None, None, "amount_not_a_number", None]


def test_underscores_are_no_groups() -> None:
    parsed = parse_amounts(pa.array(["1_000", "10"]), AmountField(column="a", unit="decimal"), np.full(2, 2))
    assert reasons(parsed, 2) == ["amount_unreadable", None]
