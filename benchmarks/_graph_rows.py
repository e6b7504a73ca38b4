"""Rows for the graph that no snapshot holds: payments to many merchants, one of which gets a fifth of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ingestion.graph.rows import ENTITY_COLUMNS, TRANSACTION_COLUMNS

HUB_SHARE = 0.2
REDELIVERED = 0.1
_MERCHANTS = 5_000
_ACCOUNTS = 40_000


@dataclass(frozen=True, kw_only=True)
class Payments:
    """Entities and transactions of one batch; `delivered` holds a tenth of the transactions twice, in any order."""

    entities: pa.Table
    transactions: pa.Table
    delivered: pa.Table

    @property
    def total_minor(self) -> int:
        """Sum of all amounts, each transaction once."""
        return int(np.sum(self.transactions.column("amount_minor").to_numpy()))


def payments(num_rows: int, *, first_id: int, batch: int, seed: int) -> Payments:
    """`num_rows` transactions; dense ids from `first_id` on."""
    rng = np.random.default_rng(seed)
    source = first_id + rng.integers(0, _ACCOUNTS, num_rows)
    target = first_id + _ACCOUNTS + rng.integers(0, _MERCHANTS, num_rows)
    target[rng.random(num_rows) < HUB_SHARE] = first_id + _ACCOUNTS
    at = 1_736_121_600_000_000 + np.sort(rng.integers(0, 10**13, num_rows))
    transactions = pa.table(
        [
            source,
            target,
            [f"payment-{batch}-{number}" for number in range(num_rows)],
            at,
            at,
            at,
            rng.integers(100, 100_000, num_rows),
            *(pa.array([text] * num_rows) for text in ("EUR", "payment", "approved")),
            pa.nulls(num_rows, pa.string()),
            pa.nulls(num_rows, pa.list_(pa.string())),
            np.full(num_rows, batch),
        ],
        names=list(TRANSACTION_COLUMNS),
    )
    again = rng.permutation(num_rows)[: int(num_rows * REDELIVERED)]
    order = rng.permutation(np.concatenate([np.arange(num_rows), again]))
    types = ["account"] * _ACCOUNTS + ["merchant"] * _MERCHANTS
    keys = [f"{kind}:{batch}-{number}" for number, kind in enumerate(types)]
    entities = pa.table(
        [first_id + np.arange(len(keys)), keys, np.full(len(keys), batch), types], names=list(ENTITY_COLUMNS)
    )
    return Payments(entities=entities, transactions=transactions, delivered=transactions.take(order))
