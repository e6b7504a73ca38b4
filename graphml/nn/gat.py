"""Graph attention: each target weighs its edges by their ends and by what they carry, with several heads.

v1: Veličković, Cucurull, Casanova, Romero, Liò, Bengio, Graph Attention Networks, 2018.
v2: Brody, Alon, Yahav, How Attentive are Graph Attention Networks?, 2022: the order of the edges by weight may
depend on the target, which v1 cannot do.

Legend: D targets, U sources, E edges, N transactions, F features, W width of what an edge carries, H width of a
state, K heads, C channels of a head, V = K C.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.nn.functional import dropout, leaky_relu

from graphml.block import Block
from graphml.nn.edges import EdgeConfig, EdgeEncoder
from graphml.nn.gather import from_sources, from_targets
from graphml.nn.segments import segment_softmax, segment_softmax_with_own, segment_sum
from graphml.nn.stack import GraphStack, StackConfig
from graphml.torch_first import torch


class AdditiveScore(nn.Module):
    """v1: score of e = (u, v) is LeakyReLU(a_source · W h_u + a_target · W h_v + a_edge · edge), one a head."""

    def __init__(self, in_width: int, num_heads: int, channels: int, edge_width: int, *, slope: float) -> None:
        super().__init__()
        self.slope = slope
        self.source_KC = nn.Parameter(torch.empty(num_heads, channels))
        self.target_KC = nn.Parameter(torch.empty(num_heads, channels))
        for vector in (self.source_KC, self.target_KC):
            nn.init.xavier_normal_(vector)
        self.edge = nn.Linear(edge_width, num_heads, bias=False) if edge_width else None

    def forward(
        self, block: Block, h_DH: torch.Tensor, value_UV: torch.Tensor, value_EV: torch.Tensor, edge_EW: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of the edges (E, K) and of each target with itself (D, K), from W h of nodes and of edges' sources."""
        value_UKC = value_UV.unflatten(1, self.source_KC.shape)
        source_UK = (value_UKC * self.source_KC).sum(2)
        target_DK = (value_UKC[: block.num_targets] * self.target_KC).sum(2)
        logit_EK = from_sources(block, source_UK) + from_targets(block, target_DK)
        if self.edge is not None:
            logit_EK = logit_EK + self.edge(edge_EW)
        own_DK = source_UK[: block.num_targets] + target_DK
        return leaky_relu(logit_EK, self.slope), leaky_relu(own_DK, self.slope)


class DynamicScore(nn.Module):
    """v2: score of e = (u, v) is a · LeakyReLU(W h_u + W_target h_v + W_edge edge), one a head."""

    def __init__(self, in_width: int, num_heads: int, channels: int, edge_width: int, *, slope: float) -> None:
        super().__init__()
        self.slope = slope
        self.target = nn.Linear(in_width, num_heads * channels)
        self.edge = nn.Linear(edge_width, num_heads * channels, bias=False) if edge_width else None
        self.vector_KC = nn.Parameter(torch.empty(num_heads, channels))
        nn.init.xavier_normal_(self.vector_KC)

    def forward(
        self, block: Block, h_DH: torch.Tensor, value_UV: torch.Tensor, value_EV: torch.Tensor, edge_EW: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of the edges (E, K) and of each target with itself (D, K), from W h of nodes and of edges' sources."""
        target_DV: torch.Tensor = self.target(h_DH)
        inner_EV = value_EV + from_targets(block, target_DV)
        if self.edge is not None:
            inner_EV = inner_EV + self.edge(edge_EW)
        return self._dot(inner_EV), self._dot(value_UV[: block.num_targets] + target_DV)

    def _dot(self, inner: torch.Tensor) -> torch.Tensor:
        return (leaky_relu(inner, self.slope).unflatten(1, self.vector_KC.shape) * self.vector_KC).sum(2)


@dataclass(frozen=True, kw_only=True)
class AttentionConfig:
    """K heads; `dynamic` chooses v2 (else v1); `slope` of the LeakyReLU; `dropout` share of attention weights that
    are dropped; `self_loop`: each target attends to itself too, as one more edge that carries nothing; `residual`
    adds a linear function of the target's state (the identity where widths are equal)."""

    num_heads: int = 4
    dynamic: bool = True
    slope: float = 0.2
    dropout: float = 0.0
    self_loop: bool = False
    residual: bool = True

    def __post_init__(self) -> None:
        if self.num_heads < 1:
            raise ValueError(f"num_heads is {self.num_heads}; attention needs at least one head.")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}, a share of attention weights: 0 or more and below 1.")


