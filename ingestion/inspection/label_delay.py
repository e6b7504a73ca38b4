"""Check 8: the label delay as the data shows it, against the one that the mapping states."""

from __future__ import annotations

import numpy as np
from scipy import stats

from ingestion.contracts import MICROSECONDS_PER_DAY
from ingestion.inspection.finding import Finding
from ingestion.inspection.statistics import FEWEST_FRAUDS
from ingestion.inspection.table import Column, InspectedTable

#: Frauds that come after the stated time are taken as legitimate until then: a fifth of them is too many.
LATE_SHARE = 0.2
#: A tail holds a third or less of the frauds that are usual, as sure as one in a thousand, a burst counted as one.
TAIL_RATIO, TAIL_P = 1 / 3, 1e-3
#: A tail without labels is one where nine in ten rows have none.
UNLABELED_SHARE = 0.9
#: A time column can be the arrival of labels when it lies after the event, for nearly all frauds.
ARRIVAL_SHARE = 0.9


def find(table: InspectedTable) -> list[Finding]:
    """At most one finding: from label times, else a column of times, else the end of the table."""
    for estimate in (_from_label_times, _from_time_columns, _from_unlabeled_tail, _from_missing_frauds):
        found = estimate(table)
        if found is not None:
            return [found]
    return []


def _from_label_times(table: InspectedTable) -> Finding | None:
    times = table.label_times
    if times is None or times.is_fraud.sum() < FEWEST_FRAUDS:
        return None
    days = (times.known_at - table.event_time[times.row])[times.is_fraud] / MICROSECONDS_PER_DAY
    return _judge(table, days, "the times of the labels", (), early_counts=True)


def _from_time_columns(table: InspectedTable) -> Finding | None:
    """A column that is a time after the event for nearly all frauds, and at least half of them have it."""
    if table.label_times is not None or table.num_frauds < FEWEST_FRAUDS:
        return None
    for column in table.candidates("time"):
        days = _days_after(table, column)
        if len(days) >= 0.5 * table.num_frauds and (days > 0).mean() >= ARRIVAL_SHARE:
            found = _judge(table, days[days > 0], f"column {column.name}", (column.name,), early_counts=False)
            if found is not None:
                return found
    return None


def _days_after(table: InspectedTable, column: Column) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    assert column.numbers is not None
    rows = table.fraud & column.filled
    return np.asarray((column.numbers - table.event_time)[rows] / MICROSECONDS_PER_DAY)


def _judge(
    table: InspectedTable,
    days: np.ndarray[tuple[int], np.dtype[np.float64]],
    where: str,
    columns: tuple[str, ...],
    *,
    early_counts: bool,
) -> Finding | None:
    """Late when a fifth comes after the stated time, by more than chance; nonsense when labels precede events."""
    late = int((days > table.stated_delay_days * 1.001 + 0.01).sum())
    early = int((days < 0).sum())
    p_late = float(stats.binom.sf(late - 1, len(days), LATE_SHARE / 2))
    evidence = {
        "stated_days": table.stated_delay_days,
        "estimated_median_days": round(float(np.median(days)), 2),
        "estimated_90_percent_days": round(float(np.quantile(days, 0.9)), 2),
        "share_later_than_stated": round(late / len(days), 4),
        "labels_before_their_event": early,
        "labels": len(days),
        "from": where,
    }
    if late / len(days) >= LATE_SHARE and p_late < TAIL_P:
        return _finding(
            columns,
            f"{late / len(days):.1%} of frauds are known later than the {table.stated_delay_days:g} days that the "
            f"mapping states (median {np.median(days):.1f}, nine in ten by "
            f"{np.quantile(days, 0.9):.1f} days, from {where}).",
            evidence,
        )
    if early_counts and early / len(days) >= LATE_SHARE / 4:
        return _finding(
            columns,
            f"{early / len(days):.1%} of fraud labels are known before their transaction happened: one of the two "
            "clocks is wrong, or a label was copied to later transactions.",
            evidence,
        )
    return None


def _from_unlabeled_tail(table: InspectedTable) -> Finding | None:
    """Rows without a label at the end of a table whose older rows have one."""
    if table.label_column is None or table.known.all():
        return None
    order = np.argsort(table.event_time, kind="stable")
    day = (table.event_time[order[-1]] - table.event_time[order]) / MICROSECONDS_PER_DAY
    unlabeled = ~table.explicit[order[::-1]]  # the newest first
    gain = np.cumsum(np.where(unlabeled, 1 - UNLABELED_SHARE, -UNLABELED_SHARE))
    size = int(gain.argmax()) + 1
    if gain[size - 1] <= 0 or unlabeled[:size].sum() < FEWEST_FRAUDS or size == len(order):
        return None
    tail, before = float(day[len(order) - size]), float(unlabeled[size:].mean())
    if before > 0.5 or tail <= table.stated_delay_days * 1.5 + 1:
        return None
    return _finding(
        (table.label_column,),
        f"The last {tail:.0f} days have no labels, the mapping states a delay of {table.stated_delay_days:g} days.",
        {
            "stated_days": table.stated_delay_days,
            "estimated_days": round(tail, 1),
            "rows_without_label_before": round(before, 4),
            "from": "the end of the table",
        },
    )


def _from_missing_frauds(table: InspectedTable) -> Finding | None:
    """Frauds that are missing at the end, beyond the stated delay: they are not known yet, and count as legitimate."""
    frauds = table.event_time[table.fraud]
    if table.label_column is None or len(frauds) < FEWEST_FRAUDS:
        return None
    known_end = int(table.event_time[table.known].max())
    stated = int(table.stated_delay_days * MICROSECONDS_PER_DAY)
    span = known_end - int(table.event_time.min())
    best: tuple[int, int, float] | None = None
    for days in range(int(table.stated_delay_days) + 1, int(span / MICROSECONDS_PER_DAY / 2) + 1):
        start, end = known_end - days * MICROSECONDS_PER_DAY, known_end - stated
        inside = table.known & (table.event_time > start) & (table.event_time <= end)
        before = table.known & (table.event_time <= start)
        expected = (before & table.fraud).sum() / max(before.sum(), 1) * inside.sum()
        seen = int((inside & table.fraud).sum())
        bursts = table.bursts[before].sum() / max(before.sum(), 1) * inside.sum()
        p_value = float(stats.poisson.cdf(np.ceil(table.bursts[inside].sum()), max(bursts, 1e-9)))
        if seen <= TAIL_RATIO * expected and p_value < TAIL_P:
            best = (days, seen, float(expected))
    if best is None:
        return None
    tail_days, tail_frauds, usual = best
    return _finding(
        (table.label_column,),
        f"In the last {tail_days} days there are {tail_frauds:,} frauds beyond the stated delay where {usual:,.0f} "
        f"were to be expected: labels seem to take about {tail_days} days, the mapping states "
        f"{table.stated_delay_days:g}.",
        {
            "stated_days": table.stated_delay_days,
            "estimated_days": tail_days,
            "frauds_seen": tail_frauds,
            "frauds_expected": round(usual, 1),
            "from": "the end of the table",
        },
    )


def _finding(columns: tuple[str, ...], what: str, evidence: dict[str, object]) -> Finding:
    return Finding(
        check="label_delay",
        severity="serious",
        columns=columns,
        what=what,
        to_do=(
            "Set delay_days (or label_maturity_days, or the label's own known_at) in the mapping to what is true: a "
            "delay stated too short trains on frauds taken as legitimate and counts labels nobody had."
        ),
        evidence=evidence,
    )
