"""The ladder on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from graphml.training import TrainResult

FEW_FRAUDS = 100
CAUTION = " So few that the intervals overlap and another week may order the rows otherwise."


def table_of_rows(title: str, *columns: str) -> Table:
    """An empty table with a row a model and columns of figures."""
    table = Table(title=title, title_justify="left", caption="* served", caption_justify="left")
    table.add_column("model", no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right")
    return table


def show(console: Console, result: TrainResult) -> None:
    """Print the windows' base rate and one row a model; the served one is bold."""
    title = f"Ladder on the test window (recall at the alert budget), {result.model_id}"
    table = table_of_rows(title, "AP", "95 % interval", "AUC", "P@100", "ceiling", "recall")
    for row in result.ladder.as_dict()["rows"]:
        served = row["name"] == result.ladder.served
        table.add_row(
            f"{row['name']}{' *' if served else ''}",
            f"{row['average_precision']:.3f}",
            f"{row['average_precision_low']:.3f}–{row['average_precision_high']:.3f}",
            f"{row['auc']:.3f}",
            f"{row['card_precision_at_100']:.3f}",
            f"{row['card_precision_ceiling']:.3f}",
            f"{row['recall_at_budget']:.3f}",
            style="bold" if served else None,
        )
    ladder = result.ladder
    console.print(table)
    console.print(
        f"{ladder.num_frauds} frauds among {ladder.num_transactions:,} judged transactions "
        f"(base rate {ladder.base_rate:.2%})."
        f"{CAUTION if ladder.num_frauds < FEW_FRAUDS else ''}"
    )
