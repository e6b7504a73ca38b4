"""Paths and rings: walks over what a store says is next to an entity. Pure; entities are `type:key` texts.

A store gives the neighbors; the walk, its caps and its order are the same for every store.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ingestion.contracts import PartyRef
from ingestion.graph import store
from ingestion.graph.store import Capped, GraphLink, GraphPath, GraphTransaction, GraphUse, Ring, Rings

Step = GraphTransaction | GraphUse | GraphLink
#: Steps from each of some entities, at most `store.HUB_LINKS` newest of each kind.
Steps = Callable[[Sequence[str]], Mapping[str, Sequence[Step]]]
#: True number of links of each of some entities; those unknown as of then are left out.
NumLinks = Callable[[Sequence[str]], Mapping[str, int]]
#: Newest moves of money (out of or into each entity, at most `store.HUB_LINKS`) and their true number.
Moves = Callable[[Sequence[str], bool], Mapping[str, tuple[Sequence[GraphTransaction], int]]]

_MAX_TRIED = 200_000  # entities tried as the next of a ring, over all lengths


@dataclass(frozen=True)
class FoundPath:
    """Entities from start to goal with the steps between; hubs not walked through, with their number of links."""

    entities: list[str]
    steps: list[Step]
    skipped: dict[str, int]
    is_complete: bool

    def answer(self, a: PartyRef, b: PartyRef, *, as_of: int, stale: bool = False) -> GraphPath:
        """As a store answers it."""
        return GraphPath(
            a=a,
            b=b,
            as_of=as_of,
            nodes=tuple(PartyRef.parse(key) for key in self.entities),
            steps=tuple(self.steps),
            skipped=_capped(self.skipped),
            is_complete=self.is_complete,
            stale=stale,
        )


def find_path(start: str, goal: str, max_hops: int, *, steps: Steps, num_links: NumLinks) -> FoundPath:
    """Breadth first from `start`; see `GraphPath` for the hub policy and the order."""
    links = num_links([start, goal])
    if start not in links or goal not in links:
        return FoundPath([], [], {}, True)
    came_by: dict[str, tuple[str, Step] | None] = {start: None}
    skipped: dict[str, int] = {}
    frontier, is_complete = [start], True
    for _ in range(max_hops):
        if goal in came_by or not frontier:
            break
        degree = num_links(frontier)
        hubs = {key: degree[key] for key in frontier if degree[key] > store.HUB_LINKS}
        skipped |= hubs
        walked = [key for key in frontier if key == start or key not in hubs]
        following = _next_to(walked, steps(walked), came_by)
        frontier = sorted(following)
        came_by |= following
        if len(came_by) >= store.MAX_NODES and goal not in came_by:
            is_complete = False
            break
    return FoundPath(*_way_back(goal, came_by), skipped, is_complete)


def _next_to(
    walked: Sequence[str], steps: Mapping[str, Sequence[Step]], known: Mapping[str, object]
) -> dict[str, tuple[str, Step]]:
    """Entities not known yet with where they are reached from first, and by which step."""
    found: dict[str, tuple[str, Step]] = {}
    for key in walked:
        best: dict[str, Step] = {}
        for step in steps[key]:
            for other in _others(step, key):
                if other not in known and (other not in best or _preference(step) > _preference(best[other])):
                    best[other] = step
        for other, step in best.items():
            found.setdefault(other, (key, step))
    return found


def _others(step: Step, key: str) -> list[str]:
    """The other end of a step, none when the entity is a mere party of the transaction."""
    if isinstance(step, GraphTransaction):
        ends = [str(step.source), str(step.target)]
    elif isinstance(step, GraphUse):
        ends = [str(step.user), str(step.used)]
    else:
        ends = [str(step.a), str(step.b)]
    return [end for end in ends if end != key] if key in ends else []


def _preference(step: Step) -> tuple[int | str, ...]:
    if isinstance(step, GraphTransaction):
        return (2, step.available_at, step.event_time, step.transaction_id)
    if isinstance(step, GraphUse):
        return (1, step.first_known_at, str(step.user))
    return (0, step.known_at, step.rule, step.identifier)


def _way_back(goal: str, came_by: Mapping[str, tuple[str, Step] | None]) -> tuple[list[str], list[Step]]:
    if goal not in came_by:
        return [], []
    entities, steps = [goal], list[Step]()
    while (before := came_by[entities[-1]]) is not None:
        entities.append(before[0])
        steps.append(before[1])
    return entities[::-1], steps[::-1]


@dataclass
class _Money:
    """Moves of money around the center: `newest[u][v]` newest first, each once."""

    newest: dict[str, dict[str, list[GraphTransaction]]] = field(default_factory=dict)
    capped: dict[str, int] = field(default_factory=dict)
    is_complete: bool = True

    def expand(self, center: str, hops: int, moves: Moves, *, outward: bool) -> None:
        """Add the moves within some hops, away from the center or towards it."""
        seen, frontier = {center}, [center]
        for _ in range(hops):
            reached: set[str] = set()
            for key, (newest, total) in moves(frontier, outward).items():
                if total > len(newest):
                    self.capped[key] = max(total, self.capped.get(key, 0))
                for move in newest:
                    source, target = str(move.source), str(move.target)
                    self._add(source, target, move)
                    reached.add(target if outward else source)
            frontier = sorted(reached - seen)
            room = store.MAX_NODES - len(seen)
            if len(frontier) > room:
                self.is_complete = False
                frontier = frontier[:room]
            seen.update(frontier)

    def _add(self, source: str, target: str, move: GraphTransaction) -> None:
        known = self.newest.setdefault(source, {}).setdefault(target, [])
        if all(move.transaction_id != other.transaction_id for other in known):
            known.append(move)

    def sort(self) -> None:
        for targets in self.newest.values():
            for known in targets.values():
                known.sort(key=lambda move: (move.available_at, move.event_time, move.transaction_id), reverse=True)

    def hops_to(self, center: str) -> dict[str, int]:
        """Least number of moves from each entity to the center."""
        sources: dict[str, list[str]] = {}
        for source, targets in self.newest.items():
            for target in targets:
                sources.setdefault(target, []).append(source)
        hops, waiting = {center: 0}, deque([center])
        while waiting:
            key = waiting.popleft()
            for source in sources.get(key, ()):
                if source not in hops:
                    hops[source] = hops[key] + 1
                    waiting.append(source)
        return hops


@dataclass(frozen=True)
class FoundRings:
    """Rings as entities and transactions, and the entities that have more moves than were followed."""

    rings: list[tuple[list[str], list[GraphTransaction]]]
    capped: dict[str, int]
    is_complete: bool

    def answer(self, center: PartyRef, *, as_of: int, stale: bool = False) -> Rings:
        """As a store answers it."""
        return Rings(
            center=center,
            as_of=as_of,
            rings=tuple(
                Ring(entities=tuple(map(PartyRef.parse, entities)), transactions=tuple(transactions))
                for entities, transactions in self.rings
            ),
            capped=_capped(self.capped),
            is_complete=self.is_complete,
            stale=stale,
        )


def find_rings(center: str, max_length: int, limit: int, *, moves: Moves, in_time_order: bool) -> FoundRings:
    """Look half the way outward and half the way inward, then join; see `Rings`."""
    money = _Money()
    money.expand(center, (max_length + 1) // 2, moves, outward=True)
    money.expand(center, max_length // 2, moves, outward=False)
    money.sort()
    rings: list[tuple[list[str], list[GraphTransaction]]] = []
    for cycle in _cycles(center, max_length, money):
        if len(rings) == limit:
            return FoundRings(rings, money.capped, False)
        if cycle is None:
            return FoundRings(rings, money.capped, False)
        ends = zip(cycle, [*cycle[1:], center], strict=True)
        choices = [money.newest[source][target] for source, target in ends]
        chain = _newest_chain(choices) if in_time_order else [newest[0] for newest in choices]
        if chain is not None:
            rings.append((cycle, chain))
    return FoundRings(rings, money.capped, money.is_complete)


def _cycles(center: str, max_length: int, money: _Money) -> Iterator[list[str] | None]:
    """Cycles by length, then by the texts of their entities; None at the end when too much was tried."""
    hops, tried = money.hops_to(center), 0
    for length in range(2, max_length + 1):
        stack = [[center]]
        while stack:
            way = stack.pop()
            targets = money.newest.get(way[-1], {})
            if len(way) == length:
                if center in targets:
                    yield way
                continue
            for target in sorted(targets, reverse=True):
                tried += 1
                if target not in way and hops.get(target, length) <= length - len(way):
                    stack.append([*way, target])
            if tried > _MAX_TRIED:
                yield None
                return


def _newest_chain(choices: list[list[GraphTransaction]]) -> list[GraphTransaction] | None:
    """From the last step back, the latest transaction that is no later than the one after it."""
    chain: list[GraphTransaction] = []
    for newest in reversed(choices):
        fitting = [move for move in newest if not chain or move.event_time <= chain[-1].event_time]
        if not fitting:
            return None
        chain.append(max(fitting, key=lambda move: (move.event_time, move.transaction_id)))
    return chain[::-1]


def _capped(totals: Mapping[str, int]) -> tuple[Capped, ...]:
    return tuple(Capped(ref=PartyRef.parse(key), total=totals[key]) for key in sorted(totals))
