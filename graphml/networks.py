"""The graph networks that a row of the ladder can be, by name: GraphSAGE, GAT, and one set of weights a relation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from graphml.nn.gat import GatConfig
from graphml.nn.relational import RelationalConfig
from graphml.nn.sage import SageConfig
from graphml.nn.stack import StackConfig
from graphml.nn.time_encoding import TimeConfig
from graphml.sampling import NUM_PLAIN_ATTRIBUTES

#: Edges of the gap's bins, in hours: from a minute to a year, each about three times the last.
GAP_EDGES = (0.0, 1 / 60, 0.1, 0.33, 1.0, 3.0, 8.0, 24.0, 72.0, 168.0, 336.0, 720.0, 2_160.0, 8_760.0)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What a network is built for: entity types, roles, features of a transaction; width of a state, dropout share."""

    num_types: int
    num_roles: int
    num_features: int
    width: int
    dropout: float


def graphsage(sizes: Sizes) -> SageConfig:
    """Means over neighbors."""
    return SageConfig(**_stack(sizes))


def gat(sizes: Sizes) -> GatConfig:
    """Attention over neighbors (version 2), which sees the gap sharply."""
    return GatConfig(**_stack(sizes), time=TimeConfig(num_waves=8, edges_hours=GAP_EDGES))


def relational_graphsage(sizes: Sizes) -> RelationalConfig:
    """GraphSAGE with weights for each role that a party had in a neighbor."""
    return RelationalConfig(relation=graphsage(sizes), num_relations=sizes.num_roles)


def relational_gat(sizes: Sizes) -> RelationalConfig:
    """Attention with weights for each role that a party had in a neighbor."""
    return RelationalConfig(relation=gat(sizes), num_relations=sizes.num_roles)


NETWORKS: dict[str, Callable[[Sizes], StackConfig | RelationalConfig]] = {
    "graphsage": graphsage,
    "gat": gat,
    "relational_graphsage": relational_graphsage,
    "relational_gat": relational_gat,
}


def _stack(sizes: Sizes) -> dict[str, Any]:
    return {
        "num_types": sizes.num_types,
        "num_features": sizes.num_features,
        "num_attributes": sizes.num_roles + NUM_PLAIN_ATTRIBUTES,
        "width": sizes.width,
        "dropout": sizes.dropout,
    }
