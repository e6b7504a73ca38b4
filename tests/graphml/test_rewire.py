"""The edge shuffle breaks links and keeps degrees."""

from __future__ import annotations

from collections import Counter

import numpy as np

from graphml.rewire import rewire
from ingestion.contracts import MICROSECONDS_PER_DAY as DAY
from tests.graphml.cases import graph_of


def many():
    rng = np.random.default_rng(0)
    num = 2_000
    parties = np.stack([rng.integers(0, 20, num), rng.integers(20, 40, num), rng.integers(40, 50, num)], axis=1)
    parties[rng.random(num) < 0.3, 2] = -1
    times = np.sort(rng.integers(0, 5 * DAY, num))
    return graph_of(parties.tolist(), times.tolist(), entity_type=[0] * 40 + [1] * 10)


def test_degrees_a_day_stay_and_sources_and_content_do_not_move() -> None:
    graph = many()
    shuffled = rewire(graph, seed=1)
    assert shuffled.entity[:, 0].tolist() == graph.entity[:, 0].tolist()
    assert shuffled.features is graph.features
    day = graph.available_at // DAY
    for role in (1, 2):
        before = Counter(zip(day.tolist(), graph.entity[:, role].tolist(), strict=True))
        after = Counter(zip(day.tolist(), shuffled.entity[:, role].tolist(), strict=True))
        assert before == after
    assert ((shuffled.entity[:, 2] < 0) == (graph.entity[:, 2] < 0)).all()


def test_links_are_broken() -> None:
    graph = many()
    shuffled = rewire(graph, seed=1)
    assert (shuffled.entity[:, 1] == graph.entity[:, 1]).mean() < 0.2


def test_slots_follow_the_shuffled_parties() -> None:
    shuffled = rewire(many(), seed=1)
    for entity in (3, 25, 45):
        slots = shuffled.incident[shuffled.starts[entity] : shuffled.stops[entity]]
        assert slots.tolist() == np.flatnonzero((shuffled.entity == entity).any(axis=1)).tolist()


def test_the_same_seed_gives_the_same_graph() -> None:
    graph = many()
    assert rewire(graph, seed=1).entity.tolist() == rewire(graph, seed=1).entity.tolist()
    assert rewire(graph, seed=1).entity.tolist() != rewire(graph, seed=2).entity.tolist()
