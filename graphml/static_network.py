"""A GraphSAGE for the nodes of a static graph, with the known labels of other nodes among its inputs.

Legend: N nodes, W width of a node's code, H width of a state, L layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.nn.functional import embedding_bag

from graphml.block import Block
from graphml.graph import Floats
from graphml.nn.gather import mean_by_target
from graphml.nn.message_passing import OwnAndMessage
from graphml.nn.piecewise import PiecewiseBins, PiecewiseLinearEncoding
from graphml.static_graph import StaticGraph
from graphml.torch_first import torch

#: Columns of `known_N2`: known to be fraud, known to be legitimate; zeros where the label is not known.
NUM_LABEL_COLUMNS = 2


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Sizes: H, L, dropout share, and quantile bins of a feature."""

    width: int = 64
    num_layers: int = 2
    dropout: float = 0.3
    num_bins: int = 8

    def __post_init__(self) -> None:
        if min(self.width, self.num_layers, self.num_bins) < 1 or not 0 <= self.dropout < 1:
            raise ValueError(
                f"width {self.width}, num_layers {self.num_layers} and num_bins {self.num_bins} must be 1 or more, "
                f"dropout {self.dropout} at least 0 and below 1"
            )


@dataclass(frozen=True, kw_only=True)
class NodeInputs:
    """What a network sees of a graph, labels apart: all nodes and edges as one hop, the same hop with every edge
    reversed, which gradients go along, and the code of every node."""

    block: Block
    reverse: Block
    code_NW: torch.Tensor

    @classmethod
    def of(cls, graph: StaticGraph, *, num_bins: int) -> NodeInputs:
        """The code is a feature piecewise-linearly by its quantiles, the feature itself, and the log of the degree,
        the latter two standardized. Scales come from all nodes: their features are given, only labels are not."""
        source_E, target_E = torch.from_numpy(graph.source_E), torch.from_numpy(graph.target_E)
        block, reverse = (
            Block.from_edges(*ends, num_sources=graph.num_nodes, num_targets=graph.num_nodes)
            for ends in ((source_E, target_E), (target_E, source_E))
        )
        degree_N1 = torch.log1p(block.degree_D.to(torch.float32)).unsqueeze(1)
        plain = _standardized(torch.cat([torch.from_numpy(graph.x_NF), degree_N1], dim=1))
        return cls(block=block, reverse=reverse, code_NW=torch.cat([_piecewise(graph.x_NF, num_bins), plain], dim=1))

    def to(self, device: torch.device) -> NodeInputs:
        """The same on `device`; itself where it is there already."""
        if self.code_NW.device == device:
            return self
        return NodeInputs(block=self.block.to(device), reverse=self.reverse.to(device), code_NW=self.code_NW.to(device))


class NeighborMean(torch.autograd.Function):
    """`mean_by_target` over all nodes, (N, H) -> (N, H), whose edges are sorted for the gradient once and not in every
    step, since a static graph stays as it is."""

    @staticmethod
    def forward(ctx: Any, h_NH: torch.Tensor, inputs: NodeInputs) -> torch.Tensor:
        """Mean over the edges into each node; zeros where there are none."""
        ctx.inputs = inputs
        return mean_by_target(inputs.block, h_NH, inputs.block.source_E)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        """What each node gets from those that it has an edge to."""
        inputs: NodeInputs = ctx.inputs
        share_NH = gradients[0] / inputs.block.degree_D.clamp(min=1).unsqueeze(1)
        reverse = inputs.reverse
        return embedding_bag(reverse.source_E, share_NH, reverse.offsets_D, mode="sum"), None


class ByteDropout(nn.Module):
    """Dropout whose random numbers are bytes: a share is met to 1/256, and the masks of large states, a third of a
    step's time with `nn.Dropout`, take a tenth of that."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.threshold = round(256 * share)

    def forward(self, h_NH: torch.Tensor) -> torch.Tensor:
        """Zeros for the share of the numbers, the others scaled so that the mean stays; in evaluation `h_NH`."""
        if not self.training or self.threshold == 0:
            return h_NH
        words = torch.empty((h_NH.numel() + 7) // 8, dtype=torch.int64, device=h_NH.device)
        drawn = words.random_(-(2**63), None).view(torch.uint8)[: h_NH.numel()].view(h_NH.shape)
        return h_NH * (drawn >= self.threshold) * (256 / (256 - self.threshold))


class NodeLayer(nn.Module):
    """h'_v = norm(h_v + MLP(GraphSAGE([h, known])_v)): mean of the neighbors' states and labels, own state apart.

    The hidden layer after the mean can cut it sharply: how many neighbors are how, not only the mean. Shapes:
    `h_NH` (N, H), `known_N2` (N, 2), result (N, H).
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        width = config.width + NUM_LABEL_COLUMNS
        self.sage = OwnAndMessage(width, width, 2 * config.width)
        self.out = nn.Sequential(nn.GELU(), ByteDropout(config.dropout), nn.Linear(2 * config.width, config.width))
        self.norm = nn.BatchNorm1d(config.width)

    def forward(self, inputs: NodeInputs, h_NH: torch.Tensor, known_N2: torch.Tensor) -> torch.Tensor:
        """One hop; see the class."""
        told = torch.cat([h_NH, known_N2], dim=1)
        around = self.sage(told, NeighborMean.apply(told, inputs))
        result: torch.Tensor = self.norm(h_NH + self.out(around))
        return result


class NodeClassifier(nn.Module):
    """Inputs and `known_N2` -> logits (N,), from the states after every layer side by side (jumping
    knowledge, Xu et al., Representation Learning on Graphs with Jumping Knowledge Networks, 2018)."""

    def __init__(self, num_inputs: int, config: NetworkConfig) -> None:
        super().__init__()
        width = config.width
        self.inputs = nn.Sequential(
            nn.Linear(num_inputs, width), nn.BatchNorm1d(width), nn.GELU(), ByteDropout(config.dropout)
        )
        self.layers = nn.ModuleList(NodeLayer(config) for _ in range(config.num_layers))
        self.head = nn.Sequential(
            ByteDropout(config.dropout),
            nn.Linear(width * (config.num_layers + 1), width),
            nn.GELU(),
            ByteDropout(config.dropout),
            nn.Linear(width, 1),
        )

    def forward(self, inputs: NodeInputs, known_N2: torch.Tensor) -> torch.Tensor:
        """See the class."""
        states = [self.inputs(inputs.code_NW)]
        for layer in self.layers:
            states.append(layer(inputs, states[-1], known_N2))
        logits: torch.Tensor = self.head(torch.cat(states, dim=1))
        return logits.squeeze(1)


def _piecewise(x_NF: Floats, num_bins: int) -> torch.Tensor:
    code: torch.Tensor = PiecewiseLinearEncoding(PiecewiseBins.fit(x_NF, num_bins=num_bins))(torch.from_numpy(x_NF))
    return code


def _standardized(x_NF: torch.Tensor) -> torch.Tensor:
    """Columns of mean 0 and deviation 1, cut at 8 deviations; a constant column is zeros."""
    wide = x_NF.to(torch.float64)
    deviation = wide.std(dim=0, correction=0)
    scaled = (wide - wide.mean(dim=0)) / torch.where(deviation > 0, deviation, 1.0)
    return torch.where(deviation > 0, scaled, 0.0).clamp(-8.0, 8.0).to(torch.float32)
