"""Each fault is found on a table that has it, and nothing on the same table without; honest signal is no finding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ingestion.inspection import CHECKS, Finding, inspect_table
from tests.ingestion.inspection.planted import PLANTS, honest, mapping, written

SEEDS = (1, 2, 3)


def findings(check: str, seed: int, folder: Path) -> tuple[Finding, ...]:
    plant, changes = PLANTS[check]
    table = plant(honest(seed), np.random.default_rng(seed + 10))
    return inspect_table(written(table, folder), mapping(**changes)).findings


def test_there_is_a_plant_for_each_check() -> None:
    assert set(PLANTS) == set(CHECKS)


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_found_on_an_honest_table(seed: int, tmp_path: Path) -> None:
    found = inspect_table(written(honest(seed), tmp_path), mapping())
    assert found.findings == ()
    assert found.skipped == {}


@pytest.mark.parametrize("rate", [0.001, 0.004])
def test_nothing_is_found_where_frauds_are_rare(rate: float, tmp_path: Path) -> None:
    found = inspect_table(written(honest(5, num_rows=60_000, rate=rate), tmp_path), mapping())
    assert found.findings == ()
    assert found.num_frauds <= 60_000 * rate


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("check", CHECKS)
def test_the_planted_fault_is_found_and_nothing_else(check: str, seed: int, tmp_path: Path) -> None:
    found = findings(check, seed, tmp_path)
    assert [finding.check for finding in found] == [check]
    assert found[0].severity == "serious"
    assert not found[0].plausible
    assert found[0].what and found[0].to_do and found[0].evidence


def test_columns_and_evidence_name_the_fault(tmp_path: Path) -> None:
    outcome = findings("outcome_columns", 1, tmp_path)[0]
    assert outcome.columns == ("chargeback_at",)
    assert 3 < outcome.evidence["median_days_after_the_event"] < 4.5
    assert findings("single_columns", 1, tmp_path)[0].columns == ("risk",)
    assert set(findings("column_pairs", 1, tmp_path)[0].columns) == {"flag_one", "flag_two"}
    ids = findings("id_substrings", 1, tmp_path)[0]
    assert ids.columns == ("reference",)
    assert "begins with XF" in ids.what
    assert findings("unlabeled_months", 1, tmp_path)[0].evidence["months"] == ["2025-03"]
    assert findings("inverted_rules", 1, tmp_path)[0].columns == ("entry_kind",)
    zones = findings("time_zones", 1, tmp_path)[0]
    assert zones.columns == ("when", "system")
    assert abs(zones.evidence["shift_hours"]) == 5
    assert findings("fraud_only_parties", 1, tmp_path)[0].columns == ("merchant",)
    assert findings("amount_forms", 1, tmp_path)[0].evidence["form"] == "a multiple of 1"


def test_the_estimated_delay_is_near_the_true_one(tmp_path: Path) -> None:
    delay = findings("label_delay", 2, tmp_path)[0].evidence
    assert delay["stated_days"] == 7
    assert 30 <= delay["estimated_days"] <= 60


def test_examples_are_rows_of_the_table_and_ids_only_forms(tmp_path: Path) -> None:
    example = findings("id_substrings", 1, tmp_path)[0].evidence["examples"][0]
    assert example["reference"] == "AA99999999"
    assert int(example["row"]) >= 1


def test_copies_of_frauds_alone_are_found(tmp_path: Path) -> None:
    table = honest(4)
    early = np.flatnonzero((table["fraud"] == 1) & (table["when"] < np.median(table["when"])))
    copies = {name: values[early].copy() for name, values in table.items()}
    copies["when"] += 75 * 86_400_000_000
    both = {name: np.concatenate([values, copies[name]]) for name, values in table.items()}
    order = np.argsort(both["when"], kind="stable")
    path = written({name: values[order] for name, values in both.items()}, tmp_path)
    assert "repeated_rows" in [finding.check for finding in inspect_table(path, mapping()).findings]
