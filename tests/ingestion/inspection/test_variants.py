"""Each check has several ways to find its fault: one planted table for each, and the honest look-alike beside it."""

from __future__ import annotations

from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from ingestion.inspection import Finding, inspect_table
from tests.ingestion.inspection.planted import DAY, HOUR, NUM_DAYS, START, Columns, honest, mapping, written

SIZE = 30_000
END = START + NUM_DAYS * DAY


@pytest.fixture
def table() -> Columns:
    return honest(1)


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def found(table: Columns, folder: Path, **changes: object) -> list[Finding]:
    return list(inspect_table(written(table, folder), mapping(**changes)).findings)


def checks(table: Columns, folder: Path, **changes: object) -> list[str]:
    return [finding.check for finding in found(table, folder, **changes)]


def test_a_column_that_is_empty_for_frauds(table: Columns, tmp_path: Path) -> None:
    fraud = table["fraud"] == 1
    table["settled"] = np.where(fraud | (rng().random(SIZE) < 0.0005), np.nan, 1.0)
    finding = found(table, tmp_path)[0]
    assert (finding.check, finding.columns) == ("outcome_columns", ("settled",))
    assert "is empty" in finding.what


@pytest.mark.parametrize(("written_as", "sign"), [("${}", "$"), ("{} EUR", "EUR")])
def test_a_sign_of_currency_changes_no_finding(table: Columns, tmp_path: Path, written_as: str, sign: str) -> None:
    table["amount"] = np.where(table["fraud"] == 1, table["amount"] + 5_000, np.minimum(table["amount"], 4_000)).round(
        2
    )
    (tmp_path / "plain").mkdir()
    plain = found(table, tmp_path / "plain")
    assert plain[0].columns == ("amount",)
    table["amount"] = np.asarray([written_as.format(f"{value:.2f}") for value in table["amount"]], object)
    amount = {"column": "amount", "unit": "decimal", "currency_sign": sign}
    signed = found(table, tmp_path, fields=mapping().as_dict()["fields"] | {"amount": amount})
    assert [(item.check, item.columns) for item in signed] == [(item.check, item.columns) for item in plain]


def test_a_default_that_only_frauds_leave(table: Columns, tmp_path: Path) -> None:
    table["case_state"] = np.where(table["fraud"] == 1, "closed", "none")
    finding = found(table, tmp_path)[0]
    assert finding.check == "outcome_columns"
    assert finding.also == ("single_columns",)
    assert "is not none" in finding.what


def test_a_column_filled_more_often_for_risky_rows_is_none(table: Columns, tmp_path: Path) -> None:
    fraud = table["fraud"] == 1
    table["review_note"] = np.where(rng().random(SIZE) < np.where(fraud, 0.5, 0.05), 1.0, np.nan)
    assert found(table, tmp_path) == []


def test_a_dropped_column_is_told_to_stay_so(table: Columns, tmp_path: Path) -> None:
    table["case_state"] = np.where(table["fraud"] == 1, "closed", "none")
    assert "keep it so" in found(table, tmp_path, dropped=["case_state"])[0].to_do


def test_a_threshold_on_the_amount_is_plausible(table: Columns, tmp_path: Path) -> None:
    table["fraud"] = np.where(table["amount"] > 250, 1, table["fraud"])
    finding = found(table, tmp_path)[0]
    assert (finding.check, finding.columns) == ("single_columns", ("amount",))
    assert finding.plausible
    assert finding.severity == "warning"
    assert "above 250:" in finding.what


def test_values_of_a_category_that_only_frauds_have(table: Columns, tmp_path: Path) -> None:
    told = (table["fraud"] == 1) & (rng().random(SIZE) < 0.4)
    table["entry"] = np.where(told, "Z", rng().choice(list("XY"), SIZE))
    finding = found(table, tmp_path)[0]
    assert (finding.check, finding.columns) == ("single_columns", ("entry",))
    assert "among Z" in finding.what


@pytest.mark.parametrize("shift", [0.5, 1.5])
def test_a_strong_and_honest_score_is_none(shift: float, table: Columns, tmp_path: Path) -> None:
    table["bank_score"] = rng().normal(0, 1, SIZE) + shift * table["fraud"]
    assert found(table, tmp_path) == []


