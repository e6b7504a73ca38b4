"""Every configuration survives JSON, and the network that it builds takes the stored weights."""

from __future__ import annotations

import json

import pytest

from graphml.nn.gat import AttentionConfig, GatConfig, GraphAttention
from graphml.nn.message_passing import MessagePassingConfig
from graphml.nn.network_config import config_as_dict, config_from_dict
from graphml.nn.relational import RelationalConfig
from graphml.nn.sage import GraphSage, SageConfig
from graphml.nn.stack import StackConfig
from tests.graphml.nn.cases import NUM_ATTRIBUTES, NUM_FEATURES, RICH_EDGE

SIZES = {"num_types": 2, "num_features": NUM_FEATURES, "num_attributes": NUM_ATTRIBUTES, "width": 8}
RICH = {**SIZES, "time": RICH_EDGE.time, "feature_bins": RICH_EDGE.feature_bins}
CONFIGS: dict[str, StackConfig | RelationalConfig] = {
    "plain graphsage": SageConfig(**SIZES),
    "graphsage": SageConfig(**RICH),
    "gat": GatConfig(**RICH, attention=AttentionConfig(num_heads=2, dynamic=False)),
    "message passing": MessagePassingConfig(**RICH, hidden_widths=(8, 8), aggregators=("sum",)),
    "relational gat": RelationalConfig(relation=GatConfig(**RICH), num_relations=3, average=True),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_configuration_survives_json(name: str) -> None:
    config = CONFIGS[name]
    again = config_from_dict(json.loads(json.dumps(config_as_dict(config))))
    assert again == config
    assert type(again) is type(config)
    again.build().load_state_dict(config.build().state_dict())


def test_the_named_networks_are_what_their_configurations_build() -> None:
    sage, gat = SageConfig(**RICH), GatConfig(**RICH)
    GraphSage(sage).load_state_dict(sage.build().state_dict())
    GraphAttention(gat).load_state_dict(gat.build().state_dict())


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match=r"kind 'gcn' is not known; known are \['gat', 'graphsage'"):
        config_from_dict({"kind": "gcn"})
