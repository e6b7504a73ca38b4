"""One event of the fused network, from what is remembered of its parties: what ONNX holds and the online scorer runs.

The numbers are those of `Fused` over whole windows. Plain tensors in and out, so that both steps export.

Legend: D parties of the event, R roles, T width of a token, M last transactions of the other end, X width of what is
told of one, C features for the head, W window, N blocks, H width of a state.
"""

from __future__ import annotations

from torch import nn

from graphml.nn.fused import Fused
from graphml.nn.transformer import Memory
from graphml.torch_first import torch

#: D at most.
MOST_PARTIES = 64
#: What a step gives of each party: the state after the event (D, H), its keys and its values (D, N, H).
After = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class TransactionStep(nn.Module):
    """Scores a transaction: logit (1,), what later ones are told of it (1, X), what each party sees of it (D, H), and
    `After`."""

    def __init__(self, network: Fused) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        token_1T: torch.Tensor,
        told_DMX: torch.Tensor,
        absent_DM: torch.Tensor,
        gap_DM: torch.Tensor,
        role_D: torch.Tensor,
        since_D: torch.Tensor,
        index_1R: torch.Tensor,
        tabular_1C: torch.Tensor,
        state_DH: torch.Tensor,
        hours_DW: torch.Tensor,
        filled_DW: torch.Tensor,
        keys_DNWH: torch.Tensor,
        values_DNWH: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        """`told_DMX` of the other end's last transactions, `absent_DM` where there are none and `gap_DM` hours since;
        `since_D` hours since the party's last event (-1 for none); `index_1R` each role's party among D (-1 for none);
        `tabular_1C` features for the head; `state_DH` after the party's last event; `hours_DW` since the remembered
        ones."""
        network, reader = self.network, self.network.reader
        z_1H = reader.own(token_1T)
        z_DH = reader.paired_with(z_1H.expand(role_D.shape[0], -1), told_DMX, absent_DM, gap_DM)
        x_DH = reader.read(z_DH, torch.zeros_like(role_D), role_D, since_D, torch.zeros_like(since_D))
        memory = Memory(keys=keys_DNWH, values=values_DNWH, filled=filled_DW)
        h_DH, keys_DNH, values_DNH = network.transformer.step(x_DH, hours_DW, memory)
        told_DH = h_DH
        if network.config.surprise:
            filled_DB = reader.binned(token_1T.expand(role_D.shape[0], -1), since_D)
            surprise_DG = network.teller.surprise(network.teller(state_DH, reader.role(role_D)), filled_DB)
            told_DH = torch.cat([h_DH, surprise_DG * (since_D >= 0)[:, None]], dim=1)
        logit = network.head(told_DH, index_1R, torch.cat([token_1T, tabular_1C], dim=1))
        return logit, reader.told(z_1H), z_DH, h_DH, keys_DNH, values_DNH


class LabelStep(nn.Module):
    """An outcome that became known: `After`."""

    def __init__(self, network: Fused) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        z_DH: torch.Tensor,
        kind_D: torch.Tensor,
        role_D: torch.Tensor,
        since_D: torch.Tensor,
        age_D: torch.Tensor,
        hours_DW: torch.Tensor,
        filled_DW: torch.Tensor,
        keys_DNWH: torch.Tensor,
        values_DNWH: torch.Tensor,
    ) -> After:
        """`z_DH` what each party saw of the labelled transaction, `age_D` hours since it; else as `TransactionStep`."""
        x_DH = self.network.reader.read(z_DH, kind_D, role_D, since_D, age_D)
        memory = Memory(keys=keys_DNWH, values=values_DNWH, filled=filled_DW)
        return self.network.transformer.step(x_DH, hours_DW, memory)
