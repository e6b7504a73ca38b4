"""Check 10: the order of the rows tells the class, beyond what their time does."""

from __future__ import annotations

import numpy as np
from scipy import stats

from ingestion.contracts import MICROSECONDS_PER_DAY
from ingestion.inspection.finding import Chart, Finding
from ingestion.inspection.regions import FEWEST_PARTIES
from ingestion.inspection.statistics import num_distinct
from ingestion.inspection.table import InspectedTable, Ints

#: Among rows of one hour (or of one moment) a fraud stands before or after an honest row by chance .5; a large
#: departure is .71 or .29: Cohen's d of .8.
LARGE_AREA = 0.71
#: Neighbors in the file that also follow each other in time: in a sorted table nearly all do, frauds too.
SORTED_SHARE, SORTED_FRAUD_SHARE = 0.95, 0.9
MICROSECONDS_PER_HOUR = MICROSECONDS_PER_DAY // 24


def find(table: InspectedTable) -> list[Finding]:
    """At most one finding: rows of equal time first, then rows of an hour, then rows of a day."""
    position = np.arange(len(table))
    for said, width in (("moment", 1), ("hour", MICROSECONDS_PER_HOUR), ("day", MICROSECONDS_PER_DAY)):
        if width > 1 and _is_sorted(table, table.event_time // width):
            continue  # where rows stand in the order of time, place is time
        area, number, error = _area(table, position, table.event_time // width)
        if number < FEWEST_PARTIES:
            continue
        p_value = float(2 * stats.norm.sf(abs(area - 0.5) / max(error, 1e-9)))
        if max(area, 1 - area) >= LARGE_AREA and p_value < 0.001:
            return [_finding(table, said, area, number, p_value)]
    return []


def _is_sorted(table: InspectedTable, stratum: Ints) -> bool:
    """Whether rows of a stratum stand in the order of their time or arrival, either way round, but for a few; and
    frauds among them."""
    order = np.argsort(stratum, kind="stable")
    same = np.diff(stratum[order]) == 0
    with_fraud = same & (table.fraud[order][1:] | table.fraud[order][:-1])
    if not with_fraud.any():
        return True
    steps = [np.diff(times[order]) for times in (table.event_time, table.available_at)]
    return any(
        float(rising[same].mean()) >= SORTED_SHARE and float(rising[with_fraud].mean()) >= SORTED_FRAUD_SHARE
        for step in steps
        for rising in (step >= 0, step <= 0)
    )


def _area(table: InspectedTable, position: Ints, stratum: Ints) -> tuple[float, float, float]:
    """Chance that a fraud stands after an honest row of its stratum; parties with such frauds; standard error."""
    known = np.flatnonzero(table.known)
    order = known[np.lexsort((position[known], stratum[known]))]
    groups, first = np.unique(stratum[order], return_index=True)
    sizes = np.diff(np.append(first, len(order)))
    fraud = table.fraud[order]
    honest_before: Ints = np.cumsum(~fraud) - ~fraud
    start: Ints = np.repeat(honest_before[first], sizes)
    honest_in = np.repeat(np.add.reduceat((~fraud).astype(np.int64), first), sizes) if len(groups) else sizes
    counts = fraud & (honest_in > 0)
    if not counts.any():
        return 0.5, 0.0, 1.0
    ranks = (honest_before - start)[counts] / honest_in[counts]  # uniform on [0, 1] when order says nothing
    rows = order[counts]
    parties = min(num_distinct(table.parties[role][rows]) for role in ("source", "target"))
    number = float(min(len(rows), parties if parties > 1 else len(rows)))
    spread = 1 / 12 + 1 / (6 * honest_in[counts].mean())  # of a rank among few, wider than uniform
    return float(ranks.mean()), number, float(np.sqrt(spread / max(number, 1)))


def _finding(table: InspectedTable, said: str, area: float, number: float, p_value: float) -> Finding:
    tenth = np.minimum(np.arange(len(table)) * 10 // len(table), 9)
    rows = np.bincount(tenth[table.known], minlength=10)
    frauds = np.bincount(tenth[table.fraud], minlength=10)
    where = "after" if area > 0.5 else "before"
    return Finding(
        check="row_order",
        severity="serious",
        columns=(),
        what=(
            f"Among rows of one {said}, a fraud stands {where} an honest row in {max(area, 1 - area):.1%} of cases; "
            "chance is 50 %: the order of the rows tells the class."
        ),
        to_do=(
            "Sort the table by time and id before anything numbers its rows, and use no row number as an id, a feature "
            "or a tie-break. Ask how the classes were put together."
        ),
        evidence={
            "chance_that_a_fraud_stands_later": round(area, 4),
            "independent_frauds": number,
            "p_value": p_value,
            "frauds_by_tenth_of_the_file": frauds.tolist(),
            "examples": table.examples(table.fraud, ()),
        },
        chart=Chart(
            title="Share of fraud by place in the file",
            labels=tuple(f"{10 * n}–{10 * n + 10} %" for n in range(10)),
            series={"share of fraud": tuple((frauds / np.maximum(rows, 1)).round(5).tolist())},
        ),
    )
