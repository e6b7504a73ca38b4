"""Tables that are rare, empty or extreme in some way are inspected all the same, and nothing is made up."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from ingestion.errors import DataContractError, MappingError
from ingestion.inspection import CHECKS, inspect_snapshot, inspect_table
from ingestion.mapping import load_mapping
from ingestion.simulator.config import SimulatorConfig
from ingestion.simulator.simulate import simulate, write
from ingestion.workspace import Workspace
from tests.builders import build_snapshot, random_rows
from tests.ingestion.inspection.planted import (
    DAY,
    START,
    copied_rows,
    honest,
    mapping,
    separating_column,
    two_zones,
    written,
)


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def test_without_labels_only_the_checks_that_need_none_run(tmp_path: Path) -> None:
    table = two_zones(honest(1), rng())
    del table["fraud"]
    found = inspect_table(written(table, tmp_path), mapping(labels=None))
    assert [finding.check for finding in found.findings] == ["time_zones"]
    assert set(found.skipped) == set(CHECKS) - {"time_zones", "repeated_rows"}
    assert set(found.skipped.values()) == {"needs labels of transactions"}
    assert found.num_known == 0


def test_copies_are_found_without_labels(tmp_path: Path) -> None:
    table = copied_rows(honest(1), rng())
    del table["fraud"]
    found = inspect_table(written(table, tmp_path), mapping(labels=None))
    assert [finding.check for finding in found.findings] == ["repeated_rows"]


def test_too_few_frauds_are_said_and_not_judged(tmp_path: Path) -> None:
    table = honest(1, num_rows=5_000)
    table["fraud"][:] = 0
    table["fraud"][::400] = 1
    found = inspect_table(written(table, tmp_path), mapping())
    assert found.findings == ()
    assert found.skipped["single_columns"] == "needs 20 rows of each class, there are 13"


def test_a_leak_is_found_at_one_fraud_in_a_thousand(tmp_path: Path) -> None:
    table = separating_column(honest(2, num_rows=60_000, rate=0.001), rng())
    found = inspect_table(written(table, tmp_path), mapping())
    assert "single_columns" in [finding.check for finding in found.findings]


def test_empty_constant_and_all_different_columns_are_no_findings(tmp_path: Path) -> None:
    table = honest(3)
    size = len(table["when"])
    random = rng()
    more = {
        "empty": np.full(size, np.nan),
        "constant": np.ones(size),
        "half_empty": np.where(random.random(size) < 0.5, np.nan, 1.0),
        "counter": np.arange(size),
        "code": np.asarray([f"{number:x}" for number in random.permutation(size).tolist()]),
        "spread": random.standard_cauchy(size) * 1e12,
    }
    assert inspect_table(written(table | more, tmp_path), mapping()).findings == ()


def test_three_rows_are_inspected(tmp_path: Path) -> None:
    table = {name: values[:3] for name, values in honest(1).items()}
    found = inspect_table(written(table, tmp_path), mapping())
    assert found.num_rows == 3
    assert found.findings == ()


def test_rows_without_a_time_are_counted(tmp_path: Path) -> None:
    table = honest(1, num_rows=5_000)
    table["when"][::10] = -1
    found = inspect_table(written(table, tmp_path), mapping())
    assert (found.num_rows, found.num_unreadable) == (4_500, 500)


def test_a_table_without_any_time_is_refused(tmp_path: Path) -> None:
    table = honest(1, num_rows=100)
    table["when"][:] = -1
    with pytest.raises(DataContractError, match="has a time"):
        inspect_table(written(table, tmp_path), mapping())


def test_a_missing_column_is_refused(tmp_path: Path) -> None:
    table = honest(1, num_rows=100)
    del table["channel"]
    with pytest.raises(MappingError, match="channel"):
        inspect_table(written(table, tmp_path), mapping())


def test_personal_values_are_masked(tmp_path: Path) -> None:
    table = separating_column(honest(1), rng())
    declared = mapping(attributes=["country", "risk"], personal={"attributes": ["risk"]})
    found = inspect_table(written(table, tmp_path), declared)
    examples = found.findings[0].evidence["examples"]
    assert {example["risk"] for example in examples} == {"(personal)"}


def test_a_csv_with_decimal_commas_is_read_as_numbers(tmp_path: Path) -> None:
    table = separating_column(honest(1), rng())
    path = tmp_path / "table.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["id", *table])
        for number, row in enumerate(zip(*table.values(), strict=True)):
            writer.writerow(
                [f"T{number:06d}", *(_written(name, value) for name, value in zip(table, row, strict=True))]
            )
    found = inspect_table(path, mapping(delimiter=";", decimal=","))
    assert [finding.columns for finding in found.findings] == [("risk",)]
    assert found.findings[0].evidence["area_under_curve"] > 0.99


def _written(name: str, value: object) -> str:
    if name == "when":
        return str(np.datetime64(int(str(value)), "us"))
    return str(value).replace(".", ",")


@pytest.mark.parametrize("seed", [101, 102, 103])
def test_nothing_is_found_on_a_simulated_bank(seed: int, tmp_path: Path) -> None:
    write(simulate(SimulatorConfig(num_transactions=20_000, seed=seed)), tmp_path)
    found = inspect_table(tmp_path / "transactions.parquet", load_mapping("ringfence"))
    assert found.findings == ()
    assert found.num_frauds > 20


def test_the_same_table_gives_the_same_findings(tmp_path: Path) -> None:
    path = written(two_zones(separating_column(honest(1), rng()), rng()), tmp_path)
    progress: list[float] = []
    one = inspect_table(path, mapping(), progress=lambda doing, fraction: progress.append(fraction))
    other = inspect_table(path, mapping())
    assert one.findings == other.findings
    assert [finding.check for finding in one.findings] == ["single_columns", "time_zones"]
    assert progress == sorted(progress)
    assert 0 <= progress[0] < progress[-1] <= 1


def test_a_future_stamp_is_found(tmp_path: Path) -> None:
    table = honest(1)
    table["when"][-100:] = START + 400_000 * DAY // 24
    found = inspect_table(written(table, tmp_path), mapping())
    assert "time_zones" in [finding.check for finding in found.findings]


@pytest.mark.parametrize(("days", "checks"), [(3, []), (30, ["label_delay"])])
def test_a_time_that_the_label_is_read_with_is_its_clock_and_no_leak(
    days: int, checks: list[str], tmp_path: Path
) -> None:
    table = honest(1)
    fraud = table["fraud"] == 1
    told = np.where(fraud, days * DAY, DAY) + rng().integers(0, DAY // 24, len(fraud))
    labels = {"kind": "column", "column": "fraud", "known_at": {"column": "told_at", "zone": "UTC"}}
    found = inspect_table(written(table | {"told_at": table["when"] + told}, tmp_path), mapping(labels=labels))
    assert [finding.check for finding in found.findings] == checks


@pytest.mark.parametrize("leak", [False, True])
def test_only_a_leak_is_found_in_a_simulated_bank(leak: bool, tmp_path: Path) -> None:
    tables = simulate(SimulatorConfig(num_transactions=20_000, seed=101))
    write(tables, tmp_path)
    raw = pq.read_table(tmp_path / "transactions.parquet")
    frauds = tables.labels.filter(pc.equal(tables.labels.column("label"), "fraud")).column("transaction_id")
    told = pc.is_in(raw.column("transaction_id"), value_set=frauds.combine_chunks())
    column = pc.if_else(told, "opened", None) if leak else pa.nulls(len(raw), pa.string())
    pq.write_table(raw.append_column("dispute", column), tmp_path / "transactions.parquet")
    found = inspect_table(tmp_path / "transactions.parquet", load_mapping("ringfence"))
    assert [(finding.check, finding.columns) for finding in found.findings] == (
        [("outcome_columns", ("dispute",))] if leak else []
    )


def test_a_snapshot_is_inspected_by_what_it_holds(tmp_path: Path) -> None:
    rows, labels = random_rows(6_000, seed=1, days=80)
    told = {row["transaction_id"] for row in labels if row["label"] == "fraud"}
    for row in rows:
        row["attributes"] = {"country": "XX" if row["transaction_id"] in told else "DE"}
    workspace = Workspace.open(tmp_path)
    snapshot = build_snapshot(workspace, rows, labels=labels, mapping=mapping(attributes=["country"]).as_dict())
    found = inspect_snapshot(snapshot)
    assert found.table == snapshot.id
    assert (found.num_rows, found.num_frauds) == (6_000, len(told))
    assert ("country",) in [finding.columns for finding in found.findings]


def test_long_numbers_are_shown_as_their_form(tmp_path: Path) -> None:
    table = honest(1)
    telling = np.where(table["fraud"] == 1, 4_915_112_345_678, 4_915_100_000_000) + rng().integers(0, 10_000, 30_000)
    found = inspect_table(written(table | {"phone": telling}, tmp_path), mapping())
    assert {example["phone"] for example in found.findings[0].evidence["examples"]} == {"9999999999999"}
