"""`ringfence index`: the entity index of a model."""

from __future__ import annotations

from typing import Annotated

import typer

from serving.cli.options import DEFAULT_WORKSPACE, JsonOption, WorkspaceOption, answer

app = typer.Typer(help="Similarity indexes.", no_args_is_help=True)


@app.command()
def build(
    model: Annotated[str, typer.Option(help="Model id, model-…")],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Embed every party of the model's snapshot and build the FAISS index.

    Example: ringfence index build --model model-0f3a9c2b7d11
    """
    from graphml.model import Model
    from ingestion.snapshot import Snapshot
    from ingestion.workspace import Workspace
    from serving import pipeline
    from serving.progress import StageLog

    opened = Workspace.open(workspace)
    with opened.lock(doing="this index"):
        loaded = Model.open(opened.models / model)
        snapshot = Snapshot.open(opened, loaded.snapshot_id)
        index_id = pipeline.index_entities(opened, StageLog(), snapshot, loaded)
    body = {"index_id": index_id, "model_id": model, "snapshot_id": snapshot.id}
    answer(body, as_json, lambda console: console.print(f"{index_id} on {model} and {snapshot.id}"))
