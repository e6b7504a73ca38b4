"""`ringfence model benchmark-graph`: JSON, terminal, the hint on one-way edges, and refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from graphml import static_task
from graphml.static_network import NetworkConfig
from graphml.static_training import StaticTraining
from ingestion.errors import DataContractError, UsageError
from serving.cli import app
from tests.graphml.static_cases import arrays, write

SMALL = StaticTraining(network=NetworkConfig(width=8, num_bins=2), epochs=2)
Command = Callable[..., Result]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command with small candidates."""
    candidates = {"features_and_labels": SMALL, "features": replace(SMALL, sees_labels=False)}
    real = static_task.benchmark_graph
    monkeypatch.setattr(
        static_task, "benchmark_graph", lambda graph, **options: real(graph, candidates=candidates, **options)
    )
    return lambda *words: CliRunner().invoke(app, ["model", "benchmark-graph", *map(str, words)])


def test_the_json_has_every_split_and_the_mean(command: Command, tmp_path: Path) -> None:
    ran = command(write(tmp_path / "graph.npz"), "--splits", 2, "--json")
    assert ran.exit_code == 0, ran.output
    body = json.loads(ran.stdout)
    assert body["nodes"] == 400 and body["edges"] == 1600 and body["stratified_splits"]
    assert len(body["splits"]) == 2
    for name in ("auroc", "auprc"):
        assert body["mean"][name] == pytest.approx(np.mean([split[name] for split in body["splits"]]))
    for split in body["splits"]:
        best = max(split["validation_auprc"], key=split["validation_auprc"].get)
        assert split["chosen"] == best and split["auprc"] == split["test"][best]["auprc"]


def test_a_terminal_shows_the_splits_and_hints_at_one_way_edges(command: Command, tmp_path: Path) -> None:
    edges = arrays()["edge_index"]
    path = write(tmp_path / "once.npz", edge_index=edges[:, edges[0] < edges[1]])
    hinted, doubled = command(path, "--splits", 1), command(path, "--splits", 1, "--undirected")
    assert hinted.exit_code == doubled.exit_code == 0, hinted.output
    assert "mean" in hinted.stdout and "800 edges" in hinted.stdout and "--undirected adds" in hinted.stdout
    assert "1,600 edges" in doubled.stdout and "--undirected" not in doubled.stdout


def test_what_cannot_be_done_is_refused(command: Command, tmp_path: Path) -> None:
    ran = command(write(tmp_path / "graph.npz"), "--splits", 11)
    assert isinstance(ran.exception, UsageError) and "has 10" in str(ran.exception)
    ran = command(write(tmp_path / "bad.npz", y=None))
    assert isinstance(ran.exception, DataContractError) and "has no y" in str(ran.exception)


def test_help_has_an_example(command: Command) -> None:
    assert "Example: ringfence model benchmark-graph" in command("--help").stdout
