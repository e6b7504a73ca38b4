"""What vectors of parties are worth by how they are made: the strategies of `[train] embedding`, side by side.

    python benchmarks/embeddings.py [--cache DIR] [--quick] [--json FILE]

Three simulated banks of 100,000 transactions, 1 % of them fraud, two trainings each. Every embedder learns as `model
train` would let it, from transactions up to the last training row; vectors are as of the start of the last four weeks.
Asked is

- neighbor-fraud lift: of the ten nearest parties that are not confirmed, of each party whose fraud is known by then,
  how many become fraud in the four weeks, against the base rate;
- entity AP: a logistic regression on vectors of parties not confirmed, four weeks and the labels' delay earlier, on who
  became fraud after them, judged on who becomes fraud now (the earlier outcomes lie partly among those that `outcomes`
  was trained on);
- stability: the share of ten nearest parties that two trainings by other seeds have in common (`features` has no
  training: 1).

Parties are those of the alerts (accounts). Peers are `features`, means of engineered features, and `activity`, the
number of a party's transactions alone: busy parties are confirmed and become fraud more often, so a lift below that of
`activity` says nothing of likeness. The default stays `outcomes` unless another strategy has both a higher lift and a
higher AP, in the mean of banks and with an interval of one of them above 0 (Student's t, differences by bank), and
keeps no fewer neighbors.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _report import Report, parser
from _results import Arrays, Results

from graphml.code_version import code_version
from graphml.context import GraphContext  # before others: it sets up the threads
from graphml.embedders import Embedder, embedder_training, fit_embedder
from graphml.evaluation import Interval
from graphml.graph_training import GraphTraining, fit_graph
from graphml.tasks import Task, Tasks, plan_windows, window_task
from graphml.trainer_config import TrainerConfig
from ingestion.config import Embedding, TrainSettings
from ingestion.contracts import MICROSECONDS_PER_DAY
from ingestion.ingest import ingest
from ingestion.mapping import load_mapping
from ingestion.simulator.config import SimulatorConfig
from ingestion.simulator.simulate import simulate, write
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace
from retrieval.embedding_quality import Suspects, entity_precision, neighbor_fraud_lift, neighbors_kept

import numpy as np  # isort: skip
from scipy.stats import sem  # isort: skip
from scipy.stats import t as student_t  # isort: skip

BANK_SEEDS, TEST_DAYS, SEEDS = (53, 54, 55), 28, (0, 1)
#: What costs less comes first.
STRATEGIES: tuple[Embedding, ...] = ("features", "outcomes", "contrastive", "next_event")
DEFAULT: Embedding = TrainSettings().embedding


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
    earlier: Suspects

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

        def suspects(at: int, judged: Task) -> Suspects:
            labelled = np.repeat(np.arange(len(graph)), graph.label_stops - graph.label_starts)
            confirmed = labelled[(graph.label_state == 1) & (graph.label_known_at < at)]
            return Suspects(
                is_confirmed=np.isin(accounts, graph.entity[confirmed, role]),
                becomes_fraud=np.isin(accounts, graph.entity[judged.positions[judged.is_fraud], role]),
            )

        return cls(
            snapshot=snapshot,
            context=context,
            train=tasks.train,
            accounts=accounts,
            position=position,
            suspects=suspects(start, tasks.test),
            earlier_position=earlier_position,
            earlier=suspects(earlier_start, earlier),
        )

    def activity(self) -> Arrays:
        """Vectors on a circle whose angle is the logarithm of the number of a party's transactions."""
        graph, found = self.context.graph, {}
        for name, position in {"now": self.position, "earlier": self.earlier_position}.items():
            parties = graph.entity[:position].ravel()
            num = np.bincount(parties[parties >= 0], minlength=graph.num_entities)
            angle = np.log1p(num[self.accounts]) / 10
            found[name] = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
        return found

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
    """0 when no strategy is better than the default."""
    arguments_parser = parser(__doc__)
    arguments_parser.add_argument("--cache", type=Path, metavar="DIR", help="keep results here, and go on")
    arguments = arguments_parser.parse_args()
    rows, epochs = (30_000, 1) if arguments.quick else (100_000, 8)
    report = Report(
        benchmark="embeddings",
        config={"transactions": rows, "epochs": epochs, "seeds": SEEDS, "banks": BANK_SEEDS, "quick": arguments.quick},
        distributions=("torch", "faiss-cpu", "scikit-learn"),
    )
    with tempfile.TemporaryDirectory() as passing:
        folder = (arguments.cache or Path(passing)) / code_version()
        results = Results(folder=folder)
        measured: dict[str, list[dict[str, float]]] = {name: [] for name in ("activity", *STRATEGIES)}
        for bank_seed in BANK_SEEDS[:2] if arguments.quick else BANK_SEEDS:
            asked = Asked.of(bank(folder / f"bank-{bank_seed}-{rows}", bank_seed, rows))
            report.row(f"bank {bank_seed}: accounts", len(asked.accounts), "")
            report.row(f"bank {bank_seed}: accounts confirmed by then", int(asked.suspects.is_confirmed.sum()), "")
            report.row(f"bank {bank_seed}: base rate, of the others", asked.suspects.base_rate, "")
            measured["activity"].append(measure(report, asked, f"bank {bank_seed}, activity", [asked.activity()]))
            for strategy in STRATEGIES:
                found = trained(asked, results, strategy, bank_seed, epochs)
                measured[strategy].append(measure(report, asked, f"bank {bank_seed}, {strategy}", found))
        for name, banks in measured.items():
            summarise(report, name, banks, measured[DEFAULT])
        better = [name for name in STRATEGIES if name != DEFAULT and beats(measured[name], measured[DEFAULT])]
        report.config["better than the default"] = better
        report.ratio("strategies that are better than the default", len(better), at_most=0)
        print(f"better than {DEFAULT}: {', '.join(better) or 'none'}", flush=True)
    return report.finish(arguments.json)


