"""The nightly job: table to published release, in stages that resume.

Every stage is idempotent and finds by the hash of its inputs what it made before, so the same command after a
crash goes on where it stopped, and a second run reuses what is unchanged.
"""

from __future__ import annotations

import datetime as dt
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from graphml.model import Model
from graphml.prepared import Tracking
from graphml.training import TrainResult
from ingestion.config import Settings
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace
from retrieval.wording import format_amount
from serving import ladder_table, pipeline
from serving.alerts import Alert
from serving.context import ServingContext
from serving.names import short_name
from serving.progress import StageLog
from serving.report import ReportData, write_report

NUM_INVESTIGATED = 3
NUM_LISTED = 15


@dataclass(frozen=True, kw_only=True)
class NightlyResult:
    """What a run made."""

    run_id: str
    workspace: Path
    release: dict[str, Any]
    report: Path
    trained: TrainResult
    alerts: list[Alert]
    stages: list[dict[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "run_id": self.run_id,
            "release": self.release,
            "report": str(self.report),
            "ladder": self.trained.ladder.as_dict(),
            "top_alerts": [alert.id for alert in self.alerts[:NUM_LISTED]],
            "stages": self.stages,
        }


def nightly(
    workspace: Workspace,
    *,
    source: Path,
    mapping: str,
    settings: Settings,
    master: str = "local[2]",
    tracking: Tracking | None = None,
) -> NightlyResult:
    """Run every stage on a table; `tracking` is told how the networks train.

    Raises `RetryLater` when another job writes to the workspace.
    """
    run_id = f"run-{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%SZ}"
    stages = StageLog(workspace.runs / run_id / "stages.jsonl")
    with workspace.lock(doing="this nightly run"):
        pipeline.ingest_table(
            workspace,
            stages,
            source=source,
            mapping=mapping,
            master=master,
            max_bad_share=settings.source.max_bad_share,
        )
        snapshot = Snapshot.open(workspace)
        contents = pipeline.load_graph(workspace, stages, settings, master=master)
        trained = pipeline.train_model(workspace, stages, settings, snapshot, tracking)
        model = Model.open(trained.path)
        index_id = pipeline.index_entities(workspace, stages, snapshot, model)
        tail = pipeline.score_tail(stages, snapshot, model)
        release, alerts = pipeline.publish_release(
            workspace, stages, settings, snapshot=snapshot, model=model, index_id=index_id, graph=contents, tail=tail
        )
        with stages.stage("report") as stage:
            data = report_data(workspace, settings, run_id, snapshot, model, trained, release, alerts, stages.entries)
            report = write_report(workspace.runs / run_id, data)
            stage.output = {"report": str(report)}
    return NightlyResult(
        run_id=run_id,
        workspace=workspace.root,
        release=release,
        report=report,
        trained=trained,
        alerts=alerts,
        stages=stages.entries,
    )


def report_data(
    workspace: Workspace,
    settings: Settings,
    run_id: str,
    snapshot: Snapshot,
    model: Model,
    trained: TrainResult,
    release: dict[str, Any],
    alerts: list[Alert],
    stages: list[dict[str, Any]],
) -> ReportData:
    """Everything that the report shows, the top alerts investigated."""
    with ServingContext.open(workspace, settings) as context:
        investigations = [context.investigate(alert.id).as_dict(short_name) for alert in alerts[:NUM_INVESTIGATED]]
    return ReportData(
        run_id=run_id,
        release=release,
        snapshot=snapshot.manifest,
        windows={name: f"{start} to {end}" for name, start, end in model.windows.lines()},
        served=trained.ladder.served,
        ladder=trained.ladder.as_dict()["rows"],
        curves=model.metrics["curves"],
        calibration=model.metrics["calibration"],
        base_rate=model.metrics["base_rate"],
        alerts=[
            {
                "alert_id": alert.id,
                "transaction_id": alert.transaction_id,
                "party": short_name(alert.entity),
                "amount": format_amount(alert.amount_minor, alert.currency),
                "time": pipeline.utc(alert.available_at),
                "score": alert.score,
            }
            for alert in alerts[:NUM_LISTED]
        ],
        num_alerts=len(alerts),
        investigations=investigations,
        stages=stages,
        quarantine=quarantine_by_reason(snapshot),
        drift=(snapshot.profile() or {}).get("drift"),
    )


def quarantine_by_reason(snapshot: Snapshot) -> list[dict[str, Any]]:
    """Rows and remedy of each reason, most rows first."""
    table = snapshot.quarantine()
    if table is None:
        return []
    counted = table.group_by(["reason", "remedy"]).aggregate([([], "count_all")]).sort_by([("count_all", "descending")])
    return [{"reason": row["reason"], "remedy": row["remedy"], "rows": row["count_all"]} for row in counted.to_pylist()]


def show(console: Console, result: NightlyResult) -> None:
    """The ladder, the top alerts and the report on a terminal."""
    ladder_table.show(console, result.trained)
    for alert in result.alerts[:5]:
        console.print(f"{alert.id}  {pipeline.utc(alert.available_at)}  score {alert.score:.4f}  {alert.entity}")
    console.print(f"{len(result.alerts)} alerts. Release {result.release['id']}. Report: {result.report}")
    if result.alerts:
        console.print(
            f"Next: ringfence investigate {result.alerts[0].id} --workspace {shlex.quote(str(result.workspace))}"
        )
