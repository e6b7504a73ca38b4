"""Event logs and their windows against scans of everything; compiled against plain Python."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphml import event_log
from graphml.event_log import TRANSACTION, EventLog, pack
from graphml.graph import Cuts, TransactionGraph
from graphml.label_table import as_of
from graphml.sampling import seed_nodes
from tests.graphml.cases import random_graph

Event = tuple[int, int]


def oracle(graph: TransactionGraph, entity: int, position: int, label_time: int) -> list[Event]:
    """(transaction, kind) of all events of a party that a cut sees, in the order in which they came in."""
    found = []
    for row in range(position):
        if entity not in graph.entity[row].tolist():
            continue
        found.append((row + 0.5, 0, row, (row, int(TRANSACTION))))
        for label in range(graph.label_starts[row], graph.label_stops[row]):
            known_at = int(graph.label_known_at[label])
            if known_at <= label_time:
                sees = max(int((graph.available_at < known_at).sum()), row + 1)
                found.append((sees, known_at, row, (row, int(graph.label_state[label]))))
    return [event for *_, event in sorted(found, key=lambda item: item[:3])]


def events(log: EventLog, entity: int, behind: int) -> list[Event]:
    span = slice(log.starts[entity], behind)
    return list(zip(log.transaction[span].tolist(), log.kind[span].tolist(), strict=True))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_cut_sees_the_transactions_before_it_and_the_labels_known_by_then(seed: int) -> None:
    graph = random_graph(seed)
    log = EventLog.of(graph)
    positions = np.random.default_rng(seed).integers(0, len(graph), 5)
    cuts, (nodes, _) = graph.cuts(positions), seed_nodes(graph.entity[positions])
    of_nodes = Cuts(
        position=cuts.position[nodes.cut], label_time=cuts.label_time[nodes.cut], event_time=cuts.event_time[nodes.cut]
    )
    behind = log.before(nodes.entity, of_nodes)
    for node, entity in enumerate(nodes.entity.tolist()):
        position, label_time = int(of_nodes.position[node]), int(of_nodes.label_time[node])
        assert events(log, entity, behind[node]) == oracle(graph, entity, position, label_time)
        assert (log.transaction[behind[node]], log.kind[behind[node]]) == (position, TRANSACTION)  # the seed is next


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_between_transactions_a_cut_sees_no_label_of_later(seed: int) -> None:
    graph = random_graph(seed)
    log = EventLog.of(graph)
    for position in range(1, len(graph)):
        cut = graph.cut_after(position)
        for entity in range(graph.num_entities):
            behind = log.before(np.asarray([entity]), cut)
            assert events(log, entity, behind[0]) == oracle(graph, entity, position, int(cut.label_time[0]))


def test_what_comes_later_moves_no_event() -> None:
    graph = random_graph(3)
    position = len(graph) // 2
    cut = graph.cuts(np.asarray([position]))
    past = as_of(graph, position, int(cut.label_time[0]))
    now, then = EventLog.of(graph), EventLog.of(past)
    for entity in range(graph.num_entities):
        behind = now.before(np.asarray([entity]), cut)[0]
        assert events(now, entity, behind) == events(then, entity, then.starts[entity + 1])


def test_without_labels_a_log_is_the_transactions() -> None:
    graph = random_graph(5)
    log = EventLog.of(graph, labels=False)
    assert log.transaction.tolist() == graph.incident.tolist()
    assert log.other.tolist() == graph.incident_other.tolist()
    assert set(log.kind.tolist()) == {TRANSACTION}


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), num_events=st.integers(1, 6))
def test_each_node_finds_its_whole_window_in_one_packed_sequence(seed: int, num_events: int) -> None:
    rng = np.random.default_rng(seed)
    starts = np.concatenate([[0], np.cumsum(rng.integers(1, 12, 6))])
    entity, stored = rng.integers(0, 6, 9), rng.random(9) < 0.7
    behind = np.asarray([rng.integers(starts[v], starts[v + 1] + (not s)) for v, s in zip(entity, stored, strict=True)])
    packed = pack(starts, entity, behind, num_events, stored=stored)
    wanted: set[int] = set()
    for node, (v, end) in enumerate(zip(entity, behind, strict=True)):
        own = end if stored[node] else starts[-1] + node
        window = [*range(max(starts[v], end - num_events + 1), end), own]
        span = slice(packed.last[node] - len(window) + 1, packed.last[node] + 1)
        assert packed.slot[span].tolist() == window
        assert len(np.unique(packed.sequence[span])) == 1
        if stored[node]:
            wanted |= set(window)
        else:
            number = packed.sequence[packed.last[node]]
            assert packed.slot[packed.sequence == number].tolist() == window  # it has its window to itself
    held = np.isin(packed.sequence, packed.sequence[packed.last[stored]])
    assert sorted(packed.slot[held].tolist()) == sorted(wanted)  # overlapping windows are held once
    of_entity = np.searchsorted(starts, packed.slot[held], side="right")
    for number in np.unique(packed.sequence[held]):
        assert len(np.unique(of_entity[packed.sequence[held] == number])) == 1  # no sequence holds two parties


def test_plain_python_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = random_graph(7)
    log = EventLog.of(graph)
    positions = np.arange(len(graph))
    entity = graph.entity[positions, 0]
    found = log.before(entity, graph.cuts(positions))
    stored = positions % 3 > 0
    packed = pack(log.starts, entity, found, 3, stored=stored)
    for name in ("_behind", "_packed"):
        monkeypatch.setattr(event_log, name, getattr(event_log, name).py_func)
    assert log.before(entity, graph.cuts(positions)).tolist() == found.tolist()
    plain = pack(log.starts, entity, found, 3, stored=stored)
    for name in ("slot", "sequence", "last"):
        assert getattr(plain, name).tolist() == getattr(packed, name).tolist()
