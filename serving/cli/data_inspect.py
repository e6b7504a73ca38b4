"""`ringfence data inspect`: what is wrong with a table and its labels before a model flatters itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ingestion.errors import UsageError
from serving.cli.options import DEFAULT_WORKSPACE, JsonOption, WorkspaceOption, answer, open_workspace


def register(app: typer.Typer) -> None:
    """Add `inspect` to the group."""
    app.command()(inspect)


def inspect(
    source: Annotated[Path | None, typer.Argument(help="CSV or Parquet file, or a folder of them.")] = None,
    mapping: Annotated[str | None, typer.Option(help="Name of a shipped mapping, or a TOML file.")] = None,
    snapshot: Annotated[
        str | None, typer.Option(help="Inspect this snapshot (an id, or `current`) and no file.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for inspection.html (with plots), inspection.md and inspection.json.")
    ] = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Look for leaks, wrong labels and wrong times in a table: twelve checks, each with evidence and what to do.

    Nothing is ingested. A file shows more than a snapshot, which lacks the columns that its mapping left out.

    Example: ringfence data inspect payments.csv --mapping payments.toml --out inspection
    """
    from ingestion.inspection import inspect_snapshot, inspect_table
    from ingestion.mapping import load_mapping
    from ingestion.snapshot import Snapshot
    from serving.inspection_report import inspection_json, show_inspection, write_inspection
    from serving.progress import StageLog

    if (snapshot is None) == (source is None) or (source is None) != (mapping is None):
        raise UsageError(
            "Name either a file with its mapping, or a snapshot.",
            remedy="ringfence data inspect FILE --mapping NAME, or ringfence data inspect --snapshot current.",
        )
    with StageLog().stage("inspect") as stage:
        if source is not None and mapping is not None:
            found = inspect_table(source, load_mapping(mapping), progress=stage)
        else:
            opened, _ = open_workspace(workspace)
            wanted = None if snapshot == "current" else snapshot
            found = inspect_snapshot(Snapshot.open(opened, wanted), progress=stage)
        stage.output = {"rows": found.num_rows, "findings": len(found.findings)}
    page = None if out is None else write_inspection(out, found)
    body = inspection_json(found) | {"page": None if page is None else str(page)}
    answer(body, as_json, lambda console: show_inspection(console, found))
    if page is not None and not as_json:
        typer.echo(f"Page with plots: {page}")
