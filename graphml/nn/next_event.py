"""What a party's next transaction will be like, told from its state before it: learned without any label.

A transaction's numbers are given in piecewise-linear bins (`graphml.nn.piecewise`): shares between 0 and 1 that say how
far each bin is filled. The network says, of each bin, the share that it expects; the cross-entropy of all bins is a
proper score of the whole distribution, heavy tails included. What is left, filled less expected, says how unusual a
transaction is for its party, in units that mean the same for every party.

Legend: L events of packed sequences, H width of a state, B bins of a transaction's numbers and of the gap before it.
"""

from __future__ import annotations

from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from graphml.torch_first import torch


class NextEvent(nn.Module):
    """Logits of the bins (L, B) of events from the states (L, H) of the events before them, and their role (L, H)."""

    def __init__(self, width: int, num_bins: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, num_bins))

    def forward(self, before_LH: torch.Tensor, role_LH: torch.Tensor) -> torch.Tensor:
        """See the class."""
        logits: torch.Tensor = self.layers(before_LH + role_LH)
        return logits


def next_event_loss(logits_LB: torch.Tensor, filled_LB: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of the bins, a scalar; 0 where there is no event to tell."""
    if len(filled_LB) == 0:
        return logits_LB.sum()  # keeps the graph: ranks exchange the gradients of all parameters
    return binary_cross_entropy_with_logits(logits_LB, filled_LB)


def follows(sequence_L: torch.Tensor) -> torch.Tensor:
    """(L,) whether the event before, in the pack, is one of the same sequence.

    >>> follows(torch.tensor([4, 4, 7])).tolist()
    [False, True, False]
    """
    same = sequence_L[1:] == sequence_L[:-1]
    return torch.cat([same.new_zeros(min(1, len(sequence_L))), same])
