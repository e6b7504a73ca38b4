"""GraphSAGE with the mean aggregator and edge features, inductive: no state hangs on an entity's id.

Hamilton, Ying, Leskovec, Inductive Representation Learning on Large Graphs, 2017, algorithm 1, equation of the
mean aggregator, with the message of an edge extended by what the edge carries.

Legend: D targets, U sources, E edges, N transactions, H width of a state, F features of a transaction.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from graphml.block import Block
from graphml.nn.edges import EdgeConfig, EdgeEncoder
from graphml.nn.gather import mean_by_target
from graphml.nn.stack import GraphStack, StackConfig
from graphml.torch_first import torch


class MeanMessage(nn.Module):
    """m_v = W mean over edges e = (u, v) of [h_u, edge_e] (+ b): zeros (b) without edges.

    `edge_e` is the code of `EdgeEncoder`: features of the transaction, attributes, gap. Shapes: `h_UH` (U, in_width),
    `features_NF` (N, F), result (D, out_width).
    """

    def __init__(self, in_width: int, out_width: int, *, edge: EdgeConfig, bias: bool = False) -> None:
        super().__init__()
        self.edge = EdgeEncoder(edge)
        self.message = nn.Linear(in_width + edge.width, out_width, bias=bias)

    def forward(self, block: Block, h_UH: torch.Tensor, features_NF: torch.Tensor) -> torch.Tensor:
        """One hop; see the class. The mean of a concatenation is the concatenation of means."""
        mean_DH = mean_by_target(block, h_UH, block.source_E)
        edge_DW = self.edge.mean(block, features_NF, h_UH.dtype)
        means = [part for part in (mean_DH, edge_DW) if part.shape[1]] or [mean_DH]
        message: torch.Tensor = self.message(means[0] if len(means) == 1 else torch.cat(means, dim=1))
        return message


class SageLayer(MeanMessage):
    """h'_v = W_self h_v + W_mean mean over edges e = (u, v) of [h_u, edge_e] + b.

    With an edge that carries nothing it is `dgl.nn.SAGEConv(..., "mean")`.
    """

    def __init__(self, in_width: int, out_width: int, *, edge: EdgeConfig | None = None) -> None:
        super().__init__(in_width, out_width, edge=edge or EdgeConfig(), bias=True)
        self.own = nn.Linear(in_width, out_width, bias=False)

    def forward(self, block: Block, h_UH: torch.Tensor, features_NF: torch.Tensor) -> torch.Tensor:
        """One hop; see the class."""
        own: torch.Tensor = self.own(h_UH[: block.num_targets])
        return own + super().forward(block, h_UH, features_NF)


@dataclass(frozen=True, kw_only=True)
class SageConfig(StackConfig):
    """A stack of `SageLayer`s: sizes of `StackConfig`."""

    def layer(self, in_width: int) -> SageLayer:
        """One layer of the stack."""
        return SageLayer(in_width, self.width, edge=self.edge)

    def message(self, in_width: int) -> MeanMessage:
        """What one relation contributes."""
        return MeanMessage(in_width, self.width, edge=self.edge)


class GraphSage(GraphStack):
    """A stack of GraphSAGE layers."""

    def __init__(self, config: SageConfig) -> None:
        super().__init__(config, [config.layer(in_width) for in_width in config.in_widths])
