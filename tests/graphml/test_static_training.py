"""Training on a split: no node sees its own label, no other label than the training part's is within reach."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from graphml.evaluation import roc_auc
from graphml.static_graph import StaticGraph
from graphml.static_network import NetworkConfig, NodeInputs
from graphml.static_training import NodeLearner, StaticTraining, train_candidate
from graphml.torch_first import torch
from tests.graphml.static_cases import arrays, graph

CONFIG = StaticTraining(network=NetworkConfig(width=16, num_bins=4), epochs=15, patience=15)


@pytest.fixture(scope="module")
def known_graph(tmp_path_factory: pytest.TempPathFactory) -> StaticGraph:
    return graph(tmp_path_factory.mktemp("static"))


def auroc(graph: StaticGraph, config: StaticTraining = CONFIG, *, split: int = 0) -> float:
    inputs = NodeInputs.of(graph, num_bins=config.network.num_bins)
    scores = train_candidate(graph, inputs, graph.splits[split], replace(config, seed=split)).scores
    test = graph.splits[split].test
    return roc_auc(graph.is_fraud_N[test], scores[test])


class Recorded(torch.nn.Module):
    """Keeps the labels that it is shown."""

    def forward(self, inputs: NodeInputs, known_N2: torch.Tensor) -> torch.Tensor:
        self.known_N2 = known_N2
        return torch.zeros(len(known_N2))


def test_a_step_hides_the_labels_of_its_targets_and_of_all_who_are_not_in_training(known_graph: StaticGraph) -> None:
    learner = NodeLearner(known_graph, NodeInputs.of(known_graph, num_bins=4), known_graph.splits[0], CONFIG)
    ids, module = learner.epoch(0)[: learner.batch_size], Recorded()
    loss = learner.loss(module, ids)
    assert float(loss) == pytest.approx(len(ids) * np.log(2), rel=1e-6)
    shown = np.flatnonzero(module.known_N2.sum(dim=1).numpy())
    assert np.array_equal(shown, np.setdiff1d(known_graph.splits[0].train, ids))
    assert np.array_equal(module.known_N2[shown, 0].numpy() == 1, known_graph.is_fraud_N[shown])
    without = NodeLearner(known_graph, learner.inputs, known_graph.splits[0], replace(CONFIG, sees_labels=False))
    without.loss(module, ids)
    assert not module.known_N2.any()


def test_every_training_node_is_a_target_once_a_pass_and_epochs_differ(known_graph: StaticGraph) -> None:
    learner = NodeLearner(known_graph, NodeInputs.of(known_graph, num_bins=4), known_graph.splits[0], CONFIG)
    ids, num = learner.epoch(3), len(known_graph.splits[0].train)
    assert np.array_equal(np.bincount(ids)[known_graph.splits[0].train], np.full(num, 2))
    assert np.array_equal(ids, learner.epoch(3)) and not np.array_equal(ids, learner.epoch(4))


def test_labels_of_validation_and_test_nodes_change_no_score(known_graph: StaticGraph) -> None:
    inputs, split = NodeInputs.of(known_graph, num_bins=4), known_graph.splits[0]
    config = replace(CONFIG, epochs=3)
    before = train_candidate(known_graph, inputs, split, config)
    flipped = known_graph.is_fraud_N.copy()
    flipped[split.test] = ~flipped[split.test]
    after = train_candidate(replace(known_graph, is_fraud_N=flipped), inputs, split, config)
    assert np.array_equal(before.scores, after.scores) and before.validation == after.validation
    flipped[split.validation] = ~flipped[split.validation]
    learners = [
        NodeLearner(each, inputs, split, config) for each in (known_graph, replace(known_graph, is_fraud_N=flipped))
    ]
    assert np.array_equal(learners[0].scores(), learners[1].scores()), "validation only chooses the epoch"
    flipped[split.train[0]] = ~flipped[split.train[0]]
    other = train_candidate(replace(known_graph, is_fraud_N=flipped), inputs, split, config)
    assert not np.array_equal(before.scores, other.scores), "a training label does change them"


def test_the_same_seed_gives_the_same_scores(known_graph: StaticGraph) -> None:
    inputs, config = NodeInputs.of(known_graph, num_bins=4), replace(CONFIG, epochs=2)
    first, second, other = (
        train_candidate(known_graph, inputs, known_graph.splits[0], replace(config, seed=seed)) for seed in (1, 1, 2)
    )
    assert np.array_equal(first.scores, second.scores) and not np.array_equal(first.scores, other.scores)


def test_it_learns_from_neighbors_features(known_graph: StaticGraph) -> None:
    """The sum of five noisy features tells the classes apart (AUROC about .90), one of them less well (.71)."""
    features = replace(CONFIG, sees_labels=False)
    alone = replace(known_graph, source_E=np.empty(0, np.int64), target_E=np.empty(0, np.int64))
    for split in (0, 1):
        assert auroc(known_graph, features, split=split) > auroc(alone, features, split=split) + 0.05


def test_it_learns_from_neighbors_labels(tmp_path: Path) -> None:
    noise = graph(tmp_path, x=np.random.default_rng(8).normal(size=(400, 2)))
    assert auroc(noise) > 0.8
    assert auroc(noise, replace(CONFIG, sees_labels=False)) < 0.65


def test_shuffled_labels_give_chance(tmp_path: Path) -> None:
    shuffled = graph(tmp_path, y=np.random.default_rng(3).permutation(arrays()["y"]))
    mean = np.mean([auroc(shuffled, split=split) for split in range(4)])
    assert 0.4 < mean < 0.6


def test_all_that_a_step_needs_goes_where_the_network_is(known_graph: StaticGraph) -> None:
    learner = NodeLearner(known_graph, NodeInputs.of(known_graph, num_bins=4), known_graph.splits[0], CONFIG)
    learner.network.to("meta")  # a device without values: a tensor left behind would be refused
    loss = learner.loss(learner.network, learner.epoch(0)[: learner.batch_size])
    assert loss.device.type == learner.inputs.code_NW.device.type == "meta"
    assert learner.placed() is learner.placed()