class AttentionMessage(nn.Module):
    """m_v = sum over edges e = (u, v) of α_e (W h_u + W_edge edge_e), heads side by side; zeros without edges.

    α is the softmax over the edges of v of the score of v1 or v2, in which the edge takes part too; `edge_e` is the
    code of `EdgeEncoder`. v2 has biases in W, as in its paper's code; v1 none. Shapes: `h_UH` (U, in_width),
    `features_NF` (N, F), result (D, out_width), out_width = K C.
    """

    def __init__(self, in_width: int, out_width: int, *, edge: EdgeConfig, attention: AttentionConfig) -> None:
        super().__init__()
        if out_width % attention.num_heads:
            raise ValueError(
                f"A state of width {out_width} cannot be cut into {attention.num_heads} heads of equal width; make the "
                "width a multiple of num_heads."
            )
        self.attention = attention
        self.edge = EdgeEncoder(edge)
        channels = out_width // attention.num_heads
        self.value = nn.Linear(in_width, out_width, bias=attention.dynamic)
        self.edge_value = nn.Linear(edge.width, out_width, bias=False) if edge.width else None
        score = DynamicScore if attention.dynamic else AdditiveScore
        self.score = score(in_width, attention.num_heads, channels, edge.width, slope=attention.slope)

    def forward(self, block: Block, h_UH: torch.Tensor, features_NF: torch.Tensor) -> torch.Tensor:
        """One hop; see the class. With `self_loop` the target itself is one of the sources."""
        h_DH = h_UH[: block.num_targets]
        value_UV: torch.Tensor = self.value(h_UH)
        value_EV = from_sources(block, value_UV)
        edge_EW = self.edge(block, features_NF, h_UH.dtype)
        logit_EK, own_DK = self.score(block, h_DH, value_UV, value_EV, edge_EW)
        if self.edge_value is not None:
            value_EV = value_EV + self.edge_value(edge_EW)
        if not self.attention.self_loop:
            share_EK = segment_softmax(logit_EK, block.offsets_D)
            return segment_sum(self._weighted(share_EK, value_EV), block.offsets_D)
        share_EK, share_DK = segment_softmax_with_own(logit_EK, own_DK, block.offsets_D)
        sum_DV = segment_sum(self._weighted(share_EK, value_EV), block.offsets_D)
        return sum_DV + self._weighted(share_DK, value_UV[: block.num_targets])

    def _weighted(self, share: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        share = dropout(share, self.attention.dropout, self.training)
        return (share.unsqueeze(2) * value.unflatten(1, (self.attention.num_heads, -1))).flatten(1)


class GatLayer(nn.Module):
    """h'_v = m_v (+ residual of h_v) + b, m_v of `AttentionMessage`.

    A target without any edge has m_v = W h_v, its own transformed state: what it would get with a self-loop. Edges
    from a node to itself that are in the block count as any other; `self_loop` adds one, it does not look for them.
    With an edge that carries nothing and `residual` off, v1 is `dgl.nn.GATConv` and v2 `dgl.nn.GATv2Conv`, heads
    flattened.
    """

    def __init__(self, in_width: int, out_width: int, *, edge: EdgeConfig, attention: AttentionConfig) -> None:
        super().__init__()
        self.message = AttentionMessage(in_width, out_width, edge=edge, attention=attention)
        self.bias = nn.Parameter(torch.zeros(out_width))
        self.residual: nn.Module | None = None
        if attention.residual:
            self.residual = nn.Identity() if in_width == out_width else nn.Linear(in_width, out_width, bias=False)

    def forward(self, block: Block, h_UH: torch.Tensor, features_NF: torch.Tensor) -> torch.Tensor:
        """One hop; see the class."""
        h_DH = h_UH[: block.num_targets]
        result: torch.Tensor = self.message(block, h_UH, features_NF)
        if not self.message.attention.self_loop:
            alone_D1 = (block.degree_D == 0)[:, None]
            result = torch.where(alone_D1, self.message.value(h_DH).to(result.dtype), result)
        if self.residual is not None:
            result = result + self.residual(h_DH)
        return result + self.bias


@dataclass(frozen=True, kw_only=True)
class GatConfig(StackConfig):
    """A stack of `GatLayer`s: sizes of `StackConfig`, and how its layers attend."""

    attention: AttentionConfig = AttentionConfig()

    @classmethod
    def _restored(cls, name: str, value: Any) -> Any:
        return AttentionConfig(**value) if name == "attention" else super()._restored(name, value)

    def layer(self, in_width: int) -> GatLayer:
        """One layer of the stack."""
        return GatLayer(in_width, self.width, edge=self.edge, attention=self.attention)

    def message(self, in_width: int) -> AttentionMessage:
        """What one relation contributes."""
        return AttentionMessage(in_width, self.width, edge=self.edge, attention=self.attention)


class GraphAttention(GraphStack):
    """A stack of graph attention layers."""

    def __init__(self, config: GatConfig) -> None:
        super().__init__(config, [config.layer(in_width) for in_width in config.in_widths])
