"""A state made by slicing equals one that was fed event by event."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from graphml.online import known_by
from ingestion.features.state import FeatureState, OnlineTransaction
from ingestion.workspace import Workspace
from tests.builders import build_snapshot, random_rows
from tests.ingestion.features.online import unequal
from tests.ingestion.features.test_kernels import EVERYTHING, small_history
from tests.leakage.histories import features


@pytest.mark.parametrize("up_to", [0, 1, 250, 400])
def test_folded_is_stepped(tmp_path: Path, up_to: int) -> None:
    rows, labels = random_rows(400, seed=3, days=30)
    snapshot = build_snapshot(Workspace.open(tmp_path), rows, labels=labels)
    arrays, matrix = snapshot.arrays, snapshot.features()
    time = int(arrays.available_at[up_to - 1]) if up_to else None
    state = FeatureState.folded(snapshot.spec, arrays, known_by(snapshot.label_events, time), matrix, up_to=up_to)
    events = snapshot.label_events
    due = [i for i in range(len(events.known_at)) if time is None or events.known_at[i] > time]
    for position in range(up_to, len(arrays)):
        while due and events.known_at[due[0]] <= arrays.available_at[position]:
            label = due.pop(0)
            state.observe_label(
                int(events.position[label]),
                parties(arrays, int(events.position[label])),
                known_at=int(events.known_at[label]),
                is_fraud=bool(events.is_fraud[label]),
            )
        found = state.observe_transaction(
            OnlineTransaction(
                event_time=int(arrays.event_time[position]),
                amount_minor=int(arrays.amount_minor[position]),
                currency=arrays.currencies[arrays.currency[position]],
                kind=arrays.kind[position],
                outcome=arrays.outcome[position],
                parties=parties(arrays, position),
            )
        )
        assert found.tobytes() == matrix[position].tobytes()
    assert np.isnan(matrix).any()  # absent parties were there


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("up_to", [0, 60, 140])
def test_folded_where_ends_share_ids_and_one_is_0(seed: int, up_to: int) -> None:
    """Dense ids begin at 0, and whoever has it may be a payee: a pair with it is a pair all the same."""
    history = small_history(160, seed)
    assert (history.entity[:, 1] == 0).any()
    matrix = features(history, EVERYTHING)
    assert unequal(history, matrix, begin=up_to, end=len(history), spec=EVERYTHING) == 0


def parties(arrays, position: int) -> dict[str, int]:
    return {
        role: int(entity) for role, entity in zip(arrays.roles, arrays.entity[position], strict=True) if entity >= 0
    }
