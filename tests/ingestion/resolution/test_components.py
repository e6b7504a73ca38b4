"""Components on one machine: exact small cases, and networkx on random graphs."""

from __future__ import annotations

import datetime as dt

import networkx as nx
import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from ingestion.contracts import COMPONENT, LINK
from ingestion.resolution.components import component_table, components, holding

EDGES = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=60)


def link(a: int, b: int, known_at: int, revoked_at: int | None = None) -> dict[str, object]:
    moment = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    end = None if revoked_at is None else moment + dt.timedelta(microseconds=revoked_at)
    start = moment + dt.timedelta(microseconds=known_at)
    return {
        "a_id": a,
        "b_id": b,
        "a_type": "account",
        "a_key": f"A{a}",
        "b_type": "account",
        "b_key": f"A{b}",
        "rule": "same_device",
        "identifier": "device:d",
        "known_at": start,
        "revoked_at": end,
        "reason": None if end is None else "hub",
        "shared_at": start,
        "hub_at": end,
    }


def test_no_edges_no_components() -> None:
    none = np.array([], np.int64)
    assert [part.tolist() for part in components(none, none)] == [[], []]
    assert component_table(LINK.empty_table()).schema == COMPONENT


@given(EDGES)
def test_as_networkx_finds_them(edges: list[tuple[int, int]]) -> None:
    a, b = (np.array([edge[end] for edge in edges], np.int64) for end in (0, 1))
    graph = nx.Graph(edges)
    expected = {member: min(part) for part in nx.connected_components(graph) for member in part}
    entities, component = components(a, b)
    assert dict(zip(entities.tolist(), component.tolist(), strict=True)) == expected
    assert entities.tolist() == sorted(expected)


def test_a_link_holds_from_known_at_until_revoked_at() -> None:
    links = pa.Table.from_pylist([link(1, 2, 10), link(2, 3, 20, 30)], schema=LINK)
    holds = {time: holding(links, time).column("b_id").to_pylist() for time in (9, 10, 19, 20, 29, 30)}
    assert holds == {9: [], 10: [2], 19: [2], 20: [2, 3], 29: [2, 3], 30: [2]}
    assert component_table(holding(links, 29)).column("component_id").to_pylist() == [1, 1, 1]
