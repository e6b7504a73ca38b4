"""A workspace with a release to serve, built without Spark: a small snapshot, a trained model, an index, alerts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from graphml.context import GraphContext
from graphml.model import Model
from graphml.training import train
from ingestion import artifacts
from ingestion.contracts import TRANSACTION
from ingestion.mapping import Mapping
from ingestion.privacy import Tokenizer
from ingestion.snapshot import Snapshot
from ingestion.vault import Vault
from ingestion.workspace import Workspace
from retrieval.index import build_index
from serving.alerts import write_alerts
from serving.pipeline import TailScores, tail_alerts
from tests.builders import build_snapshot, random_rows

MAPPING = Mapping.model_validate(
    {
        "name": "served",
        "fields": {
            "transaction_id": "id",
            "event_time": "time",
            "amount": {"column": "amount", "unit": "minor"},
        },
        "attributes": ["email", "country"],
        "source": {"type": {"column": "st", "allowed": ["account", "merchant"]}, "key": "sk"},
        "target": {"type": {"column": "tt", "allowed": ["account", "merchant"]}, "key": "tk"},
        "parties": [{"type": name, "key": name} for name in ("card", "device", "ip")],
        "personal": {"types": ["account", "ip"], "attributes": ["email"]},
        "rules": {"allow_zero_amount": True, "allow_self_transfer": True},
    }
)
Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Served:
    """The workspace, its release, and the logical rows with original keys that are in it and after it."""

    workspace: Workspace
    release: dict[str, Any]
    rows: list[Row]
    later_rows: list[Row]
    labels: list[Row]

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot of the release."""
        return Snapshot.open(self.workspace, self.release["snapshot_id"])

    @property
    def model(self) -> Model:
        """The model of the release."""
        return Model.open(self.workspace.models / self.release["model_id"])


def split_rows(num: int, num_later: int, *, seed: int = 3) -> tuple[list[Row], list[Row], list[Row]]:
    """Rows in sequence order, the last ones apart, and the labels of them all."""
    rows, labels = random_rows(num, seed=seed, days=80)
    ordered = sorted(rows, key=sequence)
    return ordered[: num - num_later], ordered[num - num_later :], labels


def sequence(row: Row) -> tuple[int, int, bytes]:
    """Place of a row in the sequence."""
    return max(row["event_time"], row["known_at"]), row["event_time"], row["transaction_id"].encode()


def protected(workspace: Workspace, rows: list[Row]) -> pa.Table:
    """Rows as an ingest leaves them: tokens in place of personal keys, originals in the vault."""
    plain = [row | {"attributes": list((row.get("attributes") or {}).items())} for row in rows]
    found = Tokenizer.of(workspace, MAPPING).protect(pa.Table.from_pylist(plain, schema=TRANSACTION))
    Vault.of(workspace).add(found.originals)
    return found.table


def build_served(root: Path, *, num: int = 4_200, num_later: int = 1_000) -> Served:
    """Build the workspace: labels known by the end of its data only."""
    workspace = Workspace.open(root)
    rows, later, labels = split_rows(num, num_later)
    horizon = sequence(rows[-1])[0]
    here = {row["transaction_id"] for row in rows}
    known = [row for row in labels if row["known_at"] <= horizon and row["transaction_id"] in here]
    snapshot = build_snapshot(workspace, protected(workspace, rows), labels=known, mapping=MAPPING.as_dict())
    settings = workspace.settings(train={"epochs": 1, "alert_budget": 0.05})
    model = Model.open(train(workspace, snapshot, settings).path)
    index_id = build_index(workspace, snapshot, model)
    release = publish(workspace, snapshot, model, index_id)
    return Served(workspace=workspace, release=release, rows=rows, later_rows=later, labels=labels)


def publish(workspace: Workspace, snapshot: Snapshot, model: Model, index_id: str) -> dict[str, Any]:
    """A release of these parts, in force, with the alerts of its tail."""
    bound = {
        "snapshot_id": snapshot.id,
        "model_id": model.id,
        "index_id": index_id,
        "graph": {"lineage": snapshot.manifest["lineage"], "batch": snapshot.manifest["batch"]},
        "digests": {
            "snapshot": artifacts.digest(workspace.snapshots / snapshot.id),
            "model": artifacts.digest(workspace.models / model.id),
            "index": artifacts.digest(workspace.indexes / index_id),
        },
        "approval": "auto",
    }
    release = {"id": f"release-{artifacts.short_hash(bound)}", "created_at": "2025-03-08T00:00:00+00:00", **bound}
    positions = np.flatnonzero(snapshot.arrays.available_at >= model.windows.tail_start)
    probability = model.probability(model.score_positions(GraphContext(snapshot), positions))
    tail = TailScores(positions=positions, probability=probability, threshold=model.threshold)
    write_alerts(workspace, tail_alerts(snapshot, model, tail, release["id"]))
    workspace.set_current_release(release)
    return release
