"""Check 3: pairs of columns that separate the classes, which neither does alone."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats

from ingestion.inspection.finding import Finding
from ingestion.inspection.regions import PURE_PRECISION, area_is_strong, measure, quantile_codes
from ingestion.inspection.statistics import FEWEST_FRAUDS, area_error, discoveries
from ingestion.inspection.table import Bools, Column, Floats, InspectedTable, Ints

#: Numbers are cut into so many ranges of equal size; a category keeps so many of its values.
NUMBER_BINS, MOST_LEVELS = 8, 50
#: So many columns are paired, those first that say most alone; evidence says how many were left out.
MOST_COLUMNS = 40
#: A pair must rank this much better than the better of its two columns, or catch twice its frauds.
AREA_GAIN, RECALL_GAIN = 0.1, 2.0


@dataclass(frozen=True, kw_only=True)
class _Coded:
    column: Column
    codes: Ints
    levels: int
    area: float
    recall: float


def find(table: InspectedTable, told: frozenset[str] = frozenset()) -> list[Finding]:
    """Findings on pairs of columns, without those `told`: they separate alone."""
    columns = [column for column in table.candidates("number", "category") if column.name not in told]
    rows = np.flatnonzero(table.known)
    half = table.fold[rows].astype(np.int64) * 2 + table.fraud[rows]
    coded = sorted((_coded(column, rows, half) for column in columns), key=lambda item: -item.area)
    left_out = max(len(coded) - MOST_COLUMNS, 0)
    candidates: list[tuple[float, tuple[_Coded, _Coded, str, Bools, float] | None]] = []
    for one, other in combinations(coded[:MOST_COLUMNS], 2):
        for relation, codes, levels in _joint(one, other, rows):
            telling, area, p_value = _tells(table, rows, codes, levels, half, (one, other))
            if telling is None:
                candidates.append((p_value, None))
                continue
            chosen = np.zeros(len(table), np.bool_)
            chosen[rows] = telling[codes]
            candidates.append((p_value, (one, other, relation, chosen, area)))
    return [_finding(table, *found, left_out) for found in _best(discoveries(candidates))]


def _best(
    found: list[tuple[_Coded, _Coded, str, Bools, float] | None],
) -> list[tuple[_Coded, _Coded, str, Bools, float]]:
    """One finding a pair, and the strongest pairs only where one column is in several."""
    kept: dict[frozenset[str], tuple[_Coded, _Coded, str, Bools, float]] = {}
    for item in found:
        if item is not None:
            kept.setdefault(frozenset({item[0].column.name, item[1].column.name}), item)
    return sorted(kept.values(), key=lambda item: -item[4])[:5]


def _coded(column: Column, rows: Ints, half: Ints) -> _Coded:
    if column.numbers is not None:
        codes = quantile_codes(column.numbers, NUMBER_BINS)
    else:
        assert column.codes is not None
        counts = np.bincount(column.codes[column.filled], minlength=max(column.num_values, 1))
        place = np.full(len(counts) + 1, MOST_LEVELS + 1)
        place[np.argsort(-counts, kind="stable")[:MOST_LEVELS]] = np.arange(1, min(len(counts), MOST_LEVELS) + 1)
        place[-1] = 0
        codes = place[column.codes]
    codes = codes[rows]
    levels = int(codes.max(initial=0)) + 1
    counts = _counts(codes, levels, half)
    recall = float(counts[_telling(counts), 1, 1].sum() / max(counts[:, 1, 1].sum(), 1))
    return _Coded(column=column, codes=codes, levels=levels, area=_area(counts), recall=recall)


def _counts(codes: Ints, levels: int, half: Ints) -> Ints:
    """Rows by level, half and class, (levels, 2, 2)."""
    return np.bincount(codes * 4 + half, minlength=levels * 4).reshape(levels, 2, 2)


def _rates(counts: Ints) -> Floats:
    """Share of frauds of each level on the first half, drawn a little to the base."""
    honest, frauds = counts[:, 0, 0], counts[:, 0, 1]
    base = frauds.sum() / max(counts[:, 0].sum(), 1)
    rates: Floats = (frauds + base) / (honest + frauds + 1.0)
    return rates


def _telling(counts: Ints) -> Bools:
    """Levels that are mostly fraud on the first half."""
    chosen: Bools = (_rates(counts) >= 0.5) & (counts[:, 0, 1] >= 2)
    return chosen


def _area(counts: Ints) -> float:
    """How well the rates of the first half rank the second."""
    rates = _rates(counts)
    distinct, place = np.unique(rates, return_inverse=True)
    frauds = np.bincount(place, counts[:, 1, 1], len(distinct))
    honest = np.bincount(place, counts[:, 1, 0], len(distinct))
    if frauds.sum() == 0 or honest.sum() == 0:
        return 0.5
    below = np.cumsum(honest) - honest
    return float((frauds * (below + honest / 2)).sum() / (frauds.sum() * honest.sum()))


def _joint(one: _Coded, other: _Coded, rows: Ints) -> list[tuple[str, Ints, int]]:
    """Ways in which two columns are read together: their cells, and how their values compare."""
    ways = [("taken together", one.codes * other.levels + other.codes, one.levels * other.levels)]
    a, b = one.column, other.column
    if a.numbers is not None and b.numbers is not None:
        with np.errstate(invalid="ignore"):
            difference = np.nan_to_num(np.sign(a.numbers[rows] - b.numbers[rows]), nan=2.0).astype(np.int64) + 1
        ways.append(("by which is larger", difference, 4))
    elif a.codes is not None and b.codes is not None and a.num_values > 2 and b.num_values > 2:
        same = _codes_of(b, a)[a.codes[rows]] == b.codes[rows]
        ways.append(("by being equal", same.astype(np.int64), 2))
    return ways


def _codes_of(column: Column, other: Column) -> Ints:
    """The codes in `column` of the values of `other`; -2 for what it does not have."""
    assert column.values is not None and other.values is not None
    known = {text: code for code, text in enumerate(column.values.to_pylist())}
    return np.asarray([*(known.get(text, -2) for text in other.values.to_pylist()), -2], np.int64)


def _tells(
    table: InspectedTable, rows: Ints, codes: Ints, levels: int, half: Ints, pair: tuple[_Coded, _Coded]
) -> tuple[Bools | None, float, float]:
    """The telling cells or None, the area on the second half, and a p-value."""
    counts = _counts(codes, levels, half)
    rates, area = _rates(counts), _area(counts)
    frauds, honest = int(counts[:, 1, 1].sum()), int(counts[:, 1, 0].sum())
    telling, alone = _telling(counts), max(one.area for one in pair)
    hits, inside = int(counts[telling, 1, 1].sum()), int(counts[telling, 1].sum())
    if frauds < FEWEST_FRAUDS // 2 or honest == 0:
        return None, area, 1.0
    p_value = min(
        float(stats.binom.sf(hits - 1, max(inside, 1), frauds / (frauds + honest))),
        float(stats.norm.sf((area - max(alone, 0.5)) / max(area_error(area, frauds, honest), 1e-9))),
    )
    strong = area_is_strong(area, frauds, honest) and area >= alone + AREA_GAIN
    if strong:
        return rates >= np.quantile(np.repeat(rates, counts[:, 1, 1]), 0.1), area, p_value
    gains = hits >= RECALL_GAIN * frauds * max(one.recall for one in pair)
    if inside == 0 or hits / inside < PURE_PRECISION or not gains:
        return None, area, p_value
    chosen = np.zeros(len(table), np.bool_)
    chosen[rows] = telling[codes]
    region = measure(table, chosen, among=table.fold)
    return (telling if region.separates else None), area, p_value


def _finding(
    table: InspectedTable, one: _Coded, other: _Coded, relation: str, chosen: Bools, area: float, left_out: int
) -> Finding:
    names = (one.column.name, other.column.name)
    region = measure(table, chosen)
    return Finding(
        check="column_pairs",
        severity="serious",
        columns=names,
        what=(
            f"{names[0]} and {names[1]} {relation} separate the classes (area under the curve {area:.3f} on other "
            f"payers); alone they reach {one.area:.3f} and {other.area:.3f}."
        ),
        to_do=f"Find out when {names[0]} and {names[1]} are written; drop the one that is written after the decision.",
        evidence=region.evidence()
        | {
            "area_under_curve": round(area, 4),
            "areas_alone": {names[0]: round(one.area, 4), names[1]: round(other.area, 4)},
            "columns_not_paired": left_out,
            "examples": table.examples(chosen & table.fraud, names),
        },
    )
