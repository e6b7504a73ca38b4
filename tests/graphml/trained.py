"""A small trained model for tests, through the real training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from graphml.graph import TransactionGraph
from graphml.model import BASELINES, Model
from graphml.online import OnlineEvent, OnlineScorer
from graphml.training import TrainResult, train
from ingestion.contracts import PartyRef
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace
from tests.builders import build_snapshot, random_rows

NUM_ROWS = 4_000
NETWORKS = ("graphsage", "gat", "fused")
#: Settings of every training here.
SETTINGS = {"epochs": 1, "seeds_per_epoch": 2_048, "precision": "fp32", "networks": NETWORKS}
#: Rows that can be served.
ROWS = (*BASELINES, *NETWORKS)


@dataclass(frozen=True)
class Trained:
    """A workspace with a snapshot of `random_rows` and a model of it."""

    workspace: Workspace
    snapshot: Snapshot
    graph: TransactionGraph
    result: TrainResult
    model: Model


def train_small(workspace: Workspace, *, num_rows: int = NUM_ROWS, seed: int = 5) -> Trained:
    """Build the snapshot and train one epoch."""
    rows, labels = random_rows(num_rows, seed=seed, fraud_rate=0.03)
    snapshot = build_snapshot(workspace, rows, labels=labels)
    result = train(workspace, snapshot, workspace.settings(train=SETTINGS))
    return Trained(
        workspace=workspace,
        snapshot=snapshot,
        graph=TransactionGraph.from_snapshot(snapshot),
        result=result,
        model=Model.open(result.path),
    )


def shared_training(factory: pytest.TempPathFactory) -> Trained:
    """The one training of a test session; whoever asks next finds the published model."""
    return train_small(Workspace.open(factory.getbasetemp() / "trained-small"))


class Replay:
    """Feeds a snapshot's transactions and labels, from `start` on, to an online scorer in sequence order."""

    def __init__(self, snapshot: Snapshot, *, start: int) -> None:
        self.rows = snapshot.transactions().to_pylist()
        self.arrays = snapshot.arrays
        self.labels = snapshot.label_events
        self.start = start

    def into(self, scorer: OnlineScorer, positions: Sequence[int]) -> list[Any]:
        """Score these positions (consecutive, from `start`), labels fed when they are due."""
        known = self.arrays.available_at[self.start - 1] if self.start else -1
        due = [i for i in range(len(self.labels.known_at)) if self.labels.known_at[i] > known]
        scored = []
        for position in positions:
            while due and self.labels.known_at[due[0]] <= self.arrays.available_at[position]:
                label = due.pop(0)
                scorer.observe_label(
                    int(self.labels.position[label]),
                    known_at=int(self.labels.known_at[label]),
                    is_fraud=bool(self.labels.is_fraud[label]),
                    origin=int(self.labels.origin[label]),
                )
            scored.append(scorer.score(self.event(position)))
        return scored

    def event(self, position: int) -> OnlineEvent:
        """The transaction at a position as an online event."""
        row = self.rows[position]
        parties = {
            "source": PartyRef(type=row["source_type"], key=row["source_key"]),
            "target": PartyRef(type=row["target_type"], key=row["target_key"]),
        }
        parties |= {party["type"]: PartyRef(**party) for party in row["parties"]}
        return OnlineEvent(
            transaction_id=row["transaction_id"],
            event_time=int(self.arrays.event_time[position]),
            available_at=int(self.arrays.available_at[position]),
            amount_minor=row["amount_minor"],
            currency=row["currency"],
            kind=row["kind"],
            outcome=row["outcome"],
            parties=parties,
        )
