"""Codes and tokens of transactions: exact values by hand, as of their own time, equal in batch and online."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from graphml.context import GraphContext
from graphml.event_code import NUM_PAIR_COLUMNS, NUM_PARTY_COLUMNS, EventCode, EventToken
from graphml.growing import GrowingContext
from graphml.nn.piecewise import PiecewiseLinearEncoding
from graphml.torch_first import torch
from tests.graphml.cases import labels, random_graph


@pytest.fixture(scope="module")
def context() -> GraphContext:
    return GraphContext(random_graph(5, num=300, entities=20))


@pytest.fixture(scope="module")
def token(context: GraphContext) -> EventToken:
    code = EventCode.fit(context.graph.features[:200], range(2), num_bins=4)
    return EventToken(code=code, num_roles=len(context.graph.roles), num_recent=4)


def test_a_code_holds_the_value_its_logarithm_and_its_place_in_the_bins() -> None:
    features = np.asarray([[0.0, 7.0], [1.0, 7.0], [2.0, 7.0], [3.0, 7.0]], np.float32)
    code = EventCode.fit(features, [0, 1], num_bins=3)
    assert code.columns == (0,)  # a constant says nothing
    assert code.bins.edges == ((0.0, 1.0, 2.0, 3.0),)
    found = code(np.asarray([[1.5, 7.0]], np.float32))[0]
    logs = np.log1p([0.0, 1.0, 2.0, 3.0])
    expected = [0.0, (np.log1p(1.5) - logs.mean()) / logs.std(), 1.0, 0.5, 0.0]
    assert found == pytest.approx(expected, abs=1e-6)
    assert code.width == 5
    flag = EventCode.fit(np.asarray([[0.0], [1.0], [1.0]], np.float32), [0])
    assert (flag.graded, flag.width) == ((), 1)
    assert EventCode.from_dict(code.as_dict()) == code


def test_columns_that_never_vary_cannot_be_learned_from() -> None:
    with pytest.raises(ValueError, match="nothing to learn"):
        EventCode.fit(np.ones((3, 2), np.float32), [0, 1])


def test_a_token_is_the_mean_of_the_party_s_earlier_codes(context: GraphContext, token: EventToken) -> None:
    graph, width = context.graph, token.code.width
    for position in (250, 299):
        row = context.inputs(token)[position]
        assert row[:width].tolist() == token.code(graph.features[position : position + 1])[0].tolist()
        source = graph.entity[position, 0]
        earlier = [at for at in range(position) if source in graph.entity[at]][-4:]
        part = row[width : 2 * width + NUM_PARTY_COLUMNS]
        assert part[:width] == pytest.approx(token.code(graph.features[earlier]).mean(axis=0), abs=1e-5)
        assert part[-1] == len(earlier) / 4


def test_a_token_s_labels_are_those_known_at_its_own_time(context: GraphContext, token: EventToken) -> None:
    graph, width = context.graph, token.code.width
    for position in range(200, 300):
        source, now = graph.entity[position, 0], graph.available_at[position]
        known = []
        for at in [at for at in range(position) if source in graph.entity[at]][-4:]:
            of_it = slice(graph.label_starts[at], graph.label_stops[at])
            states = graph.label_state[of_it][graph.label_known_at[of_it] <= now]
            known += [int(states[-1])] if len(states) else []
        rate, share = context.inputs(token)[position, 2 * width : 2 * width + 2]
        num = min(4, sum(source in graph.entity[at] for at in range(position)))
        assert rate == pytest.approx(np.mean(known) if known else 0.0)
        assert share == pytest.approx(len(known) / max(num, 1))


@pytest.mark.parametrize("role", [0, 1])
def test_pair_history_tells_whom_a_party_was_with_and_when(context: GraphContext, token: EventToken, role: int) -> None:
    graph, width = context.graph, token.code.width
    start = width + role * (width + NUM_PARTY_COLUMNS + NUM_PAIR_COLUMNS) + width + NUM_PARTY_COLUMNS
    met = 0
    for position in range(100, 300):
        party, partner = graph.entity[position, role], graph.entity[position, 1 - role]
        earlier = [at for at in range(position) if party in graph.entity[at]][-4:]
        ends = [graph.entity[at, 1 if graph.entity[at, 0] == party else 0] for at in earlier]
        hours = [max(0, graph.event_time[position] - graph.event_time[at]) / 3.6e9 for at in earlier]
        same = ends.count(partner)
        met += same > 0
        expected = [len(set(ends)), same, 0, np.log1p(np.mean(hours)) / 5, np.log1p(hours[-1]) / 5]
        expected[:3] = [expected[0] / len(ends), same / len(ends), float(same == 0)]
        assert context.inputs(token)[position, start : start + NUM_PAIR_COLUMNS] == pytest.approx(expected, abs=1e-6)
    assert 0 < met < 200


def test_a_token_without_pair_history_lacks_its_columns(context: GraphContext, token: EventToken) -> None:
    without = replace(token, pair_history=False)
    assert token.width - without.width == token.num_roles * NUM_PAIR_COLUMNS
    assert (
        context.inputs(without)[:, : token.code.width].tolist() == context.inputs(token)[:, : token.code.width].tolist()
    )


def test_what_comes_later_changes_no_token(context: GraphContext, token: EventToken) -> None:
    features = context.graph.features.copy()
    features[200:] += 100
    later = GraphContext(replace(context.graph, features=features))
    assert later.inputs(token)[:200].tobytes() == context.inputs(token)[:200].tobytes()
    assert later.inputs(token)[200:].tobytes() != context.inputs(token)[200:].tobytes()


def test_a_graph_that_grows_gives_the_same_tokens(context: GraphContext, token: EventToken) -> None:
    graph = context.graph
    no_labels = GraphContext(replace(graph, label_stops=graph.label_starts.copy()))
    growing = GrowingContext(no_labels.graph, labels(), up_to=200, depth=4)
    growing.inputs(token)
    for position in range(200, 300):
        growing.add_transaction(
            entity=graph.entity[position],
            event_time=int(graph.event_time[position]),
            available_at=int(graph.available_at[position]),
            features=graph.features[position],
        )
    assert growing.inputs(token)[:300].tobytes() == no_labels.inputs(token).tobytes()


def test_a_graph_that_has_dropped_what_a_token_needs_says_so(context: GraphContext, token: EventToken) -> None:
    with pytest.raises(ValueError, match="keeps 3 a party"):
        GrowingContext(context.graph, labels(), up_to=200, depth=3).inputs(token)


def test_a_code_is_what_scalers_and_the_encoding_give_absent_and_infinite_values_too() -> None:
    rng = np.random.default_rng(2)
    features = rng.lognormal(2, 2, (400, 4)).astype(np.float32)
    features[:, 3] = rng.random(400) < 0.3
    features[rng.random((400, 4)) < 0.1] = np.nan
    code = EventCode.fit(features, [0, 2, 3], num_bins=6)
    odd = np.asarray([[np.inf, 1.0, -np.inf, 1.0], [np.nan, 1.0, 1e30, np.nan], [-5.0, 1.0, 0.0, 0.0]], np.float32)
    for asked in (features, odd):
        graded = asked[:, list(code.graded)]
        binned = PiecewiseLinearEncoding(code.bins)(torch.from_numpy(asked[:, list(code.columns)])).numpy()
        expected = np.concatenate([*(scaler(graded) for scaler in code.scalers), binned], axis=1)
        assert code(asked) == pytest.approx(expected, abs=1e-6)
    broken = features.copy()
    broken[0, 0] = np.inf  # its mean is infinite: the column says nothing, and no network gets a NaN
    with np.errstate(invalid="ignore"):
        assert not np.isnan(EventCode.fit(broken, [0, 2, 3])(broken)).any()


def test_a_table_with_too_few_columns_is_refused(token: EventToken) -> None:
    with pytest.raises(ValueError, match="the code reads column 1"):
        token.code(np.zeros((3, 1), np.float32))
