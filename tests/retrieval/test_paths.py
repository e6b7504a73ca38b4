"""Cycles of money: equal to brute force on random graphs, with time order kept."""

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.contracts import PartyRef
from ingestion.graph.store import GraphTransaction
from retrieval.measures import is_chain
from retrieval.paths import MAX_STEPS, closed_cycle, money_around
from tests.builders import DAY, HOUR
from tests.retrieval.test_reader import graph_transaction
from tests.retrieval.worlds import HIT_TIME, World

A, B, C, D, E = (PartyRef(type="account", key=name) for name in "ABCDE")
PARTIES = (A, B, C, D, E)


def ids(chain: tuple[GraphTransaction, ...] | None) -> list[str] | None:
    return None if chain is None else [step.transaction_id for step in chain]


def test_the_storys_cycle_is_found_through_the_reader(world: World) -> None:
    reader = world.reader(HIT_TIME)
    hit = reader.transaction("hit")
    assert hit is not None
    assert ids(closed_cycle(hit, money_around(reader, hit))) == ["c1", "c2", "hit"]


def test_money_that_comes_too_late_makes_no_cycle(world: World) -> None:
    closing = graph_transaction("end", HIT_TIME, A, B)
    out, back = graph_transaction("out", HIT_TIME - 2, B, C), graph_transaction("back", HIT_TIME - 3, C, A)
    assert closed_cycle(closing, [out, back]) is None  # C passed it on before it had it
    ordered = graph_transaction("back", HIT_TIME - 1, C, A)
    assert ids(closed_cycle(closing, [out, ordered])) == ["out", "back", "end"]


@pytest.mark.parametrize("change", [{"outcome": "declined"}, {"amount_minor": 0}, {"kind": "refund"}])
def test_only_moved_money_counts(change: dict[str, object]) -> None:
    closing = graph_transaction("end", HIT_TIME, A, B)
    assert ids(closed_cycle(closing, [graph_transaction("back", HIT_TIME - 1, B, A)])) == ["back", "end"]
    assert closed_cycle(closing, [graph_transaction("back", HIT_TIME - 1, B, A, **change)]) is None  # type: ignore[arg-type]


def test_an_old_step_is_not_part_of_one_movement() -> None:
    closing = graph_transaction("end", HIT_TIME, A, B)
    assert closed_cycle(closing, [graph_transaction("back", HIT_TIME - 30 * DAY, B, A)]) is None
    assert closed_cycle(closing, [graph_transaction("back", HIT_TIME - 30 * DAY + 1, B, A)]) is not None


def test_a_transfer_to_oneself_closes_nothing() -> None:
    assert closed_cycle(graph_transaction("end", HIT_TIME, A, A), [graph_transaction("b", HIT_TIME - 1, A, A)]) is None


def brute_force(closing: GraphTransaction, around: list[GraphTransaction]) -> int | None:
    """Steps of the shortest time-ordered cycle over distinct parties that `closing` ends."""
    for length in range(1, MAX_STEPS):
        for chain in permutations(around, length):
            parties = [chain[0].source, *(step.target for step in chain)]
            distinct = len(set(parties)) == len(parties) and parties[0] == closing.target
            if distinct and is_chain([*chain, closing], [*parties, closing.target]):
                return length + 1
    return None


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(1, 12)), max_size=7))
def test_cycles_equal_brute_force(edges: list[tuple[int, int, int]]) -> None:
    closing = graph_transaction("end", HIT_TIME, A, B)
    around = [
        graph_transaction(f"s{index}", HIT_TIME - time * HOUR, PARTIES[source], PARTIES[target])
        for index, (source, target, time) in enumerate(edges)
    ]
    found = closed_cycle(closing, around)
    assert (None if found is None else len(found)) == brute_force(closing, around)
    if found is not None:
        assert is_chain(found, [*(step.source for step in found), closing.target])
        assert found[-1] == closing
        assert found == closed_cycle(closing, list(reversed(around)))  # the order of reading does not matter
