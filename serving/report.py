"""The nightly report: one self-contained HTML page with plots, and the same in Markdown.

No script, no outside resource: it can be mailed and opened anywhere. Holds tokens, never personal values.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
from matplotlib.figure import Figure

from ingestion.drift import MOVED, SHIFTED
from serving.pages import canvas, data_uri, write_pages

_DRIFT_COLORS = {"shifted": "#bb5566", "moved": "#ddaa33", "stable": "#4477aa"}
_KIND_COLORS = {
    "account": "#4477aa",
    "customer": "#4477aa",
    "merchant": "#228833",
    "terminal": "#228833",
    "device": "#ccbb44",
    "card": "#aa3377",
    "ip": "#66ccee",
}


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """What the report shows; all of it plain data.

    `release`, `snapshot` (manifest), `windows` (name to UTC dates), `ladder` (rows as dictionaries), `curves`
    (row name to `precision`, `recall`), `calibration` (`predicted`, `observed`, `count`), `alerts` (newest run's
    top alerts), `investigations` (as `Investigation.as_dict`), `stages` (name and seconds), `drift` (as
    `snapshot_drift` tells it; None for the first snapshot).
    """

    run_id: str
    release: dict[str, Any]
    snapshot: dict[str, Any]
    windows: dict[str, str]
    served: str
    ladder: list[dict[str, Any]]
    curves: dict[str, dict[str, list[float]]]
    calibration: dict[str, list[float]]
    base_rate: float
    alerts: list[dict[str, Any]]
    num_alerts: int
    investigations: list[dict[str, Any]]
    stages: list[dict[str, Any]]
    quarantine: list[dict[str, Any]]
    drift: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class LadderPictures:
    """What the pictures of a ladder need; fields as in `ReportData`, which may stand in for it."""

    served: str
    ladder: list[dict[str, Any]]
    curves: dict[str, dict[str, list[float]]]
    calibration: dict[str, list[float]]
    base_rate: float


def write_report(folder: Path, data: ReportData) -> Path:
    """Write `report.html` and `report.md` into the run's folder; return the HTML file."""
    pictures = {
        "precision_recall": data_uri(draw_precision_recall(data)),
        "calibration": data_uri(draw_calibration(data)),
        "ladder": data_uri(draw_ladder(data)),
        "drift": data_uri(draw_drift(data.drift)) if data.drift else None,
        "charts": [data_uri(draw_link_chart(item)) for item in data.investigations],
    }
    write_pages(folder, "report.html", "report.md", data=data, pictures=pictures)
    return folder / "report.html"


def draw_precision_recall(data: ReportData | LadderPictures) -> Figure:
    """Precision against recall on the test window, each row of the ladder; the base rate dashed."""
    figure, axes = canvas(5.2, 4.0)
    for name, curve in data.curves.items():
        wide = 2.4 if name == data.served else 1.0
        axes.plot(curve["recall"], curve["precision"], label=name, linewidth=wide)
    axes.axhline(data.base_rate, color="black", linestyle="--", linewidth=0.8, label=f"base rate {data.base_rate:.2%}")
    axes.set(
        xlabel="Recall", ylabel="Precision", xlim=(0, 1), ylim=(0, 1.02), title="Precision and recall, test window"
    )
    axes.legend(fontsize=7, frameon=False)
    return figure


def draw_calibration(data: ReportData | LadderPictures) -> Figure:
    """Observed fraud share against predicted probability, on log axes because frauds are rare."""
    figure, axes = canvas(5.2, 4.0)
    predicted = np.asarray(data.calibration["predicted"], float)
    observed = np.asarray(data.calibration["observed"], float)
    count = np.asarray(data.calibration["count"], float)
    shown = count > 0
    floor = 1e-5
    axes.plot([floor, 1], [floor, 1], color="grey", linewidth=0.8, label="perfect")
    sizes = 12 + 14 * np.log10(np.maximum(count[shown], 1))
    axes.scatter(np.maximum(predicted[shown], floor), np.maximum(observed[shown], floor), s=sizes, label=data.served)
    axes.set(xscale="log", yscale="log", xlabel="Predicted probability", ylabel="Observed share of fraud")
    axes.set_title("Calibration, test window (a dot at the bottom: no fraud seen)", fontsize=9)
    axes.legend(fontsize=7, frameon=False)
    return figure


