"""Check 1: a column that is filled after the outcome, only or mostly for frauds."""

from __future__ import annotations

import numpy as np

from ingestion.contracts import MICROSECONDS_PER_DAY
from ingestion.inspection.finding import Finding
from ingestion.inspection.regions import Region, measure
from ingestion.inspection.statistics import discoveries
from ingestion.inspection.table import Bools, Column, InspectedTable

#: A value that more than half of the rows have is a default: a column says something where it differs.
DEFAULT_SHARE = 0.5
#: Filled for four in five frauds, and twenty times as often as for honest rows: no honest absence does that.
MOSTLY_RECALL, MOSTLY_RATIO = 0.8, 20.0
#: A default is departed from for just the frauds: then the column is the outcome in other words.
SAME_AS_OUTCOME = 0.9


def find(table: InspectedTable) -> list[Finding]:
    """Findings on the fill state of every unmapped, dropped or mapped column."""
    candidates: list[tuple[float, Finding | None]] = []
    for column in table.candidates("number", "category", "identifier", "time"):
        for said, chosen, is_fill in _states(table, column):
            region = measure(table, chosen)
            told = _tells(table, region, is_fill=is_fill)
            candidates.append((region.p_value, _finding(table, column, said, chosen, region) if told else None))
    found: dict[str, Finding] = {}
    for finding in discoveries(candidates):
        if finding is not None:
            found.setdefault(finding.columns[0], finding)
    return list(found.values())


def _states(table: InspectedTable, column: Column) -> list[tuple[str, Bools, bool]]:
    """What a column can say by being filled: (words, rows, whether it is about empty values)."""
    states = []
    if not column.filled.all() and column.filled.any():
        states += [("is filled", column.filled, True), ("is empty", ~column.filled, True)]
    default = _default(column)
    if default is not None:
        states.append((f"is not {column.shown(default[0])}", column.filled & ~default[1], False))
    return states


def _default(column: Column) -> tuple[object, Bools] | None:
    """The value that most rows have, and where; None when there is none."""
    if column.codes is not None and column.values is not None and column.num_values > 1:
        counts = np.bincount(column.codes[column.filled], minlength=column.num_values)
        top = int(counts.argmax())
        at = column.codes == top
        return (column.values[top].as_py(), at) if at.mean() > DEFAULT_SHARE else None
    if column.kind == "number" and column.numbers is not None and column.filled.any():
        middle = float(np.quantile(column.numbers[column.filled], 0.5, method="lower"))
        at = column.numbers == middle  # a value that more than half have is the median
        return (f"{middle:g}", at) if DEFAULT_SHARE < at.mean() < 1 else None
    return None


def _tells(table: InspectedTable, region: Region, *, is_fill: bool) -> bool:
    if not is_fill:
        return region.separates and region.recall >= SAME_AS_OUTCOME
    honest = table.num_known - table.num_frauds
    honest_share = (region.rows - region.frauds + 0.5) / max(honest, 1)
    mostly = region.recall >= MOSTLY_RECALL and region.recall / honest_share >= MOSTLY_RATIO
    return region.separates or (mostly and region.parties >= region.parties_wanted)


def _finding(table: InspectedTable, column: Column, said: str, chosen: Bools, region: Region) -> Finding:
    evidence = region.evidence() | {"examples": table.examples(chosen & table.fraud, (column.name,))}
    lag = ""
    if column.kind == "time" and column.numbers is not None and said == "is filled":
        days = (column.numbers[chosen] - table.event_time[chosen]) / MICROSECONDS_PER_DAY
        evidence["median_days_after_the_event"] = round(float(np.median(days)), 2)
        lag = f", {np.median(days):.1f} days after the event in the middle"
    return Finding(
        check="outcome_columns",
        severity="serious",
        columns=(column.name,),
        what=(
            f"{column.name} {said} in {region.rows:,} rows, {region.precision:.1%} of them fraud and "
            f"{region.recall:.1%} of all frauds{lag}: it comes from the outcome."
        ),
        to_do=_to_do(table, column),
        evidence=evidence,
    )


def _to_do(table: InspectedTable, column: Column) -> str:
    if column.name in table.dropped:
        return f"The mapping drops {column.name}: keep it so, and make no label, filter or feature from it."
    return f"Name {column.name} under `dropped` in the mapping: nobody knows it when the transaction is scored."
