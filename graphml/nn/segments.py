"""Sums, means, maxima and softmax over segments: the edges of each target lie side by side, from its offset on.

Every operation runs on any device, is differentiable, keeps the type of its values and gives zeros (softmax:
nothing) for an empty segment, also when all are empty. Sums go through `embedding_bag`: on one CPU core it is
several times faster than `index_add`.

Legend: D targets (segments), E edges, H width, K heads.
"""

from __future__ import annotations

from typing import Literal

from torch.nn.functional import embedding_bag

from graphml.torch_first import torch


def segment_sizes(offsets_D: torch.Tensor, num_edges: int) -> torch.Tensor:
    """Edges in each segment, (D,) int64.

    >>> segment_sizes(torch.tensor([0, 2, 2]), 3).tolist()
    [2, 0, 1]
    """
    return torch.diff(offsets_D, append=offsets_D.new_full((1,), num_edges))


def target_of_edges(offsets_D: torch.Tensor, num_edges: int) -> torch.Tensor:
    """Segment of each edge, (E,) int64.

    >>> target_of_edges(torch.tensor([0, 2, 2]), 3).tolist()
    [0, 0, 2]
    """
    targets = torch.arange(len(offsets_D), device=offsets_D.device)
    return torch.repeat_interleave(targets, segment_sizes(offsets_D, num_edges), output_size=num_edges)


def segment_sum(values_EH: torch.Tensor, offsets_D: torch.Tensor) -> torch.Tensor:
    """Sum of each segment, (D, H).

    >>> segment_sum(torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([0, 2, 2])).tolist()
    [[3.0], [0.0], [4.0]]
    """
    return _bag(values_EH, offsets_D, "sum")


def segment_mean(values_EH: torch.Tensor, offsets_D: torch.Tensor) -> torch.Tensor:
    """Mean of each segment, (D, H).

    >>> segment_mean(torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([0, 2, 2])).tolist()
    [[1.5], [0.0], [4.0]]
    """
    return _bag(values_EH, offsets_D, "mean")


def segment_max(values_EH: torch.Tensor, offsets_D: torch.Tensor) -> torch.Tensor:
    """Largest value of each segment and column, (D, H); equal largest values share the gradient equally, so that
    the order of edges does not matter to it.

    >>> segment_max(torch.tensor([[-1.0], [-2.0], [4.0]]), torch.tensor([0, 2, 2])).tolist()
    [[-1.0], [0.0], [4.0]]
    """
    target_E = target_of_edges(offsets_D, len(values_EH))
    zeros = values_EH.new_zeros(len(offsets_D), values_EH.shape[1])
    return zeros.scatter_reduce(0, target_E[:, None].expand_as(values_EH), values_EH, "amax", include_self=False)


def segment_softmax(logits_EK: torch.Tensor, offsets_D: torch.Tensor) -> torch.Tensor:
    """Softmax within each segment and column, (E, K).

    >>> segment_softmax(torch.tensor([[0.0], [0.0], [9.0]]), torch.tensor([0, 2, 2])).tolist()
    [[0.5], [0.5], [1.0]]
    """
    target_E = target_of_edges(offsets_D, len(logits_EK))
    logits = _wide(logits_EK)
    highest_DK = segment_max(logits.detach(), offsets_D)
    exp_EK = torch.exp(logits - highest_DK.index_select(0, target_E))
    total_DK = segment_sum(exp_EK, offsets_D)
    return (exp_EK / total_DK.index_select(0, target_E)).to(logits_EK.dtype)


def segment_softmax_with_own(
    logits_EK: torch.Tensor, own_DK: torch.Tensor, offsets_D: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Softmax over each segment and one more entry of the target itself (a self-loop): shares (E, K) and (D, K).

    An empty segment gives its own entry the share 1.

    >>> edges, own = segment_softmax_with_own(torch.zeros(3, 1), torch.zeros(2, 1), torch.tensor([0, 3]))
    >>> edges.tolist(), own.tolist()
    ([[0.25], [0.25], [0.25]], [[0.25], [1.0]])
    """
    target_E = target_of_edges(offsets_D, len(logits_EK))
    logits, own = _wide(logits_EK), _wide(own_DK)
    highest_DK = own.detach()
    if len(logits_EK):
        edges_DK = segment_max(logits.detach(), offsets_D)
        filled_D1 = segment_sizes(offsets_D, len(logits_EK))[:, None] > 0
        highest_DK = torch.where(filled_D1, torch.maximum(edges_DK, highest_DK), highest_DK)
    exp_EK = torch.exp(logits - highest_DK.index_select(0, target_E))
    exp_DK = torch.exp(own - highest_DK)
    total_DK = segment_sum(exp_EK, offsets_D) + exp_DK
    shares_EK = exp_EK / total_DK.index_select(0, target_E)
    return shares_EK.to(logits_EK.dtype), (exp_DK / total_DK).to(own_DK.dtype)


def _bag(values_EH: torch.Tensor, offsets_D: torch.Tensor, mode: Literal["sum", "mean"]) -> torch.Tensor:
    every_edge = torch.arange(len(values_EH), device=values_EH.device)
    return embedding_bag(every_edge, values_EH, offsets_D, mode=mode)


def _wide(logits: torch.Tensor) -> torch.Tensor:
    """Half precision is too coarse for a sum of exponentials: 32 bits there, else as it is."""
    return logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits
