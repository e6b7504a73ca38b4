"""Simulated banks whose frauds are rings, cycles, fans and mules: trees on every engineered feature, beside the
out-of-fold logit of a graph network on raw events.

A bank is judged as `model train` would, with four weeks to test: the natural base rate, outcomes known in time. Trees
and network are combined by a logistic regression on the logits of both for training rows, each by models of other times
(Ting and Witten, Issues in Stacked Generalization, 1999). Nothing was chosen on the seeds
of `graph_value`, but two of them were seen in an earlier form (docs/experiments.md).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from _handbook_trees import Chosen, tree_logits
from _paired import Judged
from _results import Results
from sklearn.linear_model import LogisticRegression

from graphml.context import GraphContext
from graphml.event_graph_training import EventGraphTraining, fit_event_graph
from graphml.fused_training import FusedTraining, event_columns, fit_fused
from graphml.graph import TransactionGraph
from graphml.neighbors import NeighborConfig, neighbor_aggregates
from graphml.rewire import rewire
from graphml.scorer import Scorer
from graphml.stacking import out_of_fold, time_folds
from graphml.tasks import Task, Tasks, plan_windows
from graphml.trainer_config import TrainerConfig
from ingestion.ingest import ingest
from ingestion.mapping import load_mapping
from ingestion.simulator.config import SimulatorConfig
from ingestion.simulator.simulate import simulate, write
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace

SHARES = {"fan_in": 0.2, "fan_out": 0.2, "cycle": 0.2, "scatter_gather": 0.2, "mule_ring": 0.2}
FRAUD_RATE = 0.01
NUM_FOLDS = 3
#: What the simulator is asked for, and days of the test window: about 100 cases.
DAYS, TEST_DAYS = 120, 28
TREES, TREES_AND_GRAPH, TREES_AND_SHUFFLED = "trees", "trees + graph", "trees + graph, edges shuffled"
FUSED, TREES_AND_FUSED = "fused", "trees + fused"


def judge_bank(
    results: Results, *, seed: int, rows: int, epochs: int, setting: Mapping[str, object], fused: bool = False
) -> Judged:
    """Simulate, ingest, fit and score a bank, or find it done; `fused` adds the fused network."""
    key = {"seed": seed, "rows": rows, "epochs": epochs, "trees": dict(setting), "shares": SHARES, "rate": FRAUD_RATE}
    key |= {"days": DAYS, "test days": TEST_DAYS, "folds": f"{NUM_FOLDS} of time", "combined": "logistic regression"}
    of_graph = {"graph": _event_graph(epochs)}
    controlled = {"graph, edges shuffled": _event_graph(epochs)}
    arrays = results.get("bank", key, lambda: _fitted(seed, rows, setting, of_graph, controlled))
    if fused:
        key |= {"network": "fused"}
        arrays |= results.get("bank-fused", key, lambda: _fitted(seed, rows, setting, {"fused": _fused(epochs)}, {}))
    names = {name.removeprefix("score ") for name in arrays if name.startswith("score ")}
    scores = {name: arrays[f"score {name}"] for name in sorted(names)}
    return Judged(is_fraud=arrays["is_fraud"], parties=arrays["parties"], scores=scores)


#: Fits a network on events to a task, its encodings on all training positions.
Fit = Callable[[GraphContext, Snapshot, Task, np.ndarray], Scorer]


def _event_graph(epochs: int) -> Fit:
    training = EventGraphTraining(trainer=TrainerConfig(epochs=epochs, batch_size=256, learning_rate=2e-3))
    return lambda context, snapshot, task, rows: fit_event_graph(
        context, task, event_columns(snapshot.spec), training, fitted_on=rows
    )


def _fused(epochs: int) -> Fit:
    trainer = TrainerConfig(epochs=epochs, batch_size=128, learning_rate=2e-3, final_share=0.0)

    def fit(context: GraphContext, snapshot: Snapshot, task: Task, rows: np.ndarray) -> Scorer:
        training = FusedTraining(columns=event_columns(snapshot.spec), trainer=trainer)
        return fit_fused(context, task, training, fitted_on=rows).row

    return fit


def _fitted(
    seed: int, rows: int, setting: Mapping[str, object], networks: Mapping[str, Fit], controls: Mapping[str, Fit]
) -> dict[str, np.ndarray]:
    with tempfile.TemporaryDirectory() as folder:
        config = SimulatorConfig(num_transactions=rows, days=DAYS, seed=seed, shares=SHARES, fraud_rate=FRAUD_RATE)
        write(simulate(config), Path(folder) / "bank")
        workspace = Workspace.open(Path(folder) / "workspace")
        ingest(workspace, Path(folder) / "bank" / "transactions.parquet", load_mapping("ringfence"))
        snapshot = Snapshot.open(workspace)
        return _scored(snapshot, setting, networks, controls) | {
            "parties": drawn_as_wholes(snapshot, Path(folder) / "bank", seed)
        }


def drawn_as_wholes(snapshot: Snapshot, bank: Path, seed: int) -> np.ndarray:
    """(n, R + 1) of the test window: the parties by role and the simulator's case, -1 for none, ids of no other bank.

    What a case's transactions have in common need not be a party: in a cycle each pays once and is paid once.
    """
    graph = GraphContext(snapshot).graph
    positions = _tasks(snapshot, graph).test.positions
    truth = pq.read_table(bank / "truth.parquet", columns=["transaction_id", "case_id"])
    names = dict(zip(*(truth.column(name).to_pylist() for name in ("transaction_id", "case_id")), strict=True))
    cases = [names[name] for name in snapshot.transaction_ids.take(pa.array(positions)).to_pylist()]
    numbers = {name: number for number, name in enumerate(sorted({case for case in cases if case is not None}))}
    case = np.asarray([-1 if name is None else numbers[name] for name in cases])
    parties = np.column_stack([graph.entity[positions], case])
    return np.where(parties >= 0, parties + seed * 10_000_000, -1)


def _tasks(snapshot: Snapshot, graph: TransactionGraph) -> Tasks:
    delay_days = int(snapshot.manifest["label_maturity_days"])
    # nothing is chosen on validation, so it gets the least
    windows = plan_windows(graph, delay_days=delay_days, validation_days=1, test_days=TEST_DAYS)
    return Tasks.of(graph, windows, delay_days=delay_days)


def _scored(
    snapshot: Snapshot, setting: Mapping[str, object], networks: Mapping[str, Fit], controls: Mapping[str, Fit]
) -> dict[str, np.ndarray]:
    """Scores of trees, of each network, of `controls` on rewired links, and of trees combined with each."""
    context = GraphContext(snapshot)
    graph = context.graph
    tasks = _tasks(snapshot, graph)
    train, test = tasks.train, tasks.test
    neighbors = NeighborConfig.for_spec(snapshot.spec)
    tables = [
        np.concatenate([seeds.features, neighbor_aggregates(graph, seeds, neighbors)], axis=1)
        for seeds in (graph.seeds(task.positions) for task in (train, test))
    ]
    fold = time_folds(len(train), num_folds=NUM_FOLDS)
    trees, trees_out_of_fold = _grown(train, *tables, fold, setting)
    found = {f"score {TREES}": trees, "is_fraud": test.is_fraud}
    rewired = GraphContext(rewire(graph, seed=0)) if controls else context
    cases = [(name, context, fit) for name, fit in networks.items()]
    cases += [(name, rewired, fit) for name, fit in controls.items()]
    for name, where, fit in cases:
        stacked = out_of_fold(
            where,
            train,
            fold,
            lambda task, _, where=where, fit=fit: fit(where, snapshot, task, train.positions),
        )
        logits = stacked.score(where, where.graph.seeds(test.positions))
        combined = LogisticRegression(C=1e6).fit(np.column_stack([trees_out_of_fold, stacked.logits]), train.is_fraud)
        found[f"score {name}"] = logits
        found[f"score trees + {name}"] = combined.decision_function(np.column_stack([trees, logits]))
    return found


def _grown(
    train: Task, inputs: np.ndarray, asked: np.ndarray, fold: np.ndarray, setting: Mapping[str, object]
) -> tuple[np.ndarray, np.ndarray]:
    """Margins of the test rows by trees of all training rows, and of each training row by trees of the other folds."""

    def margins(rows: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        part = Task(positions=train.positions[rows], is_fraud=train.is_fraud[rows])
        chosen = Chosen.of(part)
        return tree_logits(inputs[rows][chosen.rows], part.is_fraud[chosen.rows], wanted, setting, chosen.weight)

    of_others = np.empty(len(train))
    for number in range(NUM_FOLDS):
        of_others[fold == number] = margins(np.flatnonzero(fold != number), inputs[fold == number])
    return margins(np.arange(len(train)), asked), of_others
