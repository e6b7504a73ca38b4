"""Rows of a ladder and a user's own side by side: the same transactions, metrics and draws; differences are paired."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphml.calibration import Calibration
from graphml.evaluation import Interval, Ranking, paired_difference
from graphml.judged import Judged
from graphml.ladder import Ladder, LadderRow, judge_row, report_curves
from graphml.own_scores import OwnScores

#: Above it a ranking is nearly perfect: no honest model of fraud is, so the leak is looked for first.
SUSPECT_AUC = 0.995


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Rows of the ladder and own ones. `differences`: average precision of each row minus that of `reference`, the
    served row, from the same bootstrap draws. `suspects`: rows that rank nearly perfectly."""

    rows: tuple[LadderRow, ...]
    reference: str
    differences: Mapping[str, Interval]
    curves: Mapping[str, Mapping[str, list[float]]]
    suspects: tuple[str, ...]
    base_rate: float
    num_frauds: int
    num_transactions: int

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "reference": self.reference,
            "base_rate": self.base_rate,
            "num_frauds": self.num_frauds,
            "num_transactions": self.num_transactions,
            "rows": [row.as_dict() for row in self.rows],
            "differences": {name: vars(interval) for name, interval in self.differences.items()},
            "suspects": list(self.suspects),
        }


def compare(ladder: Ladder, judged: Judged, own: Mapping[str, OwnScores]) -> Comparison:
    """Judge own scores as the ladder's rows were judged, and pair every row with the served one.

    An own row is calibrated on its validation scores; without them its calibration is not judged.
    """
    rows, scores = list(ladder.rows), dict(judged.test_scores)
    for name, given in own.items():
        rows.append(_own_row(name, given, judged, ladder.alert_budget))
        scores[name] = given.test
    rankings = {name: Ranking(judged.test.is_fraud, values) for name, values in scores.items()}
    blocks = judged.test.blocks
    reference = rankings[ladder.served]
    return Comparison(
        rows=tuple(rows),
        reference=ladder.served,
        differences={
            name: paired_difference(ranking, reference, Ranking.average_precision, blocks)
            for name, ranking in rankings.items()
            if name != ladder.served
        },
        curves=report_curves(judged.test, scores),
        suspects=tuple(row.name for row in rows if row.auc.value >= SUSPECT_AUC),
        base_rate=ladder.base_rate,
        num_frauds=ladder.num_frauds,
        num_transactions=ladder.num_transactions,
    )


def _own_row(name: str, given: OwnScores, judged: Judged, alert_budget: float) -> LadderRow:
    calibration = validation = None
    if given.validation is not None:
        calibration = Calibration.fit(given.validation, judged.validation_is_fraud)
        validation = Ranking(judged.validation_is_fraud, given.validation).average_precision()
    return judge_row(
        judged.test,
        name=name,
        is_servable=False,
        cost=0,
        validation_average_precision=validation,
        logits=given.test,
        calibration=calibration,
        alert_budget=alert_budget,
    )
