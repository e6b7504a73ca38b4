"""A whole training: the ladder, the same inputs again, windows kept apart, crashes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest

from graphml.context import GraphContext
from graphml.errors import TooLittleData
from graphml.evaluation import average_precision
from graphml.model import BASELINES, Model
from graphml.run_config import TrainConfig
from graphml.training import model_id_of, shuffled_name, train
from ingestion.artifacts import MANIFEST, digest
from ingestion.failpoints import LOG_VARIABLE, VARIABLE
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace
from tests.builders import build_snapshot, random_rows
from tests.graphml.trained import NETWORKS, ROWS, SETTINGS, Trained, train_small

TRAIN = """
import sys
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace
from graphml.training import train
workspace = Workspace.open(sys.argv[1])
chosen = {"epochs": 1, "seeds_per_epoch": 2_048, "precision": "fp32", "networks": ["graphsage", "gat", "fused"]}
settings = workspace.settings(train=chosen)
result = train(workspace, Snapshot.open(workspace), settings)
print(result.model_id, result.reused)
"""


def test_the_ladder_has_every_row_on_the_same_window(trained: Trained) -> None:
    ladder = trained.result.ladder
    assert [row.name for row in ladder.rows] == [
        *BASELINES,
        *(name for network in NETWORKS for name in (network, shuffled_name(network))),
    ]
    assert {row.name for row in ladder.rows if row.is_servable} == set(ROWS)
    assert ladder.served in ROWS
    assert ladder.base_rate == ladder.num_frauds / ladder.num_transactions
    for row in ladder.rows:
        assert row.average_precision.low <= row.average_precision.value <= row.average_precision.high
        assert row.card_precision.value <= row.card_ceiling
    assert len({row.card_ceiling for row in ladder.rows}) == 1


def test_the_number_of_processes_is_in_the_id_where_dropout_hangs_on_it(trained: Trained) -> None:
    config = TrainConfig.of(trained.workspace.settings(train=SETTINGS), trained.snapshot)
    ids = {processes: model_id_of("snap-1", config, processes=processes) for processes in (1, 2, 3)}
    assert len(set(ids.values())) == 3
    without = replace(config, networks=tuple(replace(network, dropout=0.0) for network in config.networks))
    assert len({model_id_of("snap-1", without, processes=processes) for processes in (1, 2, 3)}) == 1
    assert trained.model.id == model_id_of(trained.snapshot.id, config, processes=1)


def test_the_ladder_s_figures_can_be_made_again_from_the_model(trained: Trained) -> None:
    windows = trained.model.windows
    context = GraphContext(trained.graph)
    known = trained.snapshot.label_events.as_of(windows.test_targets_at, len(trained.graph))
    at = np.arange(*np.searchsorted(trained.graph.available_at, [windows.test_start, windows.test_end]))
    judged = at[(known[at] >= 0) & (trained.graph.event_time[at] + 7 * 86_400_000_000 <= windows.test_targets_at)]
    for row in trained.result.ladder.rows:
        if not row.is_servable:
            continue
        logits = trained.model.score_positions(context, judged, row.name)
        assert average_precision(known[judged] == 1, logits) == pytest.approx(row.average_precision.value, abs=1e-6)


def test_windows_and_alert_budget_come_from_the_settings(trained: Trained) -> None:
    windows = trained.model.windows
    context = GraphContext(trained.graph)
    low, high = np.searchsorted(trained.graph.available_at, [windows.validation_start, windows.validation_end])
    validation = trained.model.probability(trained.model.score_positions(context, np.arange(low, high)))
    alerts = (validation >= trained.model.threshold).mean()
    assert 0 < alerts <= 0.02  # the budget is 1 % of the judged rows; a few more rows lie in the window


def test_the_same_inputs_find_the_published_model(trained: Trained) -> None:
    again = train(trained.workspace, trained.snapshot, trained.workspace.settings(train=SETTINGS))
    assert again.reused
    assert again.model_id == trained.result.model_id
    assert again.ladder == trained.result.ladder
    assert again.windows == trained.result.windows


def test_another_seed_is_another_model(trained: Trained) -> None:
    settings = trained.workspace.settings(train=SETTINGS)
    seen: list[str] = []

    def stop(stage: str, fraction: float) -> None:
        seen.append(stage)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):  # it did not find the published one: it started to train
        train(trained.workspace, trained.snapshot, settings, seed=9, progress=stop)
    assert seen == ["read"]


def test_a_model_is_the_same_bytes_in_another_workspace(trained: Trained, tmp_path: Path) -> None:
    other = train_small(Workspace.open(tmp_path))
    assert other.result.model_id == trained.result.model_id
    ours, theirs = (orjson.loads((t.result.path / MANIFEST).read_bytes())["files"] for t in (trained, other))
    assert ours == theirs


def test_a_short_snapshot_is_refused_with_the_missing_days(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path)
    rows, labels = random_rows(500, seed=1, days=30)
    snapshot = build_snapshot(workspace, rows, labels=labels)
    with pytest.raises(TooLittleData, match="days are missing"):
        train(workspace, snapshot, workspace.settings())
    assert not workspace.models.exists() or not list(workspace.models.iterdir())


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train_small(Workspace.open(tmp_path_factory.mktemp("tiny")), num_rows=3_000)


def test_a_model_embeds_by_the_strategy_that_the_settings_name(trained: Trained) -> None:
    settings = trained.workspace.settings(train={"epochs": 1, "networks": ["graphsage"], "embedding": "contrastive"})
    stages: set[str] = set()
    result = train(trained.workspace, trained.snapshot, settings, progress=lambda stage, _: stages.add(stage))
    model = Model.open(result.path)
    assert model.embedder.name == "contrastive"
    assert "embedding, contrastive" in stages
    parties = np.unique(trained.graph.entity[:1_000])
    parties = parties[parties >= 0]
    ours, of_outcomes = (
        each.embed_entities(GraphContext(trained.graph), parties, 1_000) for each in (model, trained.model)
    )
    assert np.allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-5)
    assert ours.shape[1] != of_outcomes.shape[1]


@pytest.mark.slow
@pytest.mark.parametrize("point", ["model.before_publish", "model.after_publish"])
def test_killed_at_a_fail_point_it_ends_in_the_same_model(tiny: Trained, tmp_path: Path, point: str) -> None:
    workspace = Workspace.open(tmp_path)
    (tmp_path / "snapshots").symlink_to(tiny.workspace.snapshots)
    log = tmp_path / "reached"
    environment = os.environ | {VARIABLE: f"{point}:kill", LOG_VARIABLE: str(log)}
    killed = subprocess.run([sys.executable, "-c", TRAIN, str(tmp_path)], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert log.read_text().split()[-1] == point
    published = [path.name for path in workspace.models.iterdir() if not path.name.startswith(".")]
    assert published == ([] if point == "model.before_publish" else [tiny.result.model_id])
    done = subprocess.run([sys.executable, "-c", TRAIN, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [tiny.result.model_id, str(point == "model.after_publish")]
    model = Model.open(workspace.models / tiny.result.model_id)
    assert digest(model.path) == digest(tiny.result.path)
    assert Snapshot.open(workspace).id == model.snapshot_id
