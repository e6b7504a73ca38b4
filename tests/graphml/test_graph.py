"""Slots of entities, in sequence order, each transaction once."""

from __future__ import annotations

import numpy as np

from graphml.graph import incidence
from tests.graphml.cases import HOUR, graph_of, labels


def slots(graph, entity: int) -> list[tuple[int, int]]:
    low, high = graph.starts[entity], graph.stops[entity]
    return list(zip(graph.incident[low:high].tolist(), graph.incident_role[low:high].tolist(), strict=True))


def test_slots_hold_every_role_in_sequence_order() -> None:
    graph = graph_of([[0, 1, -1], [1, 2, 3], [0, 3, -1]], [1, 2, 3])
    assert slots(graph, 0) == [(0, 0), (2, 0)]
    assert slots(graph, 1) == [(0, 1), (1, 0)]
    assert slots(graph, 3) == [(1, 2), (2, 1)]


def test_a_self_transfer_has_one_slot_under_the_source() -> None:
    graph = graph_of([[0, 0, -1], [1, 0, 0]], [1, 2])
    assert slots(graph, 0) == [(0, 0), (1, 1)]


def test_an_entity_without_transactions_has_no_slots() -> None:
    found = incidence(np.asarray([[0, 2]]), 4)
    assert list(zip(found.starts.tolist(), found.stops.tolist(), strict=True)) == [(0, 1), (1, 1), (1, 2), (2, 2)]
    assert found.transaction.tolist() == [0, 0]
    assert found.other.tolist() == [2, 0]


def test_a_relation_links_one_role_to_another_and_leaves_out_absent_and_self_links() -> None:
    graph = graph_of([[0, 1, 2], [0, 0, 2], [1, 0, -1], [0, 1, 3]], [1, 2, 3, 4])
    devices = graph.relations()["source->device"]
    assert devices.transaction[devices.starts[0] : devices.stops[0]].tolist() == [0, 1, 3]
    assert devices.other[devices.starts[0] : devices.stops[0]].tolist() == [2, 2, 3]
    assert devices.starts[1] == devices.stops[1]
    paid = graph.relation(0, 1)
    assert paid.transaction[paid.starts[0] : paid.stops[0]].tolist() == [0, 3]


def test_labels_of_a_transaction_end_with_the_one_that_wins() -> None:
    graph = graph_of([[0, 1], [1, 0]], [1, 2], known=labels((1, 9 * HOUR, False), (1, 5 * HOUR, True)))
    low, high = graph.label_starts[1], graph.label_stops[1]
    assert graph.label_known_at[low:high].tolist() == [5 * HOUR, 9 * HOUR]
    assert graph.label_state[low:high].tolist() == [1, 0]


def test_a_cut_after_p_sees_what_was_available_with_the_last_of_p() -> None:
    graph = graph_of([[0, 1], [1, 0], [0, 1]], [10, 20, 30])
    cut = graph.cut_after(2)
    assert (cut.position[0], cut.label_time[0], cut.event_time[0]) == (2, 20, 20)
