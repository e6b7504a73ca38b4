"""The stack of layers: initial states by type or given, and sizes that are refused."""

from __future__ import annotations

import pytest

from graphml.nn.sage import SageConfig
from graphml.torch_first import torch
from tests.graphml.nn.cases import random_block, random_inputs

SIZES = {"num_features": 3, "num_attributes": 2, "given_width": 4, "width": 6, "num_layers": 2, "dropout": 0.0}


def test_initial_states_are_those_of_the_types() -> None:
    torch.manual_seed(0)
    network = SageConfig(num_types=2, **SIZES).build().double()
    hops = [random_block(0, num_targets=3, num_more=2), random_block(1, num_targets=2, num_more=1)]
    types = torch.tensor([0, 1, 1, 0, 1])
    _, features = random_inputs(0, hops[0], 1)
    one_hot = torch.tensor([[1, 0], [0, 1], [0, 1], [1, 0], [0, 1]], dtype=torch.float64)
    given = network.propagate(hops, one_hot, features)
    assert torch.equal(network(hops, types, features), given)


def test_by_hand_a_stack_is_layer_norm_relu_layer_norm() -> None:
    torch.manual_seed(0)
    network = SageConfig(num_types=0, **SIZES).build().double()
    hops = [random_block(0, num_targets=3, num_more=2), random_block(1, num_targets=2, num_more=1)]
    h, features = random_inputs(0, hops[0], 4)
    first = network.norms[0](network.layers[0](hops[0], h, features))
    second = network.norms[1](network.layers[1](hops[1], torch.relu(first), features))
    assert torch.equal(network.propagate(hops, h, features), second)


def test_a_network_without_types_asks_for_states() -> None:
    network = SageConfig(num_types=0, **SIZES).build().double()
    block = random_block(0)
    with pytest.raises(ValueError, match="num_types 0 and has no states by type"):
        network([block, block], torch.zeros(7, dtype=torch.long), torch.empty(0, 0))


def test_dropout_is_for_training_only() -> None:
    network = SageConfig(num_types=0, **{**SIZES, "dropout": 0.5}).build().double()
    hops = [random_block(0, num_targets=3, num_more=2), random_block(1, num_targets=2, num_more=1)]
    inputs = random_inputs(0, hops[0], 4)
    assert not torch.equal(network.propagate(hops, *inputs), network.propagate(hops, *inputs))
    network.eval()
    assert torch.equal(network.propagate(hops, *inputs), network.propagate(hops, *inputs))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"num_types": -1}, "num_types is -1"), ({"width": 0}, "width 0"), ({"dropout": 1.0}, "dropout is 1.0")],
)
def test_what_cannot_be_is_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SageConfig(**{"num_types": 1, **SIZES, **wrong})
