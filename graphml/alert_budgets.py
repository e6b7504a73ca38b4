"""What a row finds when so much can be looked at: recall, its share of the money, and precision, by alert budget.

Legend: B budgets, D draws, 2: frauds, their money.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from graphml.evaluation import Doubles, Interval, Ranking, block_weights, party_day_blocks
from graphml.ladder import TestWindow

#: Shares of the judged transactions that are looked at.
ALERT_BUDGETS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05)


@dataclass(frozen=True, kw_only=True)
class BudgetRow:
    """`budget` a share of transactions; `alerts` how many that is; `precision` the share of frauds among them."""

    budget: float
    alerts: float
    recall: Interval
    value_recall: Interval
    precision: float

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def budget_table(
    window: TestWindow, scores: Doubles, *, budgets: tuple[float, ...] = ALERT_BUDGETS, num: int = 200
) -> tuple[BudgetRow, ...]:
    """A row a budget, each with intervals over whole days of parties."""
    ranking, at = Ranking(window.is_fraud, scores), np.asarray(budgets)
    values = (None, window.amount)
    told_2B = np.stack([ranking.found_at_budgets(at, value=value) for value in values])
    draws_D2B = np.stack(
        [
            np.stack([ranking.found_at_budgets(at, value=value, weight=weight) for value in values])
            for weight in block_weights(party_day_blocks(window.day, window.party), num, seed=0)
        ]
    )
    low_2B, high_2B = np.nanpercentile(draws_D2B, [2.5, 97.5], axis=0)
    rows = []
    for index, budget in enumerate(budgets):
        recall, money = (
            Interval(float(told_2B[kind, index]), float(low_2B[kind, index]), float(high_2B[kind, index]))
            for kind in (0, 1)
        )
        alerts = budget * len(scores)
        precision = recall.value * float(window.is_fraud.sum()) / alerts
        rows.append(BudgetRow(budget=budget, alerts=alerts, recall=recall, value_recall=money, precision=precision))
    return tuple(rows)
