"""Every statistic of the feature families by its definition, the slow way: lists, no running sums, no kernel."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ingestion.features import kernels, motifs
from ingestion.features.spec import Column, FeatureSpec, micros
from ingestion.money import exponent
from tests.builders import DAY
from tests.leakage.histories import CURRENCIES, ROLES, History


@dataclass(frozen=True, kw_only=True)
class Past:
    """An earlier transaction of a stream, `other` its other end; or the scored one itself."""

    row: int
    time: int
    other: int


class Oracle:
    """Features of a small history, one value at a time."""

    def __init__(self, history: History, spec: FeatureSpec) -> None:
        self.history, self.spec = history, spec
        self.values: dict[str, list[float]] = {}

    def matrix(self) -> np.ndarray:
        """(N, F) float64, without the features of the event alone."""
        columns = [column for column in self.spec.columns if column.kind != "event"]
        for number in (1, 2):
            for column in columns:
                if column.round == number:
                    rows = range(len(self.history))
                    self.values[column.name] = [self.value(column, row) for row in rows]
        return np.stack([self.values[column.name] for column in columns], axis=1)

    def value(self, column: Column, row: int) -> float:
        """One feature of one transaction."""
        if column.kind == "motifs":
            return float(self.motif(column.statistic, row, micros(str(column.window))))
        assert column.role is not None
        if self.party(column.role, row) is None:
            return math.nan
        if column.kind.startswith("label"):
            return self.of_labels(column, row)
        if column.statistic in kernels.MONEY:
            return self.of_money(column, row)
        return self.of_activity(column, row)

    def party(self, role: str, row: int) -> tuple[int, ...] | None:
        """Whom the stream of the scored transaction is of."""
        entity = self.history.entity[row]
        if role == "pair":
            return int(entity[0]), int(entity[1])
        found = int(entity[{"source_in": 0, "target_out": 1}.get(role, ROLES.index(role) if role in ROLES else 0)])
        return None if found < 0 else (found,)

    def belongs(self, role: str, row: int) -> tuple[int, ...] | None:
        """In whose past the transaction of a row is."""
        entity = self.history.entity[row]
        if role == "source_in":
            return (int(entity[1]),)
        if role == "target_out":
            return (int(entity[0]),)
        return self.party(role, row)

    def past(self, role: str, row: int, *, with_self: bool) -> list[Past]:
        """Earlier transactions up to the event time, by event time and then arrival."""
        party, history = self.party(role, row), self.history
        rows = [i for i in range(row) if self.belongs(role, i) == party]
        if with_self:
            rows.append(row)
        other_end = 1 if role in ("source", "pair", "target_out") else 0
        found = [
            Past(row=i, time=int(history.event_time[i]), other=int(history.entity[i, other_end]))
            for i in rows
            if history.event_time[i] <= history.event_time[row]
        ]
        return sorted(found, key=lambda item: (item.time, item.row))

    def window(self, column: Column, row: int, past: Sequence[Past]) -> list[Past]:
        """Those in (t - width, t]."""
        after = self.history.event_time[row] - micros(str(column.window))
        return [item for item in past if item.time > after]

    def of_activity(self, column: Column, row: int) -> float:
        """Counts, gaps and carried means."""
        role, time = str(column.role), int(self.history.event_time[row])
        two_way = role in ("source_in", "target_out")
        before = self.past(role, row, with_self=False)
        if column.statistic == "gap_last":
            return (time - before[-1].time) / DAY if before else math.nan
        if column.statistic == "age":
            return (time - before[0].time) / DAY if before else math.nan
        if column.statistic == "history_count":
            return len(before)
        if column.statistic == "is_new":
            return float(not before)
        events = self.past(role, row, with_self=not two_way)
        inside = self.window(column, row, events)
        if column.statistic == "count":
            return len(inside)
        if column.statistic == "declined_count":
            return sum(self.history.outcome[item.row] == "declined" for item in inside)
        if column.statistic == "distinct":
            return len({item.other for item in inside[-kernels.DEPTH :]})
        if column.statistic == "near":
            carried = [np.nan_to_num(self.values[str(column.of)][item.row]) for item in inside]
            return float(np.mean(carried)) if carried else 0.0
        assert column.statistic == "count_ratio"
        widths = [
            micros(str(other.window))
            for other in self.spec.columns
            if other.role == role and other.kind in ("windows", "near") and other.round == column.round
        ]
        usual = len([item for item in events if item.time > time - max(widths)])
        usual *= micros(str(column.window)) / max(widths)
        return len(inside) / usual if usual else 0.0

    def money(self, past: Sequence[Past], row: int) -> list[Past]:
        """Those in the currency of the scored transaction."""
        currency = self.history.currency
        return [item for item in past if currency[item.row] == currency[row]]

    def of_money(self, column: Column, row: int) -> float:
        """Amounts of windows, and the amount against all before it."""
        role, amount = str(column.role), int(self.history.amount_minor[row])
        before = self.money(self.past(role, row, with_self=False), row)
        if column.kind == "history":
            return self.against(column.statistic, amount, [self.amount(item) for item in before])
        two_way = role in ("source_in", "target_out")
        inside = self.window(column, row, self.money(self.past(role, row, with_self=not two_way), row))
        amounts = [self.amount(item) for item in inside]
        scale = 10.0 ** exponent(CURRENCIES[self.history.currency[row]])
        if not amounts:
            return 0.0
        of_window: dict[str, Callable[[], float]] = {
            "amount_sum": lambda: sum(amounts) / scale,
            "amount_mean": lambda: sum(amounts) / len(amounts) / scale,
            "amount_max": lambda: max(amounts[-kernels.DEPTH :]) / scale,
            "amount_std": lambda: float(np.std(amounts)) / scale,
            "amount_share": lambda: amount / sum(amounts) if sum(amounts) else 0.0,
            "amount_ratio": lambda: amount / (sum(amounts) / len(amounts)) if sum(amounts) else 0.0,
            "unusual_share": lambda: float(np.mean([self.is_unusual(role, item.row) for item in inside])),
        }
        return of_window[column.statistic]()

    def amount(self, item: Past) -> int:
        return int(self.history.amount_minor[item.row])

    def is_unusual(self, role: str, row: int) -> float:
        """Whether the amount was unusual for the stream's party, when it came."""
        before = self.money(self.past(role, row, with_self=False), row)
        return self.against("is_unusual", int(self.history.amount_minor[row]), [self.amount(item) for item in before])

    def against(self, statistic: str, amount: int, amounts: Sequence[int]) -> float:
        """An amount against those before it."""
        mean = float(np.mean(amounts)) if amounts else math.nan
        deviation = float(np.std(amounts)) if amounts else math.nan
        if statistic == "is_unusual":
            return float(len(amounts) >= 5 and amount > mean + 3 * deviation and amount > mean)
        if not amounts:
            return math.nan
        if statistic == "amount_z":
            return (amount - mean) / deviation if deviation > 0 and len(amounts) >= 5 else 0.0
        whole = {
            "amount_to_mean": mean,
            "amount_to_median": float(np.median(amounts[-kernels.MEDIAN_DEPTH :])),
            "amount_to_max": float(max(amounts[-kernels.DEPTH :])),
        }[statistic]
        return amount / whole if whole > 0 else 0.0

    def of_labels(self, column: Column, row: int) -> float:
        """Labels by the time at which they became known."""
        history, time = self.history, int(self.history.event_time[row])
        party = self.party(str(column.role), row)
        labels = [
            (int(known_at), bool(fraud), bool(fraud) and not self.explained(int(position)))
            for position, known_at, fraud in zip(
                history.label_position, history.label_known_at, history.label_is_fraud, strict=True
            )
            if known_at <= history.available_at[row] and self.party(str(column.role), int(position)) == party
        ]
        frauds = [known for known, fraud, _ in labels if fraud]
        plain = [known for known, _, unexplained in labels if unexplained]
        legitimate = [known for known, fraud, _ in labels if not fraud]
        kind = {"label": [known for known, *_ in labels], "fraud": frauds, "unexplained": plain}
        words = column.statistic.split("_")
        if column.kind == "label_decays":
            life = micros(str(column.window))
            return sum(0.5 ** ((max(time, last) - known) / life) for last in [max(kind["label"], default=0)]
                       for known in kind[words[0]])  # fmt: skip
        if column.kind == "label_windows":
            after = time - micros(str(column.window))
            kind = {name: [known for known in times if after < known <= time] for name, times in kind.items()}
        if words[-1] in ("count", "total") and words[-2] != "rate":
            return len(kind[words[0]])
        if "rate" in words:
            return len(kind[words[0]]) / len(kind["label"]) if kind["label"] else 0.0
        ages: dict[str, Any] = {
            "last_fraud_age": (max, frauds), "first_fraud_age": (min, frauds), "last_unexplained_age": (max, plain)
        }  # fmt: skip
        if column.statistic in ages:
            pick, times = ages[column.statistic]
            return max(time - pick(times), 0) / DAY if times else math.nan
        if column.statistic == "fraud_streak":
            return len([known for known in frauds if known > max(legitimate, default=-1)])
        assert column.statistic == "legitimate_streak"
        return len([known for known in legitimate if known > max(frauds, default=-1)])

    def explained(self, position: int) -> bool:
        """Whether the amount was unusual for its source."""
        return self.is_unusual("source", position) > 0

    def listed(self, role: str, row: int) -> dict[int, int]:
        """The newest other ends of a party's transfers, and when."""
        found: dict[int, int] = {}
        for item in reversed(self.past(role, row, with_self=False)[-motifs.NEWEST :]):
            if item.other not in found and len(found) < motifs.LIST:
                found[item.other] = item.time
        return found

    def motif(self, statistic: str, row: int, width: int) -> int:
        """Cycles that the transfer closes, and other payers with whom its payer shares an origin."""
        history = self.history
        source, target = (int(end) for end in history.entity[row, :2])
        time = int(history.event_time[row])
        after = time - width
        if statistic == "scatter_gather":
            received = [i for i in range(row) if history.entity[i, 1] == target and history.event_time[i] <= time]
            received = sorted(received, key=lambda i: (int(history.event_time[i]), i))[-motifs.NEWEST :]
            origins = self.listed("source_in", row)
            payers = set()
            for i in received:
                payer = int(history.entity[i, 0])
                if history.event_time[i] > after and payer not in (source, target):
                    theirs = self.listed("source_in", i)
                    if any(theirs.get(one, -1) > after and when > after for one, when in origins.items()
                           if one not in (source, target, payer) and theirs.get(one, after) <= time):  # fmt: skip
                        payers.add(payer)
            return len(payers)
        paid = self.listed("target_out", row)
        count = 0
        for item in self.past("source_in", row, with_self=False)[-motifs.NEWEST :]:
            if item.time <= after or source in (target, item.other):
                continue
            if statistic == "cycle_2":
                count += item.other == target
            elif item.other == target:
                continue
            elif statistic == "cycle_3":
                count += after < paid.get(item.other, after) <= item.time
            else:
                for first, when in self.listed("source_in", item.row).items():
                    if first not in (source, target, item.other) and after < when <= item.time:
                        count += after < paid.get(first, after) <= when
        return count
