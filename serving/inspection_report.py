"""What an inspection found: on the terminal, and as a page with plots (HTML), in Markdown and JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import orjson
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from ingestion.artifacts import write_atomically
from ingestion.inspection import CHECKS, Chart, Finding, Inspection
from serving.pages import canvas, data_uri, write_pages

_COLORS = ("#4477aa", "#bb5566", "#228833")
_STYLES = {"serious": "red", "warning": "yellow", "info": "cyan"}


def inspection_json(inspection: Inspection) -> dict[str, Any]:
    """The one object that `data inspect --json` prints: plain Python values."""
    body: dict[str, Any] = orjson.loads(orjson.dumps(inspection.as_dict(), option=orjson.OPT_SERIALIZE_NUMPY))
    return body


def show_inspection(console: Console, inspection: Inspection) -> None:
    """Print the findings as a table, and what did not run."""
    console.print(headline(inspection), markup=False)
    if inspection.findings:
        table = Table("", "check", "columns", "what was found, and what to do", show_lines=True)
        for found in inspection.findings:
            mark = f"[{_STYLES[found.severity]}]{found.severity}[/]" + ("\nplausible" if found.plausible else "")
            table.add_row(mark, found.check, "\n".join(found.columns), f"{found.what}\n→ {found.to_do}")
        console.print(table)
    for check, reason in inspection.skipped.items():
        console.print(f"Not checked: {check} ({reason}).", markup=False)


def verdict(inspection: Inspection, check: str) -> str:
    """What came of one check."""
    if check in inspection.skipped:
        return f"not run: {inspection.skipped[check]}"
    found = any(check in (finding.check, *finding.also) for finding in inspection.findings)
    return "found" if found else "nothing found"


def headline(inspection: Inspection) -> str:
    """Rows, labels and findings in one sentence."""
    number = len(inspection.findings)
    serious = sum(found.severity == "serious" for found in inspection.findings)
    what = f"{number} finding{'s' if number != 1 else ''}, {serious} serious" if number else "nothing found"
    left_out = f" ({inspection.num_unreadable:,} more without a time)" if inspection.num_unreadable else ""
    return (
        f"{inspection.table}: {inspection.num_rows:,} rows{left_out}, {inspection.num_known:,} with a label, "
        f"{inspection.num_frauds:,} frauds. {len(CHECKS) - len(inspection.skipped)} checks: {what}."
    )


def write_inspection(folder: Path, inspection: Inspection) -> Path:
    """Write `inspection.html`, `.md` and `.json` into a folder; return the HTML file."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "inspection.json", orjson.dumps(inspection_json(inspection), option=orjson.OPT_INDENT_2))
    write_pages(
        folder,
        "inspection.html",
        "inspection.md",
        inspection=inspection,
        headline=headline(inspection),
        checks=CHECKS,
        verdicts={check: verdict(inspection, check) for check in CHECKS},
        numbers=[evidence_numbers(found) for found in inspection.findings],
        pictures=[None if found.chart is None else data_uri(draw_chart(found.chart)) for found in inspection.findings],
    )
    return folder / "inspection.html"


def evidence_numbers(found: Finding) -> dict[str, str]:
    """The evidence without examples, in words."""
    return {
        name.replace("_", " "): _words(value)
        for name, value in found.evidence.items()
        if name != "examples" and value is not None
    }


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{str(name).replace('_', ' ')} {_words(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_words(inner) for inner in value)
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)


def draw_chart(chart: Chart) -> Figure:
    """Bars side by side for each series."""
    figure, axes = canvas(5.6, 2.8)
    place, width = np.arange(len(chart.labels)), 0.8 / max(len(chart.series), 1)
    for number, (name, values) in enumerate(chart.series.items()):
        axes.bar(place + number * width, values, width, label=name, color=_COLORS[number % len(_COLORS)])
    axes.set_xticks(place + 0.4 - width / 2, chart.labels, fontsize=7, rotation=45 if len(chart.labels) > 12 else 30)
    axes.set_title(chart.title, fontsize=9)
    axes.tick_params(axis="y", labelsize=7)
    axes.legend(fontsize=7, frameon=False)
    return figure
