"""Any graph network by its configuration, and the configuration as JSON: what is stored beside the weights."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Protocol

from graphml.nn.gat import GatConfig
from graphml.nn.message_passing import MessagePassingConfig
from graphml.nn.relational import RelationalConfig
from graphml.nn.sage import SageConfig
from graphml.nn.stack import GraphStack, StackConfig


class NetworkConfig(Protocol):
    """What a classifier needs to know of a graph network: the width of its states, its dropout, how to build it."""

    @property
    def width(self) -> int:
        """Width of the states that the network gives."""
        ...

    @property
    def dropout(self) -> float:
        """Share of a state's columns that are dropped in training."""
        ...

    def build(self) -> GraphStack:
        """The network, with fresh weights."""
        ...


#: Names under which configurations are stored.
STACKS: dict[str, type[StackConfig]] = {
    "graphsage": SageConfig,
    "gat": GatConfig,
    "message-passing": MessagePassingConfig,
}
RELATIONAL = "relational"


def config_as_dict(config: StackConfig | RelationalConfig) -> dict[str, Any]:
    """JSON-ready, with the kind of the network; `config_from_dict` reads it back."""
    if isinstance(config, RelationalConfig):
        return {"kind": RELATIONAL, **asdict(config), "relation": config_as_dict(config.relation)}
    kind = next(name for name, known in STACKS.items() if type(config) is known)
    return {"kind": kind, **asdict(config)}


def config_from_dict(data: dict[str, Any]) -> StackConfig | RelationalConfig:
    """Read what `config_as_dict` gave. Raises ValueError for a kind that is not known."""
    kind, fields = data["kind"], {key: value for key, value in data.items() if key != "kind"}
    if kind == RELATIONAL:
        relation = config_from_dict(fields.pop("relation"))
        assert isinstance(relation, StackConfig)
        return RelationalConfig(relation=relation, **fields)
    if kind not in STACKS:
        raise ValueError(f"A network of kind {kind!r} is not known; known are {sorted([*STACKS, RELATIONAL])}.")
    return STACKS[kind].from_dict(fields)
