"""Simulator: rows a second on one core, against a row-by-row generator measured in the same run.

The peer generates the way the Fraud Detection Handbook's published simulator does: for each customer and each day a
Poisson number of transactions, each drawn by itself, gathered in lists, one pandas frame a customer (Le Borgne et
al., "Reproducible Machine Learning for Credit Card Fraud Detection", chapter 3). It has seven columns and no
identities, devices, habits or planted cases, so the comparison favours it.

    python benchmarks/simulate.py            a million transactions
    python benchmarks/simulate.py --quick    a hundred thousand
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from _report import Report, parser, peak_memory_bytes, stopwatch

from ingestion.simulator.config import SimulatorConfig
from ingestion.simulator.simulate import simulate, write

PEER_CUSTOMERS = 500


def handbook_style(num_customers: int, days: int, *, seed: int) -> pd.DataFrame:
    """Transactions one by one, as the Handbook's `generate_customer_transactions_table` does."""
    rng = np.random.default_rng(seed)
    frames = []
    for customer in range(num_customers):
        mean_amount, per_day = rng.uniform(5, 100), rng.uniform(0, 1.2)
        terminals = rng.integers(0, 1_000, size=20)
        rows = []
        for day in range(days):
            for _ in range(rng.poisson(per_day)):
                second = int(rng.normal(43_200, 20_000))
                if 0 < second < 86_400:
                    amount = rng.normal(mean_amount, mean_amount / 2)
                    amount = rng.uniform(0, mean_amount * 2) if amount < 0 else amount
                    terminal = rng.choice(terminals)
                    rows.append([second + day * 86_400, day, customer, terminal, np.round(amount, decimals=2)])
        frame = pd.DataFrame(
            rows, columns=["TX_TIME_SECONDS", "TX_TIME_DAYS", "CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT"]
        )
        frame["TX_DATETIME"] = pd.Timestamp("2025-01-06") + pd.to_timedelta(
            frame["TX_TIME_SECONDS"].astype("int64"), unit="s"
        )
        frames.append(frame)
    table = pd.concat(frames).sort_values("TX_DATETIME", ignore_index=True)
    table.insert(0, "TRANSACTION_ID", table.index)
    return table


def main() -> int:
    """Run the benchmark; 1 when a goal is missed."""
    arguments = parser(__doc__).parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # the goal is for one core
    pa.set_cpu_count(1)
    sizes = [100_000] if arguments.quick else [100_000, 1_000_000]
    report = Report(
        benchmark="simulate",
        config={"quick": arguments.quick, "peer_customers": PEER_CUSTOMERS} | SimulatorConfig().as_dict(),
        distributions=("numpy", "pandas", "pyarrow"),
    )
    for size in sizes:
        speed = _ours(report, size)
    with stopwatch() as elapsed:
        table = handbook_style(PEER_CUSTOMERS, SimulatorConfig().days, seed=0)
    peer = len(table) / elapsed()
    report.row("row by row (7 columns, no fraud), rows/s", peer, "rows/s")
    report.row("peak memory", peak_memory_bytes() / 2**20, "MiB")
    report.ratio("rows/s, simulator : row by row", speed / peer, at_least=2.0)
    return report.finish(arguments.json)


def _ours(report: Report, size: int) -> float:
    """Simulate and write `size` transactions; rows a second of both together."""
    with tempfile.TemporaryDirectory() as folder:
        with stopwatch() as simulating:
            tables = simulate(SimulatorConfig(num_transactions=size))
        with stopwatch() as writing:
            write(tables, Path(folder))
        megabytes = sum(path.stat().st_size for path in Path(folder).iterdir()) / 1e6
    seconds = simulating() + writing()
    report.row(f"simulate {size:,}", simulating(), "s")
    report.row(f"write {size:,} as Parquet", writing(), "s")
    report.row(f"size on disk, {size:,}", megabytes, "MB")
    report.row(f"simulator, {size:,} (21 columns, labels, truth)", size / seconds, "rows/s")
    report.ratio(f"seconds for {size:,}, one core", seconds, at_most=60.0 if size > 100_000 else 5.0)
    return size / seconds


if __name__ == "__main__":
    sys.exit(main())
