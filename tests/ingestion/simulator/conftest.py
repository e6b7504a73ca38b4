"""One small simulation, made once for all tests of this folder."""

from __future__ import annotations

from typing import Any

import pytest

from ingestion.simulator.config import SimulatorConfig
from ingestion.simulator.simulate import SimulatedTables, simulate

Rows = list[dict[str, Any]]


@pytest.fixture(scope="session")
def tables() -> SimulatedTables:
    """60,000 transactions, one in fifty fraudulent, so that every typology has many cases."""
    return simulate(SimulatorConfig(num_transactions=60_000, fraud_rate=0.02, seed=5))


@pytest.fixture(scope="session")
def rows(tables: SimulatedTables) -> Rows:
    """Transactions joined with their truth, in order of time; do not change them."""
    truth = tables.truth.drop_columns(["transaction_id"]).to_pylist()
    return [row | fact for row, fact in zip(tables.transactions.to_pylist(), truth, strict=True)]


@pytest.fixture(scope="session")
def cases(rows: Rows) -> dict[str, list[Rows]]:
    """Typology -> its cases, each a list of rows in order of time."""
    found: dict[str, dict[str, Rows]] = {}
    for row in rows:
        if row["is_fraud"]:
            found.setdefault(row["typology"], {}).setdefault(row["case_id"], []).append(row)
    return {typology: list(by_case.values()) for typology, by_case in found.items()}
