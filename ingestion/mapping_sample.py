"""Counts over rows that a mapping was tried on: what enters, what is bad, what the values are like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.contract_rows import LOOSE
from ingestion.contracts import LABELS, MICROSECONDS_PER_DAY, moment
from ingestion.label_rows import LOOSE_LABEL
from ingestion.label_sources import LabelColumn
from ingestion.pan import scrub
from ingestion.pieces import BrokenRow
from ingestion.quality import REMEDIES, Faults
from ingestion.rates import Rates

_COUNTED = ("kind", "outcome", "currency", "channel", "source_type", "target_type")
#: Of a field with many values, so many are told.
_MOST_VALUES = 20


@dataclass(kw_only=True)
class Sample:
    """Counts, taken in chunk by chunk."""

    rates: Rates | None = None
    num_rows: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    bad: dict[str, dict[str, Any]] = field(default_factory=dict)
    _good: list[pa.Table] = field(default_factory=list)
    _labels: list[list[pa.Table]] = field(default_factory=list)

    def add(
        self, table: pa.Table, faults: Faults, labels: Sequence[pa.Table], left: dict[str, int], *, num_rows: int
    ) -> None:
        """Rows that were mapped, their faults and labels, and how many of `num_rows` the filters left out."""
        self.num_rows += num_rows
        self.left_out.update({reason: rows for reason, rows in left.items() if rows})
        for problem in faults.problems.values():
            self._bad(problem.reason, problem.field, problem.value)
        good = pa.array(~faults.bad)
        self._good.append(table.filter(good))
        self._labels.append([given.filter(good) for given in labels])

    def add_broken(self, broken: BrokenRow, faults: Faults) -> None:
        """A record that is no row."""
        self._bad(broken.reason, broken.field, faults.safe_value(broken.field, broken.value))

    def as_dict(self) -> dict[str, Any]:
        """The counts as plain data."""
        good = self._entering
        ids = good.column("transaction_id")
        found: dict[str, Any] = {
            "rows": self.num_rows,
            "enter": good.num_rows,
            "left_out": dict(self.left_out),
            "bad": self.bad,
            "repeated_ids": len(ids) - pc.count_distinct(ids).as_py(),
            "time_span": _span(good.column("event_time")),
            "late_rows": int(pc.sum(pc.greater(good.column("known_at"), good.column("event_time"))).as_py() or 0),
            "amounts": _amounts(good),
        }
        for name in _COUNTED:
            counted = Counter(good.column(name).to_pylist()).most_common(_MOST_VALUES)
            found[name] = {scrub(value): rows for value, rows in counted}
        parties = pc.list_flatten(good.column("parties").combine_chunks())
        found["parties"] = dict(Counter(party["type"] for party in parties.to_pylist()))
        if self.rates is not None:
            found["base_amounts"] = self._base_amounts(good)
        return found

    def label_counts(self, sources: Sequence[LabelColumn]) -> list[dict[str, Any]]:
        """Counts of each label column: labels, rows without one, delays in days."""
        good, found = self._entering, []
        for index, source in enumerate(sources):
            labels = pa.concat_tables([LOOSE_LABEL.empty_table(), *(parts[index] for parts in self._labels)])
            has_label = labels.column("label").is_valid()
            events = good.column("event_time").filter(has_label)
            delays = _days(labels.column("known_at").filter(has_label), events)
            found.append({"source": f"column {source.column}"} | _counts(labels) | {"delay_days": delays})
        return found

    def labels_in_files(self, parts: Sequence[tuple[pa.Table, Faults]]) -> dict[str, Any]:
        """Counts of labels of a file: how many are of rows in the sample, and how late those are."""
        bad: Counter[str] = Counter()
        tables = [LOOSE_LABEL.empty_table()]
        for table, faults in parts:
            bad.update(problem.reason for problem in faults.problems.values())
            tables.append(table.filter(pa.array(~faults.bad)))
        labels = pa.concat_tables(tables)
        good = self._entering
        row = pc.index_in(labels.column("transaction_id").combine_chunks(), good.column("transaction_id"))
        known = pc.and_(pc.is_valid(row), pc.is_valid(labels.column("transaction_id")))
        timed = labels.filter(known)
        events = good.column("event_time").take(row.filter(known))
        return _counts(labels) | {
            "bad": dict(bad),
            "of_rows_in_sample": timed.num_rows,
            "of_entities": labels.num_rows - labels.column("entity_key").null_count,
            "without_own_time": labels.column("known_at").null_count,
            "known_at": _span(labels.column("known_at")),
            "delay_days": _days(timed.column("known_at"), events),
        }

    @property
    def _entering(self) -> pa.Table:
        return pa.concat_tables([LOOSE.empty_table(), *self._good])

    def _bad(self, reason: str, name: str, value: str | None) -> None:
        entry = self.bad.setdefault(reason, {"rows": 0, "field": name, "example": value, "remedy": REMEDIES[reason]})
        entry["rows"] += 1

    def _base_amounts(self, good: pa.Table) -> dict[str, int]:
        assert self.rates is not None, "asked for with rates only"
        arrival = pc.max_element_wise(*(good.column(name).cast(pa.int64()) for name in ("event_time", "known_at")))
        base = self.rates.base_amounts(good.column("amount_minor"), good.column("currency"), arrival)
        return {"converted": len(base) - base.null_count, "without_a_rate": base.null_count}


def _counts(labels: pa.Table) -> dict[str, Any]:
    counted = Counter(labels.column("label").to_pylist())
    return {name: counted.get(name, 0) for name in LABELS} | {"rows_without": counted.get(None, 0)}


def _amounts(good: pa.Table) -> dict[str, dict[str, int]]:
    """Smallest, middle and largest amount of each currency, in minor units."""
    found = {}
    for currency in sorted(pc.unique(good.column("currency")).to_pylist()):
        amounts = good.column("amount_minor").filter(pc.equal(good.column("currency"), currency)).to_numpy()
        found[currency] = {
            "min": int(amounts.min()),
            "median": int(np.median(amounts)),
            "max": int(amounts.max()),
            "zero": int((amounts == 0).sum()),
        }
    return found


def _days(known_at: pa.ChunkedArray, events: pa.ChunkedArray) -> dict[str, float] | None:
    """Smallest, middle and largest delay in days, None without any."""
    delays = pc.subtract(known_at.cast(pa.int64()), events.cast(pa.int64())).drop_null().to_numpy()
    if len(delays) == 0:
        return None
    days = delays / MICROSECONDS_PER_DAY
    return {"min": float(days.min()), "median": float(np.median(days)), "max": float(days.max())}


def _span(times: pa.ChunkedArray) -> list[str] | None:
    """First and last time, None without any."""
    micros = times.cast(pa.int64()).drop_null().to_numpy()
    return None if len(micros) == 0 else [moment(int(each)).isoformat() for each in (micros.min(), micros.max())]
