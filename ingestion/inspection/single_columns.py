"""Check 2: a single column that separates the classes, by a threshold, by values or by its order."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from ingestion.inspection.finding import Chart, Finding
from ingestion.inspection.regions import (
    STRONG_AREA_AT_LEAST,
    Region,
    area_is_strong,
    best_threshold,
    measure,
    quantile_codes,
)
from ingestion.inspection.statistics import area_error, area_under_curve, discoveries
from ingestion.inspection.table import Bools, Column, Floats, InspectedTable, Ints

#: What separates by order is looked at in so many bins.
BINS = 64


@dataclass(frozen=True, kw_only=True)
class _Rule:
    said: str
    chosen: Bools
    region: Region
    is_threshold: bool
    p_value: float
    area: float | None = None


def find(table: InspectedTable) -> list[Finding]:
    """Findings on each number, category and time of its own."""
    candidates: list[tuple[float, tuple[Column, _Rule] | None]] = []
    for column in table.candidates("number", "category", "time"):
        for rule in _rules(table, column):
            strong = rule.area is not None or rule.region.separates
            candidates.append((rule.p_value, (column, rule) if strong else None))
    best: dict[str, tuple[Column, _Rule]] = {}
    for found in discoveries(candidates):
        if found is not None:
            column, rule = found
            held = best.get(column.name, found)[1]
            first, other = (rule, held) if rule.region.recall > held.region.recall else (held, rule)
            best[column.name] = column, replace(first, area=first.area or other.area)
    return [_finding(table, column, rule) for column, rule in best.values()]


def _rules(table: InspectedTable, column: Column) -> list[_Rule]:
    """Rules chosen on one half of the payers, measured on the other."""
    rules = []
    if column.numbers is not None:
        numbers = column.numbers - table.event_time if column.kind == "time" else column.numbers
        for upper in (True, False):
            if (rule := _threshold(table, column, numbers, upper=upper)) is not None:
                rules.append(rule)
        codes, words = quantile_codes(numbers, BINS), None
    else:
        assert column.codes is not None and column.values is not None
        codes, words = column.codes + 1, column.values
    rules.append(_values(table, column, codes, words))
    return rules


def _threshold(table: InspectedTable, column: Column, numbers: Floats, *, upper: bool) -> _Rule | None:
    chosen_on = table.known & ~table.fold & column.filled
    cut = best_threshold(numbers[chosen_on], table.fraud[chosen_on], upper=upper)
    if cut is None:
        return None
    with np.errstate(invalid="ignore"):
        chosen = column.filled & ((numbers > cut) if upper else (numbers <= cut))
    region = measure(table, chosen, among=table.fold)
    if region.separates:  # the rule holds on other payers: say it as all rows have it
        everywhere = table.known & column.filled
        cut = best_threshold(numbers[everywhere], table.fraud[everywhere], upper=upper)
        assert cut is not None, "a cut on half of the rows is one on all"
        with np.errstate(invalid="ignore"):
            chosen = column.filled & ((numbers > cut) if upper else (numbers <= cut))
    shown = f"{cut / 86_400_000_000:.2f} days after the event" if column.kind == "time" else f"{cut:,.10g}"
    return _Rule(
        said=f"{'above' if upper else 'at most'} {shown}",
        chosen=chosen,
        region=region,
        is_threshold=True,
        p_value=region.p_value,
    )


def _values(table: InspectedTable, column: Column, codes: Ints, words: object) -> _Rule:
    """The values (or bins) that are mostly fraud on one half; and how well the values rank the other half."""
    known, other = table.known & ~table.fold, table.known & table.fold
    size = int(codes.max(initial=0)) + 1
    rows = np.bincount(codes[known], minlength=size)
    frauds = np.bincount(codes[known & table.fraud], minlength=size)
    base = frauds.sum() / max(rows.sum(), 1)
    rate = (frauds + base) / (rows + 1.0)
    telling = (rate >= 0.5) & (rows >= 5)
    chosen = telling[codes]
    region = measure(table, chosen, among=table.fold)
    area = area_under_curve(rate[codes[other]], table.fraud[other])
    halves = [
        area_under_curve(rate[codes[rows_of]], table.fraud[rows_of])
        for rows_of in (other & table.late_half, other & ~table.late_half)
    ]
    frauds_there = int((other & table.fraud).sum())
    independent, honest = min(frauds_there, _fraud_parties(table, other)), int(other.sum()) - frauds_there
    strong = area_is_strong(area, independent, honest) and min(halves) >= STRONG_AREA_AT_LEAST
    p_area = float(stats.norm.sf((area - 0.5) / max(area_error(0.5, independent, honest), 1e-9)))
    names = _names(column, np.flatnonzero(telling), words)
    return _Rule(
        said=f"among {names}" if names else "by its order",
        chosen=chosen,
        region=region,
        is_threshold=False,
        p_value=min(region.p_value, p_area),
        area=area if strong else None,
    )


def _fraud_parties(table: InspectedTable, rows: Bools) -> int:
    frauds = rows & table.fraud
    return max(1, min(len(np.unique(codes[frauds])) for role, codes in table.parties.items() if role in _ENDS))


_ENDS = ("source", "target")


def _names(column: Column, telling: Ints, words: object) -> str:
    if column.values is None:
        return f"{len(telling)} ranges of its values" if len(telling) else ""
    shown = ["(empty)" if code == 0 else column.shown(column.values[code - 1].as_py()) for code in telling[:5].tolist()]
    return ", ".join(shown)


def _finding(table: InspectedTable, column: Column, rule: _Rule) -> Finding:
    whole = measure(table, rule.chosen)
    plausible = rule.is_threshold and column.field == "amount_minor"
    picks = f" {rule.said}: {whole.precision:.1%} of {whole.rows:,} rows are fraud, {whole.recall:.1%} of all frauds"
    ranks = f" ranks the classes, with an area under the curve of {rule.area:.3f} on other payers" if rule.area else ""
    what = f"{column.name}{picks if whole.rows else ''}{'; it' if whole.rows and ranks else ''}{ranks}."
    to_do = (
        f"Ask whether the rule is real. If it is, it is a policy and not a model; if labels were made by it, "
        f"a model only learns the rule {column.name} {rule.said}."
        if plausible
        else f"Find out when {column.name} is written. If not before the decision, name it under `dropped`."
    )
    return Finding(
        check="single_columns",
        severity="warning" if plausible else "serious",
        columns=(column.name,),
        what=what,
        to_do=to_do,
        evidence=whole.evidence()
        | {
            "rule": rule.said,
            "area_under_curve": rule.area,
            "measured_on_other_payers": rule.region.evidence(),
            "examples": table.examples(rule.chosen & table.fraud, (column.name,)),
        },
        plausible=plausible,
        chart=_chart(table, column),
    )


def _chart(table: InspectedTable, column: Column) -> Chart | None:
    """Share of frauds over ten ranges of a number."""
    if column.numbers is None or column.kind == "time":
        return None
    filled = table.known & column.filled
    low, high = np.quantile(column.numbers[filled], [0.0, 0.999])
    edges = np.linspace(low, high, 11)[1:-1]
    place = np.searchsorted(edges, column.numbers[filled])
    rows = np.bincount(place, minlength=10)
    frauds = np.bincount(place[table.fraud[filled]], minlength=10)
    bounds = [low, *edges.tolist()]
    return Chart(
        title=f"Share of fraud by {column.name}",
        labels=tuple(f"{bound:.4g}+" for bound in bounds),
        series={"share of fraud": tuple((frauds / np.maximum(rows, 1)).round(5).tolist())},
    )