def test_two_numbers_of_which_the_larger_tells(table: Columns, tmp_path: Path) -> None:
    one = np.round(rng().uniform(0, 1_000, SIZE), 2)
    step = rng().uniform(0.01, 50, SIZE)
    table["before"], table["after"] = one, np.round(np.where(table["fraud"] == 1, one - step, one + step), 2)
    finding = found(table, tmp_path)[0]
    assert (finding.check, set(finding.columns)) == ("column_pairs", {"before", "after"})
    assert "which is larger" in finding.what


@pytest.mark.parametrize(
    ("said", "frauds", "others"),
    [
        ("ends with", "{:08d}9X", "{:08d}00"),
        ("has the length", "{:d}77", "0{:d}"),
        ("has the form", "{:08d}a1", "{:08d}A1"),
        ("has a number above", "R{:d}", "R{:d}"),
    ],
)
def test_parts_of_ids(said: str, frauds: str, others: str, table: Columns, tmp_path: Path) -> None:
    numbers = rng().permutation(SIZE) + 10_000_000
    numbers += 50_000_000 * table["fraud"] if "number" in said else 0
    form = np.where(table["fraud"] == 1, frauds, others)
    table["reference"] = np.asarray([f.format(n) for f, n in zip(form.tolist(), numbers.tolist(), strict=True)])
    told = [finding for finding in found(table, tmp_path) if finding.check == "id_substrings"]
    assert told[0].columns == ("reference",)


def test_ids_in_the_order_of_time_are_none(table: Columns, tmp_path: Path) -> None:
    table["reference"] = np.asarray([f"R{number:08d}" for number in range(SIZE)])
    assert found(table, tmp_path) == []


def test_a_month_whose_frauds_are_missing(table: Columns, tmp_path: Path) -> None:
    month = table["when"].astype("datetime64[us]").astype("datetime64[M]")
    table["fraud"][month == np.datetime64("2025-03")] = 0
    finding = found(table, tmp_path)[0]
    assert finding.check == "unlabeled_months"
    assert "2025-03 (no frauds)" in finding.what


def test_an_unlabeled_tail_is_a_matter_of_delay(table: Columns, tmp_path: Path) -> None:
    table["told"] = np.where(table["when"] > END - 40 * DAY, np.nan, table["fraud"])
    del table["fraud"]
    labels = {"kind": "column", "column": "told", "delay_days": 7, "fraud": ["1", "1.0"], "legitimate": ["0", "0.0"]}
    delay = next(finding for finding in found(table, tmp_path, labels=labels) if finding.check == "label_delay")
    assert delay.evidence["estimated_days"] == pytest.approx(40, abs=1)


def test_a_time_column_after_the_frauds_shows_the_delay(table: Columns, tmp_path: Path) -> None:
    lag = (rng().uniform(20, 40, SIZE) * DAY).astype(np.int64)
    table["chargeback_at"] = np.where(table["fraud"] == 1, table["when"] + lag, -1)
    found_ = found(table, tmp_path)
    assert [finding.check for finding in found_] == ["outcome_columns", "label_delay"]
    assert found_[1].evidence["estimated_median_days"] == pytest.approx(30, abs=2)


def test_texts_with_and_without_an_offset(table: Columns, tmp_path: Path) -> None:
    path = written(table, tmp_path)
    raw = pq.read_table(path)
    texts = pc.strftime(raw.column("when"), format="%Y-%m-%dT%H:%M:%S").combine_chunks()
    offset = pa.array(np.where(rng().random(SIZE) < 0.3, "Z", ""))
    index = raw.schema.get_field_index("when")
    pq.write_table(raw.set_column(index, "when", pc.binary_join_element_wise(texts, offset, "")), path)
    finding = inspect_table(path, mapping()).findings[0]
    assert finding.check == "time_zones"
    assert "carry an offset" in finding.what


def test_two_peaks_of_the_day_are_two_zones(table: Columns, tmp_path: Path) -> None:
    hour = np.clip(rng().normal(12, 1.5, SIZE), 0, 23.9)
    hour = np.where(rng().random(SIZE) < 0.4, (hour + 11) % 24, hour)
    table["when"] = table["when"] // DAY * DAY + (hour * HOUR).astype(np.int64)
    order = np.argsort(table["when"], kind="stable")
    finding = found({name: values[order] for name, values in table.items()}, tmp_path)[0]
    assert finding.check == "time_zones"
    assert "two separate peaks" in finding.what


