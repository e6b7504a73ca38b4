"""What a row finds when so much can be looked at: recall, its share of the money, and precision, by alert budget.

Legend: B budgets.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from graphml.evaluation import Doubles, Interval, Ranking, intervals
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
    """A row a budget, each with intervals over whole parties."""
    ranking, at = Ranking(window.is_fraud, scores), np.asarray(budgets)
    values = (None, window.amount)

    def found(weight: Doubles | None) -> Doubles:
        return np.concatenate([ranking.found_at_budgets(at, value=value, weight=weight) for value in values])

    told = intervals(found, window.blocks, num=num)
    rows = []
    for index, budget in enumerate(budgets):
        recall, alerts = told[index], budget * len(scores)
        rows.append(
            BudgetRow(
                budget=budget,
                alerts=alerts,
                recall=recall,
                value_recall=told[len(budgets) + index],
                precision=recall.value * float(window.is_fraud.sum()) / alerts,
            )
        )
    return tuple(rows)
