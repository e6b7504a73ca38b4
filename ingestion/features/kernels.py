"""Window kernels on plain integer arrays. All sums are int64, so no order of additions changes a result.

A *history* is the past of one party: `times` (capacity,) int64 sorted ascending, and `totals` (capacity + 1,)
int64 running sums, so `totals[j] - totals[i]` is the sum of values i … j-1. Events are observed in the order
of the sequence, but windows are cut by event time: a late event is inserted at its own time and its window
ends at its own time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ingestion.compiled import jit

Ints = NDArray[np.int64]

LABEL_ROW = 0
TRANSACTION_ROW = 1


@jit
def first_after(times: Ints, size: int, time: int) -> int:
    """Number of the first `size` times that are <= `time` (bisect right)."""
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        if times[middle] <= time:
            low = middle + 1
        else:
            high = middle
    return low


@jit
def insert(times: Ints, totals: Ints, size: int, time: int, value: int) -> None:
    """Put one event into a history with `size` events and room for one more; equal times keep arrival order."""
    at = size
    while at > 0 and times[at - 1] > time:
        times[at] = times[at - 1]
        totals[at + 1] = totals[at] + value
        at -= 1
    times[at] = time
    totals[at + 1] = totals[at] + value


@jit
def window(times: Ints, totals: Ints, size: int, time: int, widths: Ints, counts: Ints, sums: Ints) -> None:
    """Fill `counts` and `sums` (W,) with the events in (time - width, time] for each of `widths` (µs)."""
    high = first_after(times, size, time)
    for index in range(widths.shape[0]):
        low = first_after(times, size, time - widths[index])
        counts[index] = high - low
        sums[index] = totals[high] - totals[low]


@jit
def observe(
    times: Ints,
    totals: Ints,
    size: int,
    time: int,
    value: int,
    counts_self: bool,
    widths: Ints,
    counts: Ints,
    sums: Ints,
) -> None:
    """Windows of one event and its insertion: the step that batch and online share.

    With `counts_self` the scored event is in its own windows, as in the Handbook's customer windows.
    """
    if counts_self:
        insert(times, totals, size, time, value)
        window(times, totals, size + 1, time, widths, counts, sums)
    else:
        window(times, totals, size, time, widths, counts, sums)
        insert(times, totals, size, time, value)


@jit
def replay(
    starts: Ints,
    rank: Ints,
    time: Ints,
    value: Ints,
    currency: Ints,
    counts_self: bool,
    widths: Ints,
    label_widths: Ints,
    counts: Ints,
    amount_counts: Ints,
    amount_sums: Ints,
    label_counts: Ints,
    fraud_counts: Ints,
) -> None:
    """Replay the histories of many parties.

    Args:
        starts: (G + 1,) bounds of each party's rows; rows of a party lie in the order of the sequence.
        rank: (M,) LABEL_ROW or TRANSACTION_ROW.
        time: (M,) event time of a transaction, `known_at` of a label, µs.
        value: (M,) amount in minor units, or 1 for a fraud label and 0 for a legitimate one.
        currency: (M,) codes 0 … C-1 of a transaction's currency; amounts are summed within one currency.
        counts: (M, W) filled for transactions; `amount_counts`, `amount_sums` likewise within the currency.
        label_counts: (M, V) labels of the party in (t - width, t]; `fraud_counts` those that say fraud.
    """
    longest = 0
    for group in range(starts.shape[0] - 1):
        longest = max(longest, starts[group + 1] - starts[group])
    currencies = 1
    for row in range(currency.shape[0]):
        currencies = max(currencies, currency[row] + 1)
    all_times = np.empty(longest, np.int64)
    all_totals = np.zeros(longest + 1, np.int64)
    label_times = np.empty(longest, np.int64)
    label_totals = np.zeros(longest + 1, np.int64)
    money_times = np.empty(longest, np.int64)
    money_totals = np.zeros(longest + 1, np.int64)
    present = np.zeros(currencies, np.int64)
    unused = np.empty(max(widths.shape[0], 1), np.int64)
    for group in range(starts.shape[0] - 1):
        begin, end = starts[group], starts[group + 1]
        size, label_size = 0, 0
        present[:] = 0
        for row in range(begin, end):
            if rank[row] == 0:
                insert(label_times, label_totals, label_size, time[row], value[row])
                label_size += 1
            else:
                present[currency[row]] += 1
                observe(all_times, all_totals, size, time[row], 0, counts_self, widths, counts[row], unused)
                size += 1
                window(
                    label_times, label_totals, label_size, time[row], label_widths, label_counts[row], fraud_counts[row]
                )
        for code in range(currencies):
            if present[code] == 0:
                continue
            size = 0
            for row in range(begin, end):
                if rank[row] == 1 and currency[row] == code:
                    observe(
                        money_times,
                        money_totals,
                        size,
                        time[row],
                        value[row],
                        counts_self,
                        widths,
                        amount_counts[row],
                        amount_sums[row],
                    )
                    size += 1
