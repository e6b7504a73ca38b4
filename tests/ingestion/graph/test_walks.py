"""Paths and rings against searches that know nothing of hops, caps or halves: all simple ways, tried one by one."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.contracts import PartyRef
from ingestion.graph import store, walks
from ingestion.graph.store import GraphTransaction
from ingestion.graph.walks import find_path, find_rings

NAMES = [f"account:{letter}" for letter in "abcdef"]
moves_between = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES), st.integers(0, 9)).filter(
        lambda move: move[0] != move[1]
    ),
    max_size=14,
)


def transaction(index: int, source: str, target: str, time: int) -> GraphTransaction:
    return GraphTransaction(
        transaction_id=f"t{index:02d}",
        source=PartyRef.parse(source),
        target=PartyRef.parse(target),
        event_time=time,
        known_at=time,
        available_at=time,
        amount_minor=1,
        currency="EUR",
        kind="transfer",
        outcome="approved",
        refers_to=None,
        parties=(),
    )


class World:
    """A store of transactions alone."""

    def __init__(self, moves: list[tuple[str, str, int]]) -> None:
        made = [transaction(index, *move) for index, move in enumerate(moves)]
        self.all = sorted(made, key=lambda one: (one.available_at, one.transaction_id), reverse=True)

    def of(self, key: str, *roles: str) -> list[GraphTransaction]:
        return [one for one in self.all if key in {str(getattr(one, role)) for role in roles}]

    def steps(self, keys):  # type: ignore[no-untyped-def]
        return {key: self.of(key, "source", "target")[: store.HUB_LINKS] for key in keys}

    def num_links(self, keys):  # type: ignore[no-untyped-def]
        return {key: len(found) for key in keys if (found := self.of(key, "source", "target"))}

    def moves(self, keys, outward):  # type: ignore[no-untyped-def]
        found = {key: self.of(key, "source" if outward else "target") for key in keys}
        return {key: (own[: store.HUB_LINKS], len(own)) for key, own in found.items()}

    def pairs(self) -> set[tuple[str, str]]:
        return {(str(one.source), str(one.target)) for one in self.all}


def shortest(world: World, a: str, b: str, max_hops: int) -> int | None:
    """Length by trying every way; None without one."""
    pairs = {end for pair in world.pairs() for end in (pair, pair[::-1])}
    known = {end for pair in pairs for end in pair}
    if a not in known or b not in known:
        return None
    if a == b:
        return 0
    others = [name for name in NAMES if name not in (a, b)]
    for between in range(max_hops):
        for middle in itertools.permutations(others, between):
            way = [a, *middle, b]
            if all(pair in pairs for pair in itertools.pairwise(way)):
                return len(way) - 1
    return None


@settings(max_examples=150, deadline=None)
@given(moves_between, st.sampled_from(NAMES), st.sampled_from(NAMES), st.integers(1, 5))
def test_a_path_is_a_shortest_one(moves: list[tuple[str, str, int]], a: str, b: str, max_hops: int) -> None:
    world = World(moves)
    found = find_path(a, b, max_hops, steps=world.steps, num_links=world.num_links)
    expected = shortest(world, a, b, max_hops)
    if expected is None:
        assert (found.entities, found.steps) == ([], [])
        return
    assert len(found.steps) == expected and [found.entities[0], found.entities[-1]] == [a, b]
    for (left, right), step in zip(itertools.pairwise(found.entities), found.steps, strict=True):
        between = [one for one in world.all if {str(one.source), str(one.target)} == {left, right}]
        assert step == between[0], "the newest between the two"


@settings(max_examples=150, deadline=None)
@given(moves_between, st.integers(2, 6), st.booleans())
def test_rings_are_all_there_are(moves: list[tuple[str, str, int]], max_length: int, in_time_order: bool) -> None:
    world, center = World(moves), NAMES[0]
    expected = []
    for length in range(2, max_length + 1):
        for others in itertools.permutations(NAMES[1:], length - 1):
            way = [center, *others]
            ends = list(zip(way, [*others, center], strict=True))
            if not set(ends) <= world.pairs():
                continue
            chains = itertools.product(
                *([one for one in world.all if (str(one.source), str(one.target)) == end] for end in ends)
            )
            if not in_time_order or any(
                all(one.event_time <= two.event_time for one, two in itertools.pairwise(chain)) for chain in chains
            ):
                expected.append(way)
    found = find_rings(center, max_length, 500, moves=world.moves, in_time_order=in_time_order)
    assert [way for way, _ in found.rings] == expected
    assert (found.capped, found.is_complete) == ({}, True)
    for way, chain in found.rings:
        assert [str(one.source) for one in chain] == way
        if in_time_order:
            assert [one.event_time for one in chain] == sorted(one.event_time for one in chain)


def test_a_search_that_is_too_wide_ends_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World([(a, b, 1) for a, b in itertools.permutations(NAMES, 2)])
    whole = find_rings(NAMES[0], 6, 500, moves=world.moves, in_time_order=False)
    assert len(whole.rings) == sum(len(list(itertools.permutations(NAMES[1:], n))) for n in range(1, 6))
    with monkeypatch.context() as patch:
        patch.setattr(walks, "_MAX_TRIED", 50)
        cut = find_rings(NAMES[0], 6, 500, moves=world.moves, in_time_order=False)
        assert not cut.is_complete and cut.rings == whole.rings[: len(cut.rings)] and cut.rings
    monkeypatch.setattr(store, "MAX_NODES", 3)
    assert not find_rings(NAMES[0], 6, 500, moves=world.moves, in_time_order=False).is_complete
    chain = World([(a, b, 1) for a, b in itertools.pairwise(NAMES)])
    path = find_path(NAMES[0], NAMES[-1], 6, steps=chain.steps, num_links=chain.num_links)
    assert (path.entities, path.is_complete) == ([], False)


def test_a_hub_between_is_skipped_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "HUB_LINKS", 2)
    a, b, c, d, *_ = NAMES
    hub = World([(a, b, 1), (b, c, 2), (b, d, 3)])
    found = find_path(a, c, 4, steps=hub.steps, num_links=hub.num_links)
    assert (found.entities, found.skipped) == ([], {b: 3})
    assert find_path(b, c, 4, steps=hub.steps, num_links=hub.num_links).entities == [b, c], "an end may be a hub"
    rings = find_rings(b, 2, 9, moves=World([(b, c, 1), (c, b, 1), (b, d, 2), (b, d, 3)]).moves, in_time_order=False)
    assert (rings.rings, rings.capped) == ([], {b: 3}), "the way out to c is older than the two newest"
