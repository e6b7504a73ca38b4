"""What a party's next transaction will be like, told from its state before it: learned without any label.

A transaction's numbers are given in piecewise-linear bins (`graphml.nn.piecewise`): shares between 0 and 1 that say how
far each bin is filled. The network says, of each bin, the share that it expects; the cross-entropy of all bins is a
proper score of the whole distribution, heavy tails included. How unusual a transaction is for its party is told by two
figures a number: bins filled beyond the expected ones (its sign says too high or too low), and its cross-entropy. They
mean the same for every party, so a head learns from few labels what to make of them.

Legend: L events of packed sequences, H width of a state, G numbers of a transaction (and the gap before it), B bins of
all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, one_hot

from graphml.torch_first import torch


class NextEvent(nn.Module):
    """Logits of the bins (L, B) of events from the states (L, H) of the events before them, and their role (L, H).

    `bins` (G,): how many of each number.
    """

    member_BG: torch.Tensor

    def __init__(self, width: int, bins: Sequence[int]) -> None:
        super().__init__()
        self.num_bins, self.num_numbers = sum(bins), len(bins)
        self.layers = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, self.num_bins))
        number_B = torch.repeat_interleave(torch.arange(len(bins)), torch.tensor(bins))
        self.register_buffer("member_BG", one_hot(number_B, len(bins)).float(), persistent=False)

    def forward(self, before_LH: torch.Tensor, role_LH: torch.Tensor) -> torch.Tensor:
        """See the class."""
        logits: torch.Tensor = self.layers(before_LH + role_LH)
        return logits

    def surprise(self, logits_LB: torch.Tensor, filled_LB: torch.Tensor) -> torch.Tensor:
        """(L, 2 G) of expected and filled bins: what is filled beyond what was expected, and log1p of the
        cross-entropy. The teller learns nothing from what is made of it."""
        logits_LB = logits_LB.detach()
        beyond = (filled_LB - logits_LB.sigmoid()) @ self.member_BG
        entropy = binary_cross_entropy_with_logits(logits_LB, filled_LB, reduction="none") @ self.member_BG
        return torch.cat([beyond, torch.log1p(entropy)], dim=1)


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
