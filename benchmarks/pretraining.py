"""What learning without labels is worth: event transformers pretrained against from scratch at 10 % of the labels, and
a forecaster's error as an anomaly score.

    python benchmarks/pretraining.py [--cache DIR] [--workers N] [--quick] [--json FILE]

A simulated bank of 200,000 transactions, 1 % fraud, judged as `model train` would, on its last four weeks. Decoder
(next event) and encoder (masked events) read the event's own features; a tenth of the training rows, drawn by seed,
have labels as targets (all labels known by then are events of the histories, for both alike). Pretraining sees all
transactions up to the last labelled row. Three seeds, paired; the interval draws parties.

The forecaster (sequence to sequence) against repeating the last value, and its error beside an isolation forest on all
default features (scikit-learn), both without any outcome.
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

from _paired import Judged, mean_difference
from _report import Report, parser
from _results import Arrays, Results
from _workers import run_all

from graphml.code_version import code_version
from graphml.context import GraphContext  # before others: it sets up the threads
from graphml.evaluation import average_precision
from graphml.forecast_row import fit_forecast
from graphml.fused_training import FusedTraining, event_columns, fit_fused
from graphml.graph import TransactionGraph
from graphml.tasks import Task, Tasks, plan_windows
from graphml.trainer_config import TrainerConfig
from ingestion.ingest import ingest
from ingestion.mapping import load_mapping
from ingestion.simulator.config import SimulatorConfig
from ingestion.simulator.simulate import simulate, write
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace

import numpy as np  # isort: skip
from sklearn.ensemble import IsolationForest  # isort: skip

BANK_SEED, TEST_DAYS, SHARE_OF_LABELS = 41, 28, 0.1
KINDS, SEEDS = ("decoder", "encoder"), (0, 1, 2)
WAYS = ("scratch", "pretrained")


def main() -> int:
    """0 when every goal was reached."""
    arguments_parser = parser(__doc__)
    arguments_parser.add_argument("--cache", type=Path, metavar="DIR", help="keep results here, and go on")
    arguments_parser.add_argument(
        "--workers",
        type=int,
        default=min(4, len(os.sched_getaffinity(0))),
        help="processes at once, about 2 GB each (%(default)s here)",
    )
    arguments = arguments_parser.parse_args()
    rows, epochs, seeds = (40_000, 2, SEEDS[:1]) if arguments.quick else (200_000, 5, SEEDS)
    report = Report(
        benchmark="pretraining",
        config={"transactions": rows, "epochs": epochs, "seeds": seeds, "share_of_labels": SHARE_OF_LABELS},
        distributions=("torch", "scikit-learn"),
    )
    with tempfile.TemporaryDirectory() as passing:
        folder = (arguments.cache or Path(passing)) / code_version()
        results = Results(folder=folder)
        workspace = bank(folder / f"bank-{rows}", rows)
        fits = [
            partial(fitted, results, workspace, kind, seed, way, epochs)
            for kind in KINDS
            for seed in seeds
            for way in WAYS
        ]
        print(f"{len(fits) + 1} fits, {arguments.workers} at once", flush=True)
        run_all([*fits, partial(anomalies, results, workspace, epochs)], workers=arguments.workers)
        snapshot = Snapshot.open(workspace)
        graph = GraphContext(snapshot).graph
        test = tasks_of(snapshot, graph).test
        for kind in KINDS:
            compare(report, results, workspace, kind, seeds, epochs, test, graph.entity[test.positions])
        report_anomalies(report, anomalies(results, workspace, epochs), test)
    return report.finish(arguments.json)


def bank(folder: Path, rows: int) -> Workspace:
    """The simulated bank, ingested, or found."""
    workspace = Workspace.open(folder / "workspace")
    config = SimulatorConfig(num_transactions=rows, days=120, seed=BANK_SEED, fraud_rate=0.01)
    table = folder / "bank" / "transactions.parquet"
    if not table.exists():
        write(simulate(config), folder / "bank")
    ingest(workspace, table, load_mapping("ringfence"))
    return workspace


def tasks_of(snapshot: Snapshot, graph: TransactionGraph) -> Tasks:
    """Windows as `model train` has them; nothing is chosen on validation, so it gets the least."""
    delay_days = int(snapshot.manifest["label_maturity_days"])
    windows = plan_windows(graph, delay_days=delay_days, validation_days=1, test_days=TEST_DAYS)
    return Tasks.of(graph, windows, delay_days=delay_days)


def fitted(results: Results, workspace: Workspace, kind: str, seed: int, way: str, epochs: int) -> Arrays:
    """Logits of the test window."""

    def compute() -> Arrays:
        snapshot = Snapshot.open(workspace)
        context = GraphContext(snapshot)
        tasks = tasks_of(snapshot, context.graph)
        train = tasks.train
        kept = np.sort(np.random.default_rng(seed).permutation(len(train))[: round(SHARE_OF_LABELS * len(train))])
        labelled = Task(positions=train.positions[kept], is_fraud=train.is_fraud[kept])
        config = settings(kind, snapshot, epochs, seed)
        if way == "pretrained":
            config = replace(config, pretraining=replace(config.trainer, final_share=0.1))
        # bins are fitted on all training rows, for both ways alike
        row = fit_fused(context, labelled, config, fitted_on=train.positions).row
        return {"logits": row.logits(context, context.graph.seeds(tasks.test.positions))}

    key = {"kind": kind, "seed": seed, "way": way, "epochs": epochs, "bank": str(workspace.root.parent.name)}
    found = results.get(f"{kind}-{way}-{seed}", key, compute)
    print(f"{kind}, {way}, seed {seed}: there, {float(found['cpu_seconds']):.0f} CPU s", flush=True)
    return found


def settings(kind: str, snapshot: Snapshot, epochs: int, seed: int) -> FusedTraining:
    """The same for all."""
    return FusedTraining(
        network=kind,
        columns=event_columns(snapshot.spec),
        fanouts=(0, 0),
        window=8,
        trainer=TrainerConfig(epochs=epochs, batch_size=128, learning_rate=2e-3, final_share=0.0, seed=seed),
    )


def compare(
    report: Report,
    results: Results,
    workspace: Workspace,
    kind: str,
    seeds: tuple[int, ...],
    epochs: int,
    test: Task,
    parties: np.ndarray,
) -> None:
    """AP of both ways, and their difference over the seeds."""
    found = {way: [fitted(results, workspace, kind, seed, way, epochs)["logits"] for seed in seeds] for way in WAYS}
    windows = [
        Judged(is_fraud=test.is_fraud, parties=parties, scores={way: found[way][at] for way in WAYS})
        for at in range(len(seeds))
    ]
    for way in WAYS:
        each = [average_precision(test.is_fraud, logits) for logits in found[way]]
        report.row(f"{kind}, {way}: AP, mean of seeds", float(np.mean(each)), "", low=min(each), high=max(each))
    gained = mean_difference(windows, "pretrained", "scratch")
    report.row(f"{kind}, pretrained - scratch: AP", gained.value, "", low=gained.low, high=gained.high)


def anomalies(results: Results, workspace: Workspace, epochs: int) -> Arrays:
    """Errors of the forecaster and of the last value, and the forest's scores, on the test window."""

    def compute() -> Arrays:
        snapshot = Snapshot.open(workspace)
        context = GraphContext(snapshot)
        tasks = tasks_of(snapshot, context.graph)
        train, seeds = tasks.train.positions, context.graph.seeds(tasks.test.positions)
        row = fit_forecast(context, train, settings("decoder", snapshot, epochs, seed=0))
        forecast, latest = row.errors(context, seeds)
        features = np.nan_to_num(context.graph.features)
        forest = IsolationForest(n_estimators=200, random_state=0).fit(features[train])
        return {"forecast": forecast, "latest": latest, "forest": -forest.score_samples(features[tasks.test.positions])}

    return results.get("anomalies", {"epochs": epochs, "bank": str(workspace.root.parent.name)}, compute)


def report_anomalies(report: Report, found: Arrays, test: Task) -> None:
    """The forecast's error against the last value's, then both rankings by AP."""
    known = ~test.is_fraud & (found["forecast"] > 0)  # legitimate ones whose parties have a history
    ours, peer = (float(found[name][known].mean()) for name in ("forecast", "latest"))
    report.row("forecaster: mean absolute error of legitimate transactions", ours, "standard deviations")
    report.row("last value: the same", peer, "standard deviations")
    report.ratio("error, forecaster : last value", ours / peer, at_most=1.0)
    report.row("base rate of the test window", float(test.is_fraud.mean()), "")
    for name, label in (("forecast", "forecaster's error"), ("forest", "isolation forest, default features")):
        report.row(f"{label}: AP as an anomaly score", average_precision(test.is_fraud, found[name]), "")


if __name__ == "__main__":
    sys.exit(main())
