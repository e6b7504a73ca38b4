"""Data inspection: a million rows through all twelve checks, and what is found on tables whose truth is known.

The peer is what people do by hand: pandas describes each column and scikit-learn ranks the classes by each column
alone (numbers as they are, other columns by the share of fraud of their values), on the same file in the same run.

    python benchmarks/inspection.py --data DIR            a million rows, three simulated banks, the Handbook table
    python benchmarks/inspection.py --data DIR --quick    a hundred thousand rows and smaller banks
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from _report import Report, parser, peak_memory_bytes, stopwatch
from sklearn.metrics import roc_auc_score

from ingestion.inspection import Inspection, inspect_table
from ingestion.mapping import load_mapping
from ingestion.simulator.config import SimulatorConfig
from ingestion.simulator.simulate import simulate, write

TABLE = Path("fraud-handbook/transactions.parquet")
#: (check, columns, plausible, severity) of what the Handbook table must give, and nothing else.
HANDBOOK = {
    ("outcome_columns", ("TX_FRAUD_SCENARIO",), False, "serious"),
    ("single_columns", ("TX_AMOUNT",), True, "warning"),
}
SEEDS = (101, 102, 103)
REPEATS = 3


def main() -> int:
    """Run the benchmark; 1 when a goal is missed."""
    arguments = parser(__doc__, data="data").parse_args()
    table = arguments.data / TABLE
    if not table.exists():
        print(f"{table} does not exist: give the folder of the public data sets by --data.", file=sys.stderr)
        return 1
    rows, bank = (100_000, 20_000) if arguments.quick else (1_000_000, 100_000)
    report = Report(
        benchmark="inspection",
        config={"rows": rows, "bank": bank, "seeds": SEEDS, "repeats": REPEATS, "quick": arguments.quick},
        distributions=("numpy", "pandas", "pyarrow", "scikit-learn", "scipy"),
    )
    with tempfile.TemporaryDirectory() as name:
        _speed(report, Path(name), rows)
        for seed in SEEDS:
            _bank(report, Path(name), bank, seed)
    _handbook(report, table)
    return report.finish(arguments.json)


def _speed(report: Report, folder: Path, rows: int) -> None:
    path, labels = _simulated(folder, rows, seed=0)
    mapping, seconds = load_mapping("ringfence"), []
    for _ in range(REPEATS):
        with stopwatch() as elapsed:
            found = inspect_table(path, mapping)
        seconds.append(elapsed())
    ours = statistics.median(seconds)
    report.row(f"inspect {rows:,} rows, median", ours, "s", low=min(seconds), high=max(seconds))
    for check, spent in found.seconds.items():
        report.row(f"of it {check}", spent, "s")
    report.row("peak memory", peak_memory_bytes() / 2**20, "MiB")
    with stopwatch() as elapsed:
        columns = column_by_column(path, labels)
    report.row(f"column by column (pandas, scikit-learn), {columns} columns", elapsed(), "s")
    report.ratio(f"seconds for {rows:,} rows", ours, at_most=60.0)
    report.ratio("seconds, twelve checks : column by column", ours / elapsed())


def column_by_column(path: Path, labels: pa.Table) -> int:
    """Describe each column and rank the classes by it alone; the number of columns."""
    frame = pd.read_parquet(path)
    frauds = labels.filter(pc.equal(labels.column("label"), "fraud")).column("transaction_id").to_pylist()
    fraud = frame["transaction_id"].isin(set(frauds)).to_numpy()
    for name in frame.columns:
        column = frame[name]
        column.describe()
        if pd.api.types.is_numeric_dtype(column):
            scores = column.fillna(column.median()).to_numpy(float)
        else:
            codes, _ = pd.factorize(column)
            frequency = np.bincount(codes + 1, weights=fraud) / np.maximum(np.bincount(codes + 1), 1)
            scores = frequency[codes + 1]
        roc_auc_score(fraud, scores)
    return len(frame.columns)


def _bank(report: Report, folder: Path, rows: int, seed: int) -> None:
    """A simulated bank as it is, and with a column that is filled once a fraud is known."""
    path, labels = _simulated(folder, rows, seed=seed)
    mapping = load_mapping("ringfence")
    clean = inspect_table(path, mapping)
    _tell(report, f"simulated bank, seed {seed}", clean)
    report.ratio(f"findings, seed {seed}", len(clean.findings), at_most=0)
    raw = pq.read_table(path)
    frauds = labels.filter(pc.equal(labels.column("label"), "fraud")).column("transaction_id").combine_chunks()
    disputed = pc.is_in(raw.column("transaction_id"), value_set=frauds)
    pq.write_table(raw.append_column("dispute", pc.if_else(disputed, "opened", None)), path)
    found = inspect_table(path, mapping).findings
    told = [finding for finding in found if finding.check == "outcome_columns" and finding.columns == ("dispute",)]
    report.ratio(f"planted outcome column found, seed {seed}", len(told), at_least=1)
    report.ratio(f"other findings beside the planted one, seed {seed}", len(found) - len(told), at_most=0)


def _handbook(report: Report, table: Path) -> None:
    with stopwatch() as elapsed:
        found = inspect_table(table, load_mapping("fraud-handbook"))
    report.row(f"inspect the Handbook table ({found.num_rows:,} rows)", elapsed(), "s")
    _tell(report, "Handbook", found)
    seen = {(finding.check, finding.columns, finding.plausible, finding.severity) for finding in found.findings}
    report.ratio("Handbook: findings that must be there, of 2", len(seen & HANDBOOK), at_least=2)
    report.ratio("Handbook: findings in all", len(found.findings), at_most=2)


def _tell(report: Report, name: str, inspection: Inspection) -> None:
    report.row(f"{name}: frauds", inspection.num_frauds, "")
    for finding in inspection.findings:
        print(f"{name}: {finding.severity}{', plausible' if finding.plausible else ''}: {finding.what}")


def _simulated(folder: Path, rows: int, *, seed: int) -> tuple[Path, pa.Table]:
    """The transactions' file of a simulated bank, and its labels."""
    tables = simulate(SimulatorConfig(num_transactions=rows, seed=seed))
    write(tables, folder)
    return folder / "transactions.parquet", tables.labels


if __name__ == "__main__":
    sys.exit(main())
