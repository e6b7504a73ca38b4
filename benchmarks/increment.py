"""The second night: one per cent more rows on a million, as an increment and as everything in one go.

The table is the simulator's, cut in time: the last 1 % of its rows (by arrival) and what labels became known since
come in the second night. Measured: the seconds of the increment against those of a full ingest of everything in the
same run, the bytes that the new snapshot shares with its parent, and whether both hold the same, bit for bit.

    python benchmarks/increment.py             1,000,000 rows
    python benchmarks/increment.py --quick     100,000 rows
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from _report import Report, parser, stopwatch

from ingestion.ingest import ingest
from ingestion.mapping import load_mapping
from ingestion.simulator.config import SimulatorConfig
from ingestion.simulator.simulate import SimulatedTables, simulate
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace

SHARE = 0.01


def main() -> int:
    """Run it; returns the exit code."""
    arguments = parser(__doc__).parse_args()
    num_rows = 100_000 if arguments.quick else 1_000_000
    report = Report(
        benchmark="increment",
        config={"rows": num_rows, "second_night": SHARE, "quick": arguments.quick},
        distributions=("pyspark", "pyarrow"),
    )
    with tempfile.TemporaryDirectory() as folder:
        compare(report, num_rows, Path(folder))
    return report.finish(arguments.json)


def compare(report: Report, num_rows: int, folder: Path) -> None:
    """Two nights in one workspace, one go in another."""
    tables = simulate(SimulatorConfig(num_transactions=num_rows))
    cut = write_nights(tables, folder)
    mapping = load_mapping("ringfence")
    workspace = Workspace.open(folder / "nights")
    with stopwatch() as first:
        ingest(workspace, folder / "first" / "transactions.parquet", mapping)
    with stopwatch() as second:
        result = ingest(workspace, folder / "second" / "transactions.parquet", mapping)
    ours = Snapshot.open(workspace)
    for stage, seconds in result.seconds.items():
        report.row(f"second night, {stage}", seconds, "s")
    one_go = Workspace.open(folder / "one go")
    shutil.copytree(workspace.root / "secrets", one_go.root / "secrets")  # the same tokens
    with stopwatch() as full:
        ingest(one_go, folder / "all" / "transactions.parquet", mapping)
    theirs = Snapshot.open(one_go)
    shared, total = shared_bytes(ours)
    report.row("rows of the second night", num_rows - cut, "rows")
    report.row("first night", first(), "s")
    report.row("second night", second(), "s")
    report.row("everything in one go", full(), "s")
    report.row("bytes of the second snapshot", total / 1e6, "MB")
    report.row("of them shared with the first", shared / 1e6, "MB")
    report.ratio("bytes shared", shared / total, at_least=0.5)
    report.ratio("seconds, second night : one go", second() / full(), at_most=0.8)
    report.ratio("the same rows, labels and features, bit for bit (1 = yes)", same(ours, theirs), at_least=1)


def write_nights(tables: SimulatedTables, folder: Path) -> int:
    """Write both nights and everything; returns the rows of the first night."""
    transactions, labels = tables.transactions, tables.labels
    arrival = np.maximum(times(transactions, "event_time"), times(transactions, "known_at"))
    cut = round(len(arrival) * (1 - SHARE))
    end = int(np.partition(arrival, cut)[cut])
    is_first = arrival < end
    ids = transactions.column("transaction_id").filter(pa.array(is_first))
    told_first = np.isin(labels.column("transaction_id").to_numpy(), ids.to_numpy()) & (times(labels, "known_at") < end)
    for name, rows, its_labels in (
        ("first", is_first, told_first),
        ("second", ~is_first, ~told_first),
        ("all", np.ones(len(is_first), bool), np.ones(len(told_first), bool)),
    ):
        (folder / name).mkdir()
        for file, table, chosen in (("transactions", transactions, rows), ("labels", labels, its_labels)):
            pq.write_table(table.filter(pa.array(chosen)), folder / name / f"{file}.parquet", write_page_checksum=True)
    return int(is_first.sum())


def times(table: pa.Table, name: str) -> np.ndarray:
    """A column of times in µs."""
    return table.column(name).cast(pa.int64()).to_numpy()


def shared_bytes(snapshot: Snapshot) -> tuple[int, int]:
    """Bytes in files that another snapshot has too, and in all."""
    files = [path.stat() for path in snapshot.path.rglob("*") if path.is_file()]
    return sum(file.st_size for file in files if file.st_nlink > 1), sum(file.st_size for file in files)


def same(ours: Snapshot, theirs: Snapshot) -> float:
    """1.0 when both hold the same rows in one order, the same labels and features; dense ids are left out."""
    columns = ["transaction_id", "event_time", "available_at", "amount_minor", "source_key", "target_key"]
    return float(
        ours.manifest["rows_hash"] == theirs.manifest["rows_hash"]
        and ours.transactions(columns).equals(theirs.transactions(columns))
        and ours.labels().equals(theirs.labels())
        and ours.features().tobytes() == theirs.features().tobytes()
    )


if __name__ == "__main__":
    sys.exit(main())
