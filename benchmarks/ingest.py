"""Ingest: rows a second and peak memory, end to end and by stage; the feature stage against polars in the same run.

The tables are the simulator's, and the Fraud Detection Handbook's where it is found under `--data`. Peak memory is
that of all processes of the ingest together (Python, the JVM, its Python workers). The feature stage makes twenty
columns (count, sum, mean, maximum and deviation of amounts over 1 and 7 days, of source and target) of five million
random transactions with polars' `rolling`, from and to Parquet; ours makes the same by the Spark job that an ingest
runs, with two cores each. Polars takes events as they happened: it knows no late arrivals, currencies or labels. How
CPU time grows is measured on a million rows and on eight, in a session that has run the job before; what skew costs, on
a million rows of which a fifth have one payee.

    python benchmarks/ingest.py --data DIR                    all of it: about half an hour
    python benchmarks/ingest.py --part features               the feature stage alone: two minutes
    python benchmarks/ingest.py --quick                       100,000 simulated rows, a million of features
"""

from __future__ import annotations

import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from _report import Report, parser, stopwatch
from pyspark.sql import SparkSession

from ingestion.contracts import TIMESTAMP
from ingestion.features.job import FeatureJob, wide_schema
from ingestion.features.spec import Family, FeatureSpec
from ingestion.ingest import ingest
from ingestion.jobs.parts import Parts, part_name, write_parts
from ingestion.mapping import load_mapping
from ingestion.simulator.config import SimulatorConfig
from ingestion.simulator.simulate import simulate, write
from ingestion.snapshot import Snapshot
from ingestion.spark import LOCAL, spark_session
from ingestion.workspace import Workspace

HANDBOOK = "fraud-handbook/transactions.parquet"
DAYS = (1, 7)
HUB_SHARE = 0.2
ROLES = ("source", "target")
STATISTICS = {"count": "count", "amount_sum": "sum", "amount_mean": "mean", "amount_max": "max", "amount_std": "std"}
SPEC = FeatureSpec(
    name="peer",
    families=(
        Family(kind="windows", roles=ROLES, windows=tuple(f"{days}d" for days in DAYS), statistics=tuple(STATISTICS)),
    ),
)
DAY = 86_400_000_000
ROWS_A_FILE = 262_144
LABELS = "position bigint, known_at timestamp, label string, entity_source bigint, entity_target bigint"


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


