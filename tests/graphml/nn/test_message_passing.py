"""The layer by hand and its parts: what a message reads, what a target without edges gets."""

from __future__ import annotations

import pytest

from graphml.nn.aggregators import Mean, Sum
from graphml.nn.edges import EdgeConfig, EdgeEncoder
from graphml.nn.message_passing import EdgeMessage, MessageOnly, MessagePassing, MessagePassingConfig, OwnAndMessage
from graphml.torch_first import torch
from tests.graphml.nn.cases import BARE_EDGE, RICH_EDGE, random_block, random_inputs


def test_the_message_is_an_mlp_of_all_that_an_edge_joins_and_carries() -> None:
    """The first layer is applied part by part; it is the linear layer of the concatenation."""
    block = random_block(0)
    h, features = random_inputs(0, block, 3)
    query = torch.randn(block.num_targets, 2, dtype=torch.float64)
    message = EdgeMessage(3, (5, 4), edge=RICH_EDGE, query_width=2).double()
    assert message.source is not None
    assert message.carried is not None
    assert message.query is not None
    code = EdgeEncoder(RICH_EDGE).double()
    code.load_state_dict(message.edge.state_dict())
    joined = torch.cat([h[block.source_E], code(block, features, h.dtype), query[block.target_E]], dim=1)
    weight = torch.cat([message.source.weight, message.carried.weight, message.query.weight], dim=1)
    hidden = torch.relu(joined @ weight.T + message.bias)
    last = message.later[2]
    expected = torch.relu(hidden @ last.weight.T + last.bias)
    assert torch.allclose(message(block, h, features, query), expected, atol=1e-12)


def test_by_hand() -> None:
    block = random_block(0, num_targets=2, num_more=1, num_edges=2)
    layer = MessagePassing(EdgeMessage(1, (1,), edge=BARE_EDGE), Sum(1), OwnAndMessage(1, 1, 1))
    with torch.no_grad():
        assert layer.message.source is not None
        layer.message.source.weight.fill_(2.0)
        layer.message.bias.fill_(1.0)
        layer.update.own.weight.fill_(100.0)
        layer.update.message.weight.fill_(10.0)
        layer.update.message.bias.fill_(0.5)
    h = torch.tensor([[1.0], [2.0], [3.0]])
    expected = 100 * 1 + 10 * sum(2 * h[source].item() + 1 for source in block.source_E) + 0.5
    out = layer(block, h, torch.empty(0, 0))
    assert out.tolist() == [[expected], [200.5]]  # no edges: no message


def test_a_query_changes_the_messages_of_its_own_target_only() -> None:
    block = random_block(2)
    h, features = random_inputs(2, block, 3)
    message = EdgeMessage(3, (8, 4), edge=RICH_EDGE, query_width=2)
    layer = MessagePassing(message, Mean(4), MessageOnly(4, 4)).double()
    query = torch.randn(block.num_targets, 2, dtype=torch.float64)
    target = int(block.target_E[0])
    other = query.clone()
    other[target] += 1.0
    moved = (layer(block, h, features, query) - layer(block, h, features, other)).abs().sum(dim=1) > 1e-9
    assert moved.tolist() == [number == target for number in range(block.num_targets)]


def test_without_a_query_of_its_own_a_message_sees_the_state_of_its_target() -> None:
    block = random_block(2)
    h, features = random_inputs(2, block, 3)
    config = MessagePassingConfig(num_types=0, num_features=3, num_attributes=2, given_width=3, width=4)
    layer = config.layer(3).double().eval()
    assert torch.equal(layer(block, h, features), layer(block, h, features, h[: block.num_targets]))


def test_states_of_sources_may_be_left_out() -> None:
    block = random_block(0)
    h, features = random_inputs(0, block, 3)
    message = EdgeMessage(0, (4,), edge=RICH_EDGE).double()
    assert torch.equal(message(block, h, features), message(block, h + 1, features))


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one layer"):
        EdgeMessage(3, (), edge=BARE_EDGE)
    with pytest.raises(ValueError, match="message of nothing"):
        EdgeMessage(0, (3,), edge=BARE_EDGE)
    block = random_block(0)
    with pytest.raises(ValueError, match="query_width 2 and is called without query_DQ"):
        EdgeMessage(3, (3,), edge=EdgeConfig(), query_width=2).double()(block, *random_inputs(0, block, 3))
