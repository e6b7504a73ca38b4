"""Forms of times: what each kind of writing is read as, and what is no time."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.proposer.time_forms import time_form_of

MOMENTS = st.lists(
    st.datetimes(dt.datetime(2001, 1, 1), dt.datetime(2040, 1, 1)).map(lambda moment: moment.replace(microsecond=0)),
    min_size=30,
    max_size=60,
    unique=True,
)


@pytest.mark.parametrize(
    ("values", "part", "form", "zoned"),
    [
        (["2024-03-01T10:00:00", "2024-03-02 11:00:00"], "moment", "iso", False),
        (["2024-03-01T10:00:00Z"], "moment", "iso", True),
        (["2024-03-01"], "date", "iso", False),
        (["31.12.2024", "01.02.2024"], "date", "%d.%m.%Y", False),
        (["12/31/2024 01:05:09 PM"], "moment", "%m/%d/%Y %I:%M:%S %p", False),
        (["20241231", "20240229"], "date", "%Y%m%d", False),
        (["235959", "000001"], "clock", "%H%M%S", False),
        (["14:03", "09:00"], "clock", "%H:%M", False),
        (["1712000000000", "1713000000000"], "moment", "epoch_milliseconds", True),
        (["1712000000", "1713000000"], "moment", "epoch_seconds", True),
        (["03 Mar 2024", "31 Dec 2023"], "date", "%d %b %Y", False),
    ],
)
def test_a_form_is_found(values: list[str], part: str, form: str, zoned: bool) -> None:
    found = time_form_of(values)
    assert found is not None
    assert (found.part, found.format, found.zoned) == (part, form, zoned)


@pytest.mark.parametrize(
    "values",
    [
        ["5.1.0", "5.2.1"],
        ["123456", "999999"],
        ["4111111111111111", "5500000000000004"],
        ["10.0.0.1"],
        ["12.50", "3.99"],
        ["A-1", "B-2"],
        ["2024-13-01", "2024-14-02"],
        [],
    ],
)
def test_what_is_no_time(values: list[str]) -> None:
    assert time_form_of(values) is None


@given(MOMENTS, st.sampled_from(["%Y-%m-%d %H:%M:%S", "%d.%m.%Y %H:%M:%S", "%Y/%m/%d %H:%M:%S", "%d-%b-%Y %H:%M:%S"]))
def test_what_is_written_is_read_as_it_was_meant_or_named_as_a_rival(moments: list[dt.datetime], form: str) -> None:
    found = time_form_of([moment.strftime(form) for moment in moments])
    assert found is not None
    meant = [moment.replace(tzinfo=dt.UTC) for moment in moments]
    read = [found.read(moment.strftime(form)) for moment in moments]
    assert read == meant or form in found.rivals
