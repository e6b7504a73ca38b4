"""`ringfence data features`: which features a spec has, and what each of them is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from serving.cli.options import JsonOption, answer

if TYPE_CHECKING:
    from ingestion.features.spec import FeatureSpec

app = typer.Typer(help="Features: which there are, and what each one is.", no_args_is_help=True)

_Spec = Annotated[str, typer.Option(help="Name of a shipped spec (default, handbook), or a TOML file.")]
_Roles = Annotated[str, typer.Option(help="Further party types of the transactions, by comma.")]


@app.command(name="list")
def list_(spec: _Spec = "default", roles: _Roles = "", as_json: JsonOption = False) -> None:
    """List the features of a spec.

    Example: ringfence data features list --roles device,ip
    """
    opened = _opened(spec, roles)
    columns = [
        {"name": column.name, "family": column.kind, "of": column.role, "window": column.window}
        for column in opened.columns
    ]
    answer({"spec": opened.name, "features": columns}, as_json, lambda console: _draw(console, columns))


@app.command()
def explain(
    name: Annotated[str, typer.Argument(help="Name of the feature.")],
    spec: _Spec = "default",
    roles: _Roles = "",
    as_json: JsonOption = False,
) -> None:
    """Explain a feature: its definition, where its window ends, and a worked example.

    Example: ringfence data features explain target_unexplained_rate_7d
    """
    from ingestion.features.explain import explain as explain_feature

    body = explain_feature(_opened(spec, roles), name).as_dict()
    answer(body, as_json, lambda console: _show(console, body))


def _opened(name: str, roles: str) -> FeatureSpec:
    from ingestion.features.spec import load_spec

    further = sorted(role.strip() for role in roles.split(",") if role.strip())
    return load_spec(name).for_roles(("source", "target", *further), two_way=True)


def _draw(console: Console, columns: list[dict[str, Any]]) -> None:
    table = Table("feature", "family", "of", "window")
    for column in columns:
        table.add_row(*(column[key] or "" for key in ("name", "family", "of", "window")))
    console.print(table)
    console.print(f"{len(columns)} features", highlight=False)


def _show(console: Console, body: dict[str, Any]) -> None:
    rows = {
        "feature": body["name"],
        "definition": body["definition"],
        "unit": body["unit"],
        "family": body["family"],
        "window": body["window"],
        "where there is none": body["missing"],
    }
    for title, text in rows.items():
        console.print(f"{title:<20} {text}", markup=False, highlight=False)
    console.print("\nExample, the last one scored:", highlight=False)
    for line in body["example"]["timeline"]:
        console.print(f"  {line}", markup=False, highlight=False)
    value = body["example"]["value"]
    console.print(f"  => {'NaN' if value is None else format(value, '.6g')}", markup=False, highlight=False)
