"""The daily commands: demo, nightly, investigate, similar, serve, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ingestion.errors import UsageError
from serving.cli.data import rows_of
from serving.cli.options import (
    DEFAULT_WORKSPACE,
    GraphUriOption,
    JsonOption,
    WorkspaceOption,
    answer,
    open_workspace,
    tracking_of,
)

AsOfOption = Annotated[
    str | None, typer.Option("--as-of", help="RFC 3339 time; only what was known by then is seen.", show_default=False)
]


def register(app: typer.Typer) -> None:
    """Put the daily commands at the top level."""
    for command in (demo, nightly, investigate, similar, serve, doctor):
        app.command()(command)


def demo(
    workspace: Annotated[Path, typer.Option("--workspace", "-w", help="Workspace folder.")] = Path("workspace-demo"),
    scale: Annotated[str, typer.Option(help="100k, 1m or a number of transactions.")] = "100k",
    seed: Annotated[int, typer.Option(help="Seed of the simulated bank.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Simulate a bank, run the nightly job and investigate the top alert; leaves nothing running.

    Example: ringfence demo --scale 100k
    """
    from serving import demo as demonstration

    result = demonstration.run(workspace, num_transactions=rows_of(scale), seed=seed)
    answer(result.as_dict(), as_json, lambda console: demonstration.show(console, result))


def nightly(
    source: Annotated[Path | None, typer.Argument(help="Table to read; else [source] path of the workspace.")] = None,
    mapping: Annotated[str | None, typer.Option(help="Mapping name or file; else [source] mapping.")] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    graph_uri: GraphUriOption = None,
    spark_master: Annotated[str, typer.Option(help="Spark master.")] = "local[2]",
    as_json: JsonOption = False,
) -> None:
    """Ingest what is new, train, index, score, publish a release and write a report. Run it again to go on.

    Example: ringfence nightly bank/transactions.parquet --mapping ringfence
    """
    from serving import nightly as job

    opened, settings = open_workspace(workspace, graph_uri, create=True)
    chosen_source = source or (Path(settings.source.path) if settings.source.path else None)
    chosen_mapping = mapping or settings.source.mapping
    if chosen_source is None or chosen_mapping is None:
        raise UsageError(
            "There is no table or mapping to read.",
            remedy="Write: ringfence nightly FILE --mapping NAME, or set [source] path and mapping in ringfence.toml.",
        )
    result = job.nightly(
        opened,
        source=chosen_source,
        mapping=chosen_mapping,
        settings=settings,
        master=spark_master,
        tracking=tracking_of(opened, settings),
    )
    answer(result.as_dict(), as_json, lambda console: job.show(console, result))


def investigate(
    target: Annotated[str, typer.Argument(help="An alert id (alert-…) or an entity (TYPE:KEY).")],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    graph_uri: GraphUriOption = None,
    as_of: AsOfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say why an alert fired, who is around it and what looks alike; every sentence cites its evidence.

    Example: ringfence investigate alert-0f3a9c2b7d11 --workspace ./workspace-demo
    """
    from retrieval.terminal import show_investigation
    from serving.context import ServingContext
    from serving.names import short_name

    opened, settings = open_workspace(workspace, graph_uri)
    with ServingContext.open(opened, settings) as context:
        found = context.investigate(target, as_of=as_of)
    answer(found.as_dict(), as_json, lambda console: show_investigation(console, found, display=short_name))


def similar(
    entity: Annotated[str, typer.Argument(help="TYPE:KEY, for example merchant:m-12.")],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    graph_uri: GraphUriOption = None,
    k: Annotated[int, typer.Option(min=1, max=200, help="How many.")] = 10,
    as_of: AsOfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Entities that behave alike, why, and how those ended.

    Example: ringfence similar merchant:m-12 --k 5
    """
    from retrieval.terminal import show_similar
    from serving.context import ServingContext

    opened, settings = open_workspace(workspace, graph_uri)
    with ServingContext.open(opened, settings) as context:
        found = context.similar(entity, k=k, as_of=as_of)
    body = {"entity": entity, "release_id": context.release_id, "similar": [item.as_dict() for item in found]}
    answer(body, as_json, lambda console: show_similar(console, entity, found))


def serve(
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    graph_uri: GraphUriOption = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on [default: 127.0.0.1].")] = None,
    port: Annotated[int | None, typer.Option(help="Port [default: 8080].")] = None,
) -> None:
    """Serve the investigation API on the release in force, until Ctrl-C.

    Example: ringfence serve --workspace ./workspace-demo --port 8080
    """
    from serving.serve import serve as run

    opened, settings = open_workspace(workspace, graph_uri)
    run(opened, settings, host=host or settings.serve.host, port=port or settings.serve.port)


def doctor(as_json: JsonOption = False) -> None:
    """Say what is missing on this machine and how to get it.

    Example: ringfence doctor
    """
    from serving import doctor as checks

    raise typer.Exit(checks.main(["--json"] if as_json else []))
