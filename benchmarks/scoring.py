"""Scoring one transaction at a time: state, features, tokens and model, by the fused row's kept keys and values.

    python benchmarks/scoring.py [--quick] [--json FILE]

A simulated bank of 300,000 transactions, 1 % of them up to three days late, labels when they become known. A model is
trained on it (`ringfence model train` with the fused row); the last 200,000 transactions then go through the online
scorer one by one, and each logit must be that of the batch. Time is the thread's CPU time of `OnlineScorer.score`, the
whole step; XGBoost on the default features goes through the same scorer, eager torch through the same state, and plain
recomputation asks the batch for one transaction. A small network that is taught what the fused one says (distilled)
goes the same way.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _report import Report, parser, stopwatch

from graphml.context import GraphContext
from graphml.evaluation import average_precision
from graphml.fused_onnx import OnnxSteps, export_steps
from graphml.fused_row import FusedRow
from graphml.fused_stream import FusedStream, Steps, TorchSteps
from graphml.fused_training import FusedTraining, event_columns, fit_fused
from graphml.graph import TransactionGraph
from graphml.model import Model
from graphml.online import OnlineScorer
from graphml.tasks import Tasks
from graphml.torch_first import torch
from graphml.trainer_config import TrainerConfig
from graphml.training import train
from ingestion.ingest import ingest
from ingestion.mapping import load_mapping
from ingestion.simulator.config import SimulatorConfig
from ingestion.simulator.simulate import simulate, write
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace
from tests.graphml.trained import Replay

import numpy as np  # isort: skip  (torch comes first)

TIMED = 20_000
RECOMPUTED = 500
ONNX = "fused, ONNX Runtime"


@dataclass(frozen=True, kw_only=True)
class Bank:
    """A snapshot, its graph and a model of it."""

    snapshot: Snapshot
    graph: TransactionGraph
    model: Model

    @classmethod
    def make(cls, folder: Path, *, rows: int, epochs: int) -> Bank:
        """Simulate, ingest, train."""
        write(simulate(SimulatorConfig(num_transactions=rows, days=120, seed=7, fraud_rate=0.01)), folder / "bank")
        workspace = Workspace.open(folder / "workspace")
        ingest(workspace, folder / "bank" / "transactions.parquet", load_mapping("ringfence"))
        snapshot = Snapshot.open(workspace)
        settings = workspace.settings(train={"epochs": epochs, "networks": ["fused"]})
        result = train(workspace, snapshot, settings, progress=Told())
        return cls(snapshot=snapshot, graph=TransactionGraph.from_snapshot(snapshot), model=Model.open(result.path))

    def scorer(self, row: str, begin: int) -> OnlineScorer:
        """After the first `begin` transactions."""
        return OnlineScorer(self.snapshot, self.model, row=row, up_to=begin, graph=self.graph)


class Told:
    """Prints each stage once."""

    def __init__(self) -> None:
        self.stages: set[str] = set()

    def __call__(self, stage: str, share: float) -> None:
        if stage not in self.stages:
            self.stages.add(stage)
            print(f"training: {stage}", flush=True)


class Timed:
    """A scorer whose every score is timed, in seconds of the thread."""

    def __init__(self, scorer: OnlineScorer) -> None:
        self.scorer, self.seconds = scorer, []
        self.observe_label = scorer.observe_label

    def score(self, event: object) -> object:
        """See `OnlineScorer`."""
        begin = time.thread_time()
        found = self.scorer.score(event)
        self.seconds.append(time.thread_time() - begin)
        return found


def main() -> int:
    """0 when every goal was reached."""
    arguments = parser(__doc__).parse_args()
    torch.set_num_threads(1)
    rows, replayed, epochs = (30_000, 10_000, 1) if arguments.quick else (300_000, 200_000, 4)
    report = Report(
        benchmark="scoring",
        config={"transactions": rows, "replayed": replayed, "epochs": epochs, "quick": arguments.quick},
        distributions=("onnxruntime", "torch", "xgboost-cpu", "numba", "numpy"),
    )
    with tempfile.TemporaryDirectory() as folder:
        bank = Bank.make(Path(folder), rows=rows, epochs=epochs)
        for row in bank.model.metrics["ladder"]["rows"]:
            if row["name"] in ("fused", "xgboost", "xgboost_neighbors"):
                report.row(f"{row['name']}: AP of the test window", row["average_precision"], "")
        check_replay(report, bank, replayed)
        num_timed = min(TIMED, replayed)
        begin = len(bank.graph) - num_timed
        for name, make in ways(bank, distilled(report, bank, epochs), Path(folder)).items():
            measure(report, bank, name, make(begin), num_timed)
        recompute(report, bank)
    return report.finish(arguments.json)


def ways(bank: Bank, small: FusedRow, folder: Path) -> dict[str, Callable[[int], OnlineScorer]]:
    """Scorers by name."""
    fused = bank.model.scorers["fused"]
    assert isinstance(fused, FusedRow)
    export_steps(small.network, folder, "small")

    def streamed(row: FusedRow, steps: Steps, begin: int) -> OnlineScorer:
        scorer = bank.scorer("xgboost", begin)  # no tokens of another row beside its own
        scorer._stream = FusedStream.begin(row, scorer._context, steps=steps)
        return scorer

    return {
        ONNX: lambda begin: bank.scorer("fused", begin),
        "fused, eager torch": lambda begin: streamed(fused, TorchSteps(fused), begin),
        "fused, distilled, ONNX Runtime": lambda begin: streamed(small, OnnxSteps(folder, "small"), begin),
        "XGBoost on default features": lambda begin: bank.scorer("xgboost", begin),
    }


def distilled(report: Report, bank: Bank, epochs: int) -> FusedRow:
    """One block of width 16 over the last 8 events, taught what the fused row says of its training rows."""
    context, teacher = GraphContext(bank.graph), bank.model.scorers["fused"]
    delay_days = int(bank.snapshot.manifest["label_maturity_days"])
    tasks = Tasks.of(
        bank.graph, bank.model.windows, delay_days=delay_days, not_for_training=bank.snapshot.not_for_training
    )
    config = FusedTraining(
        columns=event_columns(bank.snapshot.spec),
        width=16,
        num_heads=2,
        num_blocks=1,
        window=8,
        fanouts=(4, 16),
        trainer=TrainerConfig(epochs=epochs, batch_size=256, learning_rate=2e-3, final_share=0.0),
    )
    told = teacher.logits(context, bank.graph.seeds(tasks.train.positions))
    row = fit_fused(context, tasks.train, config, teacher=told).row
    logits = row.logits(context, bank.graph.seeds(tasks.test.positions))
    report.row("fused, distilled: AP of the test window", average_precision(tasks.test.is_fraud, logits), "")
    for name, each in (("fused", teacher), ("fused, distilled", row)):
        report.row(f"{name}: parameters", sum(part.numel() for part in each.network.parameters()), "")
    return row


def check_replay(report: Report, bank: Bank, replayed: int) -> None:
    """Every logit against the batch's."""
    begin = len(bank.graph) - replayed
    positions = np.arange(begin, len(bank.graph))
    late = (bank.graph.available_at > bank.graph.event_time)[positions]
    report.row("transactions of the replay that came late", float(late.mean()), "")
    with stopwatch() as elapsed:
        scorer = bank.scorer("fused", begin)
    report.row("fused: memory of all parties from the log", elapsed(), "s")
    assert scorer._stream is not None
    report.row("fused: memory of a party", scorer._stream.memory.bytes_a_party, "bytes")
    with stopwatch() as elapsed:
        scored = Replay(bank.snapshot, start=begin).into(scorer, range(begin, len(bank.graph)))
    report.row("fused, replay with labels", replayed / elapsed(), "transactions/s")
    batch = bank.model.score_positions(GraphContext(bank.graph), positions, "fused")
    report.ratio(
        f"fused, {replayed:,} one by one: largest difference of a logit from the batch",
        float(np.abs(batch - [each.logit for each in scored]).max()),
        at_most=1e-4,
    )


