"""The event graph row: it learns what its parties' raw history says, sees nothing later, and is stored whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from graphml.context import GraphContext
from graphml.evaluation import roc_auc
from graphml.event_graph_row import EventGraphRow
from graphml.event_graph_training import EventGraphTraining, fit_event_graph
from graphml.tasks import Task
from graphml.trainer_config import TrainerConfig
from tests.graphml.cases import random_graph

TRAINER = TrainerConfig(epochs=2, batch_size=64, learning_rate=5e-3, precision="fp32")
CONFIG = EventGraphTraining(
    trainer=TRAINER, fanouts=(6, 4), width=16, message_widths=(16,), seeds_per_epoch=200, negatives=5
)


@pytest.fixture(scope="module")
def context() -> GraphContext:
    return GraphContext(random_graph(2, num=600, entities=30))


@pytest.fixture(scope="module")
def row(context: GraphContext) -> EventGraphRow:
    return fit_event_graph(context, task(context, slice(50, 400)), range(2), CONFIG)


def task(context: GraphContext, rows: slice) -> Task:
    """Fraud is what a source does whose last transaction was large: to be seen in raw neighbors alone."""
    graph, last = context.graph, {}
    is_fraud = np.zeros(len(graph), bool)
    for position, (source, amount) in enumerate(zip(graph.entity[:, 0], graph.features[:, 0], strict=True)):
        is_fraud[position] = last.get(source, -np.inf) > 0.8
        for party in graph.entity[position]:
            last[party] = np.nan_to_num(amount)
    return Task(positions=np.arange(len(graph))[rows], is_fraud=is_fraud[rows])


def test_it_learns_a_rule_about_raw_neighbors() -> None:
    context = GraphContext(random_graph(2, num=3_000, entities=30))
    config = replace(CONFIG, trainer=replace(TRAINER, epochs=12))
    row = fit_event_graph(context, task(context, slice(50, 2_700)), range(2), config)
    test = task(context, slice(2_700, 3_000))
    assert roc_auc(test.is_fraud, row.logits(context, context.graph.seeds(test.positions))) > 0.8


def test_the_same_seed_gives_the_same_logits(context: GraphContext, row: EventGraphRow) -> None:
    again = fit_event_graph(context, task(context, slice(50, 400)), range(2), CONFIG)
    seeds = context.graph.seeds(np.arange(400, 500))
    assert again.logits(context, seeds).tobytes() == row.logits(context, seeds).tobytes()


def test_nothing_at_or_after_a_seed_changes_its_logit(context: GraphContext, row: EventGraphRow) -> None:
    features, entity = context.graph.features.copy(), context.graph.entity
    seeds = context.graph.seeds(np.arange(400, 420))
    features[420:] = 1e6
    later = GraphContext(replace(context.graph, features=features, entity=entity))
    assert row.logits(later, seeds).tobytes() == row.logits(context, seeds).tobytes()


def test_what_is_stored_scores_the_same(context: GraphContext, row: EventGraphRow, tmp_path: Path) -> None:
    row.save(tmp_path)
    read = EventGraphRow.load(tmp_path)
    seeds = context.graph.seeds(np.arange(400, 500))
    assert read.logits(context, seeds).tobytes() == row.logits(context, seeds).tobytes()
    assert (read.config, read.token, read.fanout) == (row.config, row.token, row.fanout)
