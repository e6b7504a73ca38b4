"""Relational networks: one set of weights a relation, the target's own weights shared.

Schlichtkrull, Kipf, Bloem, van den Berg, Titov, Welling, Modeling Relational Data with Graph Convolutional Networks
(R-GCN), 2018, equation 2, with any of our layers in place of its mean.

A relation and its reverse are two relations: what a source tells its target has other weights than what a target
tells its source. With `MeanMessage`s the layer is R-GCN without bases (c = the number of neighbors under a relation)
and relational GraphSAGE alike; with `AttentionMessage`s it is relational graph attention.

Legend: D targets, U sources, N transactions, F features, H width of a state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from graphml.nn.stack import GraphStack, RelationalBlock, StackConfig
from graphml.torch_first import torch


class RelationalLayer(nn.Module):
    """h'_v = W_own h_v + b + sum (or mean) over relations r of m_r(v).

    `messages` are modules `(block, h_UH, features_NF) -> (D, out_width)` that give zeros to a target without edges
    of their relation, one a relation in the order of the hop's blocks. The mean is over all relations, with edges or
    without.
    """

    def __init__(self, messages: Sequence[nn.Module], in_width: int, out_width: int, *, average: bool) -> None:
        super().__init__()
        if not messages:
            raise ValueError("A relational layer without relations passes no message; give it one message a relation.")
        self.messages = nn.ModuleList(messages)
        self.own = nn.Linear(in_width, out_width)
        self.share = 1.0 / len(messages) if average else 1.0

    def forward(self, hop: RelationalBlock, h_UH: torch.Tensor, features_NF: torch.Tensor) -> torch.Tensor:
        """One hop, (D, out_width); see the class."""
        if len(hop) != len(self.messages):
            raise ValueError(
                f"A hop of {len(hop)} relations meets a layer of {len(self.messages)}; give one block a relation, "
                "an empty one where there are no edges."
            )
        messages = [message(block, h_UH, features_NF) for block, message in zip(hop, self.messages, strict=True)]
        own: torch.Tensor = self.own(h_UH[: hop[0].num_targets])
        return own + self.share * torch.stack(messages).sum(0)


@dataclass(frozen=True, kw_only=True)
class RelationalConfig:
    """A relational network: `relation` says which messages pass under each of `num_relations` relations and gives all
    sizes; `average`: the mean over relations instead of the sum."""

    relation: StackConfig
    num_relations: int
    average: bool = False

    def __post_init__(self) -> None:
        if self.num_relations < 1:
            raise ValueError(f"num_relations is {self.num_relations}; a relational network has at least one relation.")

    @property
    def width(self) -> int:
        """H."""
        return self.relation.width

    @property
    def dropout(self) -> float:
        """Dropout share."""
        return self.relation.dropout

    def layer(self, in_width: int) -> RelationalLayer:
        """One layer of the network."""
        messages = [self.relation.message(in_width) for _ in range(self.num_relations)]
        return RelationalLayer(messages, in_width, self.width, average=self.average)

    def build(self) -> GraphStack:
        """The network; its hops are `RelationalBlock`s."""
        return GraphStack(self.relation, [self.layer(in_width) for in_width in self.relation.in_widths])
