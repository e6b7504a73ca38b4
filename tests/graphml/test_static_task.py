"""The static-graph task: the choice is made on validation alone, and the figures are those of the choice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from graphml.evaluation import average_precision, roc_auc
from graphml.static_graph import StaticGraph
from graphml.static_network import NetworkConfig
from graphml.static_task import MEAN, Judgement, benchmark_graph
from graphml.static_training import StaticTraining
from tests.graphml.static_cases import graph

SMALL = StaticTraining(network=NetworkConfig(width=8, num_bins=2), epochs=3)
CANDIDATES = {"labels": SMALL, "features": replace(SMALL, sees_labels=False)}


@pytest.fixture(scope="module")
def known_graph(tmp_path_factory: pytest.TempPathFactory) -> StaticGraph:
    return graph(tmp_path_factory.mktemp("static"))


def test_the_figures_are_those_of_the_choice_on_the_test_part(known_graph: StaticGraph) -> None:
    result = benchmark_graph(known_graph, num_splits=2, candidates=CANDIDATES)
    for split, part in zip(result.splits, known_graph.splits, strict=False):
        assert set(split.validation) == {"labels", "features", MEAN}
        assert split.validation[split.chosen] == max(split.validation.values())
        is_fraud, scores = known_graph.is_fraud_N[part.test], split.scores[part.test]
        assert split.judgement == Judgement(auroc=roc_auc(is_fraud, scores), auprc=average_precision(is_fraud, scores))
        validation = average_precision(known_graph.is_fraud_N[part.validation], split.scores[part.validation])
        assert split.validation[split.chosen] == pytest.approx(validation, abs=1e-12)
    assert result.mean().auprc == pytest.approx(np.mean([split.judgement.auprc for split in result.splits]))
    assert result.deviation().auroc == pytest.approx(np.std([split.judgement.auroc for split in result.splits]))


def test_test_labels_change_neither_choice_nor_scores(known_graph: StaticGraph) -> None:
    flipped = known_graph.is_fraud_N.copy()
    test = known_graph.splits[0].test
    flipped[test] = ~flipped[test]
    first, second = (
        benchmark_graph(each, num_splits=1, candidates=CANDIDATES).splits[0]
        for each in (known_graph, replace(known_graph, is_fraud_N=flipped))
    )
    assert first.chosen == second.chosen and first.validation == second.validation
    assert np.array_equal(first.scores, second.scores)
    assert second.judgement.auroc == pytest.approx(1 - first.judgement.auroc)


def test_a_planted_leak_shows(tmp_path: Path, known_graph: StaticGraph) -> None:
    """The guard can fail: where the outcome is a feature, the ranking is perfect."""
    leak = graph(tmp_path, x=np.stack([known_graph.is_fraud_N, known_graph.x_NF[:, 1]], axis=1))
    config = replace(SMALL, epochs=10, sees_labels=False)
    assert benchmark_graph(leak, num_splits=1, candidates={"features": config}).mean().auroc > 0.99


def test_progress_rises_to_the_end(known_graph: StaticGraph) -> None:
    told: list[tuple[str, float]] = []
    benchmark_graph(known_graph, num_splits=2, candidates=CANDIDATES, progress=lambda *step: told.append(step))
    shares = [share for _, share in told]
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert told[0][0].startswith("split 1 of 2: labels")
    assert "AUPRC" in told[-1][0] and told[-1][0].startswith("split 2 of 2: ")


@pytest.mark.parametrize("num", [0, 11])
def test_splits_that_there_are_not_are_refused(known_graph: StaticGraph, num: int) -> None:
    with pytest.raises(ValueError, match="the graph has 10 splits"):
        benchmark_graph(known_graph, num_splits=num)
