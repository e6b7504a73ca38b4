"""`ringfence model`: train and look at the ladder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serving.cli.options import (
    DEFAULT_WORKSPACE,
    JsonOption,
    WorkspaceOption,
    answer,
    open_workspace,
    tracking_of,
)

if TYPE_CHECKING:
    from graphml.model import Model
    from ingestion.workspace import Workspace

ModelOption = Annotated[str | None, typer.Option("--model", help="Model id [default: the newest].")]

app = typer.Typer(help="Models and their ladder.", no_args_is_help=True)


@app.command()
def train(
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    snapshot: Annotated[str | None, typer.Option(help="Snapshot id [default: the newest].")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="At most so many epochs of each network.")] = None,
    network: Annotated[
        list[str] | None,
        typer.Option(help="graphsage, gat, relational_graphsage, relational_gat, decoder, fused; may be given again."),
    ] = None,
    stack: Annotated[
        bool | None, typer.Option("--stack/--no-stack", help="Trees on each network too; four more trainings each.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Train the baselines and the networks on a snapshot and print the ladder.

    Under torchrun the processes train the networks together, each on its share of every batch (gloo on processors, NCCL
    on GPUs); the workspace must be on a disk that all of them see.

    Example: ringfence model train --network graphsage --network fused --workspace ./workspace-demo

    Example: ringfence model train --network fused --stack

    Example: torchrun --nproc-per-node 2 -m serving model train --workspace ./workspace-demo
    """
    from graphml.distributed import is_first_process
    from graphml.training import train as train_with_others
    from ingestion.snapshot import Snapshot
    from ingestion.workspace import Workspace
    from serving import ladder_table, pipeline
    from serving.progress import StageLog

    opened = Workspace.open(workspace)
    settings = opened.settings(
        train={"seed": seed, "epochs": epochs, "networks": tuple(network or ()) or None, "stack": stack}
    )
    found = Snapshot.open(opened, snapshot)
    if not is_first_process():
        train_with_others(opened, found, settings)
        return
    with opened.lock(doing="this training"):
        result = pipeline.train_model(opened, StageLog(), settings, found, tracking_of(opened, settings))
    body = {"model_id": result.model_id, "path": str(result.path), "reused": result.reused, **result.ladder.as_dict()}
    answer(body, as_json, lambda console: ladder_table.show(console, result))


