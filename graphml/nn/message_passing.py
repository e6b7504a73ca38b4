"""Message passing in general: a message function of what an edge connects and carries, an aggregator, an update.

Gilmer, Schoenholz, Riley, Vinyals, Dahl, Neural Message Passing for Quantum Chemistry, 2017, equations 1 and 2, over
the edges of a `Block`.

Legend: D targets, U sources, E edges, N transactions, H width of a state, F features of a transaction, M width of a
message, Q width of a query, P width after the aggregator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from graphml.block import Block
from graphml.nn.aggregators import Aggregator, build_aggregator
from graphml.nn.edges import EdgeConfig, EdgeEncoder
from graphml.nn.gather import from_sources, from_targets
from graphml.nn.stack import StackConfig
from graphml.torch_first import torch


class EdgeMessage(nn.Module):
    """m_e = MLP([h_u, x_e, a_e, code of the gap, q_v]) for each edge e = (u, v), (E, M).

    `widths` are those of the MLP's layers, the last one is M; ReLU between them and after the last. One width and no
    query is a linear message with ReLU. `query_width` Q > 0 lets a message depend on what its target asks: q_v is the
    `query_DQ` of the call. `in_width` 0 leaves the source's state out. The first layer is applied part by part,
    states before they are gathered: the same sums with far fewer products where sources have many edges.
    """

    def __init__(
        self,
        in_width: int,
        widths: Sequence[int],
        *,
        edge: EdgeConfig,
        query_width: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not widths:
            raise ValueError("A message needs at least one layer; give the widths of its layers, the last is its own.")
        if in_width + edge.width == 0:
            raise ValueError("A message of nothing: in_width is 0 and the edge carries nothing. Give it one of both.")
        self.out_width = widths[-1]
        self.query_width = query_width
        self.edge = EdgeEncoder(edge)
        self.source = nn.Linear(in_width, widths[0], bias=False) if in_width else None
        self.query = nn.Linear(query_width, widths[0], bias=False) if query_width else None
        self.carried = nn.Linear(edge.width, widths[0], bias=False) if edge.width else None
        self.bias = nn.Parameter(torch.zeros(widths[0]))
        later = [
            layer
            for before, after in pairwise(widths)
            for layer in (nn.Dropout(dropout), nn.Linear(before, after), nn.ReLU())
        ]
        self.later = nn.Sequential(nn.ReLU(), *later)

    def forward(
        self, block: Block, h_UH: torch.Tensor, features_NF: torch.Tensor, query_DQ: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Messages (E, M); see the class."""
        first = self.bias.expand(block.num_edges, -1)
        if self.carried is not None:
            first = first + self.carried(self.edge(block, features_NF, h_UH.dtype))
        if self.source is not None:
            first = first + from_sources(block, self.source(h_UH))
        if self.query is not None:
            if query_DQ is None:
                raise ValueError(
                    f"The message was built with query_width {self.query_width} and is called without query_DQ; give "
                    "one row a target."
                )
            first = first + from_targets(block, self.query(query_DQ))
        message: torch.Tensor = self.later(first)
        return message


class OwnAndMessage(nn.Module):
    """Update h'_v = W_own h_v + W_message m_v + b, the one of GraphSAGE."""

    def __init__(self, own_width: int, message_width: int, out_width: int) -> None:
        super().__init__()
        self.own = nn.Linear(own_width, out_width, bias=False)
        self.message = nn.Linear(message_width, out_width)

    def forward(self, h_DH: torch.Tensor, message_DP: torch.Tensor) -> torch.Tensor:
        """(D, H) and (D, P) -> (D, out_width)."""
        own: torch.Tensor = self.own(h_DH)
        message: torch.Tensor = self.message(message_DP)
        return own + message


class MessageOnly(nn.Module):
    """Update h'_v = W_message m_v: the part of one relation, whose own state enters elsewhere."""

    def __init__(self, message_width: int, out_width: int) -> None:
        super().__init__()
        self.message = nn.Linear(message_width, out_width, bias=False)

    def forward(self, h_DH: torch.Tensor, message_DP: torch.Tensor) -> torch.Tensor:
        """(D, P) -> (D, out_width); zeros for a target without edges."""
        result: torch.Tensor = self.message(message_DP)
        return result


class MessagePassing(nn.Module):
    """h'_v = update(h_v, aggregate over edges e = (u, v) of message(h_u, x_e, a_e, gap_e, q_v)).

    `update` is a module (h_DH, m_DP) -> (D, out_width). Shapes of the call: `h_UH` (U, H), `features_NF` (N, F),
    result (D, out_width). The query q is `query_DQ`, one row a target (the seed's own features, say); without it, a
    message that asks for a query sees the target's state.
    """

    def __init__(self, message: EdgeMessage, aggregator: Aggregator, update: nn.Module) -> None:
        super().__init__()
        self.message = message
        self.aggregator = aggregator
        self.update = update

    def forward(
        self, block: Block, h_UH: torch.Tensor, features_NF: torch.Tensor, query_DQ: torch.Tensor | None = None
    ) -> torch.Tensor:
        """One hop; see the class."""
        h_DH = h_UH[: block.num_targets]
        message_EM = self.message(block, h_UH, features_NF, h_DH if query_DQ is None else query_DQ)
        result: torch.Tensor = self.update(h_DH, self.aggregator(message_EM, block.offsets_D))
        return result


@dataclass(frozen=True, kw_only=True)
class MessagePassingConfig(StackConfig):
    """A stack of `MessagePassing` layers: sizes of `StackConfig`, `hidden_widths` of the message's MLP before its
    last layer of `width`, the names of its aggregators, whether a message sees the state of its target."""

    hidden_widths: tuple[int, ...] = (64,)
    aggregators: tuple[str, ...] = ("mean", "max")
    sees_target: bool = True

    def layer(self, in_width: int) -> MessagePassing:
        """One layer of the stack."""
        message, aggregator = self._parts(in_width)
        return MessagePassing(message, aggregator, OwnAndMessage(in_width, aggregator.out_width, self.width))

    def message(self, in_width: int) -> MessagePassing:
        """What one relation contributes."""
        message, aggregator = self._parts(in_width)
        return MessagePassing(message, aggregator, MessageOnly(aggregator.out_width, self.width))

    def _parts(self, in_width: int) -> tuple[EdgeMessage, Aggregator]:
        message = EdgeMessage(
            in_width,
            (*self.hidden_widths, self.width),
            edge=self.edge,
            query_width=in_width if self.sees_target else 0,
            dropout=self.dropout,
        )
        return message, build_aggregator(self.aggregators, self.width)
