"""`ringfence model`: train and look at the ladder."""

from __future__ import annotations

from typing import Annotated

import typer

from serving.cli.options import DEFAULT_WORKSPACE, JsonOption, WorkspaceOption, answer

app = typer.Typer(help="Models and their ladder.", no_args_is_help=True)


@app.command()
def train(
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    snapshot: Annotated[str | None, typer.Option(help="Snapshot id [default: the newest].")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="At most so many epochs of GraphSAGE.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Train the baselines and GraphSAGE on a snapshot and print the ladder.

    Example: ringfence model train --workspace ./workspace-demo
    """
    from ingestion.snapshot import Snapshot
    from ingestion.workspace import Workspace
    from serving import ladder_table, pipeline
    from serving.progress import StageLog

    opened = Workspace.open(workspace)
    settings = opened.settings(train={"seed": seed, "epochs": epochs})
    with opened.lock(doing="this training"):
        result = pipeline.train_model(opened, StageLog(), settings, Snapshot.open(opened, snapshot))
    body = {"model_id": result.model_id, "path": str(result.path), "reused": result.reused, **result.ladder.as_dict()}
    answer(body, as_json, lambda console: ladder_table.show(console, result))
