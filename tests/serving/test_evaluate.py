"""`ringfence model judged` and `model evaluate`: own scores beside the ladder, on a terminal and as a page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv
from typer.testing import CliRunner

from serving.cli import app
from tests.serving.served import Served


def run(*words: str) -> dict[str, object]:
    ran = CliRunner().invoke(app, [*words, "--json"])
    assert ran.exit_code == 0, ran.output
    body: dict[str, object] = json.loads(ran.stdout)
    return body


@pytest.fixture
def scores(served: Served, tmp_path: Path) -> Path:
    """Random scores for all that `model judged` names."""
    run("model", "judged", str(tmp_path / "ids.csv"), "--workspace", str(served.workspace.root))
    ids = csv.read_csv(tmp_path / "ids.csv")
    assert set(ids.column("window").to_pylist()) == {"validation", "test"}
    assert ids.column_names == ["transaction_id", "window"], "no outcomes"
    values = np.random.default_rng(0).random(len(ids))
    csv.write_csv(pa.table({"transaction_id": ids.column(0), "score": values}), tmp_path / "dice.csv")
    return tmp_path / "dice.csv"


def test_own_scores_become_a_row_with_a_page(served: Served, scores: Path, tmp_path: Path) -> None:
    command = ("model", "evaluate", "--scores", str(scores), "--workspace", str(served.workspace.root))
    body = run(*command, "--out", str(tmp_path / "out"))
    names = [row["name"] for row in body["rows"]]  # type: ignore[attr-defined]
    assert names == ["logistic", "xgboost", "xgboost_neighbors", "graphsage", "graphsage_shuffled", "dice"]
    assert set(body["differences"]) == set(names) - {body["reference"]}  # type: ignore[call-overload]
    page = (tmp_path / "out" / "evaluation.html").read_text()
    assert page.count("data:image/png;base64,") == 6
    assert "<script" not in page and "dice" in page
    assert "| dice |" in (tmp_path / "out" / "evaluation.md").read_text()
    written = json.loads((tmp_path / "out" / "evaluation.json").read_bytes())
    assert written["rows"] == body["rows"]


def test_a_terminal_shows_the_rows_and_what_cannot_be_checked(served: Served, scores: Path) -> None:
    ran = CliRunner().invoke(
        app, ["model", "evaluate", "--scores", str(scores), "--workspace", str(served.workspace.root)]
    )
    assert ran.exit_code == 0, ran.output
    assert "dice" in ran.stdout and "cannot be checked here" in ran.stdout
    assert (served.workspace.root / "evaluations").is_dir()


def test_unknown_models_and_names_that_are_taken_are_refused(served: Served, scores: Path) -> None:
    root = str(served.workspace.root)
    ran = CliRunner().invoke(app, ["model", "evaluate", "--model", "../x", "--workspace", root])
    assert ran.exit_code != 0 and "There is no model ../x" in str(ran.exception)
    taken = scores.rename(scores.with_name("xgboost.csv"))
    ran = CliRunner().invoke(app, ["model", "evaluate", "--scores", str(taken), "--workspace", root])
    assert ran.exit_code != 0 and "There is a row xgboost already" in str(ran.exception)
