"""`ringfence data mapping`: the mappings that are shipped, and what one will do to a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from serving.cli.options import JsonOption, answer

app = typer.Typer(help="How a table becomes transactions and labels.", no_args_is_help=True)

#: Share of bad rows above which `data ingest` stops unless it is told otherwise.
_MAX_BAD_SHARE = 0.01
_SHOWN = ("event_time", "source", "target", "amount_minor", "currency", "kind", "outcome")


@app.command(name="list")
def list_(as_json: JsonOption = False) -> None:
    """List the mappings that are shipped.

    Example: ringfence data mapping list
    """
    from ingestion.mapping import SHIPPED

    found = [{"name": path.stem, "about": _about(path)} for path in sorted(SHIPPED.glob("*.toml"))]
    answer(
        {"mappings": found},
        as_json,
        lambda console: console.print(
            "\n".join(f"{entry['name']:<16} {entry['about']}" for entry in found), markup=False, highlight=False
        ),
    )


@app.command()
def show(
    mapping: Annotated[str, typer.Argument(help="Name of a shipped mapping, or a TOML file.")],
    as_json: JsonOption = False,
) -> None:
    """Show a mapping after checking it: its TOML, or with --json all its keys, defaults spelled out.

    Example: ringfence data mapping show paysim > mine.toml
    """
    from ingestion.mapping import load_mapping, mapping_path

    checked = load_mapping(mapping)
    text = mapping_path(mapping).read_text(encoding="utf-8")
    answer({"mapping": checked.as_dict()}, as_json, lambda console: typer.echo(text, nl=False))


@app.command()
def check(
    source: Annotated[Path, typer.Argument(help="CSV or Parquet file, or a folder of them.")],
    mapping: Annotated[str, typer.Option(help="Name of a shipped mapping, or a TOML file.")],
    rows: Annotated[int, typer.Option(min=1, max=1000, help="Rows to show one by one.")] = 20,
    sample: Annotated[int, typer.Option(min=1, help="Rows to count over.")] = 100_000,
    as_json: JsonOption = False,
) -> None:
    """Show what a mapping does to a table: its first rows, and counts over a sample. Nothing is written.

    Personal values are masked or tokens. Exit 3 when over 1 % of the sample is bad: the ingest would stop.

    Example: ringfence data mapping check payments.csv --mapping payments.toml
    """
    from ingestion.errors import UsageError
    from ingestion.mapping import load_mapping
    from ingestion.mapping_check import check_mapping

    if not source.exists():
        raise UsageError(f"{source} does not exist.", remedy="Name a CSV or Parquet file, or a folder of them.")
    body = check_mapping(source, load_mapping(mapping), rows=rows, sample_rows=sample).as_dict()
    answer(body, as_json, lambda console: _draw(console, body))
    if body["bad_share"] > _MAX_BAD_SHARE:
        raise typer.Exit(3)


def _about(path: Path) -> str:
    """The comment that a mapping begins with, its first sentence."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.removeprefix("#").strip())
    return " ".join(lines).split(". ")[0].rstrip(".")


def _draw(console: Console, body: dict[str, Any]) -> None:
    console.print(_rows_table(body["rows"]))
    sample = body["sample"]
    lines = [f"{sample['rows']:,} rows looked at: {sample['enter']:,} enter"]
    lines += [f"  left out {count:>9,}  {reason}" for reason, count in sample["left_out"].items()]
    for reason, bad in sample["bad"].items():
        told = f"{bad['field'] or '-'} = {bad['example']!r}"
        lines.append(f"  bad      {bad['rows']:>9,}  {reason}: {told}. {bad['remedy']}")
    if sample["time_span"]:
        lines.append(f"from {sample['time_span'][0]} to {sample['time_span'][1]}")
    for currency, amounts in sample["amounts"].items():
        told = ", ".join(f"{name} {value:,}" for name, value in amounts.items())
        lines.append(f"{currency}: {told} (minor units)")
    for name in ("kind", "outcome", "channel", "source_type", "target_type", "parties"):
        if sample[name]:
            lines.append(f"{name}: " + ", ".join(f"{value} {count:,}" for value, count in sample[name].items()))
    if "base_amounts" in sample:
        lines.append("base currency: " + ", ".join(f"{k} {v:,}" for k, v in sample["base_amounts"].items()))
    if sample["repeated_ids"]:
        lines.append(f"{sample['repeated_ids']:,} rows repeat an id: duplicates are dropped, others are quarantined")
    lines += [_label_line(source) for source in body["labels"]] or ["no labels"]
    if body["unused_columns"]:
        lines.append("columns not used: " + ", ".join(body["unused_columns"]))
    console.print("\n".join(lines), markup=False, highlight=False)


def _label_line(source: dict[str, Any]) -> str:
    delay = source.get("delay_days")
    days = "" if delay is None else f", known after {delay['min']:g} to {delay['max']:g} days"
    if source.get("without_own_time"):
        days += ", some with the time of their event or of the data's end"
    bad = "".join(f", {count:,} {reason}" for reason, count in source.get("bad", {}).items())
    total = max(source["fraud"] + source["legitimate"], 1)
    share = f"{source['fraud'] / total:.2%}"
    return (
        f"labels of {source['source']}: {source['fraud']:,} fraud ({share}), {source['legitimate']:,} legitimate"
        f"{days}{bad}"
    )


def _rows_table(rows: list[dict[str, Any]]) -> Table:
    table = Table(title="First rows", show_lines=False)
    for column in ("line", "as written", "transaction_id", *_SHOWN):
        table.add_column(column, overflow="fold")
    for row in rows:
        said = ", ".join(f"{name}={value}" for name, value in row["raw"].items() if value is not None)
        table.add_row(str(row["line"]), _escaped(said), *map(_escaped, _becomes(row)))
    return table


def _becomes(row: dict[str, Any]) -> list[str]:
    if row["left_out"] is not None:
        return ["left out", row["left_out"], *[""] * (len(_SHOWN) - 1)]
    if (problem := row["problem"]) is not None:
        told = f"{problem['reason']}: {problem['field']} = {problem['value']!r}"
        return ["BAD", told, problem["remedy"], *[""] * (len(_SHOWN) - 2)]
    fields = dict(row["becomes"])
    for role in ("source", "target"):
        fields[role] = f"{fields[f'{role}_type']}:{_short(fields[f'{role}_key'])}"
    return [_short(fields["transaction_id"]), *[str(fields[name]) for name in _SHOWN]]


def _short(text: str) -> str:
    return text if len(text) <= 24 else text[:23] + "…"


def _escaped(text: str) -> str:
    return text.replace("[", r"\[")
