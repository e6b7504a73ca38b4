"""Whom a party deals with next, told among those of a batch from what both ends had met before: no label is needed.

InfoNCE both ways (van den Oord, Li, Vinyals, 2018) between the states of a seed's source and target before the seed.

Legend: S seeds, D nodes (a party as of a seed), L events, H width of a state.
"""

from __future__ import annotations

from torch import nn
from torch.nn.functional import cross_entropy, normalize

from graphml.graph import SOURCE, TARGET
from graphml.nn.event_reader import EventInputs
from graphml.torch_first import torch

#: Of similarities: InfoNCE's usual value for vectors of length 1.
TEMPERATURE = 0.1


class Counterparty(nn.Module):
    """The mean loss of finding each seed's target among those of all seeds, and its source; 0 for fewer than two. Seeds
    without two ends that have a past, or with one party at both, do not enter."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.source = nn.Linear(width, width, bias=False)
        self.target = nn.Linear(width, width, bias=False)

    def forward(self, state_LH: torch.Tensor, inputs: EventInputs) -> torch.Tensor:
        """`state_LH` (L, H) of the events of `inputs`, each of what came before it and of itself."""
        ends_S2 = inputs.index_SR[:, [SOURCE, TARGET]]
        sequence_D = inputs.sequence_L.index_select(0, inputs.last_D)
        before_D = (inputs.last_D - 1).clamp(min=0)
        has_past_D = (inputs.last_D > 0) & (inputs.sequence_L.index_select(0, before_D) == sequence_D)
        node_S2 = ends_S2.clamp(min=0)
        if len(has_past_D) == 0:
            return self._nothing(state_LH)
        has_both_S = ((ends_S2 >= 0) & has_past_D[node_S2]).all(dim=1) & (node_S2[:, 0] != node_S2[:, 1])
        source_M, target_M = node_S2[has_both_S].T
        if len(source_M) < 2:
            return self._nothing(state_LH)
        source_MH = normalize(self.source(state_LH.index_select(0, before_D[source_M])), dim=1)
        target_MH = normalize(self.target(state_LH.index_select(0, before_D[target_M])), dim=1)
        similarity_MM = source_MH @ target_MH.T / TEMPERATURE
        itself = torch.arange(len(source_M), device=similarity_MM.device)
        # another moment of the same end is no wrong answer
        same_MM = alike(inputs.entity_D[target_M]) | alike(inputs.entity_D[source_M])
        similarity_MM = similarity_MM.masked_fill(same_MM, -torch.inf)
        return (cross_entropy(similarity_MM, itself) + cross_entropy(similarity_MM.T, itself)) / 2

    def _nothing(self, state_LH: torch.Tensor) -> torch.Tensor:
        """0, with the gradients that other ranks wait for."""
        return 0.0 * (self.source.weight.sum() + self.target.weight.sum() + state_LH.sum())


def alike(entity_M: torch.Tensor) -> torch.Tensor:
    """(M, M) whether two are the same; not of one with itself."""
    same = entity_M[:, None] == entity_M
    return same & ~torch.eye(len(entity_M), dtype=torch.bool, device=entity_M.device)
