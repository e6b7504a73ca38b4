"""Heads: states of nodes, and inputs of the seed itself, become one logit a seed.

All are called alike, `head(h_DH, index_SR, x_SK) -> (S,)`, so that a classifier takes any of them. `index_SR` are
indices into `h_DH`: the parties of a transaction, the one node of an entity, the two nodes of a pair. `x_SK` has
`num_inputs` columns, possibly none.

Legend: S seeds, R nodes of a seed, D nodes, H width of a state, K width of the seed's own inputs.
"""

from __future__ import annotations

from torch import nn

from graphml.torch_first import torch


def logit_mlp(in_width: int, hidden: int, dropout: float) -> nn.Sequential:
    """Two hidden layers with ReLU, dropout after the first; (S, in_width) -> (S, 1)."""
    return nn.Sequential(
        nn.Linear(in_width, hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, 1),
    )


class TransactionHead(nn.Module):
    """MLP over [h_source, h_target, mean of the further parties' h, x_seed] -> logit (S,).

    `index_SR` (S, R) are indices into `h_DH`, -1 for an absent party, whose state is zeros.
    """

    def __init__(self, width: int, num_inputs: int, *, hidden: int = 64, dropout: float = 0.1) -> None:
        super().__init__()
        self.layers = logit_mlp(3 * width + num_inputs, hidden, dropout)

    def forward(self, h_DH: torch.Tensor, index_SR: torch.Tensor, x_SK: torch.Tensor) -> torch.Tensor:
        """Logits (S,)."""
        padded = torch.cat([h_DH, h_DH.new_zeros(1, h_DH.shape[1])])  # an absent party reads the row of zeros
        rows_SR = torch.where(index_SR < 0, h_DH.shape[0], index_SR)
        h_SRH = padded.index_select(0, rows_SR.flatten()).unflatten(0, index_SR.shape)
        present = (index_SR[:, 2:] >= 0).sum(dim=1, keepdim=True).clamp(min=1)
        further = h_SRH[:, 2:].sum(dim=1) / present
        logit: torch.Tensor = self.layers(torch.cat([h_SRH[:, 0], h_SRH[:, 1], further, x_SK], dim=1))
        return logit.squeeze(1)


class EntityHead(nn.Module):
    """MLP over [h_entity, x_seed] -> logit (S,); `index_SR` is (S, 1)."""

    def __init__(self, width: int, num_inputs: int = 0, *, hidden: int = 64, dropout: float = 0.1) -> None:
        super().__init__()
        self.layers = logit_mlp(width + num_inputs, hidden, dropout)

    def forward(self, h_DH: torch.Tensor, index_SR: torch.Tensor, x_SK: torch.Tensor) -> torch.Tensor:
        """Logits (S,)."""
        _check_nodes(index_SR, 1, "an entity")
        logit: torch.Tensor = self.layers(torch.cat([h_DH.index_select(0, index_SR[:, 0]), x_SK], dim=1))
        return logit.squeeze(1)


class PairHead(nn.Module):
    """MLP over what two states have to do with each other, and x_seed -> logit (S,); `index_SR` is (S, 2).

    Symmetric: [h_a + h_b, h_a h_b, (h_a - h_b)²], the same for (a, b) and (b, a). Else [h_a, h_b, h_a h_b], for
    "a pays b".
    """

    def __init__(
        self, width: int, num_inputs: int = 0, *, symmetric: bool, hidden: int = 64, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.joined = _symmetric if symmetric else _directed
        self.layers = logit_mlp(3 * width + num_inputs, hidden, dropout)

    def forward(self, h_DH: torch.Tensor, index_SR: torch.Tensor, x_SK: torch.Tensor) -> torch.Tensor:
        """Logits (S,)."""
        _check_nodes(index_SR, 2, "a pair")
        first_SH, second_SH = (h_DH.index_select(0, index_SR[:, column]) for column in (0, 1))
        logit: torch.Tensor = self.layers(torch.cat([self.joined(first_SH, second_SH), x_SK], dim=1))
        return logit.squeeze(1)


def _symmetric(first_SH: torch.Tensor, second_SH: torch.Tensor) -> torch.Tensor:
    return torch.cat([first_SH + second_SH, first_SH * second_SH, (first_SH - second_SH).square()], dim=1)


def _directed(first_SH: torch.Tensor, second_SH: torch.Tensor) -> torch.Tensor:
    return torch.cat([first_SH, second_SH, first_SH * second_SH], dim=1)


def _check_nodes(index_SR: torch.Tensor, expected: int, what: str) -> None:
    if index_SR.ndim != 2 or index_SR.shape[1] != expected:
        raise ValueError(
            f"The index of nodes has shape {tuple(index_SR.shape)}; {what} has {expected} of them, so give "
            f"(S, {expected})."
        )
