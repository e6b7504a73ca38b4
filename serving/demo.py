"""The demo: a simulated bank, the nightly job on it, and the top alert investigated. Leaves nothing running."""

from __future__ import annotations

import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console

from ingestion.artifacts import write_atomically
from ingestion.cache import cache_folder
from ingestion.config import FILE
from ingestion.graph import server
from ingestion.simulator.config import SimulatorConfig
from ingestion.simulator.simulate import simulate, write
from ingestion.workspace import Workspace
from retrieval.investigation import Investigation
from retrieval.terminal import show_investigation
from serving import ladder_table
from serving.context import ServingContext
from serving.names import short_name
from serving.nightly import NightlyResult, nightly
from serving.progress import StageLog

SETTINGS = """\
# Written by `ringfence demo`. Now is the end of the simulated data.
[source]
path = "{source}"
mapping = "ringfence"

[clock]
mode = "data"
"""


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """What the demo made and what it took."""

    workspace: Path
    night: NightlyResult
    investigation: Investigation | None
    seconds: float
    downloaded_bytes: int
    disk_bytes: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "workspace": str(self.workspace),
            "seconds": round(self.seconds, 1),
            "downloaded_bytes": self.downloaded_bytes,
            "disk_bytes": self.disk_bytes,
            "nightly": self.night.as_dict(),
            "investigation": self.investigation.as_dict() if self.investigation else None,
        }


def run(root: Path, *, num_transactions: int, seed: int) -> DemoResult:
    """Simulate, run the nightly job, investigate the top alert, stop the graph server again."""
    started = time.monotonic()
    workspace = Workspace.open(root)
    cached = folder_bytes(cache_folder())
    config = SimulatorConfig(num_transactions=num_transactions, seed=seed)
    source = simulated_bank(workspace, config)
    if not (workspace.root / FILE).exists():
        write_atomically(workspace.root / FILE, SETTINGS.format(source=source).encode())
    settings = workspace.settings()
    was_running = server.status(workspace, settings)["running"]
    try:
        night = nightly(workspace, source=source, mapping="ringfence", settings=settings)
        investigation = None
        if night.alerts:
            with ServingContext.open(workspace, settings) as context:
                investigation = context.investigate(night.alerts[0].id)
    finally:
        if not was_running:
            server.stop(workspace)
    return DemoResult(
        workspace=root,
        night=night,
        investigation=investigation,
        seconds=time.monotonic() - started,
        downloaded_bytes=folder_bytes(cache_folder()) - cached,
        disk_bytes={
            "environment": folder_bytes(Path(sys.prefix)),
            "neo4j": folder_bytes(cache_folder()),
            "workspace": folder_bytes(workspace.root),
        },
    )


def simulated_bank(workspace: Workspace, config: SimulatorConfig) -> Path:
    """The table of this configuration in the workspace's `bank/` folder, made once."""
    folder = workspace.root / "bank"
    marker = folder / "demo.json"
    wanted = orjson.dumps(config.as_dict(), option=orjson.OPT_SORT_KEYS)
    if not marker.exists() or marker.read_bytes() != wanted:
        with StageLog().stage("simulate") as stage:
            tables = simulate(config)
            write(tables, folder)
            stage.output = {"transactions": tables.transactions.num_rows, "labels": tables.labels.num_rows}
        write_atomically(marker, wanted)
    return folder / "transactions.parquet"


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def show(console: Console, result: DemoResult) -> None:
    """The ladder, the investigated alert, and what to run next."""
    ladder_table.show(console, result.night.trained)
    if result.investigation is not None:
        show_investigation(console, result.investigation, display=short_name)
    disk = ", ".join(f"{name} {size / 1e9:.2f} GB" for name, size in result.disk_bytes.items())
    fetched = (
        f"Downloaded {result.downloaded_bytes / 1e6:.0f} MB of Neo4j."
        if result.downloaded_bytes
        else "Nothing downloaded."
    )
    root = shlex.quote(str(result.workspace))
    lines = [
        f"\nDone in {result.seconds:.0f} s. {fetched or 'Nothing downloaded.'} Disk: {disk}. Nothing is left running.",
        f"Report:  {result.night.report}",
        "Next:",
    ]
    if result.night.alerts:
        second = result.night.alerts[min(1, len(result.night.alerts) - 1)]
        lines.append(f"  .venv/bin/ringfence investigate {second.id} --workspace {root}")
    lines.append(f"  .venv/bin/ringfence serve --workspace {root}")
    lines.append(f"  .venv/bin/ringfence graph stop --workspace {root}  # what these two started")
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False)
