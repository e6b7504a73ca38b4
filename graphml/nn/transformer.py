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
from torch.nn.functional import linear, scaled_dot_product_attention, silu

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
class Memory:
    """What the next event of each of B sequences needs of the W - 1 before it, in any order: `keys` and `values`
    (B, N, W - 1, H) of N blocks, `filled` (B, W - 1) which of these events there are."""

    keys: torch.Tensor
    values: torch.Tensor
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
        self, x_BH: torch.Tensor, keys_BWH: torch.Tensor, values_BWH: torch.Tensor, band_B1W: tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The next event of each sequence, (B, H) -> (B, H), its key and its value; `band_B1W` says of the events
        before and of itself, the last one, whether it sees them, and the hours since."""
        query, key, value = self.projected(x_BH)[:, None].chunk(3, dim=2)
        found = self._attend(query, torch.cat([keys_BWH, key], dim=1), torch.cat([values_BWH, value], dim=1), *band_B1W)
        return self.out(found[:, 0]), key[:, 0], value[:, 0]

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
        self, x_BH: torch.Tensor, keys_BWH: torch.Tensor, values_BWH: torch.Tensor, band_B1W: tuple[torch.Tensor, ...]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """See `BandedAttention.step`."""
        found, key, value = self.attention.step(self.attention_norm(x_BH), keys_BWH, values_BWH, band_B1W)
        return self._fed(x_BH + self.dropout(found)), key, value

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

    def at(self, x_LH: torch.Tensor, sequences: Sequences, row_D: torch.Tensor) -> torch.Tensor:
        """`forward` of the events `row_D` (D,), to rounding, (D, H): of the other events the last block computes keys
        and values alone."""
        if self.config.both_ways:
            return self(x_LH, sequences).index_select(0, row_D)
        *before, last = self.blocks
        assert isinstance(last, TransformerBlock)
        if before:
            band = sequences.band(self.config.window)
            for block in before:
                x_LH = block(x_LH, band)
        row_DW, filled_DW = self._behind(sequences, row_D, 1)
        hours_DW = gap_hours(sequences.time_L[row_D, None], sequences.time_L[row_DW])[:, 0]
        weight = last.attention.projected.weight[self.config.width :]
        key, value = linear(last.attention_norm(x_LH), weight).chunk(2, dim=1)
        keys_DWH, values_DWH = (x.index_select(0, row_DW.flatten()).unflatten(0, row_DW.shape) for x in (key, value))
        x_DH = x_LH.index_select(0, row_D)
        state_DH, _, _ = last.step(x_DH, keys_DWH, values_DWH, with_itself(filled_DW, hours_DW))
        result: torch.Tensor = self.norm(state_DH)
        return result

    def step(
        self, x_BH: torch.Tensor, hours_BW: torch.Tensor, memory: Memory
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """States (B, H) of the next event of each sequence, as `forward` gives them, and its keys and values
        (B, N, H); `hours_BW` (B, W - 1) since the events before."""
        band_B1W = with_itself(memory.filled, hours_BW)
        keys, values = [], []
        for number, block in enumerate(self.blocks):
            assert isinstance(block, TransformerBlock)
            x_BH, key, value = block.step(x_BH, memory.keys[:, number], memory.values[:, number], band_B1W)
            keys.append(key)
            values.append(value)
        return self.norm(x_BH), torch.stack(keys, dim=1), torch.stack(values, dim=1)

    def remembered(self, x_LH: torch.Tensor, sequences: Sequences, last_D: torch.Tensor) -> tuple[torch.Tensor, Memory]:
        """`forward`, and what is remembered after the events `last_D` (D,), the last event first."""
        self._require_cache()
        row_DW, filled = self._behind(sequences, last_D, 0)
        band = sequences.band(self.config.window)
        kept: list[tuple[torch.Tensor, torch.Tensor]] = []
        for block in self.blocks:
            assert isinstance(block, TransformerBlock)
            _, key, value = block.attention.projected(block.attention_norm(x_LH)).chunk(3, dim=1)
            kept.append((key[row_DW], value[row_DW]))
            x_LH = block(x_LH, band)
        keys, values = (torch.stack(parts, dim=1) for parts in zip(*kept, strict=True))
        return self.norm(x_LH), Memory(keys=keys, values=values, filled=filled)

    def _behind(self, sequences: Sequences, row_D: torch.Tensor, first: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(D, W - 1) rows of the events from `first` before each of `row_D` on, the nearest first, and whether there
        are such in its sequence."""
        back = torch.arange(first, first + self.config.window - 1, device=row_D.device)
        row_DW = (row_D[:, None] - back).clamp(min=0)
        filled = (row_D[:, None] >= back) & (sequences.sequence_L[row_DW] == sequences.sequence_L[row_D][:, None])
        return row_DW, filled

    def _require_cache(self) -> None:
        if self.config.both_ways:
            raise ValueError("A transformer that looks both ways has no cache: a later event changes earlier states.")


def with_itself(filled_BW: torch.Tensor, hours_BW: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(B, 1, W) each, from (B, W - 1): what `step` says of the events before, then of the event itself."""
    allowed = torch.cat([filled_BW, filled_BW.new_ones(filled_BW.shape[0], 1)], dim=1)
    hours = torch.cat([hours_BW, hours_BW.new_zeros(hours_BW.shape[0], 1)], dim=1)
    return allowed[:, None], hours[:, None]
