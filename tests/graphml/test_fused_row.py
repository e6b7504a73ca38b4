"""The fused row: the same logit alone, in any batch, from the graph and for a seed that none holds; what it sees."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from graphml.context import GraphContext
from graphml.fused_row import FusedRow, fused_inputs
from graphml.fused_training import FusedTraining, fit_fused, fused_row
from graphml.graph import TransactionGraph
from graphml.label_table import as_of, labels_of, rebuilt
from graphml.tasks import Task
from graphml.trainer_config import TrainerConfig
from tests.graphml.cases import random_graph

GRAPH = random_graph(3, num=200, entities=9)
POSITIONS = np.arange(60, 200)
SMALL = FusedTraining(
    columns=(0, 1, 2, 3), width=16, window=4, num_heads=2, trainer=TrainerConfig(epochs=2, batch_size=32)
)


def task(graph: TransactionGraph) -> Task:
    is_fraud = np.random.default_rng(0).random(len(POSITIONS)) < 0.3
    return Task(positions=POSITIONS, is_fraud=is_fraud)


@pytest.fixture(scope="module")
def row() -> FusedRow:
    return fit_fused(GraphContext(GRAPH), task(GRAPH), SMALL).row


def logits(row: FusedRow, graph: TransactionGraph, positions: np.ndarray = POSITIONS) -> np.ndarray:
    return row.logits(GraphContext(graph), graph.seeds(positions))


def test_a_logit_does_not_hang_on_what_else_is_in_the_batch(row: FusedRow) -> None:
    context = GraphContext(GRAPH)
    alone = [row.logits(context, GRAPH.seeds(POSITIONS[at : at + 1]))[0] for at in range(len(POSITIONS))]
    assert np.allclose(logits(row, GRAPH), alone, atol=1e-5)


def test_a_seed_that_no_graph_holds_has_the_logit_that_it_has_later(row: FusedRow) -> None:
    found = logits(row, GRAPH)
    for position in (60, 99, 150, 199):
        seed = GRAPH.seeds(np.asarray([position]))
        past = as_of(GRAPH, position, int(seed.cuts.label_time[0]))
        assert np.allclose(row.logits(GraphContext(past), seed), found[position - 60], atol=1e-5)


def test_what_comes_after_a_seed_does_not_count(row: FusedRow) -> None:
    found, t = logits(row, GRAPH), 150
    labels = labels_of(GRAPH)
    late = labels.known_at > GRAPH.available_at[t - 1]
    features = GRAPH.features.copy()
    features[t:] += 3
    other = rebuilt(GRAPH, replace(labels, is_fraud=labels.is_fraud ^ late), features=features)
    after = logits(row, other)
    assert np.allclose(after[: t - 60], found[: t - 60], atol=1e-6)
    assert not np.allclose(after[t - 60 :], found[t - 60 :], atol=1e-3)


def test_labels_known_by_then_count(row: FusedRow) -> None:
    labels = labels_of(GRAPH)
    turned = rebuilt(GRAPH, replace(labels, is_fraud=~labels.is_fraud))
    assert not np.allclose(logits(row, turned), logits(row, GRAPH), atol=1e-3)


def test_a_batch_holds_overlapping_windows_once() -> None:
    row = fused_row(GraphContext(GRAPH), task(GRAPH), SMALL)
    context = GraphContext(GRAPH)
    inputs = fused_inputs(context, row.token, GRAPH.seeds(POSITIONS), row.config.receptive_field, 10)
    assert len(inputs.pair_L) <= len(context.events())  # 420 windows of up to 8 events


def test_a_saved_row_scores_the_same(row: FusedRow, tmp_path: Path) -> None:
    row.save(tmp_path)
    assert np.array_equal(logits(FusedRow.load(tmp_path), GRAPH), logits(row, GRAPH))


def test_training_is_the_same_twice() -> None:
    first, second = (fit_fused(GraphContext(GRAPH), task(GRAPH), SMALL).row for _ in range(2))
    assert np.array_equal(logits(first, GRAPH), logits(second, GRAPH))
