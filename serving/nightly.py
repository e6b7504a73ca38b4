"""The nightly job: table to published release, in stages that resume.

Every stage is idempotent and finds by the hash of its inputs what it made before, so the same command after a
crash goes on where it stopped, and a second run reuses what is unchanged.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from graphml.model import Model
from graphml.training import TrainResult
from ingestion.config import Settings
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace
from serving import ladder_table, pipeline
from serving.alerts import list_alerts
from serving.context import ServingContext
from serving.progress import StageLog
from serving.report import ReportData, write_report

NUM_INVESTIGATED = 3
NUM_LISTED = 15


@dataclass(frozen=True, kw_only=True)
class NightlyResult:
    """What a run made."""

    run_id: str
    release: dict[str, Any]
    report: Path
    trained: TrainResult
    alerts: list[dict[str, Any]]
    stages: list[dict[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "run_id": self.run_id,
            "release": self.release,
            "report": str(self.report),
            "ladder": self.trained.ladder.as_dict(),
            "top_alerts": [alert["alert_id"] for alert in self.alerts],
            "stages": self.stages,
        }


def nightly(
    workspace: Workspace, *, source: Path, mapping: str, settings: Settings, master: str = "local[2]"
) -> NightlyResult:
    """Run every stage on a table. Raises `RetryLater` when another job writes to the workspace."""
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
        contents = pipeline.load_graph(workspace, stages, settings)
        trained = pipeline.train_model(workspace, stages, settings, snapshot)
        model = Model.open(trained.path)
        index_id = pipeline.index_entities(workspace, stages, snapshot, model)
        tail = pipeline.score_tail(stages, snapshot, model)
        release = pipeline.publish_release(
            workspace, stages, settings, snapshot=snapshot, model=model, index_id=index_id, graph=contents, tail=tail
        )
        with stages.stage("report") as stage:
            alerts = list_alerts(workspace, release_id=release["id"], limit=NUM_LISTED)
            data = report_data(workspace, settings, run_id, snapshot, model, trained, release, alerts, stages.entries)
            report = write_report(workspace.runs / run_id, data)
            stage.output = {"report": str(report)}
    return NightlyResult(
        run_id=run_id, release=release, report=report, trained=trained, alerts=alerts, stages=stages.entries
    )
