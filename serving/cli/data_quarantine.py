"""`ringfence data quarantine`: rows that did not enter, why, and reading them again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from serving.cli.options import DEFAULT_WORKSPACE, JsonOption, WorkspaceOption, answer, open_workspace

app = typer.Typer(help="Rows that did not enter, and why.", no_args_is_help=True)

ReasonOption = Annotated[str | None, typer.Option(help="Only rows with this reason, e.g. amount_unreadable.")]


@app.command(name="list")
def list_(workspace: WorkspaceOption = DEFAULT_WORKSPACE, as_json: JsonOption = False) -> None:
    """Count the quarantined rows of the newest snapshot by file and reason.

    Example: ringfence data quarantine list
    """
    rows = _rows(workspace, None)
    counts: dict[tuple[str, str, str], int] = {}
    for row in rows:
        key = (row["source_file"], row["reason"], row["remedy"])
        counts[key] = counts.get(key, 0) + 1
    names = ("source_file", "reason", "remedy")
    groups = [dict(zip(names, key, strict=True)) | {"rows": count} for key, count in sorted(counts.items())]
    lines = [f"{row['rows']:>8,}  {row['source_file']}  {row['reason']}: {row['remedy']}" for row in groups]
    answer(
        {"rows": len(rows), "groups": groups},
        as_json,
        lambda console: console.print("\n".join(lines) or "No row is in quarantine.", markup=False),
    )


@app.command()
def show(
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    reason: ReasonOption = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many rows.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Show quarantined rows with their line, the value at fault and the remedy; personal values are masked.

    Example: ringfence data quarantine show --reason amount_unreadable
    """
    rows = _rows(workspace, reason)
    lines = [
        f"{row['source_file']}:{row['line']}  {row['reason']}  {row['field'] or '-'} = {row['value']!r}"
        f"  {row['remedy']}"
        for row in rows[:limit]
    ]
    answer(
        {"rows": rows[:limit], "total": len(rows)},
        as_json,
        lambda console: console.print("\n".join([*lines, f"{len(rows):,} rows in all"]), markup=False),
    )


@app.command()
def replay(
    source: Annotated[Path, typer.Argument(help="The file that the rows came from, or its folder.")],
    mapping: Annotated[str, typer.Option(help="The mended mapping: a shipped name, or a TOML file.")],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    reason: ReasonOption = None,
    spark_master: Annotated[str, typer.Option(help="Spark master.")] = "local[2]",
    as_json: JsonOption = False,
) -> None:
    """Read quarantined rows again from their file and line; those that are good now enter as a new batch.

    Example: ringfence data quarantine replay payments.csv --mapping payments.toml --reason amount_unreadable
    """
    from ingestion.replay import Replay
    from serving import pipeline
    from serving.progress import StageLog

    opened, _ = open_workspace(workspace)
    with opened.lock(doing="this replay"):
        result = pipeline.ingest_table(
            opened,
            StageLog(),
            source=source,
            mapping=mapping,
            master=spark_master,
            max_bad_share=1.0,
            replay=Replay(reason=reason),
        )
    body = pipeline.ingest_summary(opened, result, None)
    answer(body, as_json, lambda console: pipeline.show_ingest(console, body))


def _rows(workspace: Path, reason: str | None) -> list[dict[str, Any]]:
    """Quarantined rows of the newest snapshot."""
    from ingestion.snapshot import Snapshot

    opened, _ = open_workspace(workspace)
    table = Snapshot.open(opened).quarantine()
    rows: list[dict[str, Any]] = [] if table is None else table.to_pylist()
    return [row for row in rows if reason is None or row["reason"] == reason]
