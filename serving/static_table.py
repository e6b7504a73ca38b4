"""How the result of the static-graph task is told: a table on a terminal, one object for machines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from graphml.static_graph import StaticGraph
from graphml.static_task import StaticResult

#: Below this share of edges with a reverse, a file most likely stores an undirected edge once.
ONE_WAY = 0.5


def body(file: Path, graph: StaticGraph, result: StaticResult, *, undirected: bool) -> dict[str, Any]:
    """What `--json` prints."""
    return {
        "file": str(file),
        "nodes": graph.num_nodes,
        "edges": len(graph.source_E),
        "features": graph.x_NF.shape[1],
        "fraud_share": float(graph.is_fraud_N.mean()),
        "undirected": undirected,
        "reversed_share": graph.reversed_share(),
        "stratified_splits": graph.stratified,
        **result.as_dict(),
    }


def show(console: Console, graph: StaticGraph, result: StaticResult) -> None:
    """A row a split and the mean, in percent; a hint where the edges look as if they were stored once."""
    table = Table("split", "chosen on validation", "validation AUPRC", "AUROC", "AUPRC")
    for number, split in enumerate(result.splits):
        table.add_row(
            str(number),
            split.chosen,
            _percent(split.validation[split.chosen]),
            _percent(split.judgement.auroc),
            _percent(split.judgement.auprc),
        )
    mean, deviation = result.mean(), result.deviation()
    table.add_section()
    table.add_row(
        "mean",
        "",
        "",
        f"{_percent(mean.auroc)} ± {_percent(deviation.auroc)}",
        f"{_percent(mean.auprc)} ± {_percent(deviation.auprc)}",
    )
    console.print(table)
    source = "stratified 40/20/40" if graph.stratified else "the file's masks"
    console.print(
        f"{graph.num_nodes:,} nodes, {len(graph.source_E):,} edges, {graph.is_fraud_N.mean():.1%} fraud; {source}; in "
        "percent, ± the deviation between splits",
        highlight=False,
    )
    if graph.reversed_share() < ONE_WAY:
        console.print(
            f"Only {graph.reversed_share():.0%} of the edges have a reverse, so messages go one way: --undirected adds "
            "the reverse of edges that are stored once.",
            highlight=False,
        )


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
