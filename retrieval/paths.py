"""Money that goes round: time-ordered cycles in the as-of subgraph around a transaction (networkx)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice, pairwise

import networkx as nx

from ingestion.contracts import PartyRef
from ingestion.graph.store import GraphTransaction
from retrieval.measures import moves_money
from retrieval.reader import CaseReader, PartyRole
from retrieval.wording import DAY

#: A cycle has at most this many transactions, the closing one included: two from each end are read.
MAX_STEPS = 5
#: Cycles older than this do not count as one movement of money.
MAX_SPAN = 30 * DAY
#: Parties followed from each end, newest first (hub policy), and transactions read of each.
FAN = 12
READ = 50
#: Simple paths looked at before giving up in a dense neighborhood.
MAX_PATHS = 500


def money_around(reader: CaseReader, closing: GraphTransaction) -> tuple[GraphTransaction, ...]:
    """Money sent on from the transaction's target and money that led to its source before it, two steps each.

    Empty as soon as one end is dead: a shop that sends no money on costs one read.
    """
    onward = _moves(reader, closing.target, "source", closing)
    if not onward:
        return ()
    inward = _moves(reader, closing.source, "target", closing)
    if not inward:
        return ()
    found = {step.transaction_id: step for step in (*onward, *inward)}
    for party in list(dict.fromkeys(step.target for step in onward))[:FAN]:
        found |= {step.transaction_id: step for step in _moves(reader, party, "source", closing)}
    for party in list(dict.fromkeys(step.source for step in inward))[:FAN]:
        found |= {step.transaction_id: step for step in _moves(reader, party, "target", closing)}
    return tuple(found.values())


def _moves(
    reader: CaseReader, party: PartyRef, role: PartyRole, closing: GraphTransaction
) -> tuple[GraphTransaction, ...]:
    """A party's money movements in a role within `MAX_SPAN` before the closing transaction, newest first."""
    steps = reader.history(party, limit=READ).select(end=closing.event_time - 1, width=MAX_SPAN - 1, role=role)
    return tuple(step for step in steps if moves_money(step) and step.source != step.target)


def closed_cycle(
    closing: GraphTransaction, around: Iterable[GraphTransaction], *, max_steps: int = MAX_STEPS
) -> tuple[GraphTransaction, ...] | None:
    """The cycle that `closing` ends: money left its target, moved on with rising event times, and came to its
    source before `closing` sent it back. The shortest such cycle, of these the latest; None when there is none.

    Every step lies within `MAX_SPAN` before the closing transaction.
    """
    if closing.source == closing.target or not moves_money(closing):
        return None
    earlier = [
        step
        for step in around
        if moves_money(step)
        and step.source != step.target
        and closing.event_time - MAX_SPAN < step.event_time < closing.event_time
    ]
    graph = nx.DiGraph()
    for step in earlier:
        if graph.has_edge(step.source, step.target):
            graph[step.source][step.target]["steps"].append(step)
        else:
            graph.add_edge(step.source, step.target, steps=[step])
    start, end = closing.target, closing.source
    if start not in graph or end not in graph:
        return None
    between = (nx.descendants(graph, start) | {start}) & (nx.ancestors(graph, end) | {end})
    if start not in between or end not in between:
        return None
    for length in range(1, max_steps):
        chains = _chains_of_length(graph.subgraph(between), start, end, length, closing.event_time)
        best = max(chains, key=_rank, default=None)
        if best is not None:
            return (*best, closing)
    return None


def _chains_of_length(
    graph: nx.DiGraph, start: PartyRef, end: PartyRef, length: int, before: int
) -> list[tuple[GraphTransaction, ...]]:
    """Time-ordered chains along the simple paths with `length` edges."""
    paths = islice(nx.all_simple_paths(graph, start, end, cutoff=length), MAX_PATHS)
    chains = (_latest_chain(graph, path, before) for path in paths if len(path) == length + 1)
    return [chain for chain in chains if chain is not None]


def _latest_chain(graph: nx.DiGraph, path: list[PartyRef], before: int) -> tuple[GraphTransaction, ...] | None:
    """From the end backwards, the latest transaction of each edge that is earlier than the one after it.

    Taking the latest leaves the most room for those before, so a chain is found whenever one exists.
    """
    chain: list[GraphTransaction] = []
    for source, target in reversed(list(pairwise(path))):
        steps = [step for step in graph[source][target]["steps"] if step.event_time < before]
        if not steps:
            return None
        latest = max(steps, key=_step_rank)
        chain.append(latest)
        before = latest.event_time
    return tuple(reversed(chain))


def _step_rank(step: GraphTransaction) -> tuple[int, bytes]:
    return step.event_time, step.transaction_id.encode()


def _rank(chain: tuple[GraphTransaction, ...]) -> tuple[int, tuple[bytes, ...]]:
    return chain[0].event_time, tuple(step.transaction_id.encode() for step in chain)
