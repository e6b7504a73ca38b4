"""Options that every command has, and how a command answers."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.console import Console

from ingestion.errors import UsageError
from ingestion.workspace import Workspace

if TYPE_CHECKING:
    from graphml.prepared import Tracking
    from ingestion.config import Settings

DEFAULT_WORKSPACE = Path("workspace")

WorkspaceOption = Annotated[
    Path, typer.Option("--workspace", "-w", help="Workspace folder.", envvar="RINGFENCE_WORKSPACE", show_default=True)
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object on stdout; progress goes to stderr.")]
GraphUriOption = Annotated[
    str | None, typer.Option("--graph-uri", help="Use this Neo4j server (bolt://…) and not the workspace's own.")
]


def answer(body: dict[str, Any], as_json: bool, show: Callable[[Console], None]) -> None:
    """Print the JSON object, or let `show` draw it on the terminal."""
    if as_json:
        sys.stdout.write(orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY).decode() + "\n")
    else:
        show(Console())


def open_workspace(path: Path, graph_uri: str | None = None, *, create: bool = False) -> tuple[Workspace, Any]:
    """The workspace and its settings under the flags; only a command that writes data makes a new one."""
    if not create and not path.is_dir():
        raise UsageError(
            f"There is no workspace {path}.", remedy="Name one with --workspace, or make it: ringfence nightly FILE …"
        )
    workspace = Workspace.open(path)
    return workspace, workspace.settings(graph={"uri": graph_uri})


def tracking_of(workspace: Workspace, settings: Settings) -> Tracking | None:
    """Where trainings are recorded: the workspace's mlflow.db, unless `[train] tracking` is off."""
    if not settings.train.tracking:
        return None
    from graphml.tracking import MlflowTracking

    return MlflowTracking(workspace.root / "mlflow.db")
