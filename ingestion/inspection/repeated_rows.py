"""Check 7: rows that come again on the other side of a time split, ids and times aside."""

from __future__ import annotations

import numpy as np
from scipy import stats

from ingestion.contracts import MICROSECONDS_PER_DAY
from ingestion.inspection.finding import Finding
from ingestion.inspection.table import Bools, Floats, InspectedTable, Ints

#: The later part is the last third of the time of the rows, as a test window would be.
SPLIT = 2 / 3
#: One in a hundred later rows, or one in twenty later frauds, is too many.
LARGE_SHARE, LARGE_FRAUD_SHARE = 0.01, 0.05
#: What comes again after one or two weeks (to a day and a half), after any number of months (to two days and a half:
#: February is that much shorter than the mean), or four times and more, is a standing order. Frauds are none.
WEEK_DAYS, MONTH_DAYS = 7.0, 30.44
WEEK_TOLERANCE_DAYS, MONTH_TOLERANCE_DAYS, AGAIN_AND_AGAIN = 1.5, 2.5, 4
#: Rows with few different contents repeat by chance: twins must be five times as many as with the content of another
#: row of the payer.
OVER_CHANCE = 5.0
FEWEST_TWINS, LARGEST_P = 10, 0.001


def find(table: InspectedTable) -> list[Finding]:
    """At most one finding: the class with the larger share of repeats, or all rows."""
    key = _mix(table.parties["source"], table.parties["target"]), _content(table)
    order = np.argsort(table.event_time, kind="stable")
    split = int(len(table) * SPLIT)
    everything = np.ones(len(table), np.bool_)
    groups = [("rows", everything, LARGE_SHARE)]
    if table.has_labels:
        groups.append(("frauds", table.fraud, LARGE_FRAUD_SHARE))
    candidates = []
    for what, inside, limit in groups:
        early, late = order[:split][inside[order[:split]]], order[split:][inside[order[split:]]]
        if min(len(early), len(late)) < FEWEST_TWINS:
            continue
        twins = _twins(table, *key, early, late, late, may_be_orders=what == "rows")
        by_chance = float(_twins(table, *key, early, late, _others(table, late), may_be_orders=what == "rows").mean())
        share, number = float(twins.mean()), int(twins.sum())
        p_value = float(stats.binom.sf(number - 1, len(late), max(by_chance, 1e-6)))
        if share >= max(limit, OVER_CHANCE * by_chance) and number >= FEWEST_TWINS and p_value < LARGEST_P:
            candidates.append((share / limit, _finding(table, what, late[twins], share, by_chance, p_value)))
    return [max(candidates, key=lambda item: item[0])[1]] if candidates else []


def _content(table: InspectedTable) -> Ints:
    """A code (N,) of everything in a row but its ids, times, label, source and target."""
    content = table.amount_minor.astype(np.int64)
    for role, codes in table.parties.items():
        if role not in ("source", "target"):
            content = _mix(content, codes)
    for column in table.candidates("number", "category", "identifier"):
        if column.field == "amount_minor":
            continue
        if column.codes is not None and (column.kind == "category" or column.num_values < 0.5 * len(table)):
            content = _mix(content, column.codes)
        elif column.numbers is not None and not _is_counter(column.numbers):
            content = _mix(content, np.nan_to_num(column.numbers, nan=-1.0).view(np.int64))
    return content


def _is_counter(numbers: Floats) -> bool:
    """Whether a number is another id: integers, all different."""
    sample = numbers[:10_000]
    return bool((sample == np.rint(sample)).all() and len(np.unique(sample)) == len(sample))


def _mix(one: Ints, other: Ints) -> Ints:
    """A 64-bit hash of two codes (splitmix64's last steps)."""
    value = one.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + other.astype(np.uint64)
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (value ^ (value >> np.uint64(31))).view(np.int64)


def _twins(
    table: InspectedTable, pair: Ints, content: Ints, early: Ints, late: Ints, dealt: Ints, *, may_be_orders: bool
) -> Bools:
    """Late rows (L,), with the content of the rows `dealt` (L,), that an early row a day or more before equals.

    Where they `may_be_orders`, what comes at a period of the calendar or again and again is none.
    """
    keys, place = np.unique(_mix(pair[early], content[early]), return_inverse=True)
    wanted = _mix(pair[late], content[dealt])
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    same = keys[at] == wanted
    time = table.event_time
    first = np.full(len(keys), np.iinfo(np.int64).max)
    np.minimum.at(first, place, time[early])
    twins = same & (time[late] - first[at] >= MICROSECONDS_PER_DAY)
    if not may_be_orders:
        return twins
    last = np.full(len(keys), np.iinfo(np.int64).min // 2)
    np.maximum.at(last, place, time[early])
    gap = (time[late] - last[at]) / MICROSECONDS_PER_DAY
    weeks, months = np.clip(np.rint(gap / WEEK_DAYS), 1, 2), np.maximum(np.rint(gap / MONTH_DAYS), 1)
    near = np.abs(gap - weeks * WEEK_DAYS) <= WEEK_TOLERANCE_DAYS
    near |= np.abs(gap - months * MONTH_DAYS) <= MONTH_TOLERANCE_DAYS
    times_early = np.bincount(place, minlength=len(keys))[at]
    times_late = np.bincount(at[same], minlength=len(keys))[at]
    return twins & ~near & (times_early + times_late < AGAIN_AND_AGAIN)


def _others(table: InspectedTable, late: Ints) -> Ints:
    """For each late row (L,) another one, of the same payer where there is one: what chance repeats."""
    rng = np.random.default_rng(0)
    order = np.lexsort((rng.random(len(late)), table.parties["source"][late]))
    others = np.empty(len(late), np.int64)
    others[order] = late[np.roll(order, 1)]
    return others


def _finding(table: InspectedTable, what: str, rows: Ints, share: float, by_chance: float, p_value: float) -> Finding:
    names = tuple(dict.fromkeys(table.party_columns[role] for role in ("source", "target")))
    amount = next((c.name for c in table.columns.values() if c.field == "amount_minor"), None)
    shown = (*names, *((amount,) if amount else ()))
    return Finding(
        check="repeated_rows",
        severity="serious",
        columns=(),
        what=(
            f"{share:.1%} of the {what} in the last third of the time are, ids and times aside, rows of the first two "
            f"thirds, at no period of the calendar; by chance it would be {by_chance:.2%}."
        ),
        to_do=(
            "Find out where rows were loaded twice or copied to make frauds less rare. Keep the first of each: a model "
            "that has seen the copy passes a test that it would fail."
        ),
        evidence={
            "rows": len(rows),
            "share": round(share, 4),
            "by_chance": round(by_chance, 6),
            "p_value": p_value,
            "examples": table.examples(rows, shown),
        },
    )
