"""The report of a trial: mapping, inspection, profile and, where there are labels, the ladder. HTML and Markdown.

As the nightly report: no script, no outside resource, no personal value.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from graphml.ladder import Ladder
from graphml.model import Model
from ingestion.inspection import Inspection
from serving.inspection_report import draw_chart, headline
from serving.pages import canvas, data_uri, write_pages
from serving.report import LadderPictures, draw_calibration, draw_ladder, draw_precision_recall
from serving.table_profile import TableProfile


@dataclass(frozen=True, kw_only=True)
class TrialReport:
    """What the report shows. `decisions` and `questions` are empty when the mapping was given; `profile` is None when
    nothing could be ingested, `ladder` and `model` when nothing was trained; `stopped` says why."""

    run_id: str
    source: str
    mapping_toml: str
    decisions: list[dict[str, Any]]
    questions: list[dict[str, Any]]
    check: dict[str, Any]
    inspection: Inspection
    profile: TableProfile | None
    quarantine: list[dict[str, Any]]
    model: Model | None
    ladder: Ladder | None
    stopped: str | None
    stages: list[dict[str, Any]]

    @property
    def ladder_rows(self) -> list[dict[str, Any]]:
        """Rows of the ladder as dictionaries."""
        rows: list[dict[str, Any]] = [] if self.ladder is None else self.ladder.as_dict()["rows"]
        return rows

    @property
    def windows(self) -> dict[str, str]:
        """Window -> its UTC dates."""
        return {} if self.model is None else {name: f"{a} to {b}" for name, a, b in self.model.windows.lines()}


def write_trial_report(folder: Path, data: TrialReport) -> Path:
    """Write `trial.html` and `trial.md` into the run's folder; return the HTML file."""
    pictures: dict[str, Any] = {
        "findings": [
            None if item.chart is None else data_uri(draw_chart(item.chart)) for item in data.inspection.findings
        ]
    }
    if data.profile is not None:
        pictures["volume"] = data_uri(draw_volume(data.profile))
        pictures["degrees"] = data_uri(draw_degrees(data.profile))
    if data.ladder is not None and data.model is not None:
        shown = LadderPictures(
            served=data.ladder.served,
            ladder=data.ladder_rows,
            curves=data.model.metrics["curves"],
            calibration=data.model.metrics["calibration"],
            base_rate=data.model.metrics["base_rate"],
        )
        pictures["ladder"] = data_uri(draw_ladder(shown))
        pictures["precision_recall"] = data_uri(draw_precision_recall(shown))
        pictures["calibration"] = data_uri(draw_calibration(shown))
    write_pages(folder, "trial.html", "trial.md", data=data, pictures=pictures, headline=headline(data.inspection))
    return folder / "trial.html"


def draw_volume(profile: TableProfile) -> Figure:
    """Transactions a day."""
    figure, axes = canvas(7.2, 2.8)
    axes.bar(range(len(profile.days)), profile.volume, width=1.0, color="#4477aa")
    places = np.linspace(0, len(profile.days) - 1, num=min(6, len(profile.days))).astype(int)
    axes.set_xticks(places, [profile.days[at] for at in places], fontsize=7)
    axes.set(ylabel="transactions a day", title="Volume")
    return figure


def draw_degrees(profile: TableProfile) -> Figure:
    """How many parties of each role have so many transactions, in steps of two."""
    figure, axes = canvas(5.2, 3.2)
    for role, counts in profile.degree_steps.items():
        axes.plot(2.0 ** np.arange(len(counts)), counts, marker="o", markersize=3, linewidth=1, label=role)
    axes.set(xscale="log", yscale="log", xlabel="transactions of a party", ylabel="parties", title="Degrees")
    axes.legend(fontsize=7, frameon=False)
    return figure
