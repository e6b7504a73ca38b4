"""`ringfence try`: from a file to a report, with labels and without, and what it says when there is too little data."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import typer
from pyspark.sql import SparkSession
from typer.testing import CliRunner

from ingestion.config import Settings
from ingestion.errors import MappingError, UsageError
from ingestion.proposer.proposal import propose_mapping
from ingestion.proposer.questions import parse_answer
from ingestion.proposer.sample import take_sample
from ingestion.workspace import Workspace
from serving.cli import app, data_mapping_init
from serving.trial import TrialResult, shortened, trial

GOLDEN = Path(__file__).parents[1] / "ingestion" / "proposer" / "golden"
PAGES = ("trial.html", "trial.md", "inspection.html", "mapping.toml", "stages.jsonl")


def run(folder: Path, table: Path, **more: Any) -> TrialResult:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ringfence.toml").write_text("[train]\nepochs = 1\n")
    workspace = Workspace.open(folder)
    return trial(workspace, source=table, settings=workspace.settings(), **more)


@pytest.mark.spark
@pytest.mark.timeout(600)
def test_a_labeled_table_gets_a_ladder_and_the_same_trial_again_makes_nothing_new(
    spark: SparkSession, tmp_path: Path
) -> None:
    result = run(tmp_path / "w", GOLDEN / "transfers.csv")
    assert result.stopped is None
    assert result.trained is not None
    assert {row["name"] for row in result.trained.ladder.as_dict()["rows"]} >= {"xgboost", "graphsage"}
    assert [stage["stage"] for stage in result.stages] == ["mapping", "check", "inspect", "ingest", "train", "report"]
    page = result.report.read_text()
    assert all((result.report.parent / name).is_file() for name in PAGES)
    for words in ("<h2>Mapping</h2>", "<h2>Inspection</h2>", "<h2>The ladder</h2>", "<h2>Profile</h2>", "graphsage"):
        assert words in page
    assert "labels[0].delay_days" in page
    iban = next(csv.DictReader((GOLDEN / "transfers.csv").open()))["debtorIban"]
    assert iban not in page + (result.report.parent / "trial.md").read_text()
    assert not (tmp_path / "w" / "graph").exists()
    again = run(tmp_path / "w", GOLDEN / "transfers.csv")
    assert again.trained is not None
    assert again.trained.model_id == result.trained.model_id
    assert again.trained.reused


@pytest.mark.spark
@pytest.mark.timeout(600)
def test_without_labels_there_are_mapping_inspection_and_profile(spark: SparkSession, tmp_path: Path) -> None:
    result = run(tmp_path / "w", GOLDEN / "remittances.csv")
    assert (result.stopped, result.trained) == (None, None)
    told = result.profile
    assert told is not None
    assert (told.num_transactions, told.labels) == (700, {})
    assert told.entities == {"account": 120, "customer": 120, "phone": 120, "agent": 14, "bank": 6}
    assert told.outcomes == {"approved": 646, "declined": 54}
    assert sum(told.volume) == 700
    assert (told.days[0], told.first[:10]) == ("2024-03-04", "2024-03-04")
    assert sum(told.degree_steps["source"]) == 120
    assert [(row["kind"], row["currency"], row["count"]) for row in told.amounts] == [("transfer", "USD", 700)]
    assert {"hour", "channel", "amount USD"} <= {row["column"] for row in told.recent}
    page = result.report.read_text()
    assert "<h2>Profile</h2>" in page
    assert "No labels." in page
    assert "<h2>The ladder</h2>" not in page


@pytest.mark.spark
@pytest.mark.timeout(600)
def test_too_short_a_table_says_so_and_reports_the_rest(spark: SparkSession, tmp_path: Path) -> None:
    command = ["try", str(GOLDEN / "haendler.csv"), "-w", str(tmp_path / "w"), "--json"]
    ran = CliRunner().invoke(app, command)
    assert ran.exit_code == 3
    body = json.loads(ran.stdout)
    assert "days are missing" in body["stopped"]["what"]
    assert body["ladder"] is None
    assert body["profile"]["num_transactions"] == 800
    assert {item["key"] for item in body["questions"]} >= {"fields.event_time.zone", "labels[0].delay_days"}
    assert "No ladder: The snapshot has" in Path(body["report"]).read_text()


@pytest.mark.spark
@pytest.mark.timeout(600)
def test_bad_rows_stop_at_the_ingest_and_are_told(spark: SparkSession, tmp_path: Path) -> None:
    lines = (GOLDEN / "transfers.csv").read_text().splitlines()
    table = tmp_path / "transfers.csv"
    table.write_text("\n".join([*lines, *(f"X{row},never,Europe/Madrid,,1,EUR,a,b,c,d,,EXEC," for row in range(90))]))
    result = run(tmp_path / "w", table, mapping=str(GOLDEN / "transfers.toml"))
    assert result.stopped is not None
    assert result.profile is None
    assert result.check.sample["bad"]["time_unreadable"]["rows"] == 90
    assert "No snapshot:" in result.report.read_text()


def test_a_workspace_with_a_release_is_left_alone(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path)
    workspace.set_current_release({"id": "release-1"})
    with pytest.raises(UsageError, match="holds a release"):
        trial(workspace, source=GOLDEN / "orders.csv", settings=workspace.settings())


def test_a_table_without_readable_amounts_is_not_tried(tmp_path: Path) -> None:
    """The fraud label was once taken for the amount, with a report that said there are no labels."""
    rows = [f"t{n},2024-03-{1 + n % 28:02d}T10:00:00Z,c{n % 9},s{n % 5},({n}.50),{int(n % 9 == 0)}" for n in range(200)]
    (tmp_path / "t.csv").write_text("\n".join(["id,ts,card,shop,amount,fraud", *rows]))
    with pytest.raises(MappingError, match=r"cannot be tried yet: fields\.amount = amount is a mere guess") as caught:
        run(tmp_path / "w", tmp_path / "t.csv")
    assert "--answers fields.amount=COLUMN" in caught.value.remedy


def test_a_trial_is_shorter_than_a_nightly_run() -> None:
    short = shortened(Settings(train={"epochs": 30, "fanouts": (16, 2)}))
    assert (short.train.epochs, short.train.fanouts) == (4, (8, 2))
    assert shortened(Settings(train={"epochs": 1})).train.epochs == 1


def test_answers_go_with_a_proposal_only(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="A mapping was given"):
        run(tmp_path, GOLDEN / "orders.csv", mapping=str(GOLDEN / "orders.toml"), answers={"fields.memo": None})


def test_init_writes_the_mapping_lists_the_questions_and_checks_it(tmp_path: Path) -> None:
    out = tmp_path / "mine.toml"
    command = ["data", "mapping", "init", str(GOLDEN / "transfers.csv"), "--out", str(out)]
    ran = CliRunner().invoke(app, [*command, "--json", "--answers", "labels[0].delay_days=30"])
    assert ran.exit_code == 0
    body = json.loads(ran.stdout)
    assert body["questions"] == ["label_maturity_days"]
    assert body["check"] == {"rows": 1100, "enter": 1100, "bad": {}, "bad_share": 0.0}
    assert "delay_days = 30  # 1.00: you said so" in out.read_text()
    assert CliRunner().invoke(app, ["data", "mapping", "check", command[3], "--mapping", str(out)]).exit_code == 0
    there = CliRunner().invoke(app, command)
    assert isinstance(there.exception, UsageError)
    shown = CliRunner().invoke(app, [*command, "--force", "--yes"])
    assert shown.exit_code == 0
    assert "2 questions" in shown.stdout
    assert "After how many days" in shown.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nowhere.csv"], "does not exist"),
        ([str(GOLDEN / "orders.csv"), "--answers", "fields.colour=red"], "Nothing was asked"),
        ([str(GOLDEN / "orders.csv"), "--answers", "zone"], "is no answer"),
        ([str(GOLDEN / "orders.csv"), "--answers", "labels[0].delay_days=soon"], "is no number of days"),
    ],
)
def test_init_tells_what_it_cannot_use(words: list[str], told: str, tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, ["data", "mapping", "init", *words, "--out", str(tmp_path / "x.toml")])
    assert isinstance(ran.exception, UsageError)
    assert told in ran.exception.what
    assert not (tmp_path / "x.toml").exists()


def test_on_a_terminal_each_question_is_asked_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[str] = []

    def say(text: str) -> None:
        asked.append(text.splitlines()[1].rsplit("(", 1)[1].removesuffix(")"))

    def prompt(text: str, default: str) -> str:
        return "21" if asked[-1] == "labels[0].delay_days" else default

    monkeypatch.setattr(typer, "echo", say)
    monkeypatch.setattr(typer, "prompt", prompt)
    proposal = data_mapping_init._ask(take_sample(GOLDEN / "transfers.csv"), {})
    assert proposal.questions == []
    assert proposal.mapping().label_columns[0].delay_days == 21
    assert len(set(asked)) == len(asked) == len(propose_mapping(GOLDEN / "transfers.csv").questions)


def test_answers_are_read_as_they_are_meant() -> None:
    assert parse_answer("fields.event_time", '["d", "t"]') == ["d", "t"]
    assert parse_answer("fields.kind.values", '{ A = "payment" }') == {"A": "payment"}
    assert parse_answer("personal.device", "yes") is True
    with pytest.raises(UsageError, match="is no TOML value"):
        parse_answer("fields.event_time", "[d")
