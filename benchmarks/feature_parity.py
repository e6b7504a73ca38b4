"""Parity: features of events one by one against the Spark job's, bit for bit, with late events and a restart.

A random history with three currencies, absent parties, declines, refunds and delayed labels; 1 % of the events come up
to three days late. Halfway the state is thrown away and folded from what the Spark job wrote.

    python benchmarks/feature_parity.py          200,000 events
    python benchmarks/feature_parity.py --quick  20,000 events
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from _report import Report, parser, stopwatch

from ingestion.features.state import FeatureState, OnlineTransaction
from ingestion.labels import LabelEvents
from ingestion.snapshot import TransactionArrays
from ingestion.spark import LOCAL, spark_session
from tests.ingestion.features.spark_features import spark_features
from tests.leakage.histories import CURRENCIES, ROLES, SPEC, Floats, History, random_history


def folded(history: History, matrix: Floats, *, up_to: int) -> FeatureState:
    """The state after `up_to` events, from the Spark job's features."""
    arrays = TransactionArrays(
        event_time=history.event_time,
        available_at=history.available_at,
        amount_minor=history.amount_minor,
        currency=history.currency,
        currencies=CURRENCIES,
        kind=history.kind,
        outcome=history.outcome,
        entity=history.entity,
        roles=ROLES,
    )
    known = (
        history.label_known_at <= history.available_at[up_to - 1]
        if up_to
        else np.zeros(len(history.label_known_at), bool)
    )
    labels = LabelEvents(
        position=history.label_position[known],
        known_at=history.label_known_at[known],
        is_fraud=history.label_is_fraud[known],
        origin=np.zeros(int(known.sum()), np.int64),
    )
    return FeatureState.folded(SPEC, arrays, labels, matrix, up_to=up_to)


def unequal(history: History, matrix: Floats, *, begin: int, end: int) -> int:
    """Values that differ by a bit, of the events from `begin` to `end`, fed one by one after a fold."""
    state = folded(history, matrix, up_to=begin)
    after = history.available_at[begin - 1] if begin else -1
    label = int(np.searchsorted(history.label_known_at, after, side="right"))
    parties = [
        {role: int(entity) for role, entity in zip(ROLES, entities, strict=True) if entity >= 0}
        for entities in history.entity
    ]
    wrong = 0
    for position in range(begin, end):
        while label < len(history.label_known_at) and history.label_known_at[label] <= history.available_at[position]:
            at = int(history.label_position[label])
            state.observe_label(
                at,
                parties[at],
                known_at=int(history.label_known_at[label]),
                is_fraud=bool(history.label_is_fraud[label]),
            )
            label += 1
        found = state.observe_transaction(
            OnlineTransaction(
                event_time=int(history.event_time[position]),
                amount_minor=int(history.amount_minor[position]),
                currency=CURRENCIES[history.currency[position]],
                kind=history.kind[position],
                outcome=history.outcome[position],
                parties=parties[position],
            )
        )
        wrong += int((found.view(np.uint32) != matrix[position].view(np.uint32)).sum())
    return wrong


def main() -> int:
    """1 when a bit differs."""
    arguments = parser(__doc__).parse_args()
    num = 20_000 if arguments.quick else 200_000
    report = Report(
        benchmark="feature_parity",
        config={"events": num, "late_share": 0.01, "features": len(SPEC.names)},
        distributions=("pyspark", "numba"),
    )
    history = random_history(num, seed=21, days=180, late_share=0.01)
    with tempfile.TemporaryDirectory() as scratch, spark_session(LOCAL, scratch=Path(scratch) / "spark") as session:
        with stopwatch() as elapsed:
            matrix = spark_features(session, history, SPEC, Path(scratch) / "features")
        report.row("Spark job", num / elapsed(), "events/s")
    half = num // 2
    for name, begin, end in (("from nothing", 0, half), ("after a restart", half, num)):
        with stopwatch() as elapsed:
            wrong = unequal(history, matrix, begin=begin, end=end)
        report.row(f"one by one, {name}", (end - begin) / elapsed(), "events/s")
        report.ratio(f"values that differ, {name}", wrong, at_most=0)
    return report.finish(arguments.json)


if __name__ == "__main__":
    sys.exit(main())
