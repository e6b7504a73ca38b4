"""AMLSim's accounts: engineered features for trees, and a message-passing network over the transfers.

The network reads what a transfer says (amount, step) and the same plain facts of an account that trees get; no
neighbor feature, cycle count or label of another account.

Legend: V accounts, E transfers, F features, W width of a state.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp

from graphml.block import Block
from graphml.distributed import Ranks
from graphml.graph import Floats, Ints
from graphml.nn.aggregators import build_aggregator
from graphml.nn.edges import EdgeConfig
from graphml.nn.message_passing import EdgeMessage, MessageOnly, MessagePassing
from graphml.nn.piecewise import PiecewiseBins, PiecewiseLinearEncoding
from graphml.scaling import Scaler
from graphml.scorer import Doubles
from graphml.torch_first import torch
from graphml.trainer import fit
from graphml.trainer_config import TrainerConfig


@dataclass(frozen=True, kw_only=True)
class Accounts:
    """Transfers (E,) between accounts 0 … V - 1, and which accounts are fraudulent (V,)."""

    source: Ints
    target: Ints
    amount: Doubles
    step: Ints
    balance: Doubles
    is_fraud: np.ndarray

    @classmethod
    def read(cls, folder: Path) -> Accounts:
        """The public files of AMLSim, converted."""
        transfers = pd.read_parquet(folder / "transactions.parquet")
        accounts = pd.read_parquet(folder / "accounts.parquet").sort_values("nodeid")
        return cls(
            source=transfers.src.to_numpy(np.int64),
            target=transfers.dst.to_numpy(np.int64),
            amount=transfers.amount.to_numpy(np.float64),
            step=transfers.step.to_numpy(np.int64),
            balance=accounts.init_balance.to_numpy(np.float64),
            is_fraud=accounts.isFraud.to_numpy(bool),
        )

    def __len__(self) -> int:
        return len(self.is_fraud)

    def shuffled(self, *, seed: int) -> Accounts:
        """Every transfer keeps its payer and what it says, and every account its number of receipts; who pays whom is
        dealt anew."""
        return Accounts(**(vars(self) | {"target": np.random.default_rng(seed).permutation(self.target)}))

    def plain(self) -> Floats:
        """(V, F): what an account's own transfers say, paid and received: number, sum, mean, deviation, least, most of
        the amounts, distinct partners and amounts, first, last and spread of steps; then the ratio of the two sums."""
        frame = pd.DataFrame({"source": self.source, "target": self.target, "amount": self.amount, "step": self.step})
        columns: dict[str, pd.Series] = {"balance": pd.Series(self.balance)}
        for side, other in (("source", "target"), ("target", "source")):
            grouped = frame.groupby(side)
            for name in ("count", "sum", "mean", "std", "min", "max", "nunique"):
                columns[f"{side}_amount_{name}"] = getattr(grouped.amount, name)()
            for name in ("min", "max", "std"):
                columns[f"{side}_step_{name}"] = getattr(grouped.step, name)()
            columns[f"{side}_partners"] = grouped[other].nunique()
        table = pd.DataFrame({name: column.reindex(range(len(self))) for name, column in columns.items()})
        table["paid_to_received"] = table.source_amount_sum / table.target_amount_sum
        return table.to_numpy(np.float32)

    def traced(self) -> np.ndarray:
        """Accounts (V,) that have paid or received a transfer of an unusual amount or of a repeated pair.

        Every account that is not fraudulent pays one amount for ever, and each of its partners once: what is left of a
        planted pattern in the transfers is this. For analysis only.
        """
        frame = pd.DataFrame({"source": self.source, "target": self.target, "amount": self.amount})
        usual = frame.groupby("source").amount.agg(lambda amounts: amounts.mode().iloc[0])
        repeated = frame.groupby(["source", "target"]).amount.transform("size") > 1
        unusual = (frame.amount != usual.reindex(frame.source).to_numpy()) | repeated
        traced = np.zeros(len(self), bool)
        traced[frame.source[unusual]] = True
        traced[frame.target[unusual]] = True
        return traced

    def engineered(self) -> Floats:
        """(V, K): `plain`, its means over payees and payers at one and two hops, and cycles of 2, 3 and 4 transfers
        through the account."""
        num = len(self)
        pays = sp.csr_matrix((np.ones(len(self.source)), (self.source, self.target)), (num, num))
        pays.data[:] = 1.0
        plain = self.plain()
        once = _both_means(pays, np.nan_to_num(plain))
        two = pays @ pays
        cycles = [np.asarray(paths.multiply(pays.T).sum(axis=1)) for paths in (pays, two, two @ pays)]
        return np.concatenate([plain, once, _both_means(pays, once), *cycles], axis=1).astype(np.float32)


def _both_means(pays: sp.csr_matrix, table: np.ndarray) -> np.ndarray:
    parts = []
    for matrix in (pays, pays.T.tocsr()):
        degree = np.maximum(np.asarray(matrix.sum(axis=1)), 1.0)
        parts.append((matrix @ table) / degree)
    return np.concatenate(parts, axis=1)


class AccountNetwork(torch.nn.Module):
    """States of accounts after `num_layers` hops over payees and payers, each with weights of its own -> logits (V,).

    A message sees both ends and what the transfer says. The head reads the states of all layers.
    """

    def __init__(self, num_inputs: int, num_attributes: int, *, width: int, num_layers: int, dropout: float) -> None:
        super().__init__()
        self.first = torch.nn.Linear(num_inputs, width)
        self.hops = torch.nn.ModuleList(
            torch.nn.ModuleList(_relation(width, num_attributes) for _ in range(2)) for _ in range(num_layers)
        )
        self.own = torch.nn.ModuleList(torch.nn.Linear(width, width) for _ in range(num_layers))
        self.norms = torch.nn.ModuleList(torch.nn.LayerNorm(width) for _ in range(num_layers))
        self.dropout = torch.nn.Dropout(dropout)
        self.head = torch.nn.Sequential(
            torch.nn.Linear(width * (num_layers + 1), width), torch.nn.ReLU(), torch.nn.Linear(width, 1)
        )

    def forward(self, x_VF: torch.Tensor, relations: tuple[Block, Block]) -> torch.Tensor:
        """See the class."""
        h_VW, no_table = self.first(x_VF), x_VF.new_zeros(0, 0)
        states = [h_VW]
        for hop, own, norm in zip(self.hops, self.own, self.norms, strict=True):
            messages = [layer(block, h_VW, no_table) for layer, block in zip(hop, relations, strict=True)]
            h_VW = h_VW + torch.relu(self.dropout(norm(own(h_VW) + messages[0] + messages[1])))
            states.append(h_VW)
        logits: torch.Tensor = self.head(torch.cat(states, dim=1))
        return logits.squeeze(1)


def _relation(width: int, num_attributes: int) -> MessagePassing:
    message = EdgeMessage(width, (width,), edge=EdgeConfig(num_attributes=num_attributes), query_width=width)
    aggregator = build_aggregator(("sum",), width)
    return MessagePassing(message, aggregator, MessageOnly(aggregator.out_width, width))


@dataclass(kw_only=True)
class AccountLearner:
    """See `graphml.trainer.Learner`; ids are accounts, one step an epoch over the whole graph."""

    network: AccountNetwork
    x_VF: torch.Tensor
    relations: tuple[Block, Block]
    train: Ints
    targets_V: torch.Tensor

    def epoch(self, number: int) -> Ints:
        """All training accounts."""
        return self.train

    def loss(self, module: torch.nn.Module, ids: Ints) -> torch.Tensor:
        """Sum of the cross-entropies of accounts `ids`."""
        rows = torch.from_numpy(ids)
        logits = module(self.x_VF, self.relations)[rows]
        return torch.nn.functional.binary_cross_entropy_with_logits(logits, self.targets_V[rows], reduction="sum")

    def judge(self) -> float | None:
        """Nothing tells epochs apart."""
        return None


def account_logits(accounts: Accounts, train: Ints, *, epochs: int, seed: int) -> Doubles:
    """Logits (V,) of all accounts by a network that was told the outcome of accounts `train` alone."""
    facts = np.stack([accounts.amount, accounts.step], axis=1).astype(np.float32)
    codes = PiecewiseLinearEncoding(PiecewiseBins.fit(facts, num_bins=16))(torch.from_numpy(facts))
    scaled = torch.from_numpy(Scaler.fit(facts, compress=True)(facts))
    edge_EA = torch.cat([codes, scaled], dim=1)
    ends = [torch.from_numpy(end) for end in (accounts.source, accounts.target)]
    sizes = {"num_sources": len(accounts), "num_targets": len(accounts), "edge_EA": edge_EA}
    plain = accounts.plain()
    inputs = Scaler.fit(plain, compress=True)(plain)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = AccountNetwork(inputs.shape[1], edge_EA.shape[1], width=32, num_layers=3, dropout=0.2)
    learner = AccountLearner(
        network=network,
        x_VF=torch.from_numpy(inputs),
        relations=(Block.from_edges(ends[1], ends[0], **sizes), Block.from_edges(ends[0], ends[1], **sizes)),
        train=train,
        targets_V=torch.from_numpy(accounts.is_fraud.astype(np.float32)),
    )
    config = TrainerConfig(
        epochs=epochs, batch_size=len(train), learning_rate=1e-2, weight_decay=1e-3, final_share=0.0, seed=seed
    )
    fit(learner, config, ranks=Ranks())  # the graph lies in main memory
    with torch.inference_mode():
        return network(learner.x_VF, learner.relations).numpy().astype(np.float64)
