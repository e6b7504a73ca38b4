"""Neighbor aggregates by hand, in any batch, compiled or not."""

from __future__ import annotations

import numpy as np
import pytest

from graphml import neighbors, sampling
from graphml.neighbors import NeighborConfig, neighbor_aggregates, neighbor_names
from ingestion.features.spec import load_spec
from tests.graphml.cases import HOUR, graph_of, labels, random_graph


def aggregates(graph, positions: list[int], config: NeighborConfig, names: list[str]) -> list[dict[str, float]]:
    values = neighbor_aggregates(graph, graph.seeds(np.asarray(positions)), config)
    assert values.shape == (len(positions), len(names))
    return [dict(zip(names, row.tolist(), strict=True)) for row in values]


def test_near_and_beyond_by_hand() -> None:
    # account 0 paid merchant 1 (amount 10, fraud known), then 2 (amount 30); 3 paid 2 (amount 50); now 0 pays 2
    graph = graph_of(
        [[0, 1], [3, 2], [0, 2], [0, 2]],
        [0, HOUR, 2 * HOUR, 5 * HOUR],
        features=np.asarray([[10.0], [50.0], [30.0], [40.0]], np.float32),
        known=labels((0, 4 * HOUR, True), (1, 4 * HOUR, False), (2, 6 * HOUR, True)),
    )
    config = NeighborConfig(averaged=(0,), amount=0, fanouts=(5, 5))
    names = neighbor_names(config, ["amount"], graph.roles)
    (row,) = aggregates(graph, [3], config, names)
    assert row["near_source_amount"] == 20.0  # of 10 and 30
    assert row["near_source_fraud_rate"] == 1.0  # only the first is known by now
    assert row["near_source_num_known"] == 1
    assert (row["near_source_num_recent"], row["near_source_num_distinct"]) == (2, 2)
    assert row["near_source_num_same_pair"] == 1
    assert row["near_source_gap_mean"] == np.float32(np.log1p((5 + 3) / 2))
    assert row["near_source_gap_last"] == np.float32(np.log1p(3))
    assert row["near_source_amount_above"] == 20.0
    assert row["near_source_amount_ratio"] == np.float32(40 / 21)
    assert row["near_target_amount"] == 40.0  # of 50 and 30
    assert row["near_target_fraud_rate"] == 0.0
    # beyond the source: merchant 1 (10) and merchant 2 (50, 30), each before now
    assert row["beyond_source_amount"] == 30.0
    assert row["beyond_source_num_known"] == 2
    # beyond the target: account 3 (50) and account 0 (10, 30)
    assert row["beyond_target_amount"] == 30.0


def test_without_a_past_means_are_absent_and_counts_zero() -> None:
    graph = graph_of([[0, 1, -1]], [HOUR], features=np.asarray([[7.0]], np.float32))
    config = NeighborConfig(averaged=(0,), amount=0)
    (row,) = aggregates(graph, [0], config, neighbor_names(config, ["amount"], graph.roles))
    assert np.isnan(row["near_source_amount"])
    assert np.isnan(row["near_device_gap_last"])
    assert (row["near_device_num_recent"], row["near_source_num_known"]) == (0, 0)


def test_a_spec_averages_the_transactions_own_features() -> None:
    config = NeighborConfig.for_spec(load_spec("handbook"))
    assert config.averaged == (0, 1, 2)
    assert config.amount == 0
    assert NeighborConfig.from_dict(config.as_dict()) == config


def test_the_batch_does_not_matter() -> None:
    graph = random_graph(1)
    config = NeighborConfig(averaged=(0, 2), amount=0, fanouts=(4, 3))
    positions = np.arange(len(graph))
    together = neighbor_aggregates(graph, graph.seeds(positions), config)
    alone = [neighbor_aggregates(graph, graph.seeds(positions[i : i + 1]), config) for i in positions]
    assert together.tobytes() == np.concatenate(alone).tobytes()


@pytest.mark.parametrize("seed", range(3))
def test_plain_python_gives_the_same(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = random_graph(seed)
    config = NeighborConfig(averaged=(0, 1, 3), amount=1, fanouts=(5, 3))
    seeds = graph.seeds(np.arange(len(graph)))
    compiled = neighbor_aggregates(graph, seeds, config)
    for module, name in (
        (neighbors, "bag_means"),
        (neighbors, "party_statistics"),
        (neighbors, "recent_slots"),
        (sampling, "known_labels"),
    ):
        monkeypatch.setattr(module, name, getattr(module, name).py_func)
    assert neighbor_aggregates(graph, seeds, config).tobytes() == compiled.tobytes()
