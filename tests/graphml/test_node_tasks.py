"""Entities as of a time and pairs as of their payment: who is in, what is known, nothing later."""

from __future__ import annotations

import numpy as np
import pytest

from graphml.errors import TooLittleData
from graphml.node_tasks import entity_task, pair_task
from ingestion.labels import EntityLabelEvents
from tests.graphml.cases import HOUR, graph_of, random_graph


def entity_labels(*rows: tuple[int, int, bool, bool]) -> EntityLabelEvents:
    """Events from (entity, known_at, is_fraud, for_training), all of one origin."""
    ordered = sorted(rows, key=lambda row: row[1])
    return EntityLabelEvents(
        entity=np.asarray([row[0] for row in ordered]),
        known_at=np.asarray([row[1] for row in ordered]),
        is_fraud=np.asarray([row[2] for row in ordered]),
        origin=np.ones(len(ordered), np.int64),
        for_training=np.asarray([row[3] for row in ordered]),
    )


def test_an_entity_is_in_with_a_past_and_an_outcome_known_in_time() -> None:
    graph = graph_of([[0, 1], [2, 3], [4, 0]], [HOUR, 2 * HOUR, 5 * HOUR], num_entities=6)
    known = entity_labels(
        (0, 3 * HOUR, True, True),
        (1, 3 * HOUR, True, True),
        (1, 8 * HOUR, False, True),  # the latest that is known counts
        (2, 9 * HOUR, True, True),  # known too late
        (3, 3 * HOUR, False, False),  # not for training
        (4, 3 * HOUR, True, True),  # no transaction before the time
        (5, 3 * HOUR, True, True),  # none at all
    )
    task = entity_task(graph, known, at=4 * HOUR, targets_at=8 * HOUR)
    assert task.entity[:, 0].tolist() == [0, 1]
    assert task.is_fraud.tolist() == [True, False]
    seeds = task.seeds(graph, np.asarray([1]))
    assert seeds.entity.tolist() == [[1]]
    assert (seeds.cuts.position[0], seeds.cuts.label_time[0], seeds.cuts.event_time[0]) == (2, 4 * HOUR, 4 * HOUR)
    assert seeds.features.shape == (1, 0)
    assert task.seen(graph).tolist() == [0, 1]


def test_one_outcome_alone_is_too_little() -> None:
    graph = graph_of([[0, 1]], [HOUR])
    with pytest.raises(TooLittleData, match="1 entities"):
        entity_task(graph, entity_labels((0, HOUR, True, True)), at=2 * HOUR, targets_at=3 * HOUR)


@pytest.mark.parametrize("seed", range(5))
def test_pairs_are_payments_and_drawn_ones_that_do_not_pay_each_as_of_its_payment(seed: int) -> None:
    graph = random_graph(seed, num=200, entities=40)
    start, end = int(graph.available_at[50]), int(graph.available_at[150])
    task = pair_task(graph, start=start, end=end, negatives=2, seed=seed)
    low, high = np.searchsorted(graph.available_at, [start, end])
    paid = graph.entity[low:high, :2]
    assert task.entity[task.is_fraud].tolist() == paid.tolist()
    assert task.cuts.position[task.is_fraud].tolist() == list(range(low, high))
    payments = set(map(tuple, paid.tolist()))
    drawn = task.entity[~task.is_fraud].tolist()
    assert len(drawn) > len(paid)
    assert not payments & set(map(tuple, drawn))
    for (source, target), position in zip(drawn, task.cuts.position[~task.is_fraud], strict=True):
        assert source == graph.entity[position, 0]
        assert graph.entity_type[target] == graph.entity_type[graph.entity[position, 1]]
    again = pair_task(graph, start=start, end=end, negatives=2, seed=seed)
    assert again.entity.tolist() == task.entity.tolist()
