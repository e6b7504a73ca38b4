"""Mapped times and clocks (TRUST CLK): skewed by a day, clock changes of any zone, leap seconds."""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.contract_rows import transactions_of
from ingestion.contracts import micros
from ingestion.expression_values import Rows
from ingestion.mapping import Mapping
from ingestion.mapping_check import check_mapping
from ingestion.mapping_fields import TimeField
from ingestion.parsing_times import times_of
from tests.builders import DAY, START

MINUTE = 60_000_000
BASE = {
    "name": "clock",
    "fields": {"transaction_id": "id", "event_time": "at", "amount": {"column": "cents", "unit": "minor"}},
    "source": {"type": "account", "key": "a"},
    "target": {"type": "merchant", "key": "m"},
}
#: Zones with clock changes of an hour and of half an hour, on either half of the earth, a skipped day, and none.
ZONES = [
    *("Europe/Paris", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Pacific/Apia"),
    *("Asia/Kolkata", "Africa/Casablanca", "UTC"),
]


def faults_at(now: int, *times: int, minutes: int = 5) -> list[str | None]:
    """The reason for each time, with our clock at `now`."""
    mapping = Mapping.model_validate(BASE | {"rules": {"max_future_minutes": minutes}})
    stamps = pa.array(times, pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    ids = [str(number) for number in range(len(times))]
    table = pa.table({"id": ids, "at": stamps, "cents": [1] * len(times), "a": ids, "m": ids})
    _, faults = transactions_of(table, mapping, now=now)
    return [problem.reason if (problem := faults.problems.get(row)) else None for row in range(len(times))]


def test_a_clock_a_day_behind_or_ahead() -> None:
    """A sender a day ahead of us is told; one a day behind is just early."""
    assert faults_at(START, START - DAY, START, START + DAY) == [None, None, "time_in_future"]
    assert faults_at(START - DAY, START) == ["time_in_future"]
    assert faults_at(START + DAY, START) == [None]


def test_five_minutes_are_the_edge() -> None:
    edge = START + 5 * MINUTE
    assert faults_at(START, edge, edge + 1) == [None, "time_in_future"]
    assert faults_at(START, START, START + 1, minutes=0) == [None, "time_in_future"]


def test_our_clock_is_the_wall_clock_unless_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,at,cents,a,m\n1,2025-01-06T00:00:00Z,1,a,m\n")
    mapping = Mapping.model_validate(BASE)
    for day, bad in ((-1, 1), (1, 0)):
        monkeypatch.setattr(time, "time_ns", lambda day=day: (START + day * DAY) * 1_000)
        assert len(check_mapping(path, mapping).sample["bad"]) == bad


def placed(local: dt.datetime, zone: str) -> tuple[set[dt.datetime], bool]:
    """The moments at which a zone's clocks show a time, by the standard library; and whether they ever do."""
    moments = {local.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(dt.UTC) for fold in (0, 1)}
    shown = {moment for moment in moments if moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0) == local}
    return shown, bool(shown)


@given(
    st.lists(
        st.tuples(st.datetimes(dt.datetime(2011, 12, 1), dt.datetime(2030, 1, 1)), st.sampled_from(ZONES)),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from(["refuse", "earlier", "later"]),
)
def test_times_of_any_zone_are_those_of_the_standard_library(
    given_times: list[tuple[dt.datetime, str]], ambiguous: str
) -> None:
    """Zone by row: a time that never was is skipped, one that came twice is ambiguous, all others are exact."""
    check(given_times, ambiguous)


@pytest.mark.parametrize("ambiguous", ["refuse", "earlier", "later"])
def test_the_hours_around_clock_changes(ambiguous: str) -> None:
    changes = [
        (dt.datetime(2024, 3, 31, 2, 0), "Europe/Paris"),
        (dt.datetime(2024, 10, 27, 2, 0), "Europe/Paris"),
        (dt.datetime(2024, 3, 10, 2, 0), "America/New_York"),
        (dt.datetime(2024, 11, 3, 1, 0), "America/New_York"),
        (dt.datetime(2024, 10, 6, 2, 0), "Australia/Lord_Howe"),
        (dt.datetime(2024, 4, 7, 1, 30), "Australia/Lord_Howe"),
        (dt.datetime(2011, 12, 30, 12, 0), "Pacific/Apia"),
    ]
    check([(at + dt.timedelta(minutes=step), zone) for at, zone in changes for step in range(-90, 91, 10)], ambiguous)


def check(given_times: list[tuple[dt.datetime, str]], ambiguous: str) -> None:
    texts = [local.isoformat(sep=" ", timespec="microseconds") for local, _ in given_times]
    rows = Rows.of(pa.table({"at": texts, "zone": [zone for _, zone in given_times]}))
    field = TimeField(column="at", zone_column="zone", ambiguous=ambiguous)  # type: ignore[arg-type]
    parsed = times_of(rows, field)
    reasons: dict[int, str] = {row: reason for reason, mask in parsed.faults for row in mask.nonzero()[0].tolist()}
    for row, (local, zone) in enumerate(given_times):
        moments, real = placed(local, zone)
        found = parsed.values.cast(pa.int64())[row].as_py()
        if not real:
            assert (found, reasons.get(row)) == (None, "time_skipped")
        elif len(moments) == 2 and ambiguous == "refuse":
            assert (found, reasons.get(row)) == (None, "time_ambiguous")
        else:
            wanted = max(moments) if ambiguous == "later" else min(moments)
            assert (found, reasons.get(row)) == (micros(wanted), None)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("2016-12-31T23:59:60Z", "iso"),
        ("2016-12-31 23:59:60", "iso"),
        ("2016-12-31T23:59:60.5+00:00", "iso"),
        ("20161231T235960Z", "iso"),
        ("31.12.2016 23:59:60", "%d.%m.%Y %H:%M:%S"),
    ],
)
def test_a_leap_second_is_refused_by_name(text: str, form: str) -> None:
    rows = Rows.of(pa.table({"at": [text, None]}))
    parsed = times_of(rows, TimeField(column="at", zone="UTC", format=form))
    assert parsed.values.null_count == 2
    assert {reason for reason, mask in parsed.faults if mask.any()} == {"time_leap_second"}


def test_steps_and_counts_have_no_zone_to_be_wrong_about() -> None:
    rows = Rows.of(pa.table({"at": ["0", "1", "25"]}))
    start = dt.datetime(2024, 3, 30, 23, tzinfo=ZoneInfo("Europe/Paris"))
    hours = times_of(rows, TimeField(column="at", start=start, unit="hours")).values.cast(pa.int64()).to_pylist()
    assert [value - micros(start) for value in hours] == [0, 60 * MINUTE, 25 * 60 * MINUTE]
