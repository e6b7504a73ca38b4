"""`ringfence data`: simulate a bank's table, ingest a table into a snapshot."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ingestion.errors import UsageError
from serving.cli import (
    data_erase,
    data_features,
    data_inspect,
    data_links,
    data_mapping,
    data_mapping_init,
    data_quarantine,
    data_snapshot,
)
from serving.cli.options import DEFAULT_WORKSPACE, GraphUriOption, JsonOption, WorkspaceOption, answer, open_workspace

app = typer.Typer(help="Tables and snapshots.", no_args_is_help=True)
app.add_typer(data_quarantine.app, name="quarantine")
data_erase.register(app)
data_inspect.register(app)
app.add_typer(data_links.app, name="links")
data_mapping_init.register(data_mapping.app)
app.add_typer(data_mapping.app, name="mapping")
app.add_typer(data_features.app, name="features")
app.add_typer(data_snapshot.app, name="snapshot")

SCALES = {"10k": 10_000, "100k": 100_000, "1m": 1_000_000, "5m": 5_000_000}


def rows_of(scale: str) -> int:
    """Number of transactions of a scale name.

    >>> rows_of("100k")
    100000
    """
    if scale.lower() in SCALES:
        return SCALES[scale.lower()]
    if scale.isdigit() and int(scale) > 0:
        return int(scale)
    raise UsageError(f"Scale {scale!r} is not known.", remedy=f"Use one of {', '.join(SCALES)} or a number of rows.")


@app.command()
def simulate(
    out: Annotated[Path, typer.Argument(help="Folder for transactions, labels and truth.")],
    scale: Annotated[str, typer.Option(help="10k, 100k, 1m, 5m or a number of transactions.")] = "100k",
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 0,
    days: Annotated[int, typer.Option(min=1, help="Length of the simulated time; a run needs 49 or more.")] = 60,
    fraud_rate: Annotated[float, typer.Option(min=0.0, max=0.2, help="Share of fraudulent transactions.")] = 0.003,
    as_json: JsonOption = False,
) -> None:
    """Simulate a bank's transactions with planted fraud typologies.

    Example: ringfence data simulate ./bank --scale 100k --seed 7
    """
    from ingestion.simulator.config import SimulatorConfig
    from ingestion.simulator.simulate import simulate as run
    from ingestion.simulator.simulate import write

    config = SimulatorConfig(num_transactions=rows_of(scale), seed=seed, fraud_rate=fraud_rate, days=days)
    tables = run(config)
    write(tables, out)
    body = {"folder": str(out), "transactions": tables.transactions.num_rows, "labels": tables.labels.num_rows}
    answer(
        body,
        as_json,
        lambda console: console.print(
            f"{body['transactions']:,} transactions and {body['labels']:,} labels in {out}\n"
            f"Next: ringfence nightly {out / 'transactions.parquet'} --mapping ringfence"
        ),
    )


@app.command()
def ingest(
    source: Annotated[Path, typer.Argument(help="CSV or Parquet file, or a folder of them.")],
    mapping: Annotated[str, typer.Option(help="Name of a shipped mapping, or a TOML file.")],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    graph_uri: GraphUriOption = None,
    spark_master: Annotated[str, typer.Option(help="Spark master.")] = "local[2]",
    max_bad_share: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Stop (exit 3) above this share of bad rows [default: 0.01].")
    ] = None,
    new_lineage: Annotated[
        bool, typer.Option("--new-lineage", help="Leave what the workspace holds behind, and begin anew.")
    ] = False,
    no_graph: Annotated[bool, typer.Option("--no-graph", help="Stop at the snapshot; load no graph.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Read a table through a mapping into a snapshot, and load the graph.

    Example: ringfence data ingest payments.csv --mapping payments.toml
    """
    from serving import pipeline
    from serving.progress import StageLog

    opened, settings = open_workspace(workspace, graph_uri, create=True)
    share = settings.source.max_bad_share if max_bad_share is None else max_bad_share
    stages = StageLog()
    with opened.lock(doing="this ingest"):
        result = pipeline.ingest_table(
            opened,
            stages,
            source=source,
            mapping=mapping,
            master=spark_master,
            max_bad_share=share,
            new_lineage=new_lineage,
        )
        contents = None if no_graph else pipeline.load_graph(opened, stages, settings, master=spark_master)
    body = pipeline.ingest_summary(opened, result, contents)
    answer(body, as_json, lambda console: pipeline.show_ingest(console, body))
