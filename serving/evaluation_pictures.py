"""Pictures of an evaluation: differences, reliability, parts of the window, folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from graphml.comparison import Comparison
from graphml.evaluation import Interval
from graphml.segments import SegmentRow
from serving.evaluation import Folds
from serving.pages import canvas

_FLOOR = 1e-5


def draw_differences(comparison: Comparison) -> Figure:
    """Average precision of each row minus the served row's, with paired intervals."""
    names = list(comparison.differences)[::-1]
    figure, axes = canvas(5.2, 0.5 * len(names) + 1.2)
    points, errors = _points([comparison.differences[name] for name in names])
    axes.errorbar(points, names, xerr=errors, fmt="o", color="#4477aa", ecolor="black", capsize=3)
    axes.axvline(0, color="black", linestyle="--", linewidth=0.8)
    axes.set(xlabel=f"Average precision minus that of {comparison.reference} (95 % paired interval)")
    return figure


def draw_reliability(reliability: Mapping[str, Mapping[str, list[float]]]) -> Figure:
    """Observed share of fraud against predicted probability, on log axes because frauds are rare."""
    figure, axes = canvas(5.2, 4.0)
    axes.plot([_FLOOR, 1], [_FLOOR, 1], color="grey", linewidth=0.8, label="perfect")
    for name, bins in reliability.items():
        predicted, observed = (np.maximum(np.asarray(bins[key]), _FLOOR) for key in ("predicted", "observed"))
        axes.plot(predicted, observed, marker="o", markersize=4, linestyle="none", alpha=0.7, label=name)
    axes.set(xscale="log", yscale="log", xlabel="Predicted probability", ylabel="Observed share of fraud")
    axes.set_title("Calibrated on validation, seen on test (a dot at the bottom: no fraud)", fontsize=9)
    axes.legend(fontsize=7, frameon=False)
    return figure


def draw_segments(name: str, rows: Sequence[SegmentRow]) -> Figure:
    """Recall at the window's budget in each part that has fraud; parts with few frauds are pale."""
    shown = [row for row in rows if row.recall is not None][::-1]
    figure, axes = canvas(7.0, 0.24 * len(shown) + 1.2)
    labels = [f"{row.segment}: {row.value} ({row.num_frauds})" for row in shown]
    points, errors = _points([row.recall for row in shown if row.recall is not None])
    colors = ["#bbccdd" if row.is_small else "#4477aa" for row in shown]
    axes.barh(labels, points, color=colors, height=0.6)
    axes.errorbar(points, range(len(shown)), xerr=errors, fmt="none", ecolor="black", capsize=2, linewidth=0.8)
    axes.set(xlim=(0, 1), xlabel=f"Recall of {name} at the alert budget (95 %); frauds in brackets, pale: few")
    axes.tick_params(labelsize=7)
    return figure


def draw_folds(folds: Folds) -> Figure:
    """Average precision of each row, fold by fold."""
    figure, axes = canvas(7.0, 4.0)
    names = [fold.name for fold in folds.folds]
    for row in folds.rows:
        wide = 2.4 if row.name == folds.reference else 1.0
        axes.plot(names, row.by_fold, marker="o", markersize=4, linewidth=wide, label=row.name)
    axes.set(xlabel="First day of the test window", ylabel="Average precision", ylim=(0, None))
    axes.set_title(f"Folds, label budget {folds.budget}", fontsize=9)
    axes.legend(fontsize=7, frameon=False)
    return figure


def _points(found: Sequence[Interval]) -> tuple[np.ndarray, np.ndarray]:
    """Values (n,) and the lengths (2, n) of their error bars."""
    values = np.asarray([item.value for item in found])
    errors = [[max(item.value - item.low, 0) for item in found], [max(item.high - item.value, 0) for item in found]]
    return values, np.asarray(errors)
