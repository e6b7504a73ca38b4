"""Any network under any head: shapes, gradients for every weight, the same after saving."""

from __future__ import annotations

import pytest

from graphml.nn.classifier import GraphClassifier
from graphml.nn.gat import AttentionConfig, GatConfig
from graphml.nn.head import EntityHead, PairHead, TransactionHead
from graphml.nn.message_passing import MessagePassingConfig
from graphml.nn.network_config import NetworkConfig
from graphml.nn.relational import RelationalConfig
from graphml.nn.sage import SageConfig
from graphml.torch_first import torch
from tests.graphml.nn.cases import random_block, random_inputs

SIZES = {"num_types": 2, "num_features": 3, "num_attributes": 2, "width": 8, "dropout": 0.0}
NETWORKS: dict[str, NetworkConfig] = {
    "graphsage": SageConfig(**SIZES),
    "gat": GatConfig(**SIZES, attention=AttentionConfig(num_heads=2)),
    "message passing": MessagePassingConfig(**SIZES),
    "relational": RelationalConfig(relation=SageConfig(**SIZES), num_relations=2),
}
NUM_INPUTS = 2
HEADS = {
    "transaction": (lambda: TransactionHead(8, NUM_INPUTS, dropout=0.0), [[0, 1, -1], [1, 0, 1], [1, 1, 0]]),
    "entity": (lambda: EntityHead(8, NUM_INPUTS, dropout=0.0), [[0], [1], [1]]),
    "pair": (lambda: PairHead(8, NUM_INPUTS, symmetric=True, dropout=0.0), [[0, 1], [1, 0], [1, 1]]),
}


def hops_for(network: str) -> list[object]:
    """Hops of the same targets and sources, for one relation or two."""

    def hop(seed: int, num_targets: int, num_more: int) -> object:
        found = [random_block(seed + number, num_targets=num_targets, num_more=num_more) for number in range(2)]
        return tuple(found) if network == "relational" else found[0]

    return [hop(0, 3, 2), hop(5, 2, 1)]


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("network", NETWORKS)
def test_any_network_under_any_head(network: str, head: str) -> None:
    build_head, index = HEADS[head]
    torch.manual_seed(0)
    classifier = GraphClassifier(NETWORKS[network], build_head()).double()
    _, features = random_inputs(0, random_block(0), 1)
    types, x = torch.tensor([0, 1, 0, 1, 1]), torch.randn(3, NUM_INPUTS, dtype=torch.float64)
    inputs = (hops_for(network), types, features, torch.tensor(index), x)
    logits = classifier(*inputs)
    assert logits.shape == (3,)
    logits.sum().backward()
    without = [name for name, parameter in classifier.named_parameters() if parameter.grad is None]
    assert without == []
    again = GraphClassifier(NETWORKS[network], build_head()).double()
    again.load_state_dict(classifier.state_dict())
    assert torch.equal(again(*inputs), logits)
