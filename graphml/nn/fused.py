"""Sequence and graph in one network: tokens of transactions, what the other end was like, each party's own history.

Level 0 is a transaction's own token. Level 1 adds attention over the last transactions that the other end had by then.
An event of a party's sequence is a level-1 token, told whether it is the transaction or a label of it that became
known; a banded causal transformer reads each party's sequence; the head joins the states of a transaction's parties
and its own token. All of it is as of each event, so nothing is ever computed anew.

Legend: S seeds, D nodes (a party as of a seed), L events, P transactions seen from one of their parties, M transactions
that are told, T width of a token, H width of a state, B bins of G numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from graphml.nn.event_reader import EventInputs, EventReader, ReaderConfig
from graphml.nn.head import TransactionHead
from graphml.nn.next_event import NextEvent, follows
from graphml.nn.sequences import Sequences
from graphml.nn.transformer import EventTransformer, TransformerConfig
from graphml.torch_first import torch

#: Share of the transactions that an encoder is not shown while it learns to tell them.
MASKED_SHARE = 0.15


@dataclass(frozen=True, kw_only=True)
class FusedConfig:
    """What is read, the sizes of the transformer, dropout of the head, whether the head is told how unusual a
    transaction is (`surprise`), which a network that never learned to tell transactions does not know, and how many
    columns of features the head is given beside the token (`num_tabular`)."""

    reader: ReaderConfig
    transformer: TransformerConfig
    dropout: float = 0.1
    surprise: bool = False
    num_tabular: int = 0

    @property
    def receptive_field(self) -> int:
        """Events of a party that a logit hangs on at most: those of the state before the seed, and the seed."""
        return self.transformer.receptive_field + 1


@dataclass(frozen=True, kw_only=True)
class Told:
    """`logits` (S,); `state_LH` of the events; of M transactions of the windows their row among L, the logits of their
    bins as they were expected and the bins as they came."""

    logits: torch.Tensor
    state_LH: torch.Tensor
    row_M: torch.Tensor
    expected_MB: torch.Tensor
    filled_MB: torch.Tensor


class Fused(nn.Module):
    """Logits (S,) of seeds; see the module."""

    def __init__(self, config: FusedConfig) -> None:
        super().__init__()
        self.config = config
        width = config.transformer.width
        self.reader = EventReader(config.reader, width, config.transformer.num_heads)
        self.transformer = EventTransformer(config.transformer)
        # an encoder sees when a hidden transaction was, so it is not asked for the gap
        gap = () if config.transformer.both_ways else (self.reader.time.width,)
        self.teller = NextEvent(width, (*config.reader.bins, *gap))
        if config.transformer.both_ways:  # ranks would wait for the gradient of a parameter that is not used
            self.masked = nn.Parameter(torch.zeros(width))
        in_width = width + (2 * self.teller.num_numbers if config.surprise else 0)
        self.head = TransactionHead(in_width, config.reader.token_width + config.num_tabular, dropout=config.dropout)

    def forward(self, inputs: EventInputs) -> torch.Tensor:
        """See the class."""
        if self.config.surprise:
            return self.told(inputs).logits
        return self._headed(self.states(inputs), inputs)

    def told(self, inputs: EventInputs) -> Told:
        """Logits of seeds, and what transactions of the windows were expected to be like."""
        x_LH, sequences = self.reader(inputs), Sequences(sequence_L=inputs.sequence_L, time_L=inputs.time_L)
        h_LH = self.transformer(x_LH, sequences)
        if self.config.transformer.both_ways:
            row_M, state_MH = self._masked(inputs, x_LH, sequences)
        else:
            row_M = torch.nonzero(follows(inputs.sequence_L) & (inputs.kind_L == 0)).squeeze(1)
            state_MH = h_LH.index_select(0, row_M - 1)
        expected_MB = self.teller(state_MH, self.reader.role(inputs.role_L.index_select(0, row_M)))
        filled_MB = self.reader.filled(inputs, row_M)[:, : self.teller.num_bins]
        state_LH = h_LH
        if self.config.surprise:
            surprise_MG = self.teller.surprise(expected_MB, filled_MB).to(h_LH.dtype)
            surprise_LG = h_LH.new_zeros(len(h_LH), surprise_MG.shape[1]).index_copy(0, row_M, surprise_MG)
            h_LH = torch.cat([h_LH, surprise_LG], dim=1)
        logits = self._headed(h_LH.index_select(0, inputs.last_D), inputs)
        return Told(logits=logits, state_LH=state_LH, row_M=row_M, expected_MB=expected_MB, filled_MB=filled_MB)

    def _headed(self, h_DH: torch.Tensor, inputs: EventInputs) -> torch.Tensor:
        """Logits (S,) from the states of nodes."""
        token_ST = inputs.token_UT.index_select(0, inputs.token_S).to(self.reader.first.dtype)
        own_SK = torch.cat([token_ST, inputs.tabular_SC.to(token_ST.dtype)], dim=1)
        logits: torch.Tensor = self.head(h_DH, inputs.index_SR, own_SK)
        return logits

    def states(self, inputs: EventInputs) -> torch.Tensor:
        """States (D, H) of nodes after their last event, each of what its party had met by then."""
        sequences = Sequences(sequence_L=inputs.sequence_L, time_L=inputs.time_L)
        h_DH: torch.Tensor = self.transformer.at(self.reader(inputs), sequences, inputs.last_D)
        return h_DH

    def _masked(
        self, inputs: EventInputs, x_LH: torch.Tensor, sequences: Sequences
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows (M,) of transactions that are told from all other events of their window, and the states (M, H) that
        tell: those of the seeds and, in training, a share of the others. A label of a hidden one is hidden too."""
        hidden_P = torch.zeros(len(inputs.own_P), dtype=torch.bool, device=x_LH.device)
        if self.training:
            hidden_P = torch.rand(len(hidden_P), device=x_LH.device) < MASKED_SHARE
        hidden_P[inputs.pair_L.index_select(0, inputs.last_D)] = True
        hidden_L = hidden_P.index_select(0, inputs.pair_L)
        nothing_LH = self.masked + self.reader.kind(inputs.kind_L) + self.reader.role(inputs.role_L)
        h_LH = self.transformer(torch.where(hidden_L[:, None], nothing_LH, x_LH), sequences)
        row_M = torch.nonzero(hidden_L & (inputs.kind_L == 0)).squeeze(1)
        return row_M, h_LH.index_select(0, row_M)
