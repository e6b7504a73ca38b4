"""Simulate a bank: who exists, what they do, what fraudsters do among them, and what the bank comes to know."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from ingestion.artifacts import write_atomically, write_parquet
from ingestion.contracts import MICROSECONDS_PER_DAY
from ingestion.simulator import events as ev
from ingestion.simulator.access import equip
from ingestion.simulator.coincidences import coincidences
from ingestion.simulator.config import SimulatorConfig
from ingestion.simulator.events import Events
from ingestion.simulator.everyday import everyday
from ingestion.simulator.followups import num_followups, with_followups
from ingestion.simulator.habits import Habits, form_habits
from ingestion.simulator.labels import report
from ingestion.simulator.population import populate
from ingestion.simulator.schedules import scheduled
from ingestion.simulator.streams import Ints, stream
from ingestion.simulator.tables import label_table, transaction_table, truth_table
from ingestion.simulator.typologies.plan import plant


@dataclass(frozen=True, kw_only=True)
class SimulatedTables:
    """What a bank hands over (`transactions`, `labels`) and what only the simulator knows (`truth`)."""

    config: SimulatorConfig
    transactions: pa.Table
    labels: pa.Table
    truth: pa.Table

    def summary(self) -> dict[str, Any]:
        """Config and counts, JSON-ready."""
        typologies = Counter(name for name in self.truth["typology"].to_pylist() if name)
        return {
            "config": self.config.as_dict(),
            "counts": {
                "transactions": self.transactions.num_rows,
                "labels": self.labels.num_rows,
                "frauds": sum(typologies.values()),
                "cases": len(self.truth["case_id"].drop_null().unique()),
                "frauds_by_typology": dict(sorted(typologies.items())),
            },
        }


def simulate(config: SimulatorConfig) -> SimulatedTables:
    """Exactly `config.num_transactions` transactions in order of their time, with labels and truth.

    The same config gives the same tables, in every process.
    """
    population = populate(config)
    access = equip(config, population)
    habits = form_habits(config, population, access)
    planted = plant(habits)
    events = _in_order(config, _honest(habits, config.num_transactions - len(planted.events)), planted.events)
    known_at = _arrivals(config, events.time)
    transactions = transaction_table(config, population, access, events, known_at)
    ids = transactions["transaction_id"].combine_chunks()
    return SimulatedTables(
        config=config,
        transactions=transactions,
        labels=label_table(config, ids, report(config, events, known_at)),
        truth=truth_table(ids, events, planted.typologies),
    )


def write(tables: SimulatedTables, folder: Path) -> None:
    """Write `transactions.parquet`, `labels.parquet`, `truth.parquet` and `simulation.json`, the last one last."""
    for name in ("transactions", "labels", "truth"):
        write_parquet(getattr(tables, name), folder / f"{name}.parquet")
    text = orjson.dumps(tables.summary(), option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2)
    write_atomically(folder / "simulation.json", text + b"\n")


def _honest(habits: Habits, number: int) -> Events:
    """`number` honest events: the calendar's, coincidences, ordinary ones, and what follows from them."""
    config = habits.config
    lookalikes = coincidences(habits, round(config.num_frauds * config.lookalike_rate))
    fixed = ev.concat([scheduled(habits), lookalikes])
    ordinary = everyday(habits, number - len(fixed) - num_followups(config), part="first")
    honest = with_followups(config, habits.population, ev.concat([fixed, ordinary]))
    return ev.concat([honest, everyday(habits, number - len(honest), part="top-up")])


def _in_order(config: SimulatorConfig, honest: Events, planted: Events) -> Events:
    """All events by time; `refers_to` follows its rows to their new places."""
    events = ev.concat([honest, planted])
    assert events.time.min() >= 0 and events.time.max() < config.span, "an event lies outside the span"
    order = np.lexsort((stream(config.seed, "ties").permutation(len(events)), events.time))
    place = np.empty(len(order) + 1, np.int64)
    place[order] = np.arange(len(order))
    place[-1] = ev.NONE  # where `NONE` points to
    return events.take(order).replace(refers_to=place[events.refers_to[order]])


def _arrivals(config: SimulatorConfig, time: Ints) -> Ints:
    """When each event was known: at once, or for a few up to some days late, but within the span. (n,)"""
    rng = stream(config.seed, "arrivals")
    delay = (rng.random(len(time)) * config.max_late_days * MICROSECONDS_PER_DAY).astype(np.int64)
    late = (rng.random(len(time)) < config.late_share) & (time + delay < config.span)
    return np.where(late, time + delay, time)
