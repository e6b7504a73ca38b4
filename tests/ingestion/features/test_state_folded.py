"""A state made by slicing equals one that was fed event by event."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from graphml.online import known_by
from ingestion.features.state import FeatureState, OnlineTransaction
from ingestion.workspace import Workspace
from tests.builders import build_snapshot, random_rows


@pytest.mark.parametrize("up_to", [0, 1, 250, 400])
def test_folded_is_stepped(tmp_path: Path, up_to: int) -> None:
    rows, labels = random_rows(400, seed=3, days=30)
    snapshot = build_snapshot(Workspace.open(tmp_path), rows, labels=labels)
    arrays, features = snapshot.arrays, snapshot.features()
    time = int(arrays.available_at[up_to - 1]) if up_to else None
    state = FeatureState.folded(snapshot.spec, arrays, known_by(snapshot.label_events, time), features, up_to=up_to)
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
        assert found.tobytes() == features[position].tobytes()
    assert np.isnan(features).any()  # absent parties were there


def parties(arrays, position: int) -> dict[str, int]:
    return {
        role: int(entity) for role, entity in zip(arrays.roles, arrays.entity[position], strict=True) if entity >= 0
    }
