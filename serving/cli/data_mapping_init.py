"""`ringfence data mapping init`: propose a mapping for a table, and ask where it is not sure."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from serving.cli.options import JsonOption, answer

if TYPE_CHECKING:
    from ingestion.proposer.proposal import Proposal
    from ingestion.proposer.sample import Sample

AnswersOption = Annotated[
    list[str] | None,
    typer.Option("--answers", "-a", help="KEY=VALUE that settles a question; may come again.", show_default=False),
]


def register(app: typer.Typer) -> None:
    """Put the command into the group `data mapping`."""
    app.command()(init)


def init(
    source: Annotated[Path, typer.Argument(help="CSV or Parquet file, or a folder of them.")],
    out: Annotated[
        Path | None, typer.Option(help="The TOML file to write [default: the table's name, here].", show_default=False)
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: take the best guess everywhere.")] = False,
    answers: AnswersOption = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Propose a mapping from the column names and a sample, with reasons; ask on a terminal where it is not sure.

    Without a terminal the questions are listed, and marked ASK in the file. Answer them by editing the file, or:

    Example: ringfence data mapping init payments.csv --answers fields.event_time.zone=Europe/Paris
    """
    from ingestion.artifacts import write_atomically
    from ingestion.errors import UsageError
    from ingestion.proposer.proposal import propose
    from ingestion.proposer.questions import parse_answers
    from ingestion.proposer.render import render_toml
    from ingestion.proposer.sample import take_sample

    if not source.exists():
        raise UsageError(f"{source} does not exist.", remedy="Name a CSV or Parquet file, or a folder of them.")
    given = parse_answers(answers or [])
    sample = take_sample(source)
    proposal = propose(sample, answers=given)
    path = out or Path(f"{proposal.name}.toml")
    if path.exists() and not force:
        raise UsageError(f"{path} is there already.", remedy="Name another by --out, or write over it by --force.")
    if not (as_json or yes) and sys.stdin.isatty() and sys.stdout.isatty():
        proposal = _ask(sample, given)
    write_atomically(path, render_toml(proposal).encode())
    body = proposal.as_dict() | {"file": str(path), "check": _check(source, proposal)}
    answer(body, as_json, lambda console: _draw(console, proposal, body, source))


def _ask(sample: Sample, answers: dict[str, Any]) -> Proposal:
    """Ask about one decision after the other; what comes later builds on what was said."""
    from ingestion.errors import UsageError
    from ingestion.proposer.proposal import propose
    from ingestion.proposer.questions import parse_answer, question_of

    while True:
        proposal = propose(sample, answers=answers)
        item = next((item for item in proposal.decisions.values() if item.asks), None)
        if item is None:
            return proposal
        others = ", ".join(str(other) for other in item.alternatives)
        typer.echo(f"\n{question_of(item)} ({item.key})\n  {item.reason}" + (f"; could be: {others}" if others else ""))
        guess = "none" if item.choice is None else str(item.choice)
        try:
            reply = typer.prompt("  answer", default=guess)
            answers[item.key] = item.choice if reply == guess else parse_answer(item.key, reply)
        except UsageError as error:
            typer.echo(f"  {error.what} {error.remedy}")


def _check(source: Path, proposal: Proposal) -> dict[str, Any]:
    """What `data mapping check` says of the proposal, in short; or why no mapping can be made of it yet."""
    from ingestion.errors import RingfenceError
    from ingestion.mapping_check import check_mapping

    try:
        checked = check_mapping(source, proposal.mapping(), rows=1)
    except RingfenceError as error:
        return {"error": error.what, "remedy": error.remedy}
    sample = checked.sample
    return {
        "rows": sample["rows"],
        "enter": sample["enter"],
        "bad": {reason: bad["rows"] for reason, bad in sample["bad"].items()},
        "bad_share": checked.bad_share,
    }


def _draw(console: Console, proposal: Proposal, body: dict[str, Any], source: Path) -> None:
    from ingestion.proposer.questions import question_of

    lines = [f"Wrote {body['file']} from {proposal.num_sampled:,} rows of {proposal.source}."]
    if proposal.questions:
        lines.append(
            f"{len(proposal.questions)} questions, the least sure first; the best guess is in the file, marked ASK:"
        )
    for item in proposal.questions:
        lines.append(f"  {item.key} = {item.choice}  ({item.confidence:.2f})  {question_of(item)} {item.reason}")
    check = body["check"]
    if "error" in check:
        lines.append(f"No mapping yet: {check['error']} {check['remedy']}")
    else:
        told = ", ".join(f"{count:,} {reason}" for reason, count in check["bad"].items())
        lines.append(f"Check: {check['enter']:,} of {check['rows']:,} rows enter" + (f"; bad: {told}" if told else ""))
    lines.append(f"Next: ringfence data mapping check {shlex.quote(str(source))} --mapping {shlex.quote(body['file'])}")
    console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)
