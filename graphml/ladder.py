"""The ladder: every row on the same seeds, split and natural base rate, with intervals. The graph must earn its place.

Validation chooses which row is served; the test window only reports.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphml.calibration import Calibration
from graphml.evaluation import (
    Interval,
    Ranking,
    calibration_error,
    card_precision_at_k,
    intervals,
    mean_interval,
    party_blocks,
    reliability,
)
from graphml.graph import Ints, TransactionGraph
from graphml.sampling import labels_known
from graphml.tasks import Task
from ingestion.contracts import MICROSECONDS_PER_DAY
from ingestion.labels import FRAUD
from ingestion.snapshot import TransactionArrays

Doubles = NDArray[np.float64]

#: A cheaper row is served when the best is not better than this on validation.
SERVE_MARGIN = 0.005
CARDS_A_DAY = 100
#: The unit of amounts of several currencies without rates.
OWN_MEANS = "means of their currency"


@dataclass(frozen=True, kw_only=True)
class TestWindow:
    """What the rows of a ladder are judged on, (n,) each: outcome, UTC day, alert party (-1 absent), whether the party
    was known fraudulent before that day; `parties` (n, R) of every role, -1 absent; `amount` in `unit`, see
    `window_amounts`."""

    __test__ = False  # not a test class, whatever its name

    is_fraud: NDArray[np.bool_]
    day: Ints
    party: Ints
    parties: Ints
    known_before: NDArray[np.bool_]
    amount: Doubles
    unit: str

    @property
    def blocks(self) -> Ints:
        """(n, K) what a bootstrap draws; see `party_blocks`."""
        return party_blocks(self.parties)

    @classmethod
    def of(cls, graph: TransactionGraph, task: Task, *, role: int, amount: Doubles, unit: str) -> TestWindow:
        """The window of a task; `role` is the alert party's, `amount` (n,) of the task's transactions in `unit`."""
        day = graph.event_time[task.positions] // MICROSECONDS_PER_DAY
        party = graph.entity[task.positions, role]
        return cls(
            is_fraud=task.is_fraud,
            day=day,
            party=party,
            parties=graph.entity[task.positions],
            known_before=known_before_day(graph, day, party, role=role),
            amount=amount,
            unit=unit,
        )


@dataclass(frozen=True, kw_only=True)
class LadderRow:
    """One row; `budget` metrics are at the run's alert budget, a share of transactions. What would need scores of the
    validation window is None where there are none."""

    name: str
    is_servable: bool
    cost: int
    validation_average_precision: float | None
    average_precision: Interval
    auc: Interval
    card_precision: Interval
    card_ceiling: float
    recall_at_budget: Interval
    value_recall_at_budget: float
    calibration_error: float | None

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, flat."""
        data: dict[str, Any] = {
            "name": self.name,
            "is_servable": self.is_servable,
            "validation_average_precision": self.validation_average_precision,
            "card_precision_ceiling": self.card_ceiling,
            "value_recall_at_budget": self.value_recall_at_budget,
            "calibration_error": self.calibration_error,
        }
        for key, interval in (
            ("average_precision", self.average_precision),
            ("auc", self.auc),
            (f"card_precision_at_{CARDS_A_DAY}", self.card_precision),
            ("recall_at_budget", self.recall_at_budget),
        ):
            data |= {key: interval.value, f"{key}_low": interval.low, f"{key}_high": interval.high}
        return data | {"cost": self.cost}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> LadderRow:
        """Read what `as_dict` gave."""

        def interval(key: str) -> Interval:
            return Interval(data[key], data[f"{key}_low"], data[f"{key}_high"])

        return cls(
            name=data["name"],
            is_servable=data["is_servable"],
            cost=data["cost"],
            validation_average_precision=data["validation_average_precision"],
            average_precision=interval("average_precision"),
            auc=interval("auc"),
            card_precision=interval(f"card_precision_at_{CARDS_A_DAY}"),
            card_ceiling=data["card_precision_ceiling"],
            recall_at_budget=interval("recall_at_budget"),
            value_recall_at_budget=data["value_recall_at_budget"],
            calibration_error=data["calibration_error"],
        )


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """All rows of a run, which one is served, and what they were judged on."""

    rows: tuple[LadderRow, ...]
    served: str
    base_rate: float
    num_transactions: int
    num_frauds: int
    alert_budget: float

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "served": self.served,
            "base_rate": self.base_rate,
            "num_transactions": self.num_transactions,
            "num_frauds": self.num_frauds,
            "alert_budget": self.alert_budget,
            "rows": [row.as_dict() for row in self.rows],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Ladder:
        """Read what `as_dict` gave."""
        rows = tuple(LadderRow.from_dict(row) for row in data["rows"])
        return cls(**(data | {"rows": rows}))

    def as_table_rows(self) -> list[tuple[str, ...]]:
        """A header and one line a row, as text, for a terminal or a card."""
        header = (
            "model",
            "AP",
            "95 % interval",
            "AUC",
            f"card P@{CARDS_A_DAY}",
            "ceiling",
            f"recall at {self.alert_budget:.1%}",
        )
        return [
            header,
            *(
                (
                    f"{row.name} (served)" if row.name == self.served else row.name,
                    f"{row.average_precision.value:.3f}",
                    f"{row.average_precision.low:.3f}–{row.average_precision.high:.3f}",
                    f"{row.auc.value:.3f}",
                    f"{row.card_precision.value:.3f}",
                    f"{row.card_ceiling:.3f}",
                    f"{row.recall_at_budget.value:.3f}",
                )
                for row in self.rows
            ),
        ]


