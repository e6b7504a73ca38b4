"""Recall, money and precision by budget, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from graphml.alert_budgets import budget_table
from graphml.evaluation import Ranking
from graphml.ladder import OWN_MEANS, TestWindow, window_amounts
from ingestion.snapshot import TransactionArrays

FRAUD = np.asarray([True, False, True, False, False])
SCORE = np.asarray([5.0, 4.0, 3.0, 3.0, 1.0])
MONEY = np.asarray([10.0, 99.0, 30.0, 99.0, 99.0])


def window() -> TestWindow:
    nothing = np.zeros(5, bool)
    own = np.arange(5)
    return TestWindow(
        is_fraud=FRAUD, day=own * 0, party=own, parties=own[:, None], known_before=nothing, amount=MONEY, unit="EUR"
    )


def test_budgets_by_hand() -> None:
    one, three = budget_table(window(), SCORE, budgets=(0.2, 0.6))
    assert (one.alerts, one.recall.value, one.value_recall.value, one.precision) == (1.0, 0.5, 0.25, 1.0)
    # three alerts: the two highest and one of the two tied rows, half of the fraud in them
    assert (three.recall.value, three.value_recall.value) == (0.75, (10 + 15) / 40)
    assert three.precision == pytest.approx(1.5 / 3)
    for row in (one, three):
        assert row.recall.low <= row.recall.value <= row.recall.high
    assert one.as_dict()["recall"]["value"] == 0.5


def test_several_budgets_at_once_are_those_one_by_one() -> None:
    rng = np.random.default_rng(0)
    ranking = Ranking(rng.random(300) < 0.1, rng.integers(0, 40, 300).astype(float))
    weight, money = rng.integers(0, 3, 300).astype(float), rng.random(300)
    budgets = np.asarray([0.01, 0.1, 0.5])
    together = ranking.found_at_budgets(budgets, weight=weight)
    assert together.tolist() == [ranking.recall_at_budget(budget, weight) for budget in budgets]
    together = ranking.found_at_budgets(budgets, value=money, weight=weight)
    assert together.tolist() == [ranking.value_recall_at_budget(money, budget, weight) for budget in budgets]


def test_how_much_of_each_row_is_alerted_on() -> None:
    ranking = Ranking(FRAUD, SCORE)
    assert ranking.alert_share(0.2).tolist() == [1, 0, 0, 0, 0]
    assert ranking.alert_share(0.6).tolist() == [1, 1, 0.5, 0.5, 0]
    assert ranking.alert_share(1.0).tolist() == [1, 1, 1, 1, 1]


def test_money_of_several_currencies_is_added_in_means_of_its_currency() -> None:
    own = np.zeros(4, np.int64)
    arrays = TransactionArrays(
        event_time=own,
        available_at=own,
        amount_minor=np.asarray([1_000, 500, 3_000, 1_500]),
        currency=np.asarray([0, 1, 0, 1]),
        currencies=("EUR", "JPY"),
        kind=np.asarray(["card"] * 4, object),
        outcome=np.asarray(["settled"] * 4, object),
        entity=own[:, None],
        roles=("source",),
    )
    amount, unit = window_amounts(arrays, np.asarray([0, 2]), base=None)
    assert (amount.tolist(), unit) == ([10.0, 30.0], "EUR")
    amount, unit = window_amounts(arrays, np.arange(4), base=None)
    assert (amount.tolist(), unit) == ([0.5, 0.5, 1.5, 1.5], OWN_MEANS)
    # with rates into EUR, which the two in JPY lack: they count as means of EUR, 20
    amount, unit = window_amounts(arrays, np.arange(4), base="EUR")
    assert amount.tolist() == [10.0, 10.0, 30.0, 30.0]
    assert unit == "EUR, 2 of 4 without a rate as means of their currency"
