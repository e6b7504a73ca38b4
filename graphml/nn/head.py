"""The head of a transaction: its parties' states and its own features become one logit.

Legend: S seeds, R roles, D nodes, H width of a state, K width of the seed's own inputs.
"""

from __future__ import annotations

from torch import nn

from graphml.torch_first import torch


class TransactionHead(nn.Module):
    """MLP over [h_source, h_target, mean of the further parties' h, x_seed] -> logit (S,).

    `index_SR` (S, R) are indices into `h_DH`, -1 for an absent party, whose state is zeros.
    """

    def __init__(self, width: int, num_inputs: int, *, hidden: int = 64, dropout: float = 0.1) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(3 * width + num_inputs, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, 1),
        )

    def forward(self, h_DH: torch.Tensor, index_SR: torch.Tensor, x_SK: torch.Tensor) -> torch.Tensor:
        """Logits (S,)."""
        padded = torch.cat([h_DH, h_DH.new_zeros(1, h_DH.shape[1])])  # index -1 reads the row of zeros
        h_SRH = padded[index_SR]
        present = (index_SR[:, 2:] >= 0).sum(dim=1, keepdim=True).clamp(min=1)
        further = h_SRH[:, 2:].sum(dim=1) / present
        logit: torch.Tensor = self.layers(torch.cat([h_SRH[:, 0], h_SRH[:, 1], further, x_SK], dim=1))
        return logit.squeeze(1)
