"""Kernels of the feature families on plain arrays: the one definition that batch and online share.

A *history* is the past of one party in one stream (a role, or a pair), its events sorted by event time, equal times in
the order of arrival. Events are observed in the order of the sequence, but windows are cut by event time: a late
event is inserted at its own time and its windows (t - width, t] end at its own time. Counts and sums are int64, so no
order of additions changes them; squares and carried values are float64 running sums in the order of the history, which
is the same in batch and online.

What needs the events themselves (distinct, max, median) looks at the `DEPTH` newest of the window, so that a hub costs
no more than anyone else.

Legend: W windows, V label windows, H half-lives, F columns, C carried values, M rows, G parties.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ingestion.compiled import jit

Ints = NDArray[np.int64]
Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]

LABEL_ROW = 0  # a label of one of the party's transactions
TRANSACTION_ROW = 1  # scored, then part of the history
PAST_ROW = 2  # part of the history alone
SCORED_ROW = 3  # scored alone

DEPTH = 128
#: "Unusual": this many standard deviations above the mean of at least `USUAL_COUNT` earlier amounts.
UNUSUAL_DEVIATIONS = 3.0
USUAL_COUNT = 5
MEDIAN_DEPTH = 32
MARKS = 6
DAY = 86_400_000_000.0

ACTIVITY = (
    "count",
    "declined_count",
    "distinct",
    "count_ratio",
    "gap_last",
    "age",
    "history_count",
    "is_new",
    "near",
)
MONEY = (
    "amount_sum",
    "amount_mean",
    "amount_max",
    "amount_std",
    "amount_share",
    "amount_ratio",
    "unusual_share",
    "amount_to_mean",
    "amount_to_median",
    "amount_to_max",
    "amount_z",
    "is_unusual",
)
LABELS = (
    "label_count",
    "fraud_count",
    "fraud_rate",
    "unexplained_count",
    "unexplained_rate",
    "label_total",
    "fraud_total",
    "fraud_rate_total",
    "unexplained_total",
    "last_fraud_age",
    "first_fraud_age",
    "last_unexplained_age",
    "fraud_streak",
    "legitimate_streak",
    "label_decayed",
    "fraud_decayed",
    "unexplained_decayed",
)


class Section(NamedTuple):
    """Columns of one kind, all (F,): index of the statistic, of its window, half-life or carried value, and column."""

    statistic: Ints
    at: Ints
    column: Ints


class Plan(NamedTuple):
    """What one stream computes. `counts_self`: 1 when the scored event is in its own windows; `wants_ratio`: 1
    when counts are put against those of the longest window; `wants_past` and `wants_median`: 1 when an amount is put
    against those before it, and against their median. Columns of one window come together."""

    widths: Ints
    label_widths: Ints
    half_lives: Doubles
    num_carried: int
    counts_self: int
    wants_ratio: int
    wants_past: int
    wants_median: int
    activity: Section
    money: Section
    labels: Section


#: Arrays and numbers of a plan, one by one.
FlatPlan = tuple[Any, ...]


def flat(plan: Plan) -> FlatPlan:
    """The plan as `step_party` takes it."""
    return (*plan[:8], *plan.activity, *plan.money, *plan.labels)


class Activity(NamedTuple):
    """Events of a party: times, other ends and carried values (n, C); running sums have one row more."""

    times: Ints
    others: Ints
    declined: Ints
    carried: Doubles
    carried_sums: Doubles


class Money(NamedTuple):
    """Amounts of a party in one currency, minor units; running sums of amounts, squares and unusual ones."""

    times: Ints
    amounts: Ints
    unusual: Ints
    sums: Ints
    squares: Doubles
    num_unusual: Ints


class Labels(NamedTuple):
    """Labels of a party in the order of their `known_at`, with running counts, and (6 + 3 H,) marks: time of the
    first fraud, the last, the last unexplained one, streaks of frauds and of legitimate ones, time of the last
    legitimate one, then decayed sums of labels, frauds and unexplained frauds as of the last label. Labels of one time
    may come in any order."""

    times: Ints
    frauds: Ints
    unexplained: Ints
    marks: Doubles


@jit
def first_after(times: Ints, size: int, time: int) -> int:
    """Number of the first `size` times that are <= `time` (bisect right)."""
    if size == 0 or times[size - 1] <= time:
        return size
    low, high = 0, size - 1
    while low < high:
        middle = (low + high) // 2
        if times[middle] <= time:
            low = middle + 1
        else:
            high = middle
    return low


@jit
def add_activity(history: Activity, size: int, time: int, other: int, declined: int, carried: Doubles) -> None:
    """Put one event into a history of `size` events with room for one more."""
    times, others, sums = history.times, history.others, history.declined
    at = size
    while at > 0 and times[at - 1] > time:
        times[at], others[at] = times[at - 1], others[at - 1]
        sums[at + 1] = sums[at] + declined
        at -= 1
    times[at], others[at] = time, other
    sums[at + 1] = sums[at] + declined
    for index in range(carried.shape[0]):
        values, totals = history.carried[:, index], history.carried_sums[:, index]
        for place in range(size, at, -1):
            values[place] = values[place - 1]
        values[at] = carried[index]
        for place in range(at, size + 1):
            totals[place + 1] = totals[place] + values[place]


@jit
def add_money(history: Money, size: int, time: int, amount: int, unusual: int) -> None:
    """Put one amount into a history of `size` amounts with room for one more."""
    times, amounts, flags = history.times, history.amounts, history.unusual
    at = size
    while at > 0 and times[at - 1] > time:
        times[at], amounts[at], flags[at] = times[at - 1], amounts[at - 1], flags[at - 1]
        at -= 1
    times[at], amounts[at], flags[at] = time, amount, unusual
    for place in range(at, size + 1):
        value = amounts[place]
        history.sums[place + 1] = history.sums[place] + value
        history.squares[place + 1] = history.squares[place] + float(value) * float(value)
        history.num_unusual[place + 1] = history.num_unusual[place] + flags[place]


@jit
def add_label(history: Labels, size: int, time: int, fraud: int, unexplained: int, half_lives: Doubles) -> None:
    """Put one label behind a history of `size` labels: labels come in the order of their `known_at`."""
    marks, num = history.marks, half_lives.shape[0]
    for index in range(num):
        factor = 1.0 if size == 0 else _decay(time - history.times[size - 1], half_lives[index])
        for kind, value in enumerate((1, fraud, unexplained)):
            place = MARKS + kind * num + index
            marks[place] = marks[place] * factor + value
    frauds = history.frauds[size]
    history.times[size] = time
    history.frauds[size + 1] = history.frauds[size] + fraud
    history.unexplained[size + 1] = history.unexplained[size] + unexplained
    if fraud:
        if frauds == 0:
            marks[0] = time
        if size == frauds or marks[5] < time:
            marks[3] += 1
        marks[1], marks[4] = time, 0.0
    else:
        if frauds == 0 or marks[1] < time:
            marks[4] += 1
        marks[5], marks[3] = time, 0.0
    if unexplained:
        marks[2] = time


@jit
def _decay(passed: int, half_life: float) -> float:
    return math.exp(-math.log(2.0) * passed / half_life)


@jit
def activity_values(plan: Plan, history: Activity, size: int, before: int, time: int, seen: Ints, out: Floats) -> None:
    """Columns of a scored event. `size` events are in the history (the event itself with `counts_self`), `before`
    of those up to its time were there before it; `seen` (2 x DEPTH,) is scratch."""
    times = history.times
    high = first_after(times, size, time)
    longest = 0
    for index in range(plan.widths.shape[0]):
        longest = max(longest, plan.widths[index])
    in_longest = high - first_after(times, size, time - longest) if plan.wants_ratio else 0
    section, cut, low = plan.activity, -1, 0
    for item in range(section.column.shape[0]):
        statistic, at = section.statistic[item], section.at[item]
        value = np.nan
        if statistic <= 3 or statistic == 8:
            window = at % max(plan.widths.shape[0], 1)
            if window != cut:
                cut, low = window, first_after(times, size, time - plan.widths[window])
            count = high - low
            if statistic == 0:
                value = float(count)
            elif statistic == 1:
                value = float(history.declined[high] - history.declined[low])
            elif statistic == 2:
                value = float(_distinct(history.others, max(low, high - DEPTH), high, seen))
            elif statistic == 3:
                usual = in_longest * (plan.widths[window] / longest)
                value = count / usual if usual > 0 else 0.0
            else:
                carried = history.carried_sums[:, at // plan.widths.shape[0]]
                value = (carried[high] - carried[low]) / count if count > 0 else 0.0
        elif statistic == 4:
            value = (time - times[before - 1]) / DAY if before > 0 else np.nan
        elif statistic == 5:
            value = (time - times[0]) / DAY if before > 0 else np.nan
        elif statistic == 6:
            value = float(before)
        elif statistic == 7:
            value = 1.0 if before == 0 else 0.0
        out[section.column[item]] = value


@jit
def _distinct(others: Ints, low: int, high: int, seen: Ints) -> int:
    """Number of different values of others[low:high], at most DEPTH of them, by open addressing in `seen`."""
    seen[:] = -1
    count, mask = 0, seen.shape[0] - 1
    for place in range(low, high):
        value = others[place]
        slot = (value * 0x9E3779B1) & mask
        while seen[slot] != -1 and seen[slot] != value:
            slot = (slot + 1) & mask
        if seen[slot] == -1:
            seen[slot] = value
            count += 1
    return count


@jit
def unusual_amount(history: Money, size: int, time: int, amount: int) -> int:
    """1 when the amount is unusual for those of the history up to its time."""
    high = first_after(history.times, size, time)
    if high < USUAL_COUNT:
        return 0
    mean, deviation = _moments(history, 0, high)
    return 1 if amount > mean + UNUSUAL_DEVIATIONS * deviation and amount > mean else 0


@jit
def _moments(history: Money, low: int, high: int) -> tuple[float, float]:
    """Mean and standard deviation (of the population) of amounts low … high - 1, minor units."""
    count = high - low
    mean = (history.sums[high] - history.sums[low]) / count
    variance = (history.squares[high] - history.squares[low]) / count - mean * mean
    return mean, math.sqrt(variance) if variance > 0.0 else 0.0


@jit
def money_values(
    plan: Plan,
    history: Money,
    size: int,
    past: Doubles,
    time: int,
    amount: int,
    scale: float,
    out: Floats,
) -> None:
    """Amount columns of a scored event, in major units (`scale` minor units each). `past` comes of `past_amounts`."""
    times, section = history.times, plan.money
    high = first_after(times, size, time)
    window, low = -1, 0
    for item in range(section.column.shape[0]):
        statistic, at = section.statistic[item], section.at[item]
        value = 0.0
        if statistic <= 6:
            if at != window:
                window, low = at, first_after(times, size, time - plan.widths[at])
            count = high - low
            if count > 0:
                total = history.sums[high] - history.sums[low]
                if statistic == 0:
                    value = total / scale
                elif statistic == 1:
                    value = total / count / scale
                elif statistic == 2:
                    value = _largest(history.amounts, max(low, high - DEPTH), high) / scale
                elif statistic == 3:
                    value = _moments(history, low, high)[1] / scale
                elif statistic == 4:
                    value = amount / total if total > 0 else 0.0
                elif statistic == 5:
                    value = amount * count / total if total > 0 else 0.0
                else:
                    value = (history.num_unusual[high] - history.num_unusual[low]) / count
        else:
            value = past[statistic - 7]
        out[section.column[item]] = value


@jit
def past_amounts(history: Money, size: int, time: int, amount: int, wants_median: bool, past: Doubles) -> None:
    """Fill `past` (5,): the amount over the mean, the median (of the MEDIAN_DEPTH newest) and the maximum (of the
    DEPTH newest) of the amounts before it, its z-score, and whether it is unusual; NaN without a past."""
    high = first_after(history.times, size, time)
    past[:] = np.nan
    past[4] = unusual_amount(history, size, time, amount)
    if high == 0:
        return
    mean, deviation = _moments(history, 0, high)
    past[0] = amount / mean if mean > 0 else 0.0
    if wants_median:
        median = _median(history.amounts, max(0, high - MEDIAN_DEPTH), high)
        past[1] = amount / median if median > 0 else 0.0
    most = _largest(history.amounts, max(0, high - DEPTH), high)
    past[2] = amount / most if most > 0 else 0.0
    past[3] = (amount - mean) / deviation if deviation > 0 and high >= USUAL_COUNT else 0.0


@jit
def _largest(amounts: Ints, low: int, high: int) -> int:
    most = amounts[low]
    for place in range(low + 1, high):
        most = max(most, amounts[place])
    return most


@jit
def _median(amounts: Ints, low: int, high: int) -> float:
    """Lower and upper median's mean of amounts[low:high], by insertion sort: few of them."""
    ordered = np.empty(high - low, np.int64)
    for place in range(high - low):
        value = amounts[low + place]
        at = place
        while at > 0 and ordered[at - 1] > value:
            ordered[at] = ordered[at - 1]
            at -= 1
        ordered[at] = value
    num = high - low
    return (ordered[(num - 1) // 2] + ordered[num // 2]) / 2.0


@jit
def label_values(plan: Plan, history: Labels, size: int, time: int, out: Floats) -> None:
    """Label columns of a scored event: windows end at its event time, totals are of all labels known before it."""
    section, marks, num = plan.labels, history.marks, plan.half_lives.shape[0]
    high = first_after(history.times, size, time)
    for item in range(section.column.shape[0]):
        statistic, at = section.statistic[item], section.at[item]
        value = 0.0
        if statistic <= 4:
            low = first_after(history.times, size, time - plan.label_widths[at])
            count = high - low
            kind = history.frauds if statistic <= 2 else history.unexplained
            hits = kind[high] - kind[low]
            if statistic == 0:
                value = float(count)
            elif statistic == 1 or statistic == 3:
                value = float(hits)
            else:
                value = hits / count if count > 0 else 0.0
        elif statistic == 5:
            value = float(size)
        elif statistic == 6:
            value = float(history.frauds[size])
        elif statistic == 7:
            value = history.frauds[size] / size if size > 0 else 0.0
        elif statistic == 8:
            value = float(history.unexplained[size])
        elif statistic == 9 or statistic == 10:
            value = max(time - marks[10 - statistic], 0.0) / DAY if history.frauds[size] > 0 else np.nan
        elif statistic == 11:
            value = max(time - marks[2], 0.0) / DAY if history.unexplained[size] > 0 else np.nan
        elif statistic == 12 or statistic == 13:
            value = marks[statistic - 9]
        elif size > 0:
            passed = max(time - history.times[size - 1], 0)
            value = marks[MARKS + (statistic - 14) * num + at] * _decay(passed, plan.half_lives[at])
        out[section.column[item]] = value


@jit
def new_activity(room: int, num_carried: int) -> Activity:
    """A history without events, with room for some."""
    return Activity(
        np.empty(room, np.int64),
        np.empty(room, np.int64),
        np.zeros(room + 1, np.int64),
        np.zeros((room, num_carried)),
        np.zeros((room + 1, num_carried)),
    )


@jit
def new_money(room: int) -> Money:
    """Amounts of nobody yet, with room for some."""
    return Money(
        np.empty(room, np.int64),
        np.empty(room, np.int64),
        np.empty(room, np.int64),
        np.zeros(room + 1, np.int64),
        np.zeros(room + 1),
        np.zeros(room + 1, np.int64),
    )


@jit
def new_labels(room: int, num_half_lives: int) -> Labels:
    """No labels yet, with room for some."""
    return Labels(
        np.empty(room, np.int64),
        np.zeros(room + 1, np.int64),
        np.zeros(room + 1, np.int64),
        np.zeros(MARKS + 3 * num_half_lives),
    )


@jit
def replay(
    plan: Plan,
    starts: Ints,
    rank: Ints,
    time: Ints,
    amount: Ints,
    currency: Ints,
    scale: Doubles,
    other: Ints,
    flag: Ints,
    carried: Doubles,
    out: Floats,
) -> None:
    """Replay the histories of many parties.

    Args:
        starts: (G + 1,) bounds of each party's rows; rows of a party lie in the order of the sequence.
        rank: (M,) LABEL_ROW, TRANSACTION_ROW, PAST_ROW or SCORED_ROW.
        time: (M,) event time of a transaction, `known_at` of a label, µs.
        amount: (M,) minor units; 1 for a fraud label and 0 for a legitimate one.
        currency: (M,) codes 0 … ; amounts are compared within one currency. `scale` (codes,) minor units a major.
        other: (M,) entity id of the other end.
        flag: (M,) 1 for a declined transaction, or for the label of a transaction whose amount was unusual.
        carried: (M, C) values that a transaction brings along.
        out: (M, F) filled for scored rows.
    """
    longest, currencies = 0, 1
    for group in range(starts.shape[0] - 1):
        longest = max(longest, starts[group + 1] - starts[group])
    for row in range(currency.shape[0]):
        currencies = max(currencies, currency[row] + 1)
    activity, money = new_activity(longest, plan.num_carried), new_money(longest)
    labels = new_labels(longest, plan.half_lives.shape[0])
    present = np.zeros(currencies, np.int64)
    for group in range(starts.shape[0] - 1):
        begin, end = starts[group], starts[group + 1]
        labels.marks[:] = 0.0
        replay_party(plan, begin, end, rank, time, amount, other, flag, carried, activity, labels, out)
        if plan.money.column.shape[0] > 0:
            present[:] = 0
            for row in range(begin, end):
                if rank[row] != LABEL_ROW:
                    present[currency[row]] += 1
            for code in range(currencies):
                if present[code] > 0:
                    replay_money(plan, begin, end, rank, time, amount, currency, code, scale[code], money, out)


@jit
def replay_party(
    plan: Plan,
    begin: int,
    end: int,
    rank: Ints,
    time: Ints,
    amount: Ints,
    other: Ints,
    flag: Ints,
    carried: Doubles,
    activity: Activity,
    labels: Labels,
    out: Floats,
) -> tuple[int, int]:
    """Replay one party's rows begin … end - 1 into empty histories; returns the sizes of both."""
    size, num_labels = 0, 0
    seen = np.empty(2 * DEPTH, np.int64)
    has_activity, has_labels = plan.activity.column.shape[0] > 0, plan.labels.column.shape[0] > 0
    for row in range(begin, end):
        if rank[row] == LABEL_ROW:
            unexplained = amount[row] * (1 - flag[row])
            add_label(labels, num_labels, time[row], amount[row], unexplained, plan.half_lives)
            num_labels += 1
            continue
        if has_activity:
            size = step_activity(
                plan, activity, size, rank[row], time[row], other[row], flag[row], carried[row], seen, out[row]
            )
        if has_labels and rank[row] != PAST_ROW:
            label_values(plan, labels, num_labels, time[row], out[row])
    return size, num_labels


@jit
def replay_money(
    plan: Plan,
    begin: int,
    end: int,
    rank: Ints,
    time: Ints,
    amount: Ints,
    currency: Ints,
    code: int,
    scale: float,
    money: Money,
    out: Floats,
) -> int:
    """Replay one party's rows of one currency into an empty history; returns its size."""
    size = 0
    past = np.empty(5)
    for row in range(begin, end):
        if rank[row] != LABEL_ROW and currency[row] == code:
            size = step_money(plan, money, size, rank[row], time[row], amount[row], scale, past, out[row])
    return size


@jit
def step_activity(
    plan: Plan,
    history: Activity,
    size: int,
    rank: int,
    time: int,
    other: int,
    declined: int,
    carried: Doubles,
    seen: Ints,
    out: Floats,
) -> int:
    """One transaction row: its columns, and its insertion; returns the new size."""
    before = first_after(history.times, size, time)
    with_self = rank == TRANSACTION_ROW and plan.counts_self == 1
    if with_self or rank == PAST_ROW:
        add_activity(history, size, time, other, declined, carried)
        size += 1
    if rank != PAST_ROW:
        activity_values(plan, history, size, before, time, seen, out)
    if rank == TRANSACTION_ROW and not with_self:
        add_activity(history, size, time, other, declined, carried)
        size += 1
    return size


@jit
def step_money(
    plan: Plan,
    history: Money,
    size: int,
    rank: int,
    time: int,
    amount: int,
    scale: float,
    past: Doubles,
    out: Floats,
) -> int:
    """One transaction row within its currency: its columns, and its insertion; returns the new size."""
    if rank == PAST_ROW:
        add_money(history, size, time, amount, 0)
        return size + 1
    if plan.wants_past:
        past_amounts(history, size, time, amount, plan.wants_median == 1, past)
    else:
        past[4] = 0.0
    if rank == SCORED_ROW:
        money_values(plan, history, size, past, time, amount, scale, out)
        return size
    if plan.counts_self == 1:
        add_money(history, size, time, amount, int(past[4]))
        money_values(plan, history, size + 1, past, time, amount, scale, out)
    else:
        money_values(plan, history, size, past, time, amount, scale, out)
        add_money(history, size, time, amount, int(past[4]))
    return size + 1


@jit
def step_party(
    widths: Ints,
    label_widths: Ints,
    half_lives: Doubles,
    num_carried: int,
    counts_self: int,
    wants_ratio: int,
    wants_past: int,
    wants_median: int,
    activity_statistic: Ints,
    activity_at: Ints,
    activity_column: Ints,
    money_statistic: Ints,
    money_at: Ints,
    money_column: Ints,
    labels_statistic: Ints,
    labels_at: Ints,
    labels_column: Ints,
    times: Ints,
    others: Ints,
    declined_sums: Ints,
    carried_values: Doubles,
    carried_sums: Doubles,
    label_times: Ints,
    frauds: Ints,
    unexplained: Ints,
    marks: Doubles,
    money_times: Ints,
    amounts: Ints,
    unusual: Ints,
    sums: Ints,
    squares: Doubles,
    num_unusual: Ints,
    size: int,
    num_labels: int,
    num_money: int,
    rank: int,
    time: int,
    other: int,
    declined: int,
    carried: Doubles,
    amount: int,
    scale: float,
    seen: Ints,
    past: Doubles,
    out: Floats,
) -> tuple[int, int]:
    """One transaction row of one party in one stream, all of its columns; the new sizes of its two histories.

    A plan (`flat`), `Activity`, `Labels` and `Money` come array by array: from Python that takes a fifth of the time of
    three calls with tuples of them, which numba unpacks and types anew each time.
    """
    plan = Plan(
        widths,
        label_widths,
        half_lives,
        num_carried,
        counts_self,
        wants_ratio,
        wants_past,
        wants_median,
        Section(activity_statistic, activity_at, activity_column),
        Section(money_statistic, money_at, money_column),
        Section(labels_statistic, labels_at, labels_column),
    )
    if activity_column.shape[0] > 0:
        activity = Activity(times, others, declined_sums, carried_values, carried_sums)
        size = step_activity(plan, activity, size, rank, time, other, declined, carried, seen, out)
    if labels_column.shape[0] > 0 and rank != PAST_ROW:
        label_values(plan, Labels(label_times, frauds, unexplained, marks), num_labels, time, out)
    if money_column.shape[0] > 0:
        money = Money(money_times, amounts, unusual, sums, squares, num_unusual)
        num_money = step_money(plan, money, num_money, rank, time, amount, scale, past, out)
    return size, num_money
