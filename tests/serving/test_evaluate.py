"""`ringfence model judged` and `model evaluate`: own scores beside the ladder, on a terminal and as a page."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv
from typer.testing import CliRunner

from serving.cli import app
from tests.serving.served import Served

LEAKY = Path(__file__).parents[1] / "leakage" / "leaky_models.py"


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
    text = (tmp_path / "out" / "evaluation.md").read_text()
    assert "| dice |" in text and "the mapping names no rates" in text and "the mapping names no rates" in page
    written = json.loads((tmp_path / "out" / "evaluation.json").read_bytes())
    assert written["rows"] == body["rows"]


def test_a_name_cannot_break_a_page(served: Served, scores: Path, tmp_path: Path) -> None:
    named = scores.rename(scores.with_name("<b>a|b&c.csv"))
    body = run(
        "model", "evaluate", "--scores", str(named), "--workspace", str(served.workspace.root), "--out", str(tmp_path)
    )
    assert body["rows"][-1]["name"] == "<b>a|b&c"  # type: ignore[index]
    page, text = (tmp_path / "evaluation.html").read_text(), (tmp_path / "evaluation.md").read_text()
    assert "<b>a" not in page + text and "| &lt;b>a\\|b&amp;c |" in text


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


def test_a_model_file_is_fitted_and_guarded(served: Served, tmp_path: Path) -> None:
    """Three planted leaks are named in the report; the honest row is not."""
    root, names = str(served.workspace.root), ("OutcomeAtTheEnd", "EncodedOverAll", "AgainstAllOfTheParty", "Honest")
    files = [word for name in names for word in ("--model-file", f"{LEAKY}:{name}")]
    body = run("model", "evaluate", *files, "--workspace", root, "--out", str(tmp_path))
    caught = {item["row"] for item in body["guards"] if not item["passed"]}  # type: ignore[attr-defined]
    assert caught == set(names) - {"Honest"}
    page, text = (tmp_path / "evaluation.html").read_text(), (tmp_path / "evaluation.md").read_text()
    for name in names:
        told = f"{name} did not pass the guard"
        assert (told in page) == (told in text) == (name in caught)
    own = body["rows"][-1]  # type: ignore[index]
    assert own["name"] == "Honest" and own["average_precision_low"] < own["average_precision_high"]
    assert own["calibration_error"] is not None and body["folds"] is None
    assert {one["segment"] for one in body["segments"]["Honest"]} >= {
        "amount (means of their currency)",
        "kind",
        "source seen",
        "type of target",
    }  # type: ignore[index]
    assert [one["budget"] for one in body["budgets"]["Honest"]][3] == 0.01  # type: ignore[index]


def test_folds_judge_every_row_again(served: Served, tmp_path: Path) -> None:
    command = ["model", "evaluate", "--workspace", str(served.workspace.root), "--out", str(tmp_path)]
    command += ["--model-file", f"{LEAKY}:Honest", "--guards", "none", "--folds", "1", "--train-days", "14"]
    body = run(*command)
    folds = body["folds"]
    names = [row["name"] for row in folds["rows"]]  # type: ignore[index]
    assert names == ["logistic", "xgboost", "xgboost_neighbors", "graphsage", "graphsage_shuffled", "Honest"]
    assert [len(row["by_fold"]) for row in folds["rows"]] == [1] * 6  # type: ignore[index]
    assert all((row["difference"] is None) == (row["name"] == body["reference"]) for row in folds["rows"])  # type: ignore[index]
    results = sorted((served.workspace.cache / "evaluation").rglob("*.npz"))
    assert len(results) == 6
    before = [path.stat().st_mtime_ns for path in results]
    ran = CliRunner().invoke(app, command)
    assert ran.exit_code == 0 and "1 fold, 1 seed, label budget fold-week" in ran.stdout
    assert [path.stat().st_mtime_ns for path in results] == before, "found, not made again"
    assert "label budget fold-week" in (tmp_path / "evaluation.md").read_text()
    assert 'alt="Average precision by fold"' in (tmp_path / "evaluation.html").read_text()


def test_what_cannot_be_asked_is_refused(served: Served) -> None:
    root = str(served.workspace.root)
    for words, told in (
        (["--budget", "all"], "--budget all is unknown"),
        (["--guards", "some"], "--guards some is unknown"),
        (["--tune", "3"], "no folds are asked for"),
        (["--model-file", f"{LEAKY}:Honest", "--model-file", f"{LEAKY}:Honest"], "There is a row Honest already"),
        (["--folds", "40"], "days are missing"),
    ):
        ran = CliRunner().invoke(app, ["model", "evaluate", *words, "--workspace", root])
        assert ran.exit_code != 0 and told in str(ran.exception), words


def test_without_its_snapshot_a_model_is_still_compared(served: Served) -> None:
    shutil.rmtree(served.workspace.snapshots / served.release["snapshot_id"])
    ran = CliRunner().invoke(app, ["model", "evaluate", "--workspace", str(served.workspace.root)])
    assert ran.exit_code == 0, ran.output
    assert "is no longer there: parts are judged by the amount alone" in ran.stdout
