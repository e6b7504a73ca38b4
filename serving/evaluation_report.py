"""`model evaluate` on a terminal, and as a page: the ladder with own rows, paired differences, curves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from matplotlib.figure import Figure
from rich.console import Console
from rich.markup import escape

from graphml.comparison import Comparison
from graphml.model import Model
from graphml.own_scores import OwnScores
from ingestion.artifacts import write_atomically
from serving.ladder_table import CAUTION, FEW_FRAUDS, table_of_rows
from serving.pages import canvas, data_uri, write_pages
from serving.report import LadderPictures, draw_ladder, draw_precision_recall

SUSPECT = "ranks nearly perfectly: look for the outcome, or for later events, among its inputs before you believe it."


def write(folder: Path, model: Model, comparison: Comparison, own: Mapping[str, OwnScores]) -> Path:
    """Write `evaluation.html`, `.md` and `.json`; returns the HTML file."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [row.as_dict() for row in comparison.rows]
    shown = LadderPictures(
        served=comparison.reference,
        ladder=rows,
        curves={name: dict(curve) for name, curve in comparison.curves.items()},
        calibration={},
        base_rate=comparison.base_rate,
    )
    pictures = {
        "ladder": data_uri(draw_ladder(shown)),
        "differences": data_uri(draw_differences(comparison)),
        "precision_recall": data_uri(draw_precision_recall(shown)),
    }
    values: dict[str, Any] = {
        "model_id": model.id,
        "rows": rows,
        "comparison": comparison,
        "windows": [(name, f"{first} to {last}") for name, first, last in model.windows.lines()],
        "own": own,
        "notes": notes(comparison, own),
        "pictures": pictures,
    }
    write_pages(folder, "evaluation.html", "evaluation.md", **values)
    body = comparison.as_dict() | {"model_id": model.id}
    write_atomically(folder / "evaluation.json", orjson.dumps(body, option=orjson.OPT_INDENT_2))
    return folder / "evaluation.html"


def notes(comparison: Comparison, own: Mapping[str, OwnScores]) -> list[str]:
    """What a reader must know to trust the figures."""
    found = [f"{name} {SUSPECT}" for name in comparison.suspects]
    for name, scores in own.items():
        if scores.validation is None:
            found.append(f"{name} has no scores for the validation window, so its calibration is not judged.")
        if scores.num_ignored:
            found.append(f"{scores.num_ignored:,} scores of {name} are of transactions that are not judged.")
    if own:
        found.append("Scores come from elsewhere: that they were made as of each transaction cannot be checked here.")
    if comparison.num_frauds < FEW_FRAUDS:
        found.append(f"The window holds {comparison.num_frauds} frauds.{CAUTION}")
    return found


def draw_differences(comparison: Comparison) -> Figure:
    """Average precision of each row minus the served row's, with paired intervals."""
    names = list(comparison.differences)[::-1]
    found = [comparison.differences[name] for name in names]
    figure, axes = canvas(5.2, 0.5 * len(names) + 1.2)
    points = np.asarray([interval.value for interval in found])
    errors = [[max(item.value - item.low, 0) for item in found], [max(item.high - item.value, 0) for item in found]]
    axes.errorbar(points, names, xerr=np.asarray(errors), fmt="o", color="#4477aa", ecolor="black", capsize=3)
    axes.axvline(0, color="black", linestyle="--", linewidth=0.8)
    axes.set(xlabel=f"Average precision minus that of {comparison.reference} (95 % paired interval)")
    return figure


def show(console: Console, comparison: Comparison, own: Mapping[str, OwnScores], page: Path) -> None:
    """The same on a terminal."""
    title = f"{comparison.num_frauds} frauds among {comparison.num_transactions:,} judged transactions"
    table = table_of_rows(title, "AP", "95 % interval", "minus served", "95 % paired", "P@100", "recall")
    for row in comparison.rows:
        is_served, difference = row.name == comparison.reference, comparison.differences.get(row.name)
        table.add_row(
            escape(f"{row.name}{' *' if is_served else ''}"),
            f"{row.average_precision.value:.3f}",
            f"{row.average_precision.low:.3f}–{row.average_precision.high:.3f}",
            "" if difference is None else f"{difference.value:+.3f}",
            "" if difference is None else f"{difference.low:+.3f} … {difference.high:+.3f}",
            f"{row.card_precision.value:.3f}",
            f"{row.recall_at_budget.value:.3f}",
            style="bold" if row.name in own else None,
        )
    console.print(table)
    told = [*notes(comparison, own), f"Report: {page}"]
    console.print("\n".join(told), markup=False, highlight=False, soft_wrap=True)
