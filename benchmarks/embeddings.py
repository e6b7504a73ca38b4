"""What vectors of parties are worth by how they are made: the strategies of `[train] embedding`, side by side.

    python benchmarks/embeddings.py [--cache DIR] [--quick] [--json FILE]

A simulated bank of 100,000 transactions, 1 % of them fraud. Every embedder learns as `model train` would let it, from
transactions up to the last training row; vectors are as of the start of the last four weeks. Asked is

- neighbor-fraud lift: of the ten nearest parties that are not confirmed, of each party whose fraud is known by then,
  how many become fraud in the four weeks, against the base rate;
- entity AP: a logistic regression on vectors four weeks and the labels' delay earlier, on who became fraud after them,
  judged on who becomes fraud now;
- stability: the share of ten nearest parties that two trainings by other seeds have in common.

Parties are those of the alerts (accounts). The peer is `features`, means of engineered features, without any training.
The winner, by a rule that was fixed before the first run, has the best mean rank of the three; ties go to the one that
costs less (features, then outcomes, which trains nothing beside the ladder).
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _report import Report, parser
from _results import Arrays, Results

from graphml.code_version import code_version
from graphml.context import GraphContext  # before others: it sets up the threads
from graphml.embedders import Embedder, embedder_training, fit_embedder
from graphml.graph_training import GraphTraining, fit_graph
from graphml.tasks import Task, Tasks, plan_windows, window_task
from graphml.trainer_config import TrainerConfig
from ingestion.config import Embedding
from ingestion.contracts import MICROSECONDS_PER_DAY
from ingestion.ingest import ingest
from ingestion.mapping import load_mapping
from ingestion.simulator.config import SimulatorConfig
from ingestion.simulator.simulate import simulate, write
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace
from retrieval.embedding_quality import Suspects, entity_precision, neighbor_fraud_lift, neighbors_kept

import numpy as np  # isort: skip

BANK_SEED, TEST_DAYS, SEEDS = 53, 28, (0, 1)
#: What costs less comes first.
STRATEGIES: tuple[Embedding, ...] = ("features", "outcomes", "contrastive", "next_event")
MEASURES = ("lift", "precision", "kept")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The bank, its tasks, and the accounts (V,) of which vectors are made, as of the test window and earlier."""

    snapshot: Snapshot
    context: GraphContext
    train: Task
    accounts: np.ndarray
    position: int
    suspects: Suspects
    earlier_position: int
    became_fraud: np.ndarray

    @classmethod
    def of(cls, snapshot: Snapshot) -> Asked:
        """Windows as `model train` has them, with four weeks to test."""
        context = GraphContext(snapshot)
        graph, delay_days = context.graph, int(snapshot.manifest["label_maturity_days"])
        windows = plan_windows(graph, delay_days=delay_days, validation_days=7, test_days=TEST_DAYS)
        tasks = Tasks.of(graph, windows, delay_days=delay_days)
        start = windows.test_start
        earlier_start = start - (TEST_DAYS + delay_days) * MICROSECONDS_PER_DAY
        earlier = window_task(
            graph,
            start=earlier_start,
            end=earlier_start + TEST_DAYS * MICROSECONDS_PER_DAY,
            targets_at=start,
            delay_days=delay_days,
            name="earlier",
        )
        position, earlier_position = (int(np.searchsorted(graph.available_at, at)) for at in (start, earlier_start))
        role = snapshot.roles.index(snapshot.manifest["alert_party"])
        accounts = np.unique(graph.entity[:earlier_position, role])
        accounts = accounts[accounts >= 0]
        labelled = np.repeat(np.arange(len(graph)), graph.label_stops - graph.label_starts)
        confirmed = labelled[(graph.label_state == 1) & (graph.label_known_at < start)]
        return cls(
            snapshot=snapshot,
            context=context,
            train=tasks.train,
            accounts=accounts,
            position=position,
            suspects=Suspects(
                is_confirmed=np.isin(accounts, graph.entity[confirmed, role]),
                becomes_fraud=np.isin(accounts, graph.entity[tasks.test.positions[tasks.test.is_fraud], role]),
            ),
            earlier_position=earlier_position,
            became_fraud=np.isin(accounts, graph.entity[earlier.positions[earlier.is_fraud], role]),
        )

    def vectors(self, strategy: Embedding, seed: int, epochs: int) -> Arrays:
        """`now` and `earlier` (V, H)."""
        of_run = {"epochs": epochs, "seed": seed}
        embedder: Embedder
        if strategy == "outcomes":
            training = GraphTraining(trainer=TrainerConfig(**of_run))
            embedder = fit_graph(self.context, self.train, None, training).row
        else:
            own = embedder_training(strategy, self.snapshot.spec, of_run)
            embedder = fit_embedder(strategy, self.context, self.train, own)
        graph = self.context.graph
        cuts = {"now": graph.cut_after(self.position), "earlier": graph.cut_after(self.earlier_position)}
        return {name: embedder.embed(self.context, self.accounts, cut) for name, cut in cuts.items()}


