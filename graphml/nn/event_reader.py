"""How the events of a party are read: the transaction as it was seen, what became known of it, and when.

Level 0 is a transaction's own token. Level 1 adds attention over the last transactions that the other end had by then.
An event is a level-1 token, told whether it is the transaction or a label of it that became known, and the gaps.

Legend: S seeds, R roles, D nodes (a party as of a seed), L events, U transactions whose tokens are read, P transactions
seen from one of their parties, M last transactions of the other end, T width of a token, H width of a state, K heads.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from graphml.nn.time_encoding import TimeConfig, TimeEncoding
from graphml.nn.transformer import RMSNorm
from graphml.torch_first import torch

#: The transaction itself, a legitimate and a fraudulent outcome that became known.
NUM_KINDS = 3


@dataclass(frozen=True, kw_only=True)
class ReaderConfig:
    """T, M (0: nothing of the other end), `first_bin` (column of a token where the bins of its own numbers begin),
    `bins` (how many each number has), R and edges of the bins of gaps in hours."""

    token_width: int
    num_near: int
    first_bin: int
    bins: tuple[int, ...]
    num_roles: int
    edges_hours: tuple[float, ...]

    def __post_init__(self) -> None:
        if min(self.token_width, self.num_roles) < 1:
            raise ValueError(f"token_width is {self.token_width} and num_roles {self.num_roles}; each is 1 or more.")


@dataclass(frozen=True, kw_only=True)
class EventInputs:
    """`token_UT`; `own_P` index of each pair's transaction among U, `near_PM` those of the other end's last ones (-1
    for none) and `gap_PM` the hours since each; of each event `pair_L`, `kind_L` (0 transaction, 1 legitimate, 2
    fraud), `role_L`, `since_L` hours since the party's event before (-1 for none), `age_L` hours since its transaction,
    `sequences`; `last_D` where each node's last event is; `index_SR` each seed's nodes (-1 for none); `token_S` index
    of each seed's own token; `entity_D` whose each node is, which no logit hangs on; `tabular_SC` features that the
    head alone is given (C may be 0)."""

    token_UT: torch.Tensor
    own_P: torch.Tensor
    near_PM: torch.Tensor
    gap_PM: torch.Tensor
    pair_L: torch.Tensor
    kind_L: torch.Tensor
    role_L: torch.Tensor
    since_L: torch.Tensor
    age_L: torch.Tensor
    sequence_L: torch.Tensor
    time_L: torch.Tensor
    last_D: torch.Tensor
    index_SR: torch.Tensor
    token_S: torch.Tensor
    entity_D: torch.Tensor
    tabular_SC: torch.Tensor

    def to(self, device: torch.device | str) -> EventInputs:
        """The same on `device`."""
        return replace(self, **{each.name: getattr(self, each.name).to(device) for each in fields(self)})


class CounterpartyAttention(nn.Module):
    """z + attention of z over the other end's last transactions; a learned key stands for "none"."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm = RMSNorm(width)
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.none = nn.Parameter(torch.zeros(2 * width))
        self.out = nn.Linear(width, width, bias=False)
        self.log_slope_K = nn.Parameter(torch.linspace(0.0, -3.0, num_heads))

    def forward(
        self, z_UH: torch.Tensor, own_P: torch.Tensor, near_PM: torch.Tensor, gap_PM: torch.Tensor
    ) -> torch.Tensor:
        """(P, H); see `EventInputs`."""
        told = torch.cat([self.told(z_UH), self.none[None]])  # the last row is "none", whose bias is 0
        absent_PM = near_PM < 0
        rows = torch.where(absent_PM, z_UH.shape[0], near_PM)
        rows = torch.cat([rows, rows.new_full((rows.shape[0], 1), z_UH.shape[0])], dim=1)
        told_PMX = told.index_select(0, rows.flatten()).unflatten(0, rows.shape)
        return self.attend(z_UH.index_select(0, own_P), told_PMX, absent_PM, gap_PM)

    def told(self, z_UH: torch.Tensor) -> torch.Tensor:
        """Keys and values (U, 2 H) of transactions, which later ones of an end attend to."""
        result: torch.Tensor = self.key_value(self.norm(z_UH))
        return result

    def attend(
        self, z_PH: torch.Tensor, told_PMX: torch.Tensor, absent_PM: torch.Tensor, gap_PM: torch.Tensor
    ) -> torch.Tensor:
        """(P, H); `told_PMX` (P, M + 1, 2 H) of the other end's last transactions, then `none`."""
        key, value = told_PMX.chunk(2, dim=2)
        bias = -self.log_slope_K.exp()[:, None] * torch.log1p(gap_PM)[:, None]  # (P, K, M)
        bias = bias.masked_fill(absent_PM[:, None], -torch.inf)
        bias = torch.cat([bias, bias.new_zeros(bias.shape[0], bias.shape[1], 1)], dim=2)[:, :, None]
        found = scaled_dot_product_attention(
            self._heads(self.query(self.norm(z_PH))[:, None]),
            self._heads(key),
            self._heads(value),
            attn_mask=bias.to(key.dtype),
        )
        result: torch.Tensor = z_PH + self.out(found.transpose(1, 2).flatten(1))
        return result

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(2, (self.num_heads, -1)).transpose(1, 2)


