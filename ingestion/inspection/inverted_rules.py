"""Check 6: a rule for fraud that turns into its opposite in another period."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from ingestion.inspection.finding import Chart, Finding
from ingestion.inspection.regions import quantile_codes
from ingestion.inspection.statistics import discoveries, num_distinct
from ingestion.inspection.table import Bools, Column, Floats, InspectedTable, Ints

#: The time is cut into so many periods of equally many frauds.
PERIODS = (2, 4)
#: In one period three times the odds, in another a third of them.
LARGE_LOG_ODDS = float(np.log(3.0))
#: Values that at least one in a hundred rows have, and no more than so many of them a column.
LEAST_SHARE, MOST_LEVELS, NUMBER_BINS = 0.01, 50, 4


@dataclass(frozen=True, kw_only=True)
class _Value:
    column: Column
    said: str
    rows: Bools


def find(table: InspectedTable, told: frozenset[str] = frozenset()) -> list[Finding]:
    """Findings on the values of categories and the quarters of numbers, without the columns `told`."""
    periods = [_periods(table, number) for number in PERIODS]
    candidates: list[tuple[float, tuple[_Value, Floats, Ints] | None]] = []
    for column in table.candidates("number", "category"):
        if column.name in told:
            continue
        for value in _values(column):
            for period, number in zip(periods, PERIODS, strict=True):
                log_odds, errors = _effects(table, value.rows, period, number)
                z = log_odds / errors
                p_value = float(2 * max(stats.norm.sf(z.max()), stats.norm.cdf(z.min())))
                inverts = log_odds[z.argmax()] >= LARGE_LOG_ODDS and log_odds[z.argmin()] <= -LARGE_LOG_ODDS
                candidates.append((min(p_value * number, 1.0), (value, log_odds, period) if inverts else None))
    best: dict[str, tuple[_Value, Floats, Ints]] = {}
    for found in discoveries(candidates):
        if found is not None:
            best.setdefault(found[0].column.name, found)
    return [_finding(table, *found) for found in best.values()]


def _periods(table: InspectedTable, number: int) -> Ints:
    edges = np.quantile(table.event_time[table.fraud], np.arange(1, number) / number)
    return np.searchsorted(edges, table.event_time, side="left")


def _values(column: Column) -> list[_Value]:
    if column.numbers is not None:
        codes = quantile_codes(column.numbers, NUMBER_BINS)
        levels = [(code, f"in quarter {code} of its values") for code in range(1, int(codes.max(initial=0)) + 1)]
    else:
        assert column.codes is not None and column.values is not None
        codes = column.codes
        counts = np.bincount(codes[column.filled], minlength=column.num_values)
        top = np.argsort(-counts, kind="stable")[:MOST_LEVELS]
        levels = [(code, f"= {column.shown(column.values[code].as_py())}") for code in top.tolist()]
    values = []
    for code, said in levels:
        rows = codes == code
        if LEAST_SHARE <= rows.mean() <= 1 - LEAST_SHARE:
            values.append(_Value(column=column, said=said, rows=rows))
    return values


def _effects(table: InspectedTable, rows: Bools, period: Ints, periods: int) -> tuple[Floats, Floats]:
    """Log odds ratio of fraud with the value in each period, and its standard error; parties counted once."""
    log_odds, errors = np.zeros(periods), np.ones(periods)
    for number in range(periods):
        inside = table.known & (period == number)
        fraud_with = _parties(table, inside & table.fraud & rows)
        fraud_without = _parties(table, inside & table.fraud & ~rows)
        honest = inside & ~table.fraud
        cells = np.asarray([fraud_with, fraud_without, (honest & rows).sum(), (honest & ~rows).sum()]) + 0.5
        log_odds[number] = np.log(cells[0] * cells[3] / (cells[1] * cells[2]))
        errors[number] = np.sqrt((1 / cells).sum())
    return log_odds, errors


def _parties(table: InspectedTable, frauds: Bools) -> int:
    index = np.flatnonzero(frauds)
    counts = [num_distinct(table.parties[role][index]) for role in ("source", "target")]
    return min(max(counts[0], 1), max(counts[1], 1), len(index)) if min(counts) > 1 else min(len(index), max(counts))


def _finding(table: InspectedTable, value: _Value, log_odds: Floats, period: Ints) -> Finding:
    starts = [str(table.event_time[period == n].min().astype("datetime64[us]"))[:10] for n in range(len(log_odds))]
    ratios = np.exp(log_odds).round(3).tolist()
    high, low = int(log_odds.argmax()), int(log_odds.argmin())
    name = value.column.name
    return Finding(
        check="inverted_rules",
        severity="serious",
        columns=(name,),
        what=(
            f"{name} {value.said} raises the odds of fraud {ratios[high]:.1f}-fold from {starts[high]} on, and lowers "
            f"them to {ratios[low]:.2f} of the rest from {starts[low]} on."
        ),
        to_do=(
            f"Ask what changed between the periods: the meaning of {name} or of the label, the source of the rows, or "
            "the rule by which cases are found. Mend the older part or train on one period only."
        ),
        evidence={"value": value.said, "odds_ratio_by_period": dict(zip(starts, ratios, strict=True))},
        chart=Chart(
            title=f"Odds ratio of fraud where {name} {value.said}, by period",
            labels=tuple(starts),
            series={"odds ratio": tuple(ratios)},
        ),
    )
