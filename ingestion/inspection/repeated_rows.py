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
#: What comes again at a period of the calendar (in days, to a day and a half) is a standing order.
PERIODS_DAYS = (7, 14, 21, 28, 30.4, 35, 42, 49, 56, 60.9, 63, 70, 77, 84, 91.3)
PERIOD_TOLERANCE_DAYS = 1.5
#: Amounts in a table with few different ones repeat by chance: twins must be five times as many as amounts that are
#: dealt out anew among the rows of a payer give.
OVER_CHANCE = 5.0


def find(table: InspectedTable) -> list[Finding]:
    """At most one finding: the class with the larger share of repeats, or all rows."""
    content = _content(table)
    order = np.argsort(table.event_time, kind="stable")
    split = int(len(table) * SPLIT)
    early, late = order[:split], order[split:]
    pair = _mix(table.parties["source"], table.parties["target"])
    first_twin = _twins(_mix(pair, content), early, late, table.event_time)
    irregular = first_twin & ~_is_periodic(table, _mix(pair, content), early, late)
    chance = _chance(table, pair, content, early, late)
    candidates = []
    groups = [("rows", np.ones(len(late), np.bool_), LARGE_SHARE)]
    if table.has_labels:
        groups.append(("frauds", table.fraud[late], LARGE_FRAUD_SHARE))
    for what, inside, limit in groups:
        number, twins = int(inside.sum()), int((irregular & inside).sum())
        share, by_chance = twins / max(number, 1), float(chance[inside].mean()) if number else 0.0
        p_value = float(stats.binom.sf(twins - 1, max(number, 1), max(by_chance, 1e-6)))
        if share >= limit and twins >= 10 and share >= OVER_CHANCE * by_chance and p_value < 0.001:
            candidates.append((share / limit, what, inside, share, by_chance, p_value))
    if not candidates:
        return []
    _, what, inside, share, by_chance, p_value = max(candidates, key=lambda item: item[0])
    return [_finding(table, what, late[irregular & inside], share, by_chance, p_value)]


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


def _twins(key: Ints, early: Ints, late: Ints, time: Ints) -> Bools:
    """Late rows (L,) with an early row of the same key at least a day before."""
    keys, first = np.unique(key[early], return_index=True)
    place = np.minimum(np.searchsorted(keys, key[late]), max(len(keys) - 1, 0))
    if len(keys) == 0:
        return np.zeros(len(late), np.bool_)
    same = keys[place] == key[late]
    return same & (time[late] - time[early[first[place]]] >= MICROSECONDS_PER_DAY)


def _is_periodic(table: InspectedTable, key: Ints, early: Ints, late: Ints) -> Bools:
    """Late rows whose distance to some early twin is a period of the calendar, or whose key comes again and again."""
    keys, place = np.unique(key, return_inverse=True)
    last_early = np.full(len(keys), np.iinfo(np.int64).min // 2)
    np.maximum.at(last_early, place[early], table.event_time[early])
    gap = (table.event_time[late] - last_early[place[late]]) / MICROSECONDS_PER_DAY
    periods = np.asarray(PERIODS_DAYS)
    near = np.abs(gap[:, None] - periods[None, :]).min(axis=1) <= PERIOD_TOLERANCE_DAYS
    often = np.bincount(place, minlength=len(keys))[place[late]] >= 4
    return near | often


def _chance(table: InspectedTable, pair: Ints, content: Ints, early: Ints, late: Ints) -> Floats:
    """Twins (L,) when the content of late rows is dealt out anew among the rows of the same payer."""
    rng = np.random.default_rng(0)
    source = table.parties["source"][late]
    by_source = np.argsort(source, kind="stable")
    shuffled = by_source[np.lexsort((rng.random(len(late)), source[by_source]))]
    dealt = np.empty(len(late), np.int64)
    dealt[by_source] = content[late][shuffled]
    keys = np.unique(_mix(pair, content)[early])
    wanted = _mix(pair[late], dealt)
    place = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
    return (keys[place] == wanted).astype(float)


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
