"""Graph network over tokens of transactions: a seed asks the recent history of each of its parties.

Messages are made by an MLP of the neighbor's token, what is known of its label, the gap, and the seed's own token, so
"an unexplained fraud at this terminal nine days ago" and "five times this card's usual amount" are single messages.
A relation is the role that the party had in the neighbor.

Legend: S seeds, R roles, D nodes (parties as of a seed), N transactions, T width of a token, A edge attributes, H width
of a state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from graphml.block import Block
from graphml.nn.aggregators import build_aggregator
from graphml.nn.edges import EdgeConfig
from graphml.nn.head import TransactionHead
from graphml.nn.message_passing import EdgeMessage, MessageOnly, MessagePassing
from graphml.nn.time_encoding import TimeConfig
from graphml.torch_first import torch


@dataclass(frozen=True, kw_only=True)
class EventGraphConfig:
    """Sizes: T, A, R, edges of the gap's bins in hours, H, widths of the message's MLP, its aggregators, dropout."""

    token_width: int
    num_attributes: int
    num_roles: int
    edges_hours: tuple[float, ...]
    width: int = 64
    message_widths: tuple[int, ...] = (64, 64)
    aggregators: tuple[str, ...] = ("mean", "max", "attention")
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if min(self.token_width, self.num_attributes, self.num_roles, self.width) < 1:
            raise ValueError(
                f"token_width is {self.token_width}, num_attributes {self.num_attributes}, num_roles {self.num_roles} "
                f"and width {self.width}; each is 1 or more."
            )

    def relation(self) -> MessagePassing:
        """What the transactions that a party had one role in say of it."""
        edge = EdgeConfig(
            num_features=self.token_width,
            num_attributes=self.num_attributes,
            time=TimeConfig(num_waves=0, edges_hours=self.edges_hours),
        )
        message = EdgeMessage(0, self.message_widths, edge=edge, query_width=self.token_width)
        aggregator = build_aggregator(self.aggregators, message.out_width)
        return MessagePassing(message, aggregator, MessageOnly(aggregator.out_width, self.width))


class EventGraph(nn.Module):
    """Logits (S,) of seeds: h_v = norm(sum over relations of messages to v), then a head over [h_source, h_target,
    mean of the further parties' h, the seed's token]."""

    def __init__(self, config: EventGraphConfig) -> None:
        super().__init__()
        self.relations = nn.ModuleList(config.relation() for _ in range(config.num_roles))
        self.norm = nn.LayerNorm(config.width)
        self.head = TransactionHead(config.width, config.token_width, dropout=config.dropout)

    def forward(
        self,
        relations: Sequence[Block],
        token_NT: torch.Tensor,
        seed_D: torch.Tensor,
        index_SR: torch.Tensor,
        token_ST: torch.Tensor,
    ) -> torch.Tensor:
        """`relations`: a block a role over the same D nodes; `seed_D` is each node's seed, `index_SR` each seed's nodes
        (-1 where absent)."""
        query_DT = token_ST.index_select(0, seed_D)
        no_state_U0 = token_ST.new_zeros(relations[0].num_sources, 0)
        parts = [
            layer(block, no_state_U0, token_NT, query_DT)
            for layer, block in zip(self.relations, relations, strict=True)
        ]
        h_DH = self.norm(torch.stack(parts).sum(dim=0))
        logits: torch.Tensor = self.head(h_DH, index_SR, token_ST)
        return logits
