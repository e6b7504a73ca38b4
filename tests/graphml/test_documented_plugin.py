"""The plug-in of docs/evaluation.md: extracted, at most 30 lines, run, and clean."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from graphml.data_view import EvaluationData
from graphml.evaluation import average_precision
from graphml.guards import check_future, check_own_outcome
from graphml.own_fit import fit_on_windows
from graphml.own_models import load_own_model
from graphml.tasks import Tasks
from tests.graphml.trained import Trained, shared_training

DOCS = Path(__file__).parents[2] / "docs" / "evaluation.md"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return shared_training(tmp_path_factory)


def test_the_documented_plug_in_runs_in_the_ladder_and_passes_the_guards(trained: Trained, tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert sum(bool(line.strip()) for line in code.splitlines()) <= 30
    (tmp_path / "plugin.py").write_text(code)
    entry = load_own_model(f"{tmp_path / 'plugin.py'}:BoostedWithHistory")
    data = EvaluationData.of(trained.snapshot, trained.graph)
    windows = trained.model.windows
    tasks = Tasks.of(data.graph, windows, delay_days=7)
    found = fit_on_windows(entry.under({"max_leaf_nodes": 7}), data, windows, tasks, seed=0)
    lot = np.random.default_rng(0).random(len(tasks.test))
    assert average_precision(tasks.test.is_fraud, found.scores.test) > 2 * average_precision(tasks.test.is_fraud, lot)
    assert check_future(entry.name, found.model, data, tasks.test).passed
    assert check_own_outcome(entry.name, found.model, data, tasks.test).passed
    assert set(entry.space) == {"max_leaf_nodes", "learning_rate"}