class EventReader(nn.Module):
    """Events (L, H) of `EventInputs`."""

    def __init__(self, config: ReaderConfig, width: int, num_heads: int) -> None:
        super().__init__()
        self.level_zero = nn.Sequential(nn.Linear(config.token_width, width), nn.SiLU(), nn.Linear(width, width))
        self.level_one = CounterpartyAttention(width, num_heads) if config.num_near else None
        self.kind = nn.Embedding(NUM_KINDS, width)
        self.role = nn.Embedding(config.num_roles, width)
        self.time = TimeEncoding(TimeConfig(num_waves=0, edges_hours=config.edges_hours))
        self.gaps = nn.Linear(2 * self.time.width, width, bias=False)
        self.first = nn.Parameter(torch.zeros(width))
        self.own_bins = slice(config.first_bin, config.first_bin + sum(config.bins))

    def forward(self, inputs: EventInputs) -> torch.Tensor:
        """See the class."""
        z_PH = self.paired(inputs.token_UT, inputs.own_P, inputs.near_PM, inputs.gap_PM)
        return self.read(
            z_PH.index_select(0, inputs.pair_L), inputs.kind_L, inputs.role_L, inputs.since_L, inputs.age_L
        )

    def filled(self, inputs: EventInputs, row_M: torch.Tensor) -> torch.Tensor:
        """Bins (M, B) of the transactions of these events and of the gaps before them, as they came."""
        own_M = inputs.own_P.index_select(0, inputs.pair_L.index_select(0, row_M))
        return self.binned(inputs.token_UT.index_select(0, own_M), inputs.since_L.index_select(0, row_M))

    def binned(self, token_MT: torch.Tensor, since_M: torch.Tensor) -> torch.Tensor:
        """Bins (M, B) of tokens and gaps."""
        return torch.cat([token_MT[:, self.own_bins].to(self.first.dtype), self.time(since_M.clamp(min=0))], dim=1)

    def paired(
        self, token_UT: torch.Tensor, own_P: torch.Tensor, near_PM: torch.Tensor, gap_PM: torch.Tensor
    ) -> torch.Tensor:
        """Transactions as seen from one of their parties, (P, H); see `EventInputs`."""
        z_UH = self.own(token_UT)
        if self.level_one is None:
            return z_UH.index_select(0, own_P)
        result: torch.Tensor = self.level_one(z_UH, own_P, near_PM, gap_PM)
        return result

    def own(self, token_UT: torch.Tensor) -> torch.Tensor:
        """Level 0, (U, H)."""
        result: torch.Tensor = self.level_zero(token_UT.to(self.first.dtype))
        return result

    def told(self, z_UH: torch.Tensor) -> torch.Tensor:
        """What later transactions of an end are told of these, (U, 2 H); z itself where nothing is told."""
        return z_UH if self.level_one is None else self.level_one.told(z_UH)

    def paired_with(
        self, z_PH: torch.Tensor, told_PMX: torch.Tensor, absent_PM: torch.Tensor, gap_PM: torch.Tensor
    ) -> torch.Tensor:
        """`paired`, (P, H), from level 0 and what was `told` of the other end's last transactions."""
        if self.level_one is None:
            return z_PH
        none = self.level_one.none.expand(told_PMX.shape[0], 1, -1)
        return self.level_one.attend(z_PH, torch.cat([told_PMX, none], dim=1), absent_PM, gap_PM)

    def read(
        self,
        z_LH: torch.Tensor,
        kind_L: torch.Tensor,
        role_L: torch.Tensor,
        since_L: torch.Tensor,
        age_L: torch.Tensor,
    ) -> torch.Tensor:
        """Events (L, H) of transactions as a party saw them; see `EventInputs`."""
        known = (since_L >= 0)[:, None]
        gaps = torch.cat([self.time(since_L.clamp(min=0)) * known, self.time(age_L)], dim=1)
        result: torch.Tensor = z_LH + self.kind(kind_L) + self.role(role_L) + self.gaps(gaps) + self.first * ~known
        return result
