"""Causal transformer over packed event sequences: each event sees the last W of its own sequence, itself among them.

An encoder (`both_ways`) sees as many on the other side: only for windows that end at the event that is asked about.

Pre-norm blocks with RMSNorm (Zhang and Sennrich, 2019), sliding-window attention (Beltagy, Peters, Cohan, Longformer,
2020) and SwiGLU (Shazeer, GLU Variants Improve Transformer, 2020). Time enters as relative time alone: a head's scores
lose `slope * log1p(gap in hours)`, ALiBi (Press, Smith, Lewis, 2022) on the logarithm of the gap. An event's keys and
values never change after it, so `step`, which keeps them, gives the numbers of `forward`.

Legend: L events of all sequences, H width, W window, K heads, C channels of a head, B sequences in a step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import nn
from torch.nn.functional import scaled_dot_product_attention, silu

from graphml.nn.sequences import Band, Sequences, gap_hours
from graphml.torch_first import torch


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """Sizes: H, number of blocks, K, W, width of the feed-forward part (unset: 8/3 H), dropout; whether an event sees
    those behind it in its sequence too."""

    width: int = 64
    num_blocks: int = 2
    num_heads: int = 4
    window: int = 32
    hidden: int | None = None
    dropout: float = 0.1
    both_ways: bool = False

    def __post_init__(self) -> None:
        if min(self.width, self.num_blocks, self.num_heads, self.window) < 1 or self.width % self.num_heads:
            raise ValueError(
                f"width is {self.width}, num_blocks {self.num_blocks}, num_heads {self.num_heads} and window "
                f"{self.window}; each is 1 or more, and the width a multiple of num_heads."
            )

    @property
    def hidden_width(self) -> int:
        """Width between the two layers of the feed-forward part."""
        return self.hidden or math.ceil(8 * self.width / 3 / 8) * 8

    @property
    def receptive_field(self) -> int:
        """Events up to its own that an output hangs on at most: blocks (W - 1) + 1."""
        return self.num_blocks * (self.window - 1) + 1


@dataclass(frozen=True, kw_only=True)
class KeysAndValues:
    """What one block keeps of the last W - 1 events of each sequence, oldest first: `keys`, `values` (B, W - 1, H)."""

    keys: torch.Tensor
    values: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class Cache:
    """What a step needs of the events before: a block's keys and values each, `time` (B, W - 1) int64 µs of these
    events, `filled` (B, W - 1) which of them there are."""

    blocks: tuple[KeysAndValues, ...]
    time: torch.Tensor
    filled: torch.Tensor


class RMSNorm(nn.RMSNorm):
    """`nn.RMSNorm` in the type of its weight: autocast leaves a sum of squares in bf16 else."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(…, H) -> (…, H)."""
        return super().forward(x.to(self.weight.dtype))


class BandedAttention(nn.Module):
    """Attention of each event over its band, (L, H) -> (L, H)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.dropout = config.dropout
        self.projected = nn.Linear(config.width, 3 * config.width, bias=False)
        self.out = nn.Linear(config.width, config.width, bias=False)
        # positive, learned, from fast to hardly any forgetting
        self.log_slope_K = nn.Parameter(torch.linspace(0.0, -3.0, config.num_heads))

    def forward(self, x_LH: torch.Tensor, band: Band) -> torch.Tensor:
        """See the class."""
        query, key, value = self.projected(x_LH).chunk(3, dim=1)
        found = self._attend(band.queries(query), band.keys(key), band.keys(value), band.allowed_PWK, band.gap_PWK)
        result: torch.Tensor = self.out(band.events(found))
        return result

    def step(
        self, x_BH: torch.Tensor, kept: KeysAndValues, allowed_B1W: torch.Tensor, gap_B1W: torch.Tensor
    ) -> tuple[torch.Tensor, KeysAndValues]:
        """The next event of each sequence, (B, H) -> (B, H), and what is kept after it."""
        query, key, value = self.projected(x_BH)[:, None].chunk(3, dim=2)
        keys, values = torch.cat([kept.keys, key], dim=1), torch.cat([kept.values, value], dim=1)
        found = self._attend(query, keys, values, allowed_B1W, gap_B1W)
        return self.out(found[:, 0]), KeysAndValues(keys=keys[:, 1:], values=values[:, 1:])

    def _attend(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        allowed: torch.Tensor,
        gap: torch.Tensor,
    ) -> torch.Tensor:
        """(…, Q, H), (…, K, H) twice, (…, Q, K) twice -> (…, Q, H)."""
        slope_K11 = self.log_slope_K.exp()[:, None, None]
        bias = (-slope_K11 * torch.log1p(gap)[:, None]).masked_fill(~allowed[:, None], -torch.inf)
        found = scaled_dot_product_attention(
            self._heads(query),
            self._heads(key),
            self._heads(value),
            attn_mask=bias.to(query.dtype),
            dropout_p=self.dropout if self.training else 0.0,
        )
        return found.transpose(1, 2).flatten(2)

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        """(…, Q, H) -> (…, K, Q, C)."""
        return x.unflatten(2, (self.num_heads, -1)).transpose(1, 2)


class SwiGLU(nn.Module):
    """W_out (silu(W_gate x) * W_in x)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.gate_and_in = nn.Linear(width, 2 * hidden, bias=False)
        self.out = nn.Linear(hidden, width, bias=False)

    def forward(self, x_LH: torch.Tensor) -> torch.Tensor:
        """(L, H) -> (L, H)."""
        gate, value = self.gate_and_in(x_LH).chunk(2, dim=-1)
        result: torch.Tensor = self.out(silu(gate) * value)
        return result


