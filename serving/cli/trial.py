"""`ringfence try`: a table that nobody has described, from file to report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from serving.cli.data_mapping_init import AnswersOption
from serving.cli.options import JsonOption, answer


def register(app: typer.Typer) -> None:
    """Put the command at the top level."""
    app.command(name="try")(try_)


def try_(
    source: Annotated[Path, typer.Argument(help="CSV or Parquet file, or a folder of them.")],
    mapping: Annotated[
        str | None, typer.Option(help="Mapping name or file [default: one is proposed].", show_default=False)
    ] = None,
    answers: AnswersOption = None,
    workspace: Annotated[Path, typer.Option("--workspace", "-w", help="Workspace folder.")] = Path("workspace-try"),
    spark_master: Annotated[str, typer.Option(help="Spark master.")] = "local[2]",
    as_json: JsonOption = False,
) -> None:
    """Propose a mapping, inspect, ingest, train where there are labels, and write a report. No graph server is needed.

    Exit 3 when the data allow no snapshot or no ladder; the report says why, and holds the rest.

    Example: ringfence try payments.csv --answers fields.event_time.zone=Europe/Paris
    """
    from ingestion.errors import UsageError
    from ingestion.proposer.questions import parse_answers
    from serving import trial
    from serving.cli.options import open_workspace

    given = parse_answers(answers or [])
    if not source.exists():
        raise UsageError(f"{source} does not exist.", remedy="Name a CSV or Parquet file, or a folder of them.")
    opened, settings = open_workspace(workspace, create=True)
    result = trial.trial(opened, source=source, settings=settings, mapping=mapping, answers=given, master=spark_master)
    answer(result.as_dict(), as_json, lambda console: trial.show(console, result, source))
    if result.stopped is not None:
        raise typer.Exit(3)