def judge_row(
    window: TestWindow,
    *,
    name: str,
    is_servable: bool,
    cost: int,
    validation_average_precision: float | None,
    logits: Doubles,
    calibration: Calibration | None,
    alert_budget: float,
) -> LadderRow:
    """Every metric of a row from its logits (n,) on the test window."""
    ranking = Ranking(window.is_fraud, logits)
    precision, auc, recall = intervals(lambda weight: ranking.summary(alert_budget, weight), window.blocks)
    cards = card_precision_at_k(
        day=window.day,
        party=window.party,
        score=logits,
        is_fraud=window.is_fraud,
        known_before=window.known_before,
        k=CARDS_A_DAY,
    )
    return LadderRow(
        name=name,
        is_servable=is_servable,
        cost=cost,
        validation_average_precision=validation_average_precision,
        average_precision=precision,
        auc=auc,
        card_precision=mean_interval(cards.by_day),
        card_ceiling=cards.ceiling,
        recall_at_budget=recall,
        value_recall_at_budget=ranking.value_recall_at_budget(window.amount, alert_budget),
        calibration_error=None if calibration is None else calibration_error(window.is_fraud, calibration(logits)),
    )


def window_amounts(arrays: TransactionArrays, positions: Ints, *, base: str | None) -> tuple[Doubles, str]:
    """Amounts (n,) that may be added up, and their unit: the currency where there is one, else `OWN_MEANS`.

    `arrays` as features see them: in the currency `base` where there was a rate. Without rates each amount is divided
    by the mean of its currency at these positions; with rates, one that had none counts so many means of `base`.
    """
    currency = arrays.currency[positions]
    amount = np.asarray(arrays.amount_minor[positions] / 10.0 ** arrays.exponents[currency])
    there, member, counts = np.unique(currency, return_inverse=True, return_counts=True)
    if len(there) == 1:
        return amount, arrays.currencies[there[0]]
    means = np.bincount(member, amount) / counts
    in_means = amount / np.where(means > 0, means, 1.0)[member]
    names = [arrays.currencies[code] for code in there]
    if base not in names:
        return in_means, OWN_MEANS
    is_base = member == names.index(base)
    without = int((~is_base).sum())
    unit = f"{base}, {without:,} of {len(amount):,} without a rate as {OWN_MEANS}"
    return np.where(is_base, amount, in_means * means[names.index(base)]), unit


def choose_served(rows: list[LadderRow]) -> str:
    """Name of the best servable row by validation AP; within `SERVE_MARGIN` of it the cheapest."""
    servable = [(row, _on_validation(row)) for row in rows if row.is_servable]
    best = max(precision for _, precision in servable)
    near = [row for row, precision in servable if precision >= best - SERVE_MARGIN]
    return min(near, key=lambda row: row.cost).name


def _on_validation(row: LadderRow) -> float:
    assert row.validation_average_precision is not None, f"{row.name} can be served, so it was validated"
    return row.validation_average_precision


def known_before_day(graph: TransactionGraph, day: Ints, party: Ints, *, role: int) -> NDArray[np.bool_]:
    """Whether `party` (n,) had a transaction in `role` that was known to be fraud when UTC `day` (n,) began."""
    known = np.zeros(len(day), np.bool_)
    for today in np.unique(day):
        start = int(today) * MICROSECONDS_PER_DAY
        past = np.arange(np.searchsorted(graph.available_at, start))
        state = labels_known(graph, past, np.full(len(past), start, np.int64))
        fraudulent = np.unique(graph.entity[past[state == FRAUD], role])
        rows = (day == today) & (party >= 0)
        known[rows] = np.isin(party[rows], fraudulent)
    return known


def report_curves(window: TestWindow, logits: dict[str, Doubles]) -> dict[str, dict[str, list[float]]]:
    """Precision-recall points of each row, for a plot."""
    curves = {}
    for name, values in logits.items():
        points = Ranking(window.is_fraud, values).curve()
        curves[name] = {"recall": [point[0] for point in points], "precision": [point[1] for point in points]}
    return curves


def report_calibration(window: TestWindow, probability: Doubles) -> dict[str, list[float]]:
    """Reliability of the served row, for a plot: the top hundredth apart, where the frauds are."""
    top = probability >= np.quantile(probability, 0.99)
    bins = [
        part for rows in (~top, top) if rows.any() for part in reliability(window.is_fraud[rows], probability[rows])
    ]
    return {
        "predicted": [part.predicted for part in bins],
        "observed": [part.observed for part in bins],
        "count": [float(part.rows) for part in bins],
    }
