"""Inspect a table: run the twelve checks, and say what is wrong before a model flatters itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ingestion.inspection import (
    amount_forms,
    column_pairs,
    fraud_only_parties,
    id_substrings,
    inverted_rules,
    label_delay,
    outcome_columns,
    repeated_rows,
    row_order,
    single_columns,
    time_zones,
    unlabeled_months,
)
from ingestion.inspection.finding import CHECKS, Finding, Inspection
from ingestion.inspection.load import load_snapshot, load_table
from ingestion.inspection.statistics import FEWEST_FRAUDS
from ingestion.inspection.table import InspectedTable
from ingestion.mapping import Mapping
from ingestion.snapshot import Snapshot

Progress = Callable[[str, float], None]

_UNLABELED = frozenset({"repeated_rows", "time_zones"})
_SEVERITY = {"serious": 0, "warning": 1, "info": 2}


def inspect_table(source: Path, mapping: Mapping, *, progress: Progress | None = None) -> Inspection:
    """Inspect a CSV or Parquet file (or a folder) through its mapping; nothing is written.

    Raises `DataContractError` when the file cannot be read, `MappingError` when a column is missing.
    """
    _say(progress, "reading", 0.0)
    return inspect(load_table(source, mapping), progress=progress)


def inspect_snapshot(snapshot: Snapshot, *, progress: Progress | None = None) -> Inspection:
    """Inspect what a snapshot holds: without the columns that its mapping left out."""
    _say(progress, "reading", 0.0)
    return inspect(load_snapshot(snapshot), progress=progress)


def inspect(table: InspectedTable, *, progress: Progress | None = None) -> Inspection:
    """Run the checks on a loaded table."""
    findings: list[Finding] = []
    skipped: dict[str, str] = {}
    seconds: dict[str, float] = {}
    for number, check in enumerate(CHECKS):
        _say(progress, CHECKS[check], 0.2 + 0.8 * number / len(CHECKS))
        if (reason := _why_not(table, check)) is not None:
            skipped[check] = reason
            continue
        started = time.perf_counter()
        findings += _run(check, table, frozenset(name for found in findings for name in found.columns))
        seconds[check] = round(time.perf_counter() - started, 3)
    return Inspection(
        table=table.name,
        mapping=table.mapping_name,
        num_rows=len(table),
        num_unreadable=table.num_unreadable,
        num_known=table.num_known,
        num_frauds=table.num_frauds,
        findings=tuple(sorted(_folded(findings), key=lambda found: _SEVERITY[found.severity])),
        skipped=skipped,
        seconds=seconds,
    )


def _why_not(table: InspectedTable, check: str) -> str | None:
    if check in _UNLABELED:
        return None
    if not table.has_labels:
        return "needs labels of transactions"
    if check == "unlabeled_months":
        return None
    rarer = min(table.num_frauds, table.num_known - table.num_frauds)
    return f"needs {FEWEST_FRAUDS} rows of each class, there are {rarer}" if rarer < FEWEST_FRAUDS else None


def _run(check: str, table: InspectedTable, told: frozenset[str]) -> list[Finding]:
    runs: dict[str, Callable[[], list[Finding]]] = {
        "outcome_columns": lambda: outcome_columns.find(table),
        "single_columns": lambda: single_columns.find(table),
        "column_pairs": lambda: column_pairs.find(table, told),
        "id_substrings": lambda: id_substrings.find(table),
        "unlabeled_months": lambda: unlabeled_months.find(table),
        "inverted_rules": lambda: inverted_rules.find(table, told),
        "repeated_rows": lambda: repeated_rows.find(table),
        "label_delay": lambda: label_delay.find(table),
        "time_zones": lambda: time_zones.find(table),
        "row_order": lambda: row_order.find(table),
        "fraud_only_parties": lambda: fraud_only_parties.find(table),
        "amount_forms": lambda: amount_forms.find(table),
    }
    return runs[check]()


def _folded(findings: list[Finding]) -> list[Finding]:
    """A column that comes from the outcome separates the classes too: that is one finding, not two."""
    kept: list[Finding] = []
    for found in findings:
        same = next(
            (
                i
                for i, other in enumerate(kept)
                if found.columns and found.columns == other.columns and _same(other, found)
            ),
            None,
        )
        if same is None:
            kept.append(found)
        else:
            kept[same] = replace(kept[same], also=(*kept[same].also, found.check))
    return kept


def _same(first: Finding, other: Finding) -> bool:
    return {first.check, other.check} <= {"outcome_columns", "single_columns", "id_substrings"}


def _say(progress: Progress | None, doing: str, fraction: float) -> None:
    if progress is not None:
        progress(doing, fraction)