def test_an_hour_that_clocks_skip_is_empty(tmp_path: Path) -> None:
    years = 3 * 365
    moment = np.sort(START - years * DAY + rng().integers(0, years * DAY, 240_000))
    seconds = moment // 1_000_000
    changes = np.asarray([_skipped(year) for year in (2022, 2023, 2024)])
    hidden = (seconds[:, None] >= changes[None, :]) & (seconds[:, None] < changes[None, :] + 3600)
    keep = ~hidden.any(axis=1)
    size = int(keep.sum())
    table: Columns = {
        "when": moment[keep],
        "customer": rng().integers(0, 500, size),
        "merchant": rng().integers(0, 100, size),
        "device": rng().integers(0, 500, size),
        "amount": np.round(rng().lognormal(3, 1, size), 2),
        "channel": rng().choice(["card", "online"], size),
        "country": np.full(size, "DE"),
    }
    path = written(table, tmp_path)
    finding = inspect_table(path, mapping(labels=None)).findings
    assert any("clocks skip" in item.what for item in finding)


def _skipped(year: int) -> int:
    """Second since 1970, on the local clock read as UTC, at which summer time begins in Paris."""
    for day in range(31, 24, -1):
        here = np.datetime64(f"{year}-03-{day:02d}T02:00:00")
        if here.astype("datetime64[D]").astype(object).weekday() == 6:
            assert ZoneInfo("Europe/Paris")
            return int(here.astype("datetime64[s]").astype(np.int64))
    raise AssertionError(year)


def test_payers_who_live_elsewhere_are_only_plausible(table: Columns, tmp_path: Path) -> None:
    far = table["customer"] % 3 == 1
    table["branch"] = np.where(far, "west", "east")
    table["country"] = np.full(SIZE, "DE")
    table["when"] = np.where(far, table["when"] // DAY * DAY + (table["when"] + 6 * HOUR) % DAY, table["when"])
    order = np.argsort(table["when"], kind="stable")
    findings = found({name: values[order] for name, values in table.items()}, tmp_path)
    assert [(finding.check, finding.plausible) for finding in findings] == [("time_zones", True)]


@pytest.mark.parametrize("first", [True, False])
def test_frauds_first_or_last_within_a_moment(first: bool, table: Columns, tmp_path: Path) -> None:
    table["when"] = table["when"] // HOUR * HOUR
    order = np.lexsort((-table["fraud"] if first else table["fraud"], table["when"]))
    finding = found({name: values[order] for name, values in table.items()}, tmp_path)[0]
    assert finding.check == "row_order"
    assert ("before" if first else "after") in finding.what


def test_a_shuffled_file_tells_nothing(table: Columns, tmp_path: Path) -> None:
    order = rng().permutation(SIZE)
    assert found({name: values[order] for name, values in table.items()}, tmp_path) == []


def test_nearly_all_frauds_at_parties_of_their_own(table: Columns, tmp_path: Path) -> None:
    number = np.arange(SIZE) // 2
    table["device"] = np.where(table["fraud"] == 1, 5_000_000 + number, table["customer"] + 100_000)
    assert "fraud_only_parties" in checks(table, tmp_path)


def test_amounts_clipped_for_frauds(table: Columns, tmp_path: Path) -> None:
    fraud = table["fraud"] == 1
    table["amount"] = np.where(fraud, np.minimum(table["amount"], 60.0), table["amount"])
    told = [finding for finding in found(table, tmp_path) if finding.check == "amount_forms"]
    assert "clipped at 60.00 (fraud)" in told[0].what


def test_a_cap_of_both_classes_is_none(table: Columns, tmp_path: Path) -> None:
    table["amount"] = np.minimum(table["amount"], 80.0)
    assert found(table, tmp_path) == []


def test_amounts_finer_than_two_decimals_for_frauds(table: Columns, tmp_path: Path) -> None:
    table["amount"] = np.where(table["fraud"] == 1, table["amount"] + 0.0037, table["amount"])
    fields = mapping().as_dict()["fields"] | {
        "amount": {"column": "amount", "unit": "decimal", "rounding": "half_even"}
    }
    told = [f for f in found(table, tmp_path, fields=fields) if f.check == "amount_forms"]
    assert told[0].evidence["form"] == "finer than two decimals"
