"""What every graph network here shares: initial states by type, layers over hops, norms and dropout between them.

Legend: D targets, U sources, N transactions, F features of a transaction, A edge attributes, H width of a state.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from torch import nn
from torch.nn.functional import one_hot

from graphml.block import Block
from graphml.nn.edges import EdgeConfig
from graphml.nn.piecewise import PiecewiseBins
from graphml.nn.time_encoding import TimeConfig
from graphml.torch_first import torch

#: One hop of a relational network: a block for each relation, in a fixed order, over the same targets and sources.
RelationalBlock = tuple[Block, ...]


@dataclass(frozen=True, kw_only=True)
class StackConfig(ABC):
    """Sizes: entity types, F, A, the encodings of the gap and of the features (None: not read; taken as they are),
    width of the initial state, H, number of layers, dropout share.

    A node's initial state is the one-hot of its type. `num_types` 0 is a network without: its initial states,
    `given_width` wide, are given to `propagate`.
    """

    num_types: int
    num_features: int
    num_attributes: int
    time: TimeConfig | None = None
    feature_bins: PiecewiseBins | None = None
    given_width: int = 0
    width: int = 64
    num_layers: int = 2
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if min(self.num_types, self.given_width) < 0 or min(self.width, self.num_layers) < 1:
            raise ValueError(
                f"num_types is {self.num_types}, given_width {self.given_width}, width {self.width} and num_layers "
                f"{self.num_layers}; the first two are 0 or more, the others 1 or more."
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}, a share of a state's columns: 0 or more and below 1.")

    @property
    def edge(self) -> EdgeConfig:
        """What the network reads of an edge."""
        return EdgeConfig(
            num_features=self.num_features,
            num_attributes=self.num_attributes,
            time=self.time,
            feature_bins=self.feature_bins,
        )

    @property
    def in_widths(self) -> list[int]:
        """Width of the states that each layer reads."""
        return [self.num_types or self.given_width] + [self.width] * (self.num_layers - 1)

    @abstractmethod
    def layer(self, in_width: int) -> nn.Module:
        """A layer `(block, h_UH, features_NF) -> (D, width)` of a network with one kind of edge."""

    @abstractmethod
    def message(self, in_width: int) -> nn.Module:
        """What one relation gives a target, `(block, h_UH, features_NF) -> (D, width)`; zeros where it has no edges."""

    def build(self) -> GraphStack:
        """The network."""
        return GraphStack(self, [self.layer(in_width) for in_width in self.in_widths])

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Read what `dataclasses.asdict` gave, also through JSON."""
        return cls(**{name: cls._restored(name, value) for name, value in data.items()})

    @classmethod
    def _restored(cls, name: str, value: Any) -> Any:
        """A field from its plain value; a subclass adds its own."""
        if name == "time" and value is not None:
            return TimeConfig(num_waves=value["num_waves"], edges_hours=tuple(value["edges_hours"]))
        if name == "feature_bins" and value is not None:
            return PiecewiseBins.from_dict(value)
        return tuple(value) if isinstance(value, list) else value


class GraphStack(nn.Module):
    """`layers`, one a hop, each normalised; ReLU and dropout between them, so the last state has a direction."""

    def __init__(self, config: StackConfig, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.ModuleList(layers)
        self.norms = nn.ModuleList(nn.LayerNorm(config.width) for _ in range(config.num_layers))
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, hops: Sequence[Block] | Sequence[RelationalBlock], type_U: torch.Tensor, features_NF: torch.Tensor
    ) -> torch.Tensor:
        """States (D, H) of the last hop's targets.

        `type_U` are the type codes of the first hop's sources, `features_NF` the table of transactions.
        """
        if self.config.num_types == 0:
            raise ValueError(
                "The network was built with num_types 0 and has no states by type; give it initial states, through "
                "`propagate`, or build it with the number of types."
            )
        # No embedding: the first layer's weights are one, and no gradient has to go back to the sources of a large hop.
        h_UT = one_hot(type_U, self.config.num_types).to(next(self.parameters()).dtype)
        return self.propagate(hops, h_UT, features_NF)

    def propagate(
        self, hops: Sequence[Block] | Sequence[RelationalBlock], h_UH: torch.Tensor, features_NF: torch.Tensor
    ) -> torch.Tensor:
        """The same from initial states `h_UH` (U, given_width) of the first hop's sources."""
        h = h_UH
        for number, (hop, layer, norm) in enumerate(zip(hops, self.layers, self.norms, strict=True)):
            if number > 0:
                h = self.dropout(torch.relu(h))
            h = norm(layer(hop, h, features_NF))
        return h
