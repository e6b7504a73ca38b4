"""Rates as of a time, exact values; a later rate changes nothing before it."""

from __future__ import annotations

import pickle
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.contracts import TIMESTAMP
from ingestion.errors import DataContractError
from ingestion.rates import RATE, Rates
from tests.builders import DAY, START

Rate = tuple[str, str, str, int]


def rates(*rows: Rate, base: str = "EUR") -> Rates:
    columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[], [], [], []]
    arrays = [pa.array(column, pa.string()) for column in columns[:3]]
    table = pa.Table.from_arrays([*arrays, pa.array(columns[3], pa.int64()).cast(TIMESTAMP)], schema=RATE)
    return Rates(base, table.sort_by([(name, "ascending") for name in ("currency", "known_at", "date")]))


def test_the_newest_rate_known_by_then_holds() -> None:
    known = rates(
        ("2024-01-01", "USD", "0.9", START),
        ("2024-01-02", "USD", "0.8", START + DAY),
        ("2024-01-01", "USD", "0.5", START + 2 * DAY),  # an older day, told late
        ("2024-01-02", "USD", "0.85", START + 3 * DAY),  # a correction
    )
    assert known.base_amount(1000, "USD", START - 1) == (1000, "USD")
    assert known.base_amount(1000, "USD", START) == (900, "EUR")
    assert known.base_amount(1000, "USD", START + DAY) == (800, "EUR")
    assert known.base_amount(1000, "USD", START + 2 * DAY) == (800, "EUR")
    assert known.base_amount(1000, "USD", START + 3 * DAY) == (850, "EUR")
    assert known.base_amount(7, "EUR", 0) == (7, "EUR")
    assert known.base_amount(7, "XXX", START + DAY) == (7, "XXX")


def test_minor_units_of_other_sizes_and_halves() -> None:
    """1000 yen at 0.006 are 6.00 euro; 0.5 cent goes to the even neighbor; 1.000 dinar at 3 is 3.00."""
    known = rates(("2024-01-01", "JPY", "0.006", 0), ("2024-01-01", "USD", "0.5", 0), ("2024-01-01", "KWD", "3", 0))
    assert known.base_amount(1000, "JPY", 0) == (600, "EUR")
    assert [known.base_amount(amount, "USD", 0)[0] for amount in (1, 3, 5)] == [0, 2, 2]
    assert known.base_amount(1000, "KWD", 0) == (300, "EUR")


def test_amounts_beyond_doubles_are_exact() -> None:
    assert rates(("2024-01-01", "USD", "1.000000001", 0)).base_amount(10**15 + 1, "USD", 0) == (
        10**15 + 1_000_001,
        "EUR",
    )


_RATE = st.tuples(
    st.sampled_from(["2024-01-01", "2024-01-02", "2024-01-03"]),
    st.sampled_from(["USD", "JPY"]),
    st.integers(1, 10**6).map(lambda number: f"{number / 1000:.3f}"),
    st.integers(0, 20),
)


@given(
    st.lists(_RATE, max_size=12, unique_by=lambda rate: (rate[0], rate[1], rate[3])),
    st.lists(st.tuples(st.integers(0, 10**9), st.sampled_from(["USD", "JPY", "EUR"]), st.integers(0, 20)), max_size=8),
    st.integers(0, 20),
)
def test_a_future_rate_never_changes_a_past_amount(
    given_rates: list[Rate], amounts: list[tuple[int, str, int]], cut: int
) -> None:
    past = rates(*[rate for rate in given_rates if rate[3] <= cut])
    whole = rates(*given_rates)
    for amount, currency, time in amounts:
        if time <= cut:
            assert whole.base_amount(amount, currency, time) == past.base_amount(amount, currency, time)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("2024-13-01,USD,1,2024-01-01T00:00:00Z", "date '2024-13-01'"),
        ("2024-01-01,USDX,1,2024-01-01T00:00:00Z", "currency 'USDX'"),
        ("2024-01-01,EUR,1,2024-01-01T00:00:00Z", "currency 'EUR'"),
        ("2024-01-01,USD,-1,2024-01-01T00:00:00Z", "rate '-1'"),
        ("2024-01-01,USD,NaN,2024-01-01T00:00:00Z", "rate 'NaN'"),
        ("2024-01-01,USD,1,2024-01-01", "known_at '2024-01-01'"),
    ],
)
def test_a_bad_rate_is_refused_with_its_row(tmp_path: Path, line: str, told: str) -> None:
    path = tmp_path / "rates.csv"
    path.write_text(f"date,currency,rate,known_at\n2024-01-01,USD,0.9,2024-01-01T00:00:00Z\n{line}\n")
    with pytest.raises(DataContractError) as caught:
        Rates.read(path, "EUR")
    assert f"row 2: {told}" in str(caught.value)


def test_rates_survive_a_snapshot_and_pickling(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    path.write_text("date,currency,rate,known_at\n2024-01-01,USD,0.9,2024-01-01T00:00:00Z\n")
    read = Rates.read(path, "EUR")
    read.write(tmp_path / "rates")
    again = Rates.at(tmp_path / "rates", "EUR")
    assert again.digest == read.digest == pickle.loads(pickle.dumps(read)).digest  # noqa: S301  # our own bytes
    assert Rates.read(path, "EUR", before=again).digest == read.digest


def test_two_rates_of_one_moment_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    day = "2024-01-01,USD,{},2024-01-01T00:00:00Z\n"
    path.write_text("date,currency,rate,known_at\n" + day.format("0.9") + day.format("0.8"))
    with pytest.raises(DataContractError, match="two rates"):
        Rates.read(path, "EUR")