def trained(asked: Asked, results: Results, strategy: Embedding, bank_seed: int, epochs: int) -> list[Arrays]:
    """Vectors by both trainings."""
    found = []
    for seed in SEEDS:
        key = {"strategy": strategy, "seed": seed, "epochs": epochs, "bank": bank_seed, "num": len(asked.accounts)}
        key |= {"positions": [asked.earlier_position, asked.position, int(asked.train.positions.max())]}
        name = f"{strategy}-{bank_seed}-{seed}"
        found.append(results.get(name, key, partial(asked.vectors, strategy, seed, epochs)))
        print(f"bank {bank_seed}, {strategy}, seed {seed}: {float(found[-1]['cpu_seconds']):.0f} CPU s", flush=True)
    return found


def measure(report: Report, asked: Asked, name: str, found: list[Arrays]) -> dict[str, float]:
    """The three measures on a bank, means of the trainings."""
    lifts = [neighbor_fraud_lift(each["now"], asked.suspects) for each in found]
    precisions = [entity_precision(each["earlier"], asked.earlier, each["now"], asked.suspects) for each in found]
    for seed, (lift, precision) in enumerate(zip(lifts, precisions, strict=True)):
        report.row(f"{name}, seed {seed}: neighbor-fraud lift", lift.value, "", low=lift.low, high=lift.high)
        report.row(f"{name}, seed {seed}: entity AP", precision.value, "", low=precision.low, high=precision.high)
    queries = np.flatnonzero(asked.suspects.is_confirmed)
    return {
        "lift": float(np.mean([each.value for each in lifts])),
        "AP": float(np.mean([each.value for each in precisions])),
        "kept": neighbors_kept(found[0]["now"], found[-1]["now"], queries),
    }


def summarise(
    report: Report, name: str, banks: Sequence[Mapping[str, float]], default: Sequence[Mapping[str, float]]
) -> None:
    """Means of banks with the least and the most of them, and what is gained on the default."""
    labels = {"lift": "neighbor-fraud lift", "AP": "entity AP", "kept": "neighbors kept by another training"}
    for measure_name, label in labels.items():
        values = [found[measure_name] for found in banks]
        report.row(f"{name}: {label}, mean of banks", float(np.mean(values)), "", low=min(values), high=max(values))
    for measure_name in ("lift", "AP"):
        gained = differences(banks, default, measure_name)
        label = f"{name} - {DEFAULT}: {labels[measure_name]}"
        report.row(label, gained.value, "", low=gained.low, high=gained.high)
        ratio = np.mean([found[measure_name] for found in banks]) / np.mean([found[measure_name] for found in default])
        report.ratio(f"{name} : {DEFAULT}, {labels[measure_name]}", float(ratio))


def differences(banks: Sequence[Mapping[str, float]], others: Sequence[Mapping[str, float]], name: str) -> Interval:
    """Mean of the differences by bank, with the bank as what is drawn."""
    found = np.asarray([one[name] - other[name] for one, other in zip(banks, others, strict=True)])
    if not found.any():
        return Interval(value=0.0, low=0.0, high=0.0)
    low, high = student_t.interval(0.95, len(found) - 1, found.mean(), sem(found))
    return Interval(value=float(found.mean()), low=float(low), high=float(high))


def beats(banks: Sequence[Mapping[str, float]], default: Sequence[Mapping[str, float]]) -> bool:
    """See the module.

    >>> default = [{"lift": 2.0, "AP": 0.2, "kept": 0.4}, {"lift": 2.1, "AP": 0.2, "kept": 0.4}]
    >>> beats([bank | {"lift": 3.0 + bank["lift"], "AP": 0.21} for bank in default], default)
    True
    >>> beats([bank | {"lift": 3.0 + bank["lift"], "AP": 0.19} for bank in default], default)
    False
    """
    gained = [differences(banks, default, name) for name in ("lift", "AP")]
    kept = differences(banks, default, "kept")
    return min(each.value for each in gained) > 0 and max(each.low for each in gained) > 0 and kept.value >= 0


def bank(folder: Path, seed: int, rows: int) -> Snapshot:
    """The simulated bank, ingested, or found."""
    workspace = Workspace.open(folder / "workspace")
    table = folder / "bank" / "transactions.parquet"
    if not (folder / "bank" / "simulation.json").exists():  # it is written last
        config = SimulatorConfig(num_transactions=rows, days=120, seed=seed, fraud_rate=0.01)
        write(simulate(config), folder / "bank")
    ingest(workspace, table, load_mapping("ringfence"))
    return Snapshot.open(workspace)


if __name__ == "__main__":
    sys.exit(main())
