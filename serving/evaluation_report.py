"""`model evaluate` on a terminal, and as a page: the ladder with own rows, paired differences, guards, parts, folds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.markup import escape

from graphml.training import shuffled_name
from ingestion.artifacts import write_atomically
from serving.evaluation import Evaluation, Folds
from serving.evaluation_pictures import draw_differences, draw_folds, draw_reliability, draw_segments
from serving.ladder_table import CAUTION, FEW_FRAUDS, table_of_rows
from serving.pages import data_uri, write_pages
from serving.report import LadderPictures, draw_ladder, draw_precision_recall

SUSPECT = "ranks nearly perfectly: look for the outcome, or for later events, among its inputs before you believe it."
CONTROL = "is the control: the same network on a graph whose links were dealt out anew, all degrees kept."


def write(folder: Path, found: Evaluation) -> Path:
    """Write `evaluation.html`, `.md` and `.json`; returns the HTML file."""
    folder.mkdir(parents=True, exist_ok=True)
    comparison = found.comparison
    rows = [row.as_dict() for row in comparison.rows]
    values: dict[str, Any] = {
        "model_id": found.model.id,
        "rows": rows,
        "comparison": comparison,
        "windows": [(name, f"{first} to {last}") for name, first, last in found.model.windows.lines()],
        "found": found,
        "own": found.own,
        "notes": notes(found),
        "pictures": _pictures(found, rows),
    }
    write_pages(folder, "evaluation.html", "evaluation.md", **values)
    write_atomically(folder / "evaluation.json", orjson.dumps(found.as_dict(), option=orjson.OPT_INDENT_2))
    return folder / "evaluation.html"


def _pictures(found: Evaluation, rows: list[dict[str, Any]]) -> dict[str, Any]:
    comparison = found.comparison
    shown = LadderPictures(
        served=comparison.reference,
        ladder=rows,
        curves={name: dict(curve) for name, curve in comparison.curves.items()},
        calibration={},
        base_rate=comparison.base_rate,
    )
    return {
        "ladder": data_uri(draw_ladder(shown)),
        "differences": data_uri(draw_differences(comparison)),
        "precision_recall": data_uri(draw_precision_recall(shown)),
        "reliability": data_uri(draw_reliability(found.reliability)),
        "segments": {name: data_uri(draw_segments(name, parts)) for name, parts in found.segments.items()},
        "folds": None if found.folds is None else data_uri(draw_folds(found.folds)),
    }


def notes(found: Evaluation) -> list[str]:
    """What a reader must know to trust the figures; what is worst comes first."""
    comparison = found.comparison
    told = [
        f"{item.row} did not pass the guard “{item.guard}”: {item.told}." for item in found.guards if not item.passed
    ]
    told += [f"{name} {SUSPECT}" for name in comparison.suspects]
    if found.folds is not None:
        told += [f"{row.name}, in a fold, {SUSPECT}" for row in found.folds.rows if row.is_suspect]
    for name, scores in found.own.items():
        if scores.validation is None:
            told.append(f"{name} has no scores for the validation window, so its calibration is not judged.")
        if scores.num_ignored:
            told.append(f"{scores.num_ignored:,} scores of {name} are of transactions that are not judged.")
    files = [name for name in found.own if name not in found.fitted]
    if files:
        told.append(
            f"Scores of {', '.join(files)} come from elsewhere: that they were made as of each transaction cannot be "
            "checked here."
        )
    names = [row.name for row in comparison.rows]
    told += [f"{shuffled_name(name)} {CONTROL}" for name in names if shuffled_name(name) in names]
    if comparison.num_frauds < FEW_FRAUDS:
        told.append(f"The window holds {comparison.num_frauds} frauds.{CAUTION}")
    return [*told, *found.notes]


def show(console: Console, found: Evaluation, page: Path) -> None:
    """The same on a terminal."""
    comparison = found.comparison
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
            style="bold" if row.name in found.own else None,
        )
    console.print(table)
    if found.folds is not None:
        _show_folds(console, found.folds)
    passed = [f"{item.row} passed the guard “{item.guard}”: {item.told}." for item in found.guards if item.passed]
    told = [*notes(found), *passed, f"Report: {page}"]
    console.print("\n".join(told), markup=False, highlight=False, soft_wrap=True)


def _show_folds(console: Console, folds: Folds) -> None:
    counted = [
        f"{num} {word}{'s' if num > 1 else ''}" for num, word in ((len(folds.folds), "fold"), (folds.num_seeds, "seed"))
    ]
    title = f"{', '.join(counted)}, label budget {folds.budget}"
    table = table_of_rows(title, "AP", "± folds", "95 % interval", "minus served", "95 % paired", "P@100", "CPU min")
    for row in folds.rows:
        table.add_row(
            escape(f"{row.name}{' *' if row.name == folds.reference else ''}"),
            f"{row.average_precision.value:.3f}",
            f"{row.fold_sd:.3f}",
            f"{row.average_precision.low:.3f}–{row.average_precision.high:.3f}",
            "" if row.difference is None else f"{row.difference.value:+.3f}",
            "" if row.difference is None else f"{row.difference.low:+.3f} … {row.difference.high:+.3f}",
            f"{row.card_precision.mean:.3f}",
            f"{row.cpu_minutes:.2f}",
        )
    console.print(table)
    for tuned in folds.tuned:
        chosen = ", ".join(f"{key} {value}" for key, value in tuned.best.setting.items())
        spent = f"{len(tuned.trials)} settings in {tuned.cpu_minutes:.1f} CPU-minutes"
        console.print(f"{tuned.name}: {chosen} ({spent})", markup=False, highlight=False, soft_wrap=True)
