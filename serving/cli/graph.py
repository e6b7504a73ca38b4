"""`ringfence graph`: the workspace's own Neo4j server."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from serving.cli.options import DEFAULT_WORKSPACE, GraphUriOption, JsonOption, WorkspaceOption, answer, open_workspace

app = typer.Typer(help="The graph server of a workspace.", no_args_is_help=True)


@app.command()
def start(
    workspace: WorkspaceOption = DEFAULT_WORKSPACE, graph_uri: GraphUriOption = None, as_json: JsonOption = False
) -> None:
    """Start the server if it is not running; fetches it once (140 MB).

    Example: ringfence graph start --workspace ./workspace-demo
    """
    from ingestion.graph.server import ensure_running
    from serving.progress import StageLog

    opened, settings = open_workspace(workspace, graph_uri, create=True)
    with StageLog().stage("graph") as stage:
        endpoint = ensure_running(opened, settings, progress=stage)
    body = {"uri": endpoint.uri, "user": endpoint.user, "pid": endpoint.pid, "database": endpoint.database}
    answer(
        body,
        as_json,
        lambda console: console.print(
            f"Neo4j answers at {endpoint.uri} (user {endpoint.user}, password in "
            f"{opened.secrets / 'neo4j.password'}).\nStop it with: ringfence graph stop --workspace {workspace}"
        ),
    )


@app.command()
def load(
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    graph_uri: GraphUriOption = None,
    spark_master: Annotated[str, typer.Option(help="Spark master, for many rows.")] = "local[2]",
    replace: Annotated[
        bool, typer.Option("--replace", help="Delete what an external database holds, if that is something else.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Bring the graph to the newest snapshot; does nothing when it is there already.

    Example: ringfence graph load --graph-uri bolt://graph.example:7687 --replace
    """
    from ingestion.graph.load import load_graph
    from ingestion.snapshot import Snapshot
    from serving.progress import StageLog

    opened, settings = open_workspace(workspace, graph_uri)
    with opened.lock(doing="this load of the graph"), StageLog().stage("graph") as stage:
        snapshot = Snapshot.open(opened)
        contents = load_graph(opened, snapshot, settings, master=spark_master, progress=stage, replace=replace)
    body = asdict(contents)
    told = f"{contents.transactions:,} transactions and {sum(contents.entities.values()):,} entities of {snapshot.id}"
    answer(body, as_json, lambda console: console.print(f"The graph holds {told}."))


@app.command()
def stop(workspace: WorkspaceOption = DEFAULT_WORKSPACE, as_json: JsonOption = False) -> None:
    """Stop the workspace's own server; an external one is left alone.

    Example: ringfence graph stop
    """
    from ingestion.graph.server import stop as stop_server

    opened, _ = open_workspace(workspace)
    stopped = stop_server(opened)
    answer(
        {"stopped": stopped}, as_json, lambda console: console.print("Stopped." if stopped else "It was not running.")
    )


@app.command()
def status(
    workspace: WorkspaceOption = DEFAULT_WORKSPACE, graph_uri: GraphUriOption = None, as_json: JsonOption = False
) -> None:
    """Say whether the server runs and what it holds.

    Example: ringfence graph status --json
    """
    from ingestion.graph.server import status as status_of

    opened, settings = open_workspace(workspace, graph_uri)
    body: dict[str, Any] = status_of(opened, settings)
    answer(body, as_json, lambda console: console.print("\n".join(f"{key}: {value}" for key, value in body.items())))