def draw_ladder(data: ReportData | LadderPictures) -> Figure:
    """Average precision of each row with its bootstrap interval."""
    figure, axes = canvas(5.2, 0.5 * len(data.ladder) + 1.2)
    names = [row["name"] for row in data.ladder][::-1]
    points = np.asarray([row["average_precision"] for row in data.ladder][::-1])
    low = np.asarray([row["average_precision_low"] for row in data.ladder][::-1])
    high = np.asarray([row["average_precision_high"] for row in data.ladder][::-1])
    errors = np.maximum(np.stack([points - low, high - points]), 0)
    colors = ["#bb5566" if name == data.served else "#4477aa" for name in names]
    axes.barh(names, points, color=colors, height=0.6)
    axes.errorbar(points, range(len(names)), xerr=errors, fmt="none", ecolor="black", capsize=3, linewidth=1)
    axes.set(xlabel="Average precision (95 % interval); served row in red", xlim=(0, 1))
    return figure


def draw_drift(drift: dict[str, Any], *, limit: int = 15) -> Figure:
    """PSI of the columns that moved most, each with what chance alone would give; the two thresholds dashed."""
    columns = [column for column in drift["columns"] if column["verdict"] != "too few rows"][:limit][::-1]
    figure, axes = canvas(7.0, 0.28 * len(columns) + 1.4)
    colors = [_DRIFT_COLORS[column["verdict"]] for column in columns]
    names = [column["name"] for column in columns]
    axes.barh(names, [column["psi"] for column in columns], color=colors, height=0.6)
    axes.plot([column["noise"] for column in columns], names, "k|", markersize=9, label="chance alone (.999)")
    for threshold in (MOVED, SHIFTED):
        axes.axvline(threshold, color="black", linestyle="--", linewidth=0.7)
    axes.set(xlabel="Population stability index; above a dashed line: moved, shifted")
    axes.legend(fontsize=7, frameon=False, loc="lower right")
    return figure


def draw_link_chart(investigation: dict[str, Any]) -> Figure:
    """The alert's as-of neighborhood: the subject largest, a color an entity type, a red ring for a known fraud."""
    graph = link_graph(investigation["neighborhood"])
    figure, axes = canvas(5.2, 4.4)
    axes.axis("off")
    if graph.number_of_nodes() == 0:
        axes.text(0.5, 0.5, "Nothing was known around it.", ha="center")
        return figure
    place = nx.spring_layout(graph, seed=0, k=1.6 / np.sqrt(graph.number_of_nodes()))
    nx.draw_networkx_edges(graph, place, alpha=0.35, width=0.8, ax=axes)
    center = investigation["neighborhood"]["center"]
    for kind in sorted({kind for _, kind in graph.nodes(data="kind")}):
        nodes = [node for node, of in graph.nodes(data="kind") if of == kind]
        nx.draw_networkx_nodes(
            graph,
            place,
            nodes,
            node_size=[260 if node == center else 70 for node in nodes],
            node_color=_KIND_COLORS.get(kind, "#999999"),
            edgecolors=["#cc0000" if graph.nodes[node]["known_frauds"] else "white" for node in nodes],
            linewidths=1.8,
            label=kind,
            ax=axes,
        )
    names = {
        node: name for node, name in graph.nodes(data="name") if node == center or graph.nodes[node]["known_frauds"]
    }
    nx.draw_networkx_labels(graph, place, names, font_size=6, verticalalignment="bottom", ax=axes)
    axes.set_title("Largest: the subject. Red ring: a fraud was known by then.", fontsize=8)
    axes.legend(fontsize=7, frameon=False, loc="lower left", markerscale=0.6)
    return figure


def link_graph(neighborhood: dict[str, Any]) -> nx.Graph:
    """Nodes by `type:key` with `kind`, `name` and `known_frauds`; parallel links drawn once."""
    graph = nx.Graph()
    for node in neighborhood["nodes"]:
        graph.add_node(
            f"{node['type']}:{node['id']}", kind=node["type"], name=node["label"], known_frauds=node["known_frauds"]
        )
    for edge in neighborhood["edges"]:
        if edge["source"] in graph and edge["target"] in graph:
            graph.add_edge(edge["source"], edge["target"])
    return graph
