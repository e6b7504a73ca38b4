"""Embedders: past only, of length 1, the same after a reload; contrastive learning tells parties apart."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from graphml.context import GraphContext
from graphml.contrastive import ContrastiveLearner
from graphml.embedders import Embedder, FeatureEmbedder, fit_embedder, load_embedder
from graphml.errors import TooLittleData
from graphml.fused_row import FusedRow
from graphml.fused_training import FusedTraining, fused_row
from graphml.graph import TransactionGraph
from graphml.tasks import Task
from graphml.torch_first import torch
from graphml.trainer_config import TrainerConfig
from tests.graphml.cases import random_graph

GRAPH = random_graph(3, num=300, entities=12)
TRAIN = Task(positions=np.arange(20, 200), is_fraud=np.arange(180) % 7 == 0)
TRAINER = TrainerConfig(epochs=3, batch_size=16, learning_rate=5e-3, precision="fp32")
CONFIG = FusedTraining(
    network="decoder",
    columns=(0, 1, 2, 3),
    fanouts=(0, 0),
    width=16,
    num_heads=2,
    window=4,
    seeds_per_epoch=64,
    trainer=TRAINER,
    pretraining=TRAINER,
)
STRATEGIES = ("contrastive", "next_event", "features")
EVERYONE = np.arange(GRAPH.num_entities)


@lru_cache
def fitted(strategy: str) -> FusedRow | FeatureEmbedder:
    return fit_embedder(strategy, GraphContext(GRAPH), TRAIN, CONFIG)


def vectors(embedder: Embedder, graph: TransactionGraph, position: int) -> np.ndarray:
    return embedder.embed(GraphContext(graph), EVERYONE, graph.cut_after(position))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_vectors_of_length_one_hang_on_the_past_alone(strategy: str) -> None:
    before = vectors(fitted(strategy), GRAPH, 200)
    features = GRAPH.features.copy()
    features[200:] = 99.0
    late = GRAPH.label_known_at > GRAPH.available_at[199]
    state = np.where(late, 1 - GRAPH.label_state, GRAPH.label_state)
    after = vectors(fitted(strategy), replace(GRAPH, features=features, label_state=state), 200)
    assert np.array_equal(before, after)
    seen = np.isin(EVERYONE, GRAPH.entity[:200])
    assert np.allclose(np.linalg.norm(before[seen], axis=1), 1, atol=1e-5)
    assert not np.array_equal(before, vectors(fitted(strategy), GRAPH, 150))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_party_without_an_event_is_zeros(strategy: str) -> None:
    first = vectors(fitted(strategy), GRAPH, 1)
    unseen = ~np.isin(EVERYONE, GRAPH.entity[:1])
    assert not first[unseen].any()
    assert first[~unseen].any(axis=1).all()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_reloaded_embedder_gives_the_same(strategy: str, tmp_path: Path) -> None:
    fitted(strategy).save(tmp_path)
    again = load_embedder(tmp_path, strategy)
    assert again.name == strategy
    assert np.array_equal(vectors(again, GRAPH, 200), vectors(fitted(strategy), GRAPH, 200))


def test_outcomes_of_training_rows_are_no_target_of_contrastive_and_next_event() -> None:
    flipped = replace(TRAIN, is_fraud=~TRAIN.is_fraud)
    for strategy in ("contrastive", "next_event"):
        other = fit_embedder(strategy, GraphContext(GRAPH), flipped, CONFIG)
        assert np.array_equal(vectors(other, GRAPH, 200), vectors(fitted(strategy), GRAPH, 200))


def test_an_embedder_learns_from_transactions_up_to_the_last_training_row() -> None:
    features = GRAPH.features.copy()
    features[200:] += 5.0
    for strategy in STRATEGIES:
        other = fit_embedder(strategy, GraphContext(replace(GRAPH, features=features)), TRAIN, CONFIG)
        assert np.array_equal(vectors(other, GRAPH, 200), vectors(fitted(strategy), GRAPH, 200))


def test_the_strategy_of_outcomes_has_no_embedder_of_its_own() -> None:
    with pytest.raises(ValueError, match="trains no embedder of its own"):
        fit_embedder("outcomes", GraphContext(GRAPH), TRAIN, None)


def learner(graph: TransactionGraph = GRAPH, *, config: FusedTraining = CONFIG) -> ContrastiveLearner:
    context = GraphContext(graph)
    row = fused_row(context, TRAIN, config)
    return ContrastiveLearner(context=context, row=row, config=config.trainer, parties_per_epoch=64, end=200)


def test_both_views_are_different_moments_of_one_party_before_the_end() -> None:
    ours = learner()
    log = ours.context.events()
    for number in range(5):
        ids = ours.epoch(number)
        other = ours.partner(ids)
        assert np.array_equal(log.owner(ids - 1), log.owner(other - 1))
        assert (ids != other).all()
        for behind in (ids, other):
            assert (behind <= ours.behind[log.owner(behind - 1)]).all()
            assert (log.transaction[behind - 1] < 200).all()
    assert not np.array_equal(ours.epoch(0), ours.epoch(1))


def test_contrastive_learning_brings_the_views_of_a_party_together() -> None:
    def loss(trained: FusedRow) -> float:
        ours = replace(learner(), row=trained)
        ids = np.concatenate([ours.epoch(number) for number in range(90, 95)])
        parts = [ids[start : start + 12] for start in range(0, len(ids), 12)]
        return sum(ours.loss(ours.network.eval(), part).item() for part in parts) / len(ids)

    config = replace(CONFIG, trainer=replace(TRAINER, epochs=20))
    trained = fit_embedder("contrastive", GraphContext(GRAPH), TRAIN, config)
    assert isinstance(trained, FusedRow)
    assert loss(trained) < 0.9 * loss(learner().row)


def test_too_few_parties_are_an_error() -> None:
    alone = learner()
    with pytest.raises(TooLittleData, match="0 parties have two events") as error:
        replace(alone, end=1).epoch(0)
    assert "outcomes" in str(error.value.remedy)


def test_few_parties_are_passed_over_again_and_two_moments_of_one_are_no_wrong_answer() -> None:
    ours = learner()
    ids = ours.epoch(0)
    owner = ours.context.events().owner(ids - 1)
    assert len(ids) == 64 > len(np.unique(owner))
    first = np.flatnonzero(owner == owner[0])
    with torch.inference_mode():
        assert float(ours.loss(ours.network.eval(), ids[first])) == 0.0
        assert float(ours.loss(ours.network.eval(), ids)) > 0
