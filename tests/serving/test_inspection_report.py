"""`data inspect` on the terminal, as JSON and as pages."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from typer.testing import CliRunner

from ingestion.inspection import CHECKS, Inspection, inspect_table
from serving.cli import app
from serving.inspection_report import evidence_numbers, headline, verdict, write_inspection
from tests.ingestion.inspection.planted import MAPPING, filled_after, honest, mapping, written


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inspect")
    (folder / "mine.toml").write_text(tomli_w.dumps(MAPPING))
    return written(filled_after(honest(1, num_rows=8_000, rate=0.02), np.random.default_rng(1)), folder)


@pytest.fixture(scope="module")
def inspection(table: Path) -> Inspection:
    return inspect_table(table, mapping())


def test_headline_counts(inspection: Inspection) -> None:
    frauds = inspection.num_frauds
    assert headline(inspection) == (
        f"table.parquet: 8,000 rows, 8,000 with a label, {frauds:,} frauds. 12 checks: 1 finding, 1 serious."
    )


def test_verdicts(inspection: Inspection) -> None:
    verdicts = {check: verdict(inspection, check) for check in CHECKS}
    assert verdicts["outcome_columns"] == "found"
    assert verdicts["single_columns"] == "found"  # the same column, told once
    assert verdicts["row_order"] == "nothing found"


def test_evidence_in_words_leaves_out_examples_and_nothing(inspection: Inspection) -> None:
    words = evidence_numbers(inspection.findings[0])
    assert "examples" not in words
    assert words["share of rows that are fraud"].startswith("0.9")
    assert "None" not in words.values()


def test_pages(inspection: Inspection, tmp_path: Path) -> None:
    page = write_inspection(tmp_path, inspection)
    html, markdown = page.read_text(), (tmp_path / "inspection.md").read_text()
    for text in (html, markdown):
        assert "chargeback_at is filled" in text
        assert "drop" in text
        assert all(check in text for check in CHECKS)
    assert "<script" not in html
    assert "http" not in html.replace("http-equiv", "")
    assert json.loads((tmp_path / "inspection.json").read_text())["findings"][0]["check"] == "outcome_columns"


def test_a_finding_with_a_chart_is_drawn(tmp_path: Path) -> None:
    data = honest(1, num_rows=8_000, rate=0.02)
    risk = np.random.default_rng(0).normal(0, 1, 8_000) + 6 * data["fraud"]
    found = inspect_table(written(data | {"risk": risk}, tmp_path), mapping())
    assert "data:image/png;base64," in write_inspection(tmp_path, found).read_text()


def test_json_of_the_command_is_one_object(table: Path, tmp_path: Path) -> None:
    command = ["data", "inspect", str(table), "--mapping", str(table.with_name("mine.toml"))]
    ran = CliRunner().invoke(app, [*command, "--json", "--out", str(tmp_path / "pages")])
    assert ran.exit_code == 0, ran.output
    body = json.loads(ran.stdout)
    assert [finding["check"] for finding in body["findings"]] == ["outcome_columns"]
    assert Path(body["page"]).exists()
    shown = CliRunner().invoke(app, command)
    assert shown.exit_code == 0
    assert "chargeback_at" in shown.stdout


@pytest.mark.parametrize(
    "words", [[], ["FILE"], ["--mapping", "ringfence"], ["FILE", "--mapping", "a", "--snapshot", "b"]]
)
def test_a_file_with_its_mapping_or_a_snapshot_must_be_named(words: list[str], table: Path) -> None:
    ran = CliRunner().invoke(app, ["data", "inspect", *[str(table) if word == "FILE" else word for word in words]])
    assert ran.exit_code != 0
    assert "Name either a file" in str(ran.exception)