@app.command()
def evaluate(
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    model: ModelOption = None,
    scores: Annotated[
        list[Path] | None, typer.Option(help="CSV or Parquet with transaction_id and score; may be given again.")
    ] = None,
    model_file: Annotated[
        list[str] | None,
        typer.Option(help="FILE.py:Class with fit and score; RUNS THAT FILE, as you. May be given again."),
    ] = None,
    guards: Annotated[str, typer.Option(help="Look for leaks in: own model files, all rows, none.")] = "own",
    folds: Annotated[int, typer.Option(min=0, help="Fit and judge every row again on so many folds.")] = 0,
    budget: Annotated[str, typer.Option(help="Labels a fold learns from: fold-week or all-matured.")] = "fold-week",
    train_days: Annotated[int, typer.Option(min=1, help="Days of a fold's own training window.")] = 7,
    embargo_days: Annotated[int, typer.Option(min=0, help="Days between a fold's training and its test.")] = 0,
    seeds: Annotated[int, typer.Option(min=1, help="Fit every row of the folds with so many seeds.")] = 1,
    tune: Annotated[int, typer.Option(min=0, help="Try so many settings of each row on two earlier folds.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder of the report [default: in the workspace].")] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the rows of a model's ladder with your own scores and models: same rows, same intervals, paired.

    A file of scores becomes a row by its name (`ringfence model judged` writes the ids that need a score); a class
    with fit(view) and score(view) is fitted here, on the same windows, and guards look for leaks in it. --folds judges
    all rows again on several weeks; a killed run goes on where it was. Writes evaluation.html, .md and .json.

    Example: ringfence model evaluate --scores lightgbm.csv --workspace ./workspace-demo

    Example: ringfence model evaluate --model-file my_model.py:MyModel --folds 4 --budget all-matured --seeds 3

    Example: ringfence model evaluate --folds 4 --tune 12
    """
    from graphml.folds import LABEL_BUDGETS
    from graphml.judged import Judged
    from graphml.own_models import load_own_model
    from graphml.own_scores import read_own_scores
    from ingestion.errors import UsageError
    from serving import evaluation, evaluation_report
    from serving.progress import StageLog

    opened, _ = open_workspace(workspace)
    chosen = _model(opened, model)
    if budget not in LABEL_BUDGETS:
        raise UsageError(f"--budget {budget} is unknown.", remedy=f"Choose {' or '.join(LABEL_BUDGETS)}.")
    judged, own = Judged.read(chosen.path), {}
    for path in scores or []:
        if path.stem in own or path.stem in judged.test_scores:
            raise UsageError(f"There is a row {path.stem} already.", remedy="Give the file another name.")
        own[path.stem] = read_own_scores(path, judged)
    request = evaluation.Request(
        entries=tuple(load_own_model(text) for text in model_file or []),
        guards=guards,
        num_folds=folds,
        budget=budget,
        train_days=train_days,
        embargo_days=embargo_days,
        num_seeds=seeds,
        num_settings=tune,
    )
    found = evaluation.evaluate(opened, chosen, own, request, StageLog())
    page = evaluation_report.write(out or evaluation.default_out(opened, chosen), found)
    body = found.as_dict() | {"report": str(page)}
    answer(body, as_json, lambda console: evaluation_report.show(console, found, page))


@app.command()
def judged(
    out: Annotated[Path, typer.Argument(help="CSV to write.")],
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    model: ModelOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the ids that `model evaluate --scores` judges, with their windows and without their outcomes.

    Scores of the validation window are wished for, not needed: with them a row is calibrated.

    Example: ringfence model judged ids.csv --workspace ./workspace-demo
    """
    import io

    import pyarrow as pa
    from pyarrow import csv

    from graphml.judged import Judged
    from ingestion.artifacts import write_atomically

    found = Judged.read(_model(open_workspace(workspace)[0], model).path)
    windows = ["validation"] * len(found.validation_ids) + ["test"] * len(found.test_ids)
    buffer = io.BytesIO()
    csv.write_csv(pa.table({"transaction_id": [*found.validation_ids, *found.test_ids], "window": windows}), buffer)
    write_atomically(out, buffer.getvalue())
    body = {"file": str(out), "validation": len(found.validation_ids), "test": len(found.test_ids)}
    told = f"{body['validation']:,} ids of the validation window and {body['test']:,} of the test window in {out}"
    answer(body, as_json, lambda console: console.print(told, markup=False, highlight=False, soft_wrap=True))


@app.command("benchmark-graph")
def benchmark_graph(
    file: Annotated[Path, typer.Argument(help="npz with x (N, F), edge_index (2, E) and y (N,) of 0 and 1.")],
    undirected: Annotated[
        bool, typer.Option("--undirected", help="Edges are stored once: messages go both ways.")
    ] = False,
    splits: Annotated[int | None, typer.Option(min=1, help="Only the first so many splits [default: all].")] = None,
    as_json: JsonOption = False,
) -> None:
    """Train and judge our graph network on a labelled static graph: AUROC and AUPRC per split, and their mean.

    Splits are the file's train_masks, val_masks and test_masks, (S, N) booleans, or without them 40/20/40, stratified,
    with seeds 0 to 9. Everything is chosen on the validation part; nothing needs to be set for a file.

    Example: ringfence model benchmark-graph graph.npz --undirected --json
    """
    from graphml import static_graph, static_task
    from ingestion.errors import UsageError
    from serving import static_table
    from serving.progress import StageLog

    graph = static_graph.read_static_graph(file, undirected=undirected)
    if splits is not None and splits > len(graph.splits):
        raise UsageError(f"--splits is {splits}, but {file.name} has {len(graph.splits)}.", remedy="Ask for fewer.")
    with StageLog().stage("benchmark") as stage:
        result = static_task.benchmark_graph(graph, num_splits=splits, progress=stage)
        stage.output |= result.mean().as_dict()
    body = static_table.body(file, graph, result, undirected=undirected)
    answer(body, as_json, lambda console: static_table.show(console, graph, result))


def _model(workspace: Workspace, model_id: str | None) -> Model:
    """A model by its id; without one the newest that is published."""
    from graphml.model import Model
    from ingestion.errors import UsageError

    found = {path.name: path for path in workspace.models.glob("model-*") if path.is_dir()}
    if not found:
        raise UsageError(f"{workspace.root} has no model yet.", remedy="Train one: ringfence model train.")
    if model_id is not None and model_id not in found:
        raise UsageError(
            f"There is no model {model_id} in {workspace.root}.", remedy=f"There are: {', '.join(sorted(found))}."
        )
    newest = max(found.values(), key=lambda path: path.stat().st_mtime)
    return Model.open(newest if model_id is None else found[model_id])
