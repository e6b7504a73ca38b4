"""Motif kernels: money that comes back (cycles of 2 to 4 transfers) and that gathers after it was scattered.

A *list* is what one transaction brings along for the second round: the `LIST` newest different other ends of a party,
as (2 LIST,) int64: their ids, then the times of their newest transfer; -1 where there are fewer. The source's list
holds who paid it, the target's whom it paid. A motif counts only transfers in (t - width, t] whose times do not
decrease along the money's way, so it can be read as money that moved. Hubs are cut at the `NEWEST` transfers.
"""

from __future__ import annotations

import numpy as np

from ingestion.compiled import jit
from ingestion.features.kernels import PAST_ROW, SCORED_ROW, Floats, Ints, first_after

LIST = 8
NEWEST = 64
NOBODY = -1

CYCLE_2, CYCLE_3, CYCLE_4, SCATTER_GATHER = 0, 1, 2, 3


@jit
def newest_others(times: Ints, others: Ints, size: int, time: int, found: Ints) -> None:
    """Fill a list (2 LIST,) from a history of `size` transfers, up to `time`."""
    found[:] = NOBODY
    high, num = first_after(times, size, time), 0
    for place in range(high - 1, max(high - NEWEST, 0) - 1, -1):
        known = False
        for index in range(num):
            known = known or found[index] == others[place]
        if not known:
            found[num], found[LIST + num] = others[place], times[place]
            num += 1
            if num == LIST:
                return


@jit
def add_transfer(times: Ints, others: Ints, lists: Ints, size: int, time: int, other: int, brought: Ints) -> None:
    """Put a transfer with its list into a history of `size` with room for one more; `lists` (n, L)."""
    at = size
    while at > 0 and times[at - 1] > time:
        times[at], others[at] = times[at - 1], others[at - 1]
        for index in range(lists.shape[1]):
            lists[at, index] = lists[at - 1, index]
        at -= 1
    times[at], others[at] = time, other
    for index in range(lists.shape[1]):
        lists[at, index] = brought[index]


@jit
def add_transfers(times: Ints, others: Ints, lists: Ints, time: Ints, other: Ints, brought: Ints) -> None:
    """Put transfers (M,), in the order of arrival, into an empty history with room for them."""
    for row in range(time.shape[0]):
        add_transfer(times, others, lists, row, time[row], other[row], brought[row])


@jit
def _moved(leads_to: Ints, who: int, after: int, until: int) -> bool:
    """Whether the list names `who` with a time in (after, until]."""
    for index in range(LIST):
        if leads_to[index] == who:
            return after < leads_to[LIST + index] <= until
    return False


@jit
def cycles(
    times: Ints,
    others: Ints,
    lists: Ints,
    size: int,
    time: int,
    width: int,
    source: int,
    target: int,
    leads_to: Ints,
    length: int,
) -> int:
    """Ways of the money back to its source S, closed by S -> target at `time`, in (time - width, time].

    The history is what S received, each transfer with the list of who had paid its sender; `leads_to` is the list of
    whom the target had paid. length 2: target -> S; 3: target -> X -> S; 4: target -> Y -> X -> S.
    """
    high, after, count = first_after(times, size, time), time - width, 0
    for place in range(high - 1, max(high - NEWEST, 0) - 1, -1):
        if times[place] <= after:
            break
        between = others[place]
        if between == source or target == source:
            continue
        if length == CYCLE_2:
            count += between == target
        elif between == target:
            continue
        elif length == CYCLE_3:
            count += _moved(leads_to, between, after, times[place])
        else:
            for index in range(LIST):
                first, when = lists[place, index], lists[place, LIST + index]
                apart = first != NOBODY and first != source and first != target and first != between
                if apart and after < when <= times[place]:
                    count += _moved(leads_to, first, after, when)
    return count


@jit
def gathered(
    times: Ints,
    others: Ints,
    lists: Ints,
    size: int,
    time: int,
    width: int,
    target: int,
    sender: int,
    origins: Ints,
) -> int:
    """Other senders to this target in (time - width, time] with whom `sender` shares an origin: who paid both.

    The history is what the target received, each with the list of who had paid its sender; `origins` is that of
    `sender`. Different senders count once.
    """
    high, after, num = first_after(times, size, time), time - width, 0
    counted = np.empty(NEWEST, np.int64)
    for place in range(high - 1, max(high - NEWEST, 0) - 1, -1):
        if times[place] <= after:
            break
        known = others[place] == sender or others[place] == target
        for index in range(num):
            known = known or counted[index] == others[place]
        if known:
            continue
        for index in range(LIST):
            origin, when = origins[index], origins[LIST + index]
            apart = origin != NOBODY and origin != sender and origin != target and origin != others[place]
            if apart and when > after and _moved(lists[place], origin, after, time):
                counted[num] = others[place]
                num += 1
                break
    return num


@jit
def motif_values(
    statistic: Ints,
    width: Ints,
    column: Ints,
    times: Ints,
    others: Ints,
    lists: Ints,
    size: int,
    time: int,
    party: int,
    other: int,
    brought: Ints,
    out: Floats,
) -> None:
    """Columns (F,) of one scored transfer of `party`; `statistic`, `width` and `column` (F,)."""
    for item in range(column.shape[0]):
        if statistic[item] == SCATTER_GATHER:
            count = gathered(times, others, lists, size, time, width[item], party, other, brought)
        else:
            count = cycles(times, others, lists, size, time, width[item], party, other, brought, statistic[item])
        out[column[item]] = count


@jit
def replay_lists(starts: Ints, rank: Ints, time: Ints, other: Ints, found: Ints) -> None:
    """Lists of scored rows, `found` (M, 2 LIST); rows as in `kernels.replay`."""
    longest = 0
    for group in range(starts.shape[0] - 1):
        longest = max(longest, starts[group + 1] - starts[group])
    times, others, none = np.empty(longest, np.int64), np.empty(longest, np.int64), np.empty((longest, 0), np.int64)
    nothing = np.empty(0, np.int64)
    for group in range(starts.shape[0] - 1):
        size = 0
        for row in range(starts[group], starts[group + 1]):
            if rank[row] == SCORED_ROW:
                newest_others(times, others, size, time[row], found[row])
            elif rank[row] == PAST_ROW:
                add_transfer(times, others, none, size, time[row], other[row], nothing)
                size += 1


@jit
def replay_motifs(
    statistic: Ints,
    width: Ints,
    column: Ints,
    starts: Ints,
    party: Ints,
    rank: Ints,
    time: Ints,
    other: Ints,
    brought: Ints,
    out: Floats,
) -> None:
    """Motif columns of scored rows, `out` (M, F); `party` (M,), `brought` (M, 2 LIST) is each row's list."""
    longest = 0
    for group in range(starts.shape[0] - 1):
        longest = max(longest, starts[group + 1] - starts[group])
    times, others = np.empty(longest, np.int64), np.empty(longest, np.int64)
    lists = np.empty((longest, 2 * LIST), np.int64)
    for group in range(starts.shape[0] - 1):
        size = 0
        for row in range(starts[group], starts[group + 1]):
            if rank[row] == SCORED_ROW:
                motif_values(
                    statistic,
                    width,
                    column,
                    times,
                    others,
                    lists,
                    size,
                    time[row],
                    party[row],
                    other[row],
                    brought[row],
                    out[row],
                )
            elif rank[row] == PAST_ROW:
                add_transfer(times, others, lists, size, time[row], other[row], brought[row])
                size += 1
