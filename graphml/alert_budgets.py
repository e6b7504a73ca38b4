"""What a row finds when so much can be looked at: recall, its share of the money, and precision, by alert budget."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from graphml.evaluation import Doubles, Interval, Ranking, block_bootstrap, party_day_blocks
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
    ranking = Ranking(window.is_fraud, scores)
    blocks = party_day_blocks(window.day, window.party)
    rows = []
    for budget in budgets:

        def recall(ranked: Ranking, weight: Doubles | None, budget: float = budget) -> float:
            return ranked.recall_at_budget(budget, weight)

        def money(ranked: Ranking, weight: Doubles | None, budget: float = budget) -> float:
            return ranked.value_recall_at_budget(window.amount, budget, weight)

        found = block_bootstrap(ranking, recall, blocks, num=num)
        alerts = budget * len(scores)
        rows.append(
            BudgetRow(
                budget=budget,
                alerts=alerts,
                recall=found,
                value_recall=block_bootstrap(ranking, money, blocks, num=num),
                precision=found.value * int(np.sum(window.is_fraud)) / alerts,
            )
        )
    return tuple(rows)