class TransformerBlock(nn.Module):
    """x + attention(norm(x)), then x + feed-forward(norm(x)); dropout on what each adds."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(config.width)
        self.attention = BandedAttention(config)
        self.feed_norm = RMSNorm(config.width)
        self.feed = SwiGLU(config.width, config.hidden_width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x_LH: torch.Tensor, band: Band) -> torch.Tensor:
        """(L, H) -> (L, H)."""
        return self._fed(x_LH + self.dropout(self.attention(self.attention_norm(x_LH), band)))

    def step(
        self, x_BH: torch.Tensor, kept: KeysAndValues, allowed_B1W: torch.Tensor, gap_B1W: torch.Tensor
    ) -> tuple[torch.Tensor, KeysAndValues]:
        """See `BandedAttention.step`."""
        found, kept = self.attention.step(self.attention_norm(x_BH), kept, allowed_B1W, gap_B1W)
        return self._fed(x_BH + self.dropout(found)), kept

    def _fed(self, x_LH: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = x_LH + self.dropout(self.feed(self.feed_norm(x_LH)))
        return result


class EventTransformer(nn.Module):
    """Blocks and a last norm: states (L, H) of events, each of its own past, itself among it."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.blocks = nn.ModuleList(TransformerBlock(config) for _ in range(config.num_blocks))
        self.norm = RMSNorm(config.width)

    def forward(self, x_LH: torch.Tensor, sequences: Sequences) -> torch.Tensor:
        """(L, H) -> (L, H)."""
        band = sequences.band(self.config.window, both_ways=self.config.both_ways)
        for block in self.blocks:
            x_LH = block(x_LH, band)
        result: torch.Tensor = self.norm(x_LH)
        return result

    def empty(self, num_sequences: int) -> Cache:
        """The cache of sequences without an event."""
        if self.config.both_ways:
            raise ValueError("A transformer that looks both ways has no cache: a later event changes earlier states.")
        like = self.norm.weight
        shape = (num_sequences, self.config.window - 1)
        nothing = like.new_zeros(*shape, self.config.width)
        return Cache(
            blocks=(KeysAndValues(keys=nothing, values=nothing),) * self.config.num_blocks,
            time=torch.zeros(shape, dtype=torch.int64, device=like.device),
            filled=torch.zeros(shape, dtype=torch.bool, device=like.device),
        )

    def step(self, x_BH: torch.Tensor, time_B: torch.Tensor, cache: Cache) -> tuple[torch.Tensor, Cache]:
        """States (B, H) of the next event of each sequence, as `forward` gives them, and the cache after it."""
        time = torch.cat([cache.time, time_B[:, None]], dim=1)
        filled = torch.cat([cache.filled, cache.filled.new_ones(len(x_BH), 1)], dim=1)
        gap_B1W = gap_hours(time_B[:, None], time)
        kept: list[KeysAndValues] = []
        for block, before in zip(self.blocks, cache.blocks, strict=True):
            assert isinstance(block, TransformerBlock)
            x_BH, after = block.step(x_BH, before, filled[:, None], gap_B1W)
            kept.append(after)
        return self.norm(x_BH), Cache(blocks=tuple(kept), time=time[:, 1:], filled=filled[:, 1:])
