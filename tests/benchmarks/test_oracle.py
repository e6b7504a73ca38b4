"""The Bayes filter of the Handbook's generator: what its rules make certain, likely and unknown."""

from __future__ import annotations

import numpy as np

from benchmarks._oracle import oracle_scores
from tests.graphml.cases import graph_of, labels

DAY = 86_400_000_000
CARDS, TERMINALS = 400, 400


def scores(rows: list[tuple[int, int, int, float, bool]]) -> np.ndarray:
    """Of transactions (day, card, terminal, amount, fraud) in time order, after one of every card and terminal, so that
    a draw of two terminals a day is a rare thing."""
    filler = [(0, card, card, 20.0, False) for card in range(CARDS)]
    every = filler + rows
    times = [day * DAY + number for number, (day, *_) in enumerate(every)]
    known = labels(*((at, times[at] + 7 * DAY, row[4]) for at, row in enumerate(every)))
    parties = [[card, CARDS + terminal] for _, card, terminal, _, _ in every]
    graph = graph_of(parties, times, known=known, num_entities=CARDS + TERMINALS)
    return oracle_scores(graph, np.asarray([row[3] for row in every]))[len(filler) :]


def test_a_large_amount_is_certain() -> None:
    assert scores([(30, 0, 0, 221.0, True)]).tolist() == [1.0]


def test_a_terminal_is_believed_from_its_first_known_fraud_to_the_end_of_its_window() -> None:
    found = scores([(30, 0, 9, 20.0, True), (36, 1, 9, 20.0, True), (38, 2, 9, 20.0, True), (80, 3, 9, 20.0, False)])
    base = found[0]
    assert base < 0.2
    assert abs(found[1] - base) < 0.05  # the first fraud is known on day 37
    assert found[2] > 0.6
    assert found[3] < found[2] / 2  # a window is 28 days


def test_a_known_honest_transaction_clears_the_terminal() -> None:
    found = scores([(30, 0, 9, 20.0, True), (31, 1, 9, 20.0, False), (39, 2, 9, 20.0, False)])
    assert found[2] < 0.1


def test_five_times_the_usual_amount_is_suspicious_and_the_usual_one_is_not() -> None:
    usual = [(day, 0, day, 20.0 + day % 3, False) for day in range(10, 40)]
    found = scores([*usual, (40, 0, 50, 105.0, True), (41, 0, 51, 21.0, False)])
    assert found[-2] > 0.9
    assert found[-1] < 0.3
