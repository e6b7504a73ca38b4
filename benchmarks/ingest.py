"""Ingest: rows a second and peak memory, end to end and by stage; the feature stage against polars in the same run.

The tables are the simulator's, and the Fraud Detection Handbook's where it is found under `--data`. Peak memory is
that of all processes of the ingest together (Python, the JVM, its Python workers). The peer computes twelve window
columns of the transactions (count and mean amount over 1, 7 and 30 days, of source and target) with polars'
`rolling`, from and to Parquet; ours computes the same columns by the Spark job that an ingest runs. Polars takes
events as they happened: it knows no late arrivals, currencies or labels.

    python benchmarks/ingest.py --data DIR      the Handbook's 1.75 M rows, a million and 100,000 simulated ones
    python benchmarks/ingest.py --quick         100,000 simulated rows
"""

from __future__ import annotations

import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import psutil
import pyarrow.parquet as pq
from _report import Report, parser, stopwatch

from ingestion.features.job import features, wide_schema
from ingestion.features.spec import FeatureSpec, WindowFamily
from ingestion.ingest import ingest
from ingestion.jobs.parts import Parts, write_parts
from ingestion.mapping import load_mapping
from ingestion.simulator.config import SimulatorConfig
from ingestion.simulator.simulate import simulate, write
from ingestion.snapshot import Snapshot
from ingestion.spark import LOCAL, spark_session
from ingestion.workspace import Workspace

HANDBOOK = "fraud-handbook/transactions.parquet"
DAYS = (1, 7, 30)
SPEC = FeatureSpec(
    name="peer",
    event=(),
    windows=tuple(
        WindowFamily(role=role, days=DAYS, statistics=("count", "amount_mean")) for role in ("source", "target")
    ),
    label_windows=(),
)


class MemoryWatch:
    """The highest resident size of this process and all below it, sampled five times a second."""

    def __init__(self) -> None:
        self.peak = 0
        self._stop = threading.Event()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Sample while the block runs."""
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _run(self) -> None:
        own = psutil.Process()
        while not self._stop.wait(0.2):
            total = 0
            for process in [own, *own.children(recursive=True)]:
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.peak = max(self.peak, total)


def end_to_end(report: Report, name: str, source: Path, mapping: str, folder: Path, *, goal_seconds: float) -> Snapshot:
    """One ingest into a fresh workspace, with its rows in the report."""
    workspace, memory = Workspace.open(folder / name), MemoryWatch()
    with memory.watching(), stopwatch() as elapsed:
        result = ingest(workspace, source, load_mapping(mapping))
    snapshot = Snapshot.open(workspace)
    report.row(f"{name}: end to end", snapshot.manifest["num_transactions"] / elapsed(), "rows/s")
    for stage, seconds in result.seconds.items():
        report.row(f"{name}: {stage}", seconds, "s")
    report.row(f"{name}: peak memory", memory.peak / 2**30, "GiB")
    report.ratio(f"{name}: seconds end to end", elapsed(), at_most=goal_seconds)
    report.ratio(f"{name}: peak memory, GiB", memory.peak / 2**30, at_most=6)
    return snapshot


def our_features(snapshot: Snapshot, folder: Path) -> float:
    """Seconds of the Spark job for SPEC in a warm session."""
    transactions = snapshot.path / "transactions"
    counts = [pq.ParquetFile(path).metadata.num_rows for path in sorted(transactions.glob("*.parquet"))]
    parts = Parts(transactions, tuple(counts))
    with spark_session(LOCAL, scratch=folder / "spark") as session:
        for run in ("cold", "warm"):  # the JVM's start is not the feature stage
            with stopwatch() as elapsed:
                values, make = features(
                    parts.numbered(session, "position"),
                    session.read.parquet(str(snapshot.path / "labels")),
                    SPEC,
                    currencies=sorted(snapshot.arrays.currencies),
                    num_partitions=8,
                    num_rows=parts.total,
                )
                write_parts(values, [(folder / run, wide_schema(SPEC))], make=make)
        return elapsed()


def polars_features(snapshot: Snapshot, folder: Path) -> float:
    """Seconds of the same columns by polars."""
    with stopwatch() as elapsed:
        rows = (
            pl.scan_parquet(snapshot.path / "transactions" / "*.parquet")
            .select("event_time", "entity_source", "entity_target", amount=pl.col("amount_minor") / 100)
            .with_row_index("position")
            .collect()
        )
        wide = rows.select("position")
        for role in ("source", "target"):
            by_time = rows.sort(f"entity_{role}", "event_time")
            columns = {"position": by_time["position"]}
            for days in DAYS:
                window = by_time.rolling("event_time", period=f"{days}d", group_by=f"entity_{role}")
                found = window.agg(count=pl.len(), mean=pl.col("amount").mean())
                columns[f"{role}_count_{days}d"] = found["count"]
                columns[f"{role}_amount_mean_{days}d"] = found["mean"]
            wide = wide.join(pl.DataFrame(columns), on="position", how="left")
        wide.write_parquet(folder / "peer.parquet")
    return elapsed()


def main() -> int:
    """Run the benchmark; 1 when a goal is missed."""
    arguments = parser(__doc__, data="../shared/data").parse_args()
    sizes = {100_000: 30.0} if arguments.quick else {100_000: 30.0, 1_000_000: 110.0}
    report = Report(
        benchmark="ingest",
        config={"master": LOCAL, "quick": arguments.quick, "sizes": sorted(sizes), "window_days": DAYS},
        distributions=("pyspark", "pyarrow", "numba", "polars"),
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for size, goal in sizes.items():
            write(simulate(SimulatorConfig(num_transactions=size)), folder / f"table-{size}")
            source = folder / f"table-{size}" / "transactions.parquet"
            snapshot = end_to_end(report, f"simulated-{size}", source, "ringfence", folder, goal_seconds=goal)
        handbook = arguments.data / HANDBOOK
        if handbook.exists() and not arguments.quick:
            snapshot = end_to_end(report, "handbook", handbook, "fraud-handbook", folder, goal_seconds=110.0)
        ours, peer = our_features(snapshot, folder), polars_features(snapshot, folder)
        rows = snapshot.manifest["num_transactions"]
        report.row("feature stage, 12 columns, Spark", rows / ours, "rows/s")
        report.row("feature stage, 12 columns, polars", rows / peer, "rows/s")
        report.ratio("feature stage, seconds, ours : polars", ours / peer)
    return report.finish(arguments.json)


if __name__ == "__main__":
    sys.exit(main())