def measure(report: Report, bank: Bank, name: str, scorer: OnlineScorer, num: int) -> None:
    """Milliseconds of a whole step; the first tenth warms up."""
    timed = Timed(scorer)
    Replay(bank.snapshot, start=len(bank.graph) - num).into(timed, range(len(bank.graph) - num, len(bank.graph)))
    seconds = np.asarray(timed.seconds[num // 10 :])
    middle, tail = float(np.median(seconds) * 1e3), float(np.quantile(seconds, 0.99) * 1e3)
    report.row(f"{name}: transactions a second of a core", 1 / float(seconds.mean()), "1/s")
    goals = {"at_most": 1.0}, {"at_most": 5.0}
    is_goal = name == ONNX
    report.ratio(f"{name}: p50 of the step, ms of CPU", middle, **(goals[0] if is_goal else {}))
    report.ratio(f"{name}: p99 of the step, ms of CPU", tail, **(goals[1] if is_goal else {}))


def recompute(report: Report, bank: Bank) -> None:
    """The model alone, whose windows are computed anew for each transaction; features are there already."""
    context = GraphContext(bank.graph)
    row = bank.model.scorers["fused"]
    positions = np.arange(len(bank.graph) - RECOMPUTED, len(bank.graph))
    row.logits(context, bank.graph.seeds(positions[:1]))  # tables are made
    seconds = []
    for position in positions:
        begin = time.thread_time()
        row.logits(context, bank.graph.seeds(np.asarray([position])))
        seconds.append(time.thread_time() - begin)
    report.ratio("fused, windows computed anew (model alone): p50, ms of CPU", float(np.median(seconds) * 1e3))


if __name__ == "__main__":
    sys.exit(main())
