"""Aggregators: the messages of a target's edges become one row, whatever their order and number.

Each is a module `aggregate(message_EM, offsets_D) -> (D, out_width)` with an attribute `out_width`; a target without
edges gets zeros.

Legend: D targets, E edges, M width of a message, K heads, C channels of a head.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

from graphml.nn.segments import segment_max, segment_mean, segment_softmax, segment_sum
from graphml.torch_first import torch


class Aggregator(nn.Module):
    """Base: what `MessagePassing` asks of an aggregator."""

    out_width: int

    def forward(self, message_EM: torch.Tensor, offsets_D: torch.Tensor) -> torch.Tensor:
        """(E, M) -> (D, out_width)."""
        raise NotImplementedError


class Mean(Aggregator):
    """Mean of the messages."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.out_width = width

    def forward(self, message_EM: torch.Tensor, offsets_D: torch.Tensor) -> torch.Tensor:
        """(E, M) -> (D, M)."""
        return segment_mean(message_EM, offsets_D)


class Sum(Aggregator):
    """Sum of the messages: it counts."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.out_width = width

    def forward(self, message_EM: torch.Tensor, offsets_D: torch.Tensor) -> torch.Tensor:
        """(E, M) -> (D, M)."""
        return segment_sum(message_EM, offsets_D)


class Max(Aggregator):
    """Largest value of each column: one telling edge among many is not diluted."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.out_width = width

    def forward(self, message_EM: torch.Tensor, offsets_D: torch.Tensor) -> torch.Tensor:
        """(E, M) -> (D, M)."""
        return segment_max(message_EM, offsets_D)


class Attention(Aggregator):
    """Weighted mean in `num_heads` blocks of columns: the weight of an edge is the softmax over the target's edges of
    a linear function of its message, one a head.

    A message that has seen the target's state (its query) makes this the additive attention of Bahdanau, 2015.
    """

    def __init__(self, width: int, *, num_heads: int = 4) -> None:
        super().__init__()
        if width % num_heads:
            raise ValueError(
                f"A message of width {width} cannot be cut into {num_heads} heads of equal width; make the width a "
                "multiple of num_heads."
            )
        self.out_width = width
        self.num_heads = num_heads
        self.score = nn.Linear(width, num_heads, bias=False)  # a bias is the same for all edges: softmax drops it

    def forward(self, message_EM: torch.Tensor, offsets_D: torch.Tensor) -> torch.Tensor:
        """(E, M) -> (D, M)."""
        share_EK = segment_softmax(self.score(message_EM), offsets_D)
        message_EKC = message_EM.unflatten(1, (self.num_heads, -1))
        return segment_sum((share_EK.unsqueeze(2) * message_EKC).flatten(1), offsets_D)


class Several(Aggregator):
    """Several aggregators side by side (Corso et al., Principal Neighbourhood Aggregation, 2020)."""

    def __init__(self, aggregators: Sequence[Aggregator]) -> None:
        super().__init__()
        self.aggregators = nn.ModuleList(aggregators)
        self.out_width = sum(aggregator.out_width for aggregator in aggregators)

    def forward(self, message_EM: torch.Tensor, offsets_D: torch.Tensor) -> torch.Tensor:
        """(E, M) -> (D, sum of the widths)."""
        return torch.cat([aggregate(message_EM, offsets_D) for aggregate in self.aggregators], dim=1)


#: What a configuration may name.
AGGREGATORS: dict[str, Callable[[int], Aggregator]] = {"mean": Mean, "sum": Sum, "max": Max, "attention": Attention}


def build_aggregator(names: Sequence[str], width: int) -> Aggregator:
    """The aggregator of `names` (keys of `AGGREGATORS`) for messages of `width`; several names stand side by side."""
    unknown = [name for name in names if name not in AGGREGATORS]
    if unknown or not names:
        raise ValueError(f"Aggregators {list(names)} are not known; name one or more of {sorted(AGGREGATORS)}.")
    built = [AGGREGATORS[name](width) for name in names]
    return built[0] if len(built) == 1 else Several(built)
