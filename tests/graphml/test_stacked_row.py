"""Trees on a network: out-of-fold inputs, a row of the ladder, the same numbers online, kills."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from graphml.baselines import TreeConfig
from graphml.context import GraphContext
from graphml.data_view import EvaluationData
from graphml.errors import TooLittleData
from graphml.graph import Seeds, TransactionGraph
from graphml.guards import check_future, check_own_outcome
from graphml.ladder_entries import entries_of
from graphml.model import BASELINES, Model
from graphml.online import OnlineScorer
from graphml.own_fit import fit_on_windows
from graphml.stacked_row import fit_stacked
from graphml.tasks import Task, Tasks
from graphml.training import train
from ingestion.artifacts import MANIFEST
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace
from tests.builders import build_snapshot, random_rows
from tests.graphml.cases import HOUR, graph_of
from tests.graphml.trained import Replay

SETTINGS = {"epochs": 1, "seeds_per_epoch": 1_024, "precision": "fp32", "networks": ["fused"], "stack": True}
ROWS = [*BASELINES, "fused", "xgboost_fused", "fused_shuffled"]
REPLAYED = 300


class Knows:
    """Stands in for a network: 9 for a fraud that it was told of, -9 for other rows that it was told of, 0 else."""

    name, cost = "knows", 4

    def __init__(self, told: Task) -> None:
        self.told = told

    def logits(self, context: GraphContext, seeds: Seeds) -> np.ndarray:
        """See the class."""
        known = dict(zip(self.told.positions.tolist(), np.where(self.told.is_fraud, 9.0, -9.0), strict=True))
        return np.asarray([known.get(position, 0.0) for position in seeds.cuts.position.tolist()])


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Snapshot]:
    workspace = Workspace.open(tmp_path_factory.mktemp("stacked"))
    rows, labels = random_rows(2_000, seed=5, fraud_rate=0.05)
    return workspace, build_snapshot(workspace, rows, labels=labels)


@pytest.fixture(scope="module")
def model(snapshot: tuple[Workspace, Snapshot]) -> Model:
    """Stopped in the third of the four partial networks, and started again."""
    workspace, found = snapshot
    settings = workspace.settings(train=SETTINGS)

    def stop(stage: str, fraction: float) -> None:
        if stage == "fused_without_2":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(workspace, found, settings, progress=stop)
    steps: list[str] = []
    result = train(workspace, found, settings, progress=lambda stage, fraction: steps.append(stage))
    trained = [stage for stage in steps if stage.startswith("fused")]
    assert trained.count("fused_without_3") > trained.count("fused_without_0"), "finished networks are read back"
    return Model.open(result.path)


def test_trees_learn_from_what_was_said_by_those_who_had_not_been_told() -> None:
    times = [hour * HOUR for hour in range(40)]
    graph = graph_of([[0, 1]] * 40, times, features=np.zeros((40, 2), np.float32))
    task = Task(positions=np.arange(40), is_fraud=np.arange(40) % 5 == 0)
    asked: list[tuple[int, list[int]]] = []

    def fit(part: Task, number: int) -> Any:
        asked.append((number, part.positions.tolist()))
        return Knows(part)

    row = fit_stacked(GraphContext(graph), task, TreeConfig(num_trees=2), Knows(task), fit)  # type: ignore[arg-type]
    assert [number for number, _ in asked] == [0, 1, 2, 3]
    left_out = [sorted(set(range(40)) - set(rows)) for _, rows in asked]
    assert [row for rows in left_out for row in rows] == list(range(40)), "blocks of time"
    assert [sum(row % 5 == 0 for row in rows) for rows in left_out] == [2, 2, 2, 2], "with as many frauds each"
    # no row was scored by a network that knew it: the logit was 0 everywhere, so no split could use it
    assert row.booster.get_score() == {}
    assert row.name == "xgboost_knows"


def test_too_few_frauds_for_the_folds_say_so() -> None:
    times = [hour * HOUR for hour in range(40)]
    graph = graph_of([[0, 1]] * 40, times, features=np.zeros((40, 2), np.float32))
    task = Task(positions=np.arange(40), is_fraud=np.arange(40) < 3)
    with pytest.raises(TooLittleData, match="there are 3 among 40 training rows"):
        fit_stacked(GraphContext(graph), task, TreeConfig(), Knows(task), lambda part, number: Knows(part))  # type: ignore[arg-type, return-value]


def test_it_is_a_row_of_the_ladder(model: Model) -> None:
    rows = model.metrics["ladder"]["rows"]
    assert [row["name"] for row in rows] == ROWS
    assert {row["name"] for row in rows if row["is_servable"]} == set(ROWS[:-1]) == set(model.scorers)
    assert (model.path / "xgboost_fused.trees.json").exists()
    costs = {row["name"]: row["cost"] for row in rows}
    assert costs["xgboost_fused"] == costs["fused"] + 1


def test_a_start_after_a_kill_goes_on_and_ends_as_if_nothing_had_been(
    snapshot: tuple[Workspace, Snapshot], model: Model, tmp_path: Path
) -> None:
    other = Workspace.open(tmp_path)
    rows, labels = random_rows(2_000, seed=5, fraud_rate=0.05)
    again = train(other, build_snapshot(other, rows, labels=labels), other.settings(train=SETTINGS))
    ours, theirs = (orjson.loads((path / MANIFEST).read_bytes())["files"] for path in (model.path, again.path))
    assert ours == theirs
    assert not list((snapshot[0].cache / "training").rglob("*.safetensors"))


def test_online_it_says_what_the_batch_says(snapshot: tuple[Workspace, Snapshot], model: Model) -> None:
    graph = TransactionGraph.from_snapshot(snapshot[1])
    positions = range(len(graph) - REPLAYED, len(graph))
    scorer = OnlineScorer(snapshot[1], model, row="xgboost_fused", up_to=positions[0], graph=graph)
    scored = Replay(snapshot[1], start=positions[0]).into(scorer, positions)
    batch = model.score_positions(GraphContext(graph), np.asarray(positions), "xgboost_fused")
    assert len(np.unique(batch)) > 20
    assert np.abs(batch - [one.logit for one in scored]).max() < 1e-4


def test_folds_judge_it_again_and_it_passes_the_guard_of_the_future(
    snapshot: tuple[Workspace, Snapshot], model: Model
) -> None:
    training = model.config["training"]
    entries = entries_of(training)
    assert [entry.name for entry in entries] == ROWS
    assert "xgboost_fused" not in [entry.name for entry in entries_of(training | {"stack": False})]
    entry = next(entry for entry in entries if entry.name == "xgboost_fused")
    data = EvaluationData.of(snapshot[1])
    tasks = Tasks.of(data.graph, model.windows, delay_days=7)
    fitted = fit_on_windows(entry, data, model.windows, tasks, seed=0)
    found = check_future(entry.name, fitted.model, fitted.data, tasks.test)
    assert found.passed, found.told
    assert check_own_outcome(entry.name, fitted.model, fitted.data, tasks.test).passed
