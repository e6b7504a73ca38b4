"""GraphSAGE and the transaction head as one module: the graph row of the ladder."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from graphml.block import Block
from graphml.nn.head import TransactionHead
from graphml.nn.sage import GraphSage, SageConfig
from graphml.torch_first import torch


class SageClassifier(nn.Module):
    """Blocks, (S, R) indices of the seeds' parties and (S, K) inputs of the seeds -> logits (S,)."""

    def __init__(self, config: SageConfig, num_inputs: int) -> None:
        super().__init__()
        self.sage = GraphSage(config)
        self.head = TransactionHead(config.width, num_inputs, dropout=config.dropout)

    def forward(
        self,
        blocks: Sequence[Block],
        type_U: torch.Tensor,
        features_NF: torch.Tensor,
        index_SR: torch.Tensor,
        x_SK: torch.Tensor,
    ) -> torch.Tensor:
        """See the class; `type_U` and `features_NF` as in `GraphSage.forward`."""
        h_DH = self.sage(blocks, type_U, features_NF)
        logits: torch.Tensor = self.head(h_DH, index_SR, x_SK)
        return logits
