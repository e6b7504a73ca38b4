"""GraphSAGE with the mean aggregator and edge features, inductive: no state hangs on an entity's id.

Hamilton, Ying, Leskovec, Inductive Representation Learning on Large Graphs, 2017, algorithm 1, equation of the
mean aggregator, with the message of an edge extended by what the edge carries.

Legend: D targets, U sources, E edges, H width of a state, F features of a transaction, A edge attributes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from graphml.block import Block, mean_by_target
from graphml.torch_first import torch


@dataclass(frozen=True, kw_only=True)
class SageConfig:
    """Sizes: entity types, F, A, width of the initial state, H, number of layers, dropout share."""

    num_types: int
    num_features: int
    num_attributes: int
    type_width: int = 8
    width: int = 64
    num_layers: int = 2
    dropout: float = 0.1


class SageLayer(nn.Module):
    """h'_v = W_self h_v + W_mean mean over edges e = (u, v) of [h_u, x_e, a_e] + b.

    Shapes: `h_UH` (U, in_width), `features_NF` (N, F), result (D, out_width). Without features and attributes
    (F = A = 0) it is `dgl.nn.SAGEConv(..., "mean")`.
    """

    def __init__(self, in_width: int, out_width: int, *, num_features: int = 0, num_attributes: int = 0) -> None:
        super().__init__()
        self.num_features = num_features
        self.num_attributes = num_attributes
        self.own = nn.Linear(in_width, out_width, bias=False)
        self.message = nn.Linear(in_width + num_features + num_attributes, out_width)

    def forward(self, block: Block, h_UH: torch.Tensor, features_NF: torch.Tensor) -> torch.Tensor:
        """One hop; see the class. The mean of a concatenation is the concatenation of means."""
        parts = [mean_by_target(block, h_UH, block.source_E)]
        if self.num_features:
            parts.append(mean_by_target(block, features_NF, block.transaction_E))
        if self.num_attributes:
            every_edge = torch.arange(len(block.source_E))
            parts.append(mean_by_target(block, block.edge_EA, every_edge))
        own: torch.Tensor = self.own(h_UH[: block.num_targets])
        message: torch.Tensor = self.message(torch.cat(parts, dim=1))
        return own + message


class GraphSage(nn.Module):
    """A stack of `SageLayer`s, each normalised; ReLU and dropout between them, so the last state has a direction."""

    def __init__(self, config: SageConfig) -> None:
        super().__init__()
        self.config = config
        self.type_state = nn.Embedding(config.num_types, config.type_width)
        widths = [config.type_width] + [config.width] * config.num_layers
        self.layers = nn.ModuleList(
            SageLayer(
                widths[layer],
                widths[layer + 1],
                num_features=config.num_features,
                num_attributes=config.num_attributes,
            )
            for layer in range(config.num_layers)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(config.width) for _ in range(config.num_layers))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, blocks: Sequence[Block], type_U: torch.Tensor, features_NF: torch.Tensor) -> torch.Tensor:
        """States (D, H) of the last block's targets.

        `type_U` are the type codes of the first block's sources, `features_NF` the scaled transaction table.
        """
        h: torch.Tensor = self.type_state(type_U)
        for number, (block, layer, norm) in enumerate(zip(blocks, self.layers, self.norms, strict=True)):
            if number > 0:
                h = self.dropout(torch.relu(h))
            h = norm(layer(block, h, features_NF))
        return h
