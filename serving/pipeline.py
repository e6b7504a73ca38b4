"""The stages of the main job, each idempotent: the command groups run one of them, the nightly job all."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from graphml.context import GraphContext
from graphml.model import Model
from graphml.prepared import Tracking
from graphml.training import TrainResult
from graphml.training import train as train_graph_models
from ingestion import artifacts
from ingestion.config import Settings
from ingestion.contracts import PartyRef, moment
from ingestion.errors import UsageError
from ingestion.graph import load
from ingestion.graph.store import GraphContents
from ingestion.ingest import IngestResult, ingest
from ingestion.mapping import load_mapping
from ingestion.replay import Replay
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace
from retrieval.index import build_index
from serving.alerts import Alert, alerted_transactions, write_alerts
from serving.database import database
from serving.progress import StageLog


@dataclass(frozen=True, kw_only=True)
class TailScores:
    """Scores of the tail: `positions` (n,) of the snapshot and calibrated `probability` (n,)."""

    positions: np.ndarray
    probability: np.ndarray
    threshold: float


def ingest_table(
    workspace: Workspace,
    stages: StageLog,
    *,
    source: Path,
    mapping: str,
    master: str,
    max_bad_share: float,
    new_lineage: bool = False,
    replay: Replay | None = None,
) -> IngestResult:
    """Table -> snapshot (Spark), of a new lineage if asked; with `replay` only rows that are in quarantine."""
    if not source.exists():
        raise UsageError(f"{source} does not exist.", remedy="Name a CSV or Parquet file, or a folder of them.")
    with database(workspace) as engine:
        alerts = alerted_transactions(engine)  # those that were reviewed have a label of their own
    with stages.stage("ingest") as stage:
        result = ingest(
            workspace,
            source,
            load_mapping(mapping),
            master=master,
            max_bad_share=max_bad_share,
            new_lineage=new_lineage,
            unreviewed_alerts=alerts,
            replay=replay,
            progress=stage,
        )
        manifest = artifacts.read_manifest(workspace.snapshots / result.snapshot_id)
        stage.output = {
            "snapshot": result.snapshot_id,
            "transactions": manifest["num_transactions"],
            "new": result.num_new,
            "quarantined": result.num_quarantined,
            "reused": result.reused,
        }
    return result


def load_graph(workspace: Workspace, stages: StageLog, settings: Settings, *, master: str) -> GraphContents:
    """Snapshot -> Neo4j."""
    with stages.stage("graph") as stage:
        contents = load.load_graph(workspace, Snapshot.open(workspace), settings, master=master, progress=stage)
        stage.output = {"batch": contents.batch, "transactions": contents.transactions}
    return contents


def train_model(
    workspace: Workspace,
    stages: StageLog,
    settings: Settings,
    snapshot: Snapshot,
    tracking: Tracking | None = None,
) -> TrainResult:
    """Snapshot -> model and ladder."""
    with stages.stage("train") as stage:
        result = train_graph_models(workspace, snapshot, settings, progress=stage, tracking=tracking)
        stage.output = {"model": result.model_id, "served": result.ladder.served, "reused": result.reused}
    return result


def index_entities(workspace: Workspace, stages: StageLog, snapshot: Snapshot, model: Model) -> str:
    """Model -> entity index."""
    with stages.stage("index") as stage:
        index_id = build_index(workspace, snapshot, model, progress=stage)
        stage.output = {"index": index_id}
    return index_id


def score_tail(stages: StageLog, snapshot: Snapshot, model: Model) -> TailScores:
    """Calibrated scores of the transactions after the test window: they were in no training or test row."""
    with stages.stage("score") as stage:
        context = GraphContext(snapshot)
        positions = np.flatnonzero(snapshot.arrays.available_at >= model.windows.tail_start)
        probability = model.probability(model.score_positions(context, positions))
        threshold = model.threshold
        stage.output = {"transactions": len(positions), "alerts": int((probability >= threshold).sum())}
    return TailScores(positions=positions, probability=probability, threshold=threshold)


def publish_release(
    workspace: Workspace,
    stages: StageLog,
    settings: Settings,
    *,
    snapshot: Snapshot,
    model: Model,
    index_id: str,
    graph: GraphContents,
    tail: TailScores,
) -> tuple[dict[str, Any], list[Alert]]:
    """Write the alerts and the release, then flip the pointer; the same inputs give the same release."""
    if settings.approval.mode != "auto":
        raise UsageError(
            "Four-eyes approval is not built yet.", remedy='Use [approval] mode = "auto" (recorded in the release).'
        )
    with stages.stage("publish") as stage:
        bound = {
            "snapshot_id": snapshot.id,
            "model_id": model.id,
            "index_id": index_id,
            "graph": {"lineage": graph.lineage, "batch": graph.batch},
            "policy": {"alert_threshold": tail.threshold, "alert_budget": settings.train.alert_budget},
            "digests": {
                "snapshot": artifacts.digest(workspace.snapshots / snapshot.id),
                "model": artifacts.digest(workspace.models / model.id),
                "index": artifacts.digest(workspace.indexes / index_id),
            },
            "approval": settings.approval.mode,
        }
        release_id = f"release-{artifacts.short_hash(bound)}"
        alerts = tail_alerts(snapshot, model, tail, release_id)
        write_alerts(workspace, alerts)
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        current = workspace.current_release()
        release = current if current and current["id"] == release_id else {"id": release_id, "created_at": now, **bound}
        workspace.set_current_release(release)
        stage.output = {"release": release_id, "alerts": len(alerts)}
    return release, alerts


def tail_alerts(snapshot: Snapshot, model: Model, tail: TailScores, release_id: str) -> list[Alert]:
    """Alerts of the tail, highest score first."""
    order = np.argsort(-tail.probability, kind="stable")
    chosen = order[tail.probability[order] >= tail.threshold]
    positions = tail.positions[chosen]
    arrays = snapshot.arrays
    party = arrays.entity[positions, snapshot.roles.index(snapshot.manifest["alert_party"])]
    entities = snapshot.entities().take(party)
    return [
        Alert(
            transaction_id=transaction,
            model_id=model.id,
            release_id=release_id,
            entity=PartyRef(type=kind, key=key),
            available_at=int(arrays.available_at[position]),
            event_time=int(arrays.event_time[position]),
            amount_minor=int(arrays.amount_minor[position]),
            currency=arrays.currencies[arrays.currency[position]],
            score=float(probability),
            threshold=tail.threshold,
            origin="nightly",
        )
        for transaction, kind, key, position, probability in zip(
            snapshot.transaction_ids.take(positions).to_pylist(),
            entities.column("type").to_pylist(),
            entities.column("key").to_pylist(),
            positions,
            tail.probability[chosen],
            strict=True,
        )
    ]


def ingest_summary(workspace: Workspace, result: IngestResult, contents: GraphContents | None) -> dict[str, Any]:
    """What `data ingest` answers."""
    manifest = artifacts.read_manifest(workspace.snapshots / result.snapshot_id)
    body = {
        "snapshot_id": result.snapshot_id,
        "batch": result.batch,
        "reused": result.reused,
        "transactions": manifest["num_transactions"],
        "labels": manifest["num_labels"],
        "rows_read": result.num_rows,
        "new_transactions": result.num_new,
        "exact_duplicates": result.num_duplicates,
        "quarantined": result.num_quarantined,
    }
    if contents is not None:
        body["graph"] = {"entities": contents.entities, "transactions": contents.transactions, "batch": contents.batch}
    return body


def show_ingest(console: Console, body: dict[str, Any]) -> None:
    """What `data ingest` draws."""
    console.print(
        f"Snapshot {body['snapshot_id']}{' (unchanged)' if body['reused'] else ''}: "
        f"{body['transactions']:,} transactions, "
        f"{body['new_transactions']:,} new, {body['exact_duplicates']:,} exact duplicates dropped, "
        f"{body['quarantined']:,} quarantined."
    )
    if "graph" in body:
        entities = ", ".join(f"{count:,} {kind}" for kind, count in sorted(body["graph"]["entities"].items()))
        console.print(f"Graph: {body['graph']['transactions']:,} transactions between {entities}.")


def utc(microseconds: int) -> str:
    """RFC 3339 in seconds."""
    return moment(microseconds).isoformat(timespec="seconds").replace("+00:00", "Z")
