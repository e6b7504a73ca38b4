"""Our own rows as models, and any row on the windows of a trained model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from graphml.comparison import compare
from graphml.data_view import EvaluationData
from graphml.judged import Judged
from graphml.ladder import Ladder
from graphml.ladder_entries import entries_of
from graphml.own_fit import fit_on_windows
from graphml.own_models import Entry, load_own_model
from graphml.tasks import Tasks
from graphml.training import shuffled_name
from tests.graphml.trained import NETWORKS, Trained, shared_training

#: A user's file whose model is the ladder's own.
SAME_TREES = """
from graphml.baselines import TreeConfig
from graphml.ladder_entries import TreeModel

class Mine(TreeModel):
    def __init__(self):
        super().__init__(config=TreeConfig(seed={seed}))
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return shared_training(tmp_path_factory)


@pytest.fixture(scope="module")
def entries(trained: Trained) -> dict[str, Entry]:
    return {entry.name: entry for entry in entries_of(trained.model.config["training"])}


def test_the_entries_are_the_ladder_s_rows(trained: Trained, entries: dict[str, Entry]) -> None:
    assert list(entries) == [row.name for row in trained.result.ladder.rows]
    assert [name for name, entry in entries.items() if entry.edges_shuffled] == [
        shuffled_name(name) for name in NETWORKS
    ]
    assert len({entry.fingerprint for entry in entries.values()}) == len(entries)


def test_a_user_s_row_is_ours_when_its_model_is(trained: Trained, tmp_path: Path) -> None:
    """Same model, same scores, the same intervals and paired differences: nothing but the name differs."""
    data = EvaluationData.of(trained.snapshot, trained.graph)
    windows = trained.model.windows
    tasks = Tasks.of(data.graph, windows, delay_days=7)
    (tmp_path / "mine.py").write_text(SAME_TREES.format(seed=trained.model.config["training"]["seed"]))
    mine = load_own_model(f"{tmp_path / 'mine.py'}:Mine")
    found = fit_on_windows(mine, data, windows, tasks, seed=0)
    judged = Judged.read(trained.model.path)
    assert found.scores.test.tobytes() == judged.test_scores["xgboost"].tobytes()
    ladder = Ladder.from_dict(trained.model.metrics["ladder"])
    comparison = compare(ladder, judged, {"Mine": found.scores})
    ours, theirs = (next(row for row in comparison.rows if row.name == name) for name in ("xgboost", "Mine"))
    assert theirs.as_dict() | {"name": "", "is_servable": True, "cost": 1} == ours.as_dict() | {"name": ""}


def test_logistic_regression_is_tuned_too(trained: Trained, entries: dict[str, Entry]) -> None:
    data = EvaluationData.of(trained.snapshot, trained.graph)
    windows = trained.model.windows
    tasks = Tasks.of(data.graph, windows, delay_days=7)
    entry = entries["logistic"]
    usual = fit_on_windows(entry, data, windows, tasks, seed=0).scores.test
    assert entry.space["inverse_penalty"]
    same = fit_on_windows(entry.under({"inverse_penalty": 1.0}), data, windows, tasks, seed=0).scores.test
    strong = fit_on_windows(entry.under({"inverse_penalty": 1e-4}), data, windows, tasks, seed=0).scores.test
    assert same.tobytes() == usual.tobytes()
    assert strong.std() < usual.std() / 2, "a strong penalty shrinks the weights"


def test_a_network_learns_under_another_setting(trained: Trained, entries: dict[str, Entry]) -> None:
    data = EvaluationData.of(trained.snapshot, trained.graph)
    windows = trained.model.windows
    tasks = Tasks.of(data.graph, windows, delay_days=7)
    entry = entries["gat_shuffled"].under({"width": 32, "learning_rate": 0.01})
    found = fit_on_windows(entry, data, windows, tasks, seed=1)
    assert found.scores.test.shape == tasks.test.positions.shape
    assert not np.array_equal(found.data.graph.entity[:, 1], data.graph.entity[:, 1]), "its links are shuffled"
    assert found.model.row.config.width == 32  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="before fit"):
        entry.model(0).score(data.to_score(tasks.test.positions))