def main() -> int:
    """0: which strategy wins is reported, not demanded."""
    arguments_parser = parser(__doc__)
    arguments_parser.add_argument("--cache", type=Path, metavar="DIR", help="keep results here, and go on")
    arguments = arguments_parser.parse_args()
    rows, epochs = (30_000, 1) if arguments.quick else (100_000, 8)
    report = Report(
        benchmark="embeddings",
        config={"transactions": rows, "epochs": epochs, "seeds": SEEDS, "quick": arguments.quick},
        distributions=("torch", "faiss-cpu", "scikit-learn"),
    )
    with tempfile.TemporaryDirectory() as passing:
        folder = (arguments.cache or Path(passing)) / code_version()
        asked = Asked.of(bank(folder / f"bank-{rows}", rows))
        report.row("accounts", len(asked.accounts), "")
        report.row("accounts confirmed by then", int(asked.suspects.is_confirmed.sum()), "")
        report.row("accounts that become fraud, of the others: base rate", asked.suspects.base_rate, "")
        results = Results(folder=folder)
        measured = {strategy: measure(report, asked, results, strategy, epochs) for strategy in STRATEGIES}
        for strategy, found in measured.items():
            for name in ("lift", "precision"):
                report.ratio(f"{name}, {strategy} : features", found[name] / measured["features"][name])
        report.config["winner"] = winner(measured)
        print(f"winner: {report.config['winner']}", flush=True)
    return report.finish(arguments.json)


def measure(report: Report, asked: Asked, results: Results, strategy: Embedding, epochs: int) -> dict[str, float]:
    """The three measures, of the first seed; stability of both."""
    found = []
    for seed in SEEDS:
        key = {"strategy": strategy, "seed": seed, "epochs": epochs, "accounts": len(asked.accounts)}
        found.append(results.get(f"{strategy}-{seed}", key, partial(asked.vectors, strategy, seed, epochs)))
        print(f"{strategy}, seed {seed}: {float(found[-1]['cpu_seconds']):.0f} CPU s", flush=True)
    lift = neighbor_fraud_lift(found[0]["now"], asked.suspects)
    precision = entity_precision(
        (found[0]["earlier"], asked.became_fraud), (found[0]["now"], asked.suspects.becomes_fraud)
    )
    queries = np.flatnonzero(asked.suspects.is_confirmed)
    kept = neighbors_kept(found[0]["now"], found[1]["now"], queries)
    report.row(f"{strategy}: neighbor-fraud lift", lift.value, "", low=lift.low, high=lift.high)
    report.row(f"{strategy}: entity AP", precision, "")
    report.row(f"{strategy}: neighbors kept by another training", kept, "")
    report.row(f"{strategy}: width of a vector", found[0]["now"].shape[1], "")
    return {"lift": lift.value, "precision": precision, "kept": kept}


def winner(measured: Mapping[Embedding, Mapping[str, float]]) -> Embedding:
    """See the module.

    >>> best = {"lift": 2.0, "precision": 0.2, "kept": 1.0}
    >>> winner({"features": best, "outcomes": best, "contrastive": best | {"lift": 3.0}})
    'contrastive'
    """
    ranks = {
        strategy: sum(sum(other[name] > own[name] for other in measured.values()) for name in MEASURES)
        for strategy, own in measured.items()
    }
    return min(ranks, key=lambda strategy: ranks[strategy])


def bank(folder: Path, rows: int) -> Snapshot:
    """The simulated bank, ingested, or found."""
    workspace = Workspace.open(folder / "workspace")
    table = folder / "bank" / "transactions.parquet"
    if not table.exists():
        write(
            simulate(SimulatorConfig(num_transactions=rows, days=120, seed=BANK_SEED, fraud_rate=0.01)), folder / "bank"
        )
    ingest(workspace, table, load_mapping("ringfence"))
    return Snapshot.open(workspace)


if __name__ == "__main__":
    sys.exit(main())