def cpu_seconds() -> float:
    """CPU time so far of this process, all below it, and those of them that have ended."""
    own = psutil.Process()
    total = 0.0
    for process in [own, *own.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def end_to_end(report: Report, name: str, source: Path, mapping: str, folder: Path, *, goal: float | None) -> None:
    """One ingest into a fresh workspace, with its rows in the report."""
    workspace, memory = Workspace.open(folder / name), MemoryWatch()
    with memory.watching(), stopwatch() as elapsed:
        result = ingest(workspace, source, load_mapping(mapping))
    snapshot = Snapshot.open(workspace)
    report.row(f"{name}: features", len(snapshot.spec.names), "columns")
    report.row(f"{name}: end to end", snapshot.manifest["num_transactions"] / elapsed(), "rows/s")
    for stage, seconds in result.seconds.items():
        report.row(f"{name}: {stage}", seconds, "s")
    report.row(f"{name}: peak memory", memory.peak / 2**30, "GiB")
    report.row(f"{name}: seconds end to end", elapsed(), "s")
    if goal is not None:
        report.ratio(f"{name}: seconds end to end", elapsed(), at_most=goal)


def random_table(num_rows: int, folder: Path, *, hub_share: float = 0.0) -> Parts:
    """Transactions as they lie in a snapshot: a payer has 200 of them in 180 days, a payee 500, the hub its share."""
    rng = np.random.default_rng(num_rows)
    folder.mkdir()
    times = 1_735_689_600_000_000 + np.sort(rng.integers(0, 180 * DAY, num_rows))
    counts = []
    for number, begin in enumerate(range(0, num_rows, ROWS_A_FILE)):
        rows = slice(begin, min(begin + ROWS_A_FILE, num_rows))
        num = rows.stop - rows.start
        payee = rng.integers(0, max(1, num_rows // 500), num)
        payee[rng.random(num) < hub_share] = 0
        table = pa.table(
            {
                "transaction_id": [f"t{row:09d}" for row in range(rows.start, rows.stop)],
                "event_time": pa.array(times[rows]).cast(TIMESTAMP),
                "available_at": pa.array(times[rows]).cast(TIMESTAMP),
                "amount_minor": rng.integers(100, 100_000, num),
                "currency": pa.repeat("EUR", num),
                "kind": pa.repeat("payment", num),
                "outcome": pa.repeat("approved", num),
                "entity_source": rng.integers(0, max(1, num_rows // 200), num),
                "entity_target": num_rows + payee,
            }
        )
        pq.write_table(table, folder / part_name(number), compression="zstd", compression_level=1)
        counts.append(num)
    return Parts(folder, tuple(counts))


def our_features(session: SparkSession, parts: Parts, out: Path) -> None:
    """The Spark job for SPEC, written as parts."""
    job = FeatureJob(
        spec=SPEC, roles=ROLES, currencies=("EUR",), transactions=parts, folder=out, work=out.with_suffix(".work")
    )
    values, make = job.values(session, session.createDataFrame([], LABELS))
    write_parts(values, [(out, wide_schema(SPEC))], make=make)


def polars_features(parts: Parts, out: Path) -> None:
    """The same columns by polars."""
    rows = (
        pl.scan_parquet(parts.folder / "*.parquet")
        .select("transaction_id", "event_time", "entity_source", "entity_target", amount=pl.col("amount_minor") / 100)
        .with_row_index("position")
        .collect()
    )
    wide = rows.select("position", "transaction_id")
    amount = pl.col("amount")
    for role in ROLES:
        by_time = rows.sort(f"entity_{role}", "event_time")
        columns = {"position": by_time["position"]}
        for days in DAYS:
            window = by_time.rolling("event_time", period=f"{days}d", group_by=f"entity_{role}")
            found = window.agg(
                count=pl.len(), sum=amount.sum(), mean=amount.mean(), max=amount.max(), std=amount.std(ddof=0)
            )
            columns |= {f"{role}_{ours}_{days}d": found[theirs] for ours, theirs in STATISTICS.items()}
        wide = wide.join(pl.DataFrame(columns), on="position", how="left")
    wide.drop("position").write_parquet(out, compression="zstd", compression_level=1)


def same_values(ours: Path, theirs: Path) -> float:
    """Largest difference of the two tables, relative to the values."""
    left, right = pl.read_parquet(ours / "*.parquet"), pl.read_parquet(theirs)
    assert left["transaction_id"].equals(right["transaction_id"]), "the same rows in the same order"
    worst = 0.0
    for name in SPEC.names:
        a, b = left[name].to_numpy().astype(float), right[name].to_numpy().astype(float)
        # A deviation of equal amounts is zero in one arithmetic and a rounding error in the other.
        worst = max(worst, float((np.abs(a - b) / np.maximum(np.abs(b), 1.0)).max()))
    return worst


def feature_stage(report: Report, folder: Path, *, num_rows: int, growth: tuple[int, int]) -> None:
    """Twenty columns against polars, then how CPU time grows."""
    with spark_session(LOCAL, scratch=folder / "spark") as session:
        small = random_table(growth[0], folder / "small")
        our_features(session, small, folder / "cold")  # the start of the JVM and the workers is not the stage
        parts = random_table(num_rows, folder / "table")
        with stopwatch() as ours:
            our_features(session, parts, folder / "ours")
        with stopwatch() as peer:
            polars_features(parts, folder / "peer.parquet")
        report.row(f"feature stage, 20 columns, {num_rows:,} rows, Spark", num_rows / ours(), "rows/s")
        report.row(f"feature stage, 20 columns, {num_rows:,} rows, polars", num_rows / peer(), "rows/s")
        difference = same_values(folder / "ours", folder / "peer.parquet")
        report.ratio("feature stage, largest relative difference of values", difference, at_most=1e-4)
        report.ratio("feature stage, seconds, ours : polars", ours() / peer(), at_most=2.5)
        skewed = random_table(growth[0], folder / "skewed", hub_share=HUB_SHARE)
        seconds = {}
        for name, table in (("even", small), ("skewed", skewed)):
            with stopwatch() as elapsed:
                our_features(session, table, folder / f"features-{name}")
            seconds[name] = elapsed()
        report.row(f"feature stage, {growth[0]:,} rows, one payee with 20 % of them", seconds["skewed"], "s")
        ratio = seconds["skewed"] / seconds["even"]
        report.ratio("feature stage, seconds, one payee with 20 % of the rows : none", ratio)
        each = {}
        for rows in growth:
            table = small if rows == growth[0] else random_table(rows, folder / f"grown-{rows}")
            before = cpu_seconds()
            our_features(session, table, folder / f"features-{rows}")
            each[rows] = (cpu_seconds() - before) / rows
            report.row(f"feature stage, {rows:,} rows, CPU", 1e6 * each[rows], "µs/row")
        report.ratio(
            f"feature stage, CPU a row, {growth[1]:,} : {growth[0]:,} rows", each[growth[1]] / each[growth[0]],
            at_most=1.2,
        )  # fmt: skip


def main() -> int:
    """Run the benchmark; 1 when a goal is missed."""
    words = parser(__doc__, data="../shared/data")
    words.add_argument("--part", choices=("features", "tables"), help="one part alone")
    arguments = words.parse_args()
    sizes = {100_000: None} if arguments.quick else {100_000: None, 1_000_000: None, 5_000_000: None}
    num_rows, growth = (1_000_000, (100_000, 800_000)) if arguments.quick else (5_000_000, (1_000_000, 8_000_000))
    report = Report(
        benchmark="ingest",
        config={
            "master": LOCAL,
            "quick": arguments.quick,
            "part": arguments.part,
            "sizes": sorted(sizes),
            "window_days": DAYS,
        },
        distributions=("pyspark", "pyarrow", "numba", "polars"),
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if arguments.part != "tables":
            feature_stage(report, folder, num_rows=num_rows, growth=growth)
        for size, goal in sizes.items() if arguments.part != "features" else ():
            write(simulate(SimulatorConfig(num_transactions=size)), folder / f"table-{size}")
            source = folder / f"table-{size}" / "transactions.parquet"
            end_to_end(report, f"simulated-{size}", source, "ringfence", folder, goal=goal)
        handbook = arguments.data / HANDBOOK
        if handbook.exists() and not arguments.quick and arguments.part != "features":
            end_to_end(report, "handbook", handbook, "fraud-handbook", folder, goal=110.0)
    return report.finish(arguments.json)


if __name__ == "__main__":
    sys.exit(main())
