"""What the Handbook's generator leaves to be known: the Bayes filter that knows its rules, but not its seeds.

For analysis only, never for features or settings. The rules, by the simulator's chapter of the book:
amounts of a customer are normal with mean μ ~ U(5, 100) and deviation μ / 2 (a negative one is drawn anew from
U(0, 2μ)); an amount above 220 is fraud; each day two terminals are drawn, whose transactions of the next 28 days are
all fraud; each day three customers are drawn, a third of whose transactions in the next 14 days are fraud, with the
amount times 5. Labels are known 7 days later.

A party's state is the number of days since it was last drawn. A card's belief is over (days, μ), by amounts up to the
transaction and labels known by then; a terminal's over days, by known labels. The two sides tell each other how else a
known fraud is explained, in `ROUNDS` rounds (loopy belief propagation; the first takes the terminals' base rate).

Legend: N transactions in time order, V parties, G means on a grid, W days of a window.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from graphml.graph import Ints, TransactionGraph
from ingestion.compiled import jit

MICROSECONDS_PER_DAY = 86_400_000_000
LABEL_DELAY_DAYS = 7
SURE_AMOUNT = 220.0
TERMINAL_DAYS, TERMINALS_A_DAY = 28, 2
CARD_DAYS, CARDS_A_DAY = 14, 3
FRAUD_SHARE, FRAUD_FACTOR = 1.0 / 3.0, 5.0
ROUNDS = 2
NUM_MEANS = 64
#: Share of a normal's mass below zero, two deviations from the mean.
REDRAWN = 0.02275013194817921

Doubles = NDArray[np.float64]


def oracle_scores(graph: TransactionGraph, amount: Doubles) -> Doubles:
    """Chance of fraud (N,) of every transaction as of its own time.

    `amount` (N,) in units of the table. The graph's roles are card and terminal, its labels those of the table.
    """
    is_fraud = graph.label_state[graph.label_starts] == 1
    day, time = graph.event_time // MICROSECONDS_PER_DAY, graph.event_time
    means = np.geomspace(5.0, 100.0, NUM_MEANS)
    prior = means / means.sum()  # uniform over μ, on a grid that is even in log μ
    cards, terminals = (np.ascontiguousarray(graph.entity[:, role]) for role in (0, 1))
    bounds = [_members(party) for party in (cards, terminals)]
    drawn = [number / len(rows[1]) for number, rows in zip((CARDS_A_DAY, TERMINALS_A_DAY), bounds, strict=True)]
    by_terminal = np.full(len(graph), drawn[1] * TERMINAL_DAYS)
    for _ in range(ROUNDS):
        by_card = card_beliefs(*bounds[0], time, day, amount, is_fraud, by_terminal, means, prior, drawn[0])
        elsewise = np.where(amount > SURE_AMOUNT, 1.0, by_card)
        by_terminal = terminal_beliefs(*bounds[1], time, day, is_fraud, elsewise, drawn[1])
    return np.where(amount > SURE_AMOUNT, 1.0, 1.0 - (1.0 - by_card) * (1.0 - by_terminal))


def _members(party: Ints) -> tuple[Ints, Ints, Ints]:
    """Transactions (N,) grouped by party, in time order each; starts and stops (V,) of the groups."""
    order = np.argsort(party, kind="stable")
    bounds = np.flatnonzero(np.append(True, np.diff(party[order]) != 0))
    return order, bounds, np.append(bounds[1:], len(party))


@jit
def advanced(belief_WG: Doubles, days: int, drawn: float) -> Doubles:
    """The belief `days` later: a party is drawn with chance `drawn` a day; the last state is "not within a window"."""
    last = belief_WG.shape[0] - 1
    for _ in range(min(days, 200)):
        for mean in range(belief_WG.shape[1]):
            total = belief_WG[:, mean].sum()
            belief_WG[last, mean] = (belief_WG[last, mean] + belief_WG[last - 1, mean]) * (1.0 - drawn)
            for state in range(last - 1, 0, -1):
                belief_WG[state, mean] = belief_WG[state - 1, mean] * (1.0 - drawn)
            belief_WG[0, mean] = total * drawn
    return belief_WG


@jit
def amount_density(amount: float, mean: float) -> float:
    """Density of an honest amount of a customer with this mean."""
    deviation = mean / 2.0
    distance = (amount - mean) / deviation
    density = np.exp(-0.5 * distance * distance) / (deviation * 2.5066282746310002)
    if amount <= 2.0 * mean:
        density += REDRAWN / (2.0 * mean)
    return density + 1e-30


@jit
def observe_amount(belief_WG: Doubles, honest_G: Doubles, raised_G: Doubles, weights: tuple[float, float]) -> float:
    """Multiply the belief by the likelihood of an amount and, by `weights`, of what is known of its label.

    `weights`: the label's chance if the amount was raised, and if it was not. Returns the chance beforehand that it
    was raised, of the transaction's own amount.
    """
    raised, kept = weights
    last = belief_WG.shape[0] - 1
    total, of_raised = 0.0, 0.0
    for state in range(last + 1):
        share = FRAUD_SHARE if state < last else 0.0
        for mean in range(belief_WG.shape[1]):
            by_raised = belief_WG[state, mean] * share * raised_G[mean]
            by_kept = belief_WG[state, mean] * (1.0 - share) * honest_G[mean]
            of_raised += by_raised
            total += by_raised + by_kept
            belief_WG[state, mean] = by_raised * raised + by_kept * kept
    belief_WG /= belief_WG.sum() + 1e-300
    return of_raised / total


@jit
def card_beliefs(
    order: Ints,
    starts: Ints,
    stops: Ints,
    time: Ints,
    day: Ints,
    amount: Doubles,
    is_fraud: NDArray[np.bool_],
    by_terminal: Doubles,
    means_G: Doubles,
    prior_G: Doubles,
    drawn: float,
) -> Doubles:
    """Chance (N,) that each transaction's amount was raised, by the card's past.

    `by_terminal` (N,): chance that the terminal makes it fraud anyhow.
    """
    result = np.zeros(len(order))
    num_means = len(means_G)
    for party in range(len(starts)):
        rows = order[starts[party] : stops[party]]
        honest = np.empty((len(rows), num_means))
        raised = np.empty((len(rows), num_means))
        for index in range(len(rows)):
            for mean in range(num_means):
                honest[index, mean] = amount_density(amount[rows[index]], means_G[mean])
                raised[index, mean] = amount_density(amount[rows[index]] / FRAUD_FACTOR, means_G[mean]) / FRAUD_FACTOR
        known = np.zeros((CARD_DAYS + 1, num_means))
        known[CARD_DAYS] = prior_G
        known_day, judged = day[rows[0]] - 1, 0  # drawing begins with the table
        for index in range(len(rows)):
            row = rows[index]
            while time[rows[judged]] <= time[row] - LABEL_DELAY_DAYS * MICROSECONDS_PER_DAY:
                old = rows[judged]
                advanced(known, day[old] - known_day, drawn)
                known_day = day[old]
                otherwise = 1.0 if amount[old] > SURE_AMOUNT else by_terminal[old]
                weights = (1.0, otherwise) if is_fraud[old] else (0.0, 1.0 - otherwise + 1e-12)
                observe_amount(known, honest[judged], raised[judged], weights)
                judged += 1
            belief = known.copy()
            belief_day = known_day
            for recent in range(judged, index + 1):
                advanced(belief, day[rows[recent]] - belief_day, drawn)
                belief_day = day[rows[recent]]
                result[row] = observe_amount(belief, honest[recent], raised[recent], (1.0, 1.0))
    return result


@jit
def terminal_beliefs(
    order: Ints,
    starts: Ints,
    stops: Ints,
    time: Ints,
    day: Ints,
    is_fraud: NDArray[np.bool_],
    elsewise: Doubles,
    drawn: float,
) -> Doubles:
    """Chance (N,) that each transaction's terminal is in a window, by its known labels.

    `elsewise` (N,): chance that the transaction is fraud whatever its terminal.
    """
    result = np.zeros(len(order))
    for party in range(len(starts)):
        rows = order[starts[party] : stops[party]]
        known = np.zeros((TERMINAL_DAYS + 1, 1))
        known[TERMINAL_DAYS] = 1.0
        known_day, judged = day[rows[0]] - 1, 0
        for index in range(len(rows)):
            row = rows[index]
            while time[rows[judged]] <= time[row] - LABEL_DELAY_DAYS * MICROSECONDS_PER_DAY:
                old = rows[judged]
                advanced(known, day[old] - known_day, drawn)
                known_day = day[old]
                if is_fraud[old]:
                    known[TERMINAL_DAYS] *= max(elsewise[old], 1e-9)
                else:
                    known[:TERMINAL_DAYS] = 0.0
                    known[TERMINAL_DAYS] = 1.0
                known /= known.sum()
                judged += 1
            belief = advanced(known.copy(), day[row] - known_day, drawn)
            result[row] = belief[:TERMINAL_DAYS].sum()
    return result
