"""Sequence to sequence: from a party's events up to an anchor, its next transactions; the error scores anomalies.

The encoder is the banded transformer, its last W states are the memory; the decoder asks it for all of the horizon at
once, one query a step. What is forecast are the numbers of a transaction (logarithms, standardised) and the gap since
the party's event before it: medians, by the absolute error.

Legend: D nodes (a party as of a seed), L events, T transactions among them, A anchors, J anchors of a node, the
nearest first, and steps of the horizon, as many; F numbers, W window, H width of a state.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from graphml.nn.event_reader import EventInputs, EventReader, ReaderConfig
from graphml.nn.sequences import Sequences
from graphml.nn.transformer import EventTransformer, TransformerConfig
from graphml.torch_first import torch


@dataclass(frozen=True, kw_only=True)
class ForecasterConfig:
    """What is read, `numbers` (first column of a token that is forecast, and the one behind the last), sizes of the
    transformer, blocks of the decoder, and J, the transactions that are forecast."""

    reader: ReaderConfig
    numbers: tuple[int, int]
    transformer: TransformerConfig
    num_decoder_blocks: int = 1
    horizon: int = 4

    def __post_init__(self) -> None:
        if self.horizon < 1 or self.num_decoder_blocks < 1:
            raise ValueError(
                f"horizon is {self.horizon} and num_decoder_blocks {self.num_decoder_blocks}; each is 1 or more."
            )
        if self.transformer.both_ways:
            raise ValueError("A forecast is made from the past: the transformer cannot look both ways.")

    @property
    def receptive_field(self) -> int:
        """Events of a window: those that the farthest anchor looks at, and room for the transactions after it and as
        many labels."""
        return self.transformer.receptive_field + 2 * self.horizon


@dataclass(frozen=True, kw_only=True)
class Forecasts:
    """Of each node's last transaction: `expected_DJF` from the anchor j + 1 transactions before it, `latest_DJF` the
    anchor's own numbers, `actual_DF`, and `there_DJ` whether the window has such an anchor."""

    expected_DJF: torch.Tensor
    latest_DJF: torch.Tensor
    actual_DF: torch.Tensor
    there_DJ: torch.Tensor

    def error(self, expected_DJF: torch.Tensor) -> torch.Tensor:
        """(D,) mean absolute error over anchors and numbers, 0 for a node without an anchor."""
        off_DJ = (expected_DJF - self.actual_DF[:, None]).abs().mean(dim=2) * self.there_DJ
        result: torch.Tensor = off_DJ.sum(dim=1) / self.there_DJ.sum(dim=1).clamp(min=1)
        return result


class Forecaster(nn.Module):
    """`Forecasts` of the last transactions of nodes; each window must end at its own."""

    def __init__(self, config: ForecasterConfig) -> None:
        super().__init__()
        self.config = config
        sizes = config.transformer
        self.reader = EventReader(config.reader, sizes.width, sizes.num_heads)
        self.encoder = EventTransformer(sizes)
        layer = nn.TransformerDecoderLayer(
            sizes.width, sizes.num_heads, sizes.hidden_width, sizes.dropout, batch_first=True, norm_first=True
        )
        self.decoder = nn.TransformerDecoder(layer, config.num_decoder_blocks)
        self.step = nn.Parameter(0.02 * torch.randn(config.horizon, sizes.width))
        self.out = nn.Linear(sizes.width, config.numbers[1] - config.numbers[0] + 1)

    def forward(self, inputs: EventInputs) -> Forecasts:
        """See the class."""
        h_LH = self.encoder(self.reader(inputs), Sequences(sequence_L=inputs.sequence_L, time_L=inputs.time_L))
        row_DJ, there_DJ = self._anchors(inputs)
        numbers_LF = self._numbers(inputs)
        state_AH = self._decoded(h_LH, inputs.sequence_L, row_DJ.flatten())
        return Forecasts(
            expected_DJF=self.out(state_AH).unflatten(0, row_DJ.shape),
            latest_DJF=numbers_LF[row_DJ],
            actual_DF=numbers_LF[inputs.last_D],
            there_DJ=there_DJ,
        )

    def _anchors(self, inputs: EventInputs) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows (D, J) of the transactions before each node's last, the nearest first; whether there are such."""
        row_T = torch.nonzero(inputs.kind_L == 0).squeeze(1)
        number_D = torch.searchsorted(row_T, inputs.last_D)
        number_DJ = number_D[:, None] - torch.arange(1, self.config.horizon + 1, device=row_T.device)
        row_DJ = row_T[number_DJ.clamp(min=0)]
        same = inputs.sequence_L[row_DJ] == inputs.sequence_L[inputs.last_D][:, None]
        return row_DJ, same & (number_DJ >= 0)

    def _numbers(self, inputs: EventInputs) -> torch.Tensor:
        """(L, F) of each event's transaction, the gap before the event last (log1p hours, in fives)."""
        own_L = inputs.own_P.index_select(0, inputs.pair_L)
        token_LF = inputs.token_UT[:, slice(*self.config.numbers)].index_select(0, own_L)
        return torch.cat([token_LF, torch.log1p(inputs.since_L.clamp(min=0))[:, None] / 5], dim=1)

    def _decoded(self, h_LH: torch.Tensor, sequence_L: torch.Tensor, row_A: torch.Tensor) -> torch.Tensor:
        """(A, H) the decoder's state of the step that leads from each anchor to its node's last transaction."""
        horizon = self.config.horizon
        back = torch.arange(self.config.transformer.window, device=row_A.device)
        row_AW = (row_A[:, None] - back).clamp(min=0)
        absent_AW = (row_A[:, None] < back) | (sequence_L[row_AW] != sequence_L[row_A][:, None])
        asked_AJH = (self.step + h_LH[row_A][:, None]).contiguous()
        later = torch.triu(torch.ones(horizon, horizon, dtype=torch.bool, device=row_A.device), diagonal=1)
        state_AJH = self.decoder(asked_AJH, h_LH[row_AW], tgt_mask=later, memory_key_padding_mask=absent_AW)
        step_A = torch.arange(horizon, device=row_A.device).repeat(len(row_A) // horizon)
        result: torch.Tensor = state_AJH[torch.arange(len(row_A), device=row_A.device), step_A]
        return result
