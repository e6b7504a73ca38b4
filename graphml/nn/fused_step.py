"""One event of the fused network, from what is remembered of its parties: what ONNX holds and the online scorer runs.

The numbers are those of `Fused` over whole windows. Plain tensors in and out, so that both steps export.

Legend: D parties of the event, R roles, T width of a token, M last transactions of the other end, W window, N blocks,
H width of a state.
"""

from __future__ import annotations

from torch import nn

from graphml.nn.fused import Fused
from graphml.nn.transformer import Memory
from graphml.torch_first import torch

#: What a step gives of each party: the state after the event (D, H), its keys and its values (D, N, H).
After = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class TransactionStep(nn.Module):
    """Scores a transaction: logit (1,), what each party sees of it (D, H), and `After`."""

    def __init__(self, network: Fused) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        token_1T: torch.Tensor,
        near_DMT: torch.Tensor,
        absent_DM: torch.Tensor,
        gap_DM: torch.Tensor,
        role_D: torch.Tensor,
        since_D: torch.Tensor,
        index_1R: torch.Tensor,
        state_DH: torch.Tensor,
        hours_DW: torch.Tensor,
        filled_DW: torch.Tensor,
        keys_DNWH: torch.Tensor,
        values_DNWH: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        """`near_DMT` tokens of the other end's last transactions, `absent_DM` where there are none and `gap_DM` hours
        since; `since_D` hours since the party's last event (-1 for none); `index_1R` each role's party among D (-1 for
        none); `state_DH` after the party's last event; `hours_DW` since the remembered ones."""
        network, reader = self.network, self.network.reader
        token_UT = torch.cat([token_1T, near_DMT.flatten(0, 1)])
        number_DM = torch.arange(1, 1 + near_DMT.shape[1], device=token_1T.device)
        number_DM = number_DM + near_DMT.shape[1] * torch.arange(near_DMT.shape[0], device=token_1T.device)[:, None]
        near_DM = torch.where(absent_DM, -1, number_DM)
        z_DH = reader.paired(token_UT, torch.zeros_like(role_D), near_DM, gap_DM)
        x_DH = reader.read(z_DH, torch.zeros_like(role_D), role_D, since_D, torch.zeros_like(since_D))
        memory = Memory(keys=keys_DNWH, values=values_DNWH, filled=filled_DW)
        h_DH, keys_DNH, values_DNH = network.transformer.step(x_DH, hours_DW, memory)
        told_DH = h_DH
        if network.config.surprise:
            filled_DB = reader.binned(token_1T.expand(role_D.shape[0], -1), since_D)
            surprise_DG = network.teller.surprise(network.teller(state_DH, reader.role(role_D)), filled_DB)
            told_DH = torch.cat([h_DH, surprise_DG * (since_D >= 0)[:, None]], dim=1)
        logit = network.head(told_DH, index_1R, token_1T)
        return logit, z_DH, h_DH, keys_DNH, values_DNH


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
