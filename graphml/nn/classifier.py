"""A graph network and a head as one module: the graph rows of the ladder.

Legend: S seeds, R nodes of a seed, K own inputs of a seed, U sources, N transactions, F features.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from graphml.block import Block
from graphml.nn.network_config import NetworkConfig
from graphml.nn.stack import RelationalBlock
from graphml.torch_first import torch


class GraphClassifier(nn.Module):
    """Hops, (S, R) indices of the seeds' nodes and (S, K) inputs of the seeds -> logits (S,).

    Any network (GraphSAGE, attention, message passing, relational) under any head of `graphml.nn.head`.
    """

    def __init__(self, config: NetworkConfig, head: nn.Module) -> None:
        super().__init__()
        self.network = config.build()
        self.head = head

    def forward(
        self,
        hops: Sequence[Block] | Sequence[RelationalBlock],
        type_U: torch.Tensor,
        features_NF: torch.Tensor,
        index_SR: torch.Tensor,
        x_SK: torch.Tensor,
    ) -> torch.Tensor:
        """See the class; `type_U` and `features_NF` as in `GraphStack.forward`."""
        h_DH = self.network(hops, type_U, features_NF)
        logits: torch.Tensor = self.head(h_DH, index_SR, x_SK)
        return logits
