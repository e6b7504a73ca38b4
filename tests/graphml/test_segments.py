"""Parts of a window, by hand."""

from __future__ import annotations

import numpy as np

from graphml.ladder import TestWindow
from graphml.segments import (
    MAX_VALUES,
    MIN_FRAUDS,
    OTHER,
    Parts,
    amount_bands,
    column_values,
    months,
    party_novelty,
    party_type,
    segment_table,
)
from tests.graphml.cases import HOUR, graph_of

DAY = 24 * HOUR


def window(is_fraud: np.ndarray) -> TestWindow:
    num = len(is_fraud)
    return TestWindow(
        is_fraud=is_fraud,
        day=np.zeros(num, np.int64),
        party=np.arange(num),
        parties=np.arange(num)[:, None],
        known_before=np.zeros(num, bool),
        amount=np.ones(num),
        unit="EUR",
    )


def test_a_part_is_judged_inside_and_alerted_on_by_the_whole() -> None:
    is_fraud = np.asarray([True, False, True, False, False, True])
    score = np.asarray([6.0, 5.0, 4.0, 3.0, 2.0, 1.0])
    kind = column_values(["a", "a", "b", "b", "b", "c"])
    b, a, c = segment_table(window(is_fraud), score, {"kind": kind}, alert_budget=0.5)
    assert (b.value, a.value, c.value) == ("b", "a", "c"), "the largest first"
    # alerts are the rows scored 6, 5 and 4
    assert (a.num_transactions, a.num_frauds, a.base_rate, a.alert_share) == (2, 1, 0.5, 1.0)
    assert a.average_precision is not None and a.average_precision.value == 1.0
    assert a.recall is not None and a.recall.value == 1.0
    assert b.recall is not None and b.recall.value == 1.0 and b.alert_share == 1 / 3
    assert c.average_precision is None, "nothing to rank it against"
    assert c.recall is not None and c.recall.value == 0.0
    assert all(row.is_small for row in (a, b, c))


def test_a_part_without_fraud_has_no_recall_and_one_with_enough_is_not_small() -> None:
    is_fraud = np.asarray([True, False] * MIN_FRAUDS + [False] * 10)
    part = Parts(code=np.asarray([0] * 2 * MIN_FRAUDS + [2] * 10), names=("much", "not there", "none"))
    much, none = segment_table(window(is_fraud), np.arange(2.0 * MIN_FRAUDS + 10), {"p": part}, alert_budget=0.1)
    assert not much.is_small and none.is_small
    assert none.recall is None and none.average_precision is None


def test_a_column_of_many_values_keeps_its_most_frequent() -> None:
    parts = column_values([f"v{i}" for i in range(40)] + ["v7", "v1"] * 5)
    assert len(parts.names) == MAX_VALUES and set(parts.names[:2]) == {"v7", "v1"} and parts.names[-1] == OTHER
    counts = np.bincount(parts.code)
    assert counts.tolist() == [6, 6, *[1] * (MAX_VALUES - 3), 50 - 12 - (MAX_VALUES - 3)]
    parts = column_values(["x", None, "x"])
    assert (parts.names, parts.code.tolist()) == (("x", "(none)"), [0, 1, 0])


def test_amounts_fall_into_bands_of_equal_size() -> None:
    bands = amount_bands(np.arange(1.0, 11.0), num=2)
    assert (bands.names, bands.code.tolist()) == (("below 5.50", "from 5.50"), [0] * 5 + [1] * 5)
    assert amount_bands(np.ones(4)).code.tolist() == [1] * 4


def test_new_and_known_parties_types_and_months() -> None:
    graph = graph_of([[0, 1]] * 11 + [[2, 1]], [i * 3 * DAY for i in range(12)], entity_type=[0, 1, 0])
    at = np.asarray([0, 1, 9, 10, 11])
    assert told(party_novelty(graph, at, role=0)) == ["new", *["1 to 9 earlier"] * 2, "10 or more earlier", "new"]
    assert told(party_type(graph, at)) == ["device"] * 5
    assert told(party_type(graph, at[:1], role=0)) == ["account"]
    assert told(months(graph, at)) == ["1970-01"] * 4 + ["1970-02"]


def told(parts: Parts) -> list[str]:
    return [parts.names[code] for code in parts.code]
