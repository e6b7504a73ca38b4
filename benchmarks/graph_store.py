"""The graph store: first load, upserts from Spark, and 2-hop neighborhoods beside the same Cypher laid bare.

First load: `load_graph` of a snapshot of the simulator's table into a fresh store, to the counts at its end; the
importer's part (the CSV files and `database import`) is told apart.

Upserts: new payments into that store, one merchant with a fifth of them, a tenth delivered twice, in any order; by
Spark in block rounds, by Spark from random partitions, and by one writer. Spark's start, its first small write
included, is told apart.

Neighborhoods: of sources of random transactions, as of these. The peer runs the same Cypher with neither constraints
nor indexes and without the hub policy, on some of the same questions, each read ended after a while.

    python benchmarks/graph_store.py            2,000,000 transactions, 200,000 upserts, 500 neighborhoods
    python benchmarks/graph_store.py --quick    100,000, 20,000 and 100
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import neo4j
import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
from _graph_rows import HUB_SHARE, REDELIVERED, Payments, payments
from _report import Report, parser, stopwatch
from pyspark.sql import DataFrame, SparkSession

from ingestion import native
from ingestion.contracts import PartyRef
from ingestion.errors import GraphTimeout
from ingestion.graph import queries, server
from ingestion.graph.driver import LOAD_PATIENCE_SECONDS, connect
from ingestion.graph.endpoint import Endpoint
from ingestion.graph.load import SPARK_ROWS, load_graph
from ingestion.graph.neo4j_store import Neo4jStore
from ingestion.graph.queries import UPSERT_TRANSACTIONS
from ingestion.graph.spark_writer import write_in_rounds, written
from ingestion.graph.upsert import chunks
from ingestion.ingest import ingest
from ingestion.mapping import load_mapping
from ingestion.simulator.config import SimulatorConfig
from ingestion.simulator.simulate import simulate, write
from ingestion.snapshot import Snapshot
from ingestion.spark import LOCAL, parallelism, spark_session
from ingestion.workspace import Workspace

_FIRST_ID = 10**9
_HOPS, _LIMIT = 2, 50
_NO_LIMIT = 2**31 - 1
_OUT_OF_MEMORY = "Neo.TransientError.General.MemoryPoolOutOfMemoryError"
_COUNT = """
MATCH ()-[t:TRANSACTED]->() WHERE t.batch = $batch RETURN count(t), count(DISTINCT t.tx), sum(t.amount_minor)
"""
_SCHEMA = (
    "DROP CONSTRAINT entity_id",
    "DROP CONSTRAINT entity_key",
    "DROP CONSTRAINT transacted_tx",
    "DROP INDEX transacted_available_at",
)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much of everything; the peer of the neighborhoods gets `num_peer` of them, ended after `peer_seconds`."""

    num_transactions: int
    num_upserts: int
    num_neighborhoods: int
    num_peer: int
    peer_seconds: float


FULL = Sizes(num_transactions=2_000_000, num_upserts=200_000, num_neighborhoods=500, num_peer=10, peer_seconds=20.0)
QUICK = Sizes(num_transactions=100_000, num_upserts=20_000, num_neighborhoods=100, num_peer=10, peer_seconds=5.0)


def first_load(report: Report, workspace: Workspace, num_transactions: int) -> Snapshot:
    """Simulate and ingest, then time the load of the graph."""
    with tempfile.TemporaryDirectory() as folder:
        write(simulate(SimulatorConfig(num_transactions=num_transactions)), Path(folder))
        ingest(workspace, Path(folder) / "transactions.parquet", load_mapping("ringfence"))
    snapshot = Snapshot.open(workspace)
    began: dict[str, float] = {}

    def note(doing: str, fraction: float) -> None:
        began.setdefault(doing.partition(" ")[0], time.perf_counter())

    with stopwatch() as elapsed:
        contents = load_graph(workspace, snapshot, workspace.settings(), progress=note)
    relationships = contents.transactions + contents.uses + contents.links
    importing = began["starting"] - began["importing"]
    report.row("first load: transactions", contents.transactions, "")
    report.row("first load: relationships", relationships, "")
    report.row("first load: entities", sum(contents.entities.values()), "")
    report.row("first load, CSV files and importer", importing, "s")
    report.row("first load, end to end (rows, importer, server, schema, counts)", elapsed(), "s")
    report.ratio("first load, importer: relationships/s", relationships / importing, at_least=100_000)
    report.ratio("first load, end to end: relationships/s", relationships / elapsed())
    return snapshot


def upserts(report: Report, endpoint: Endpoint, num_rows: int, folder: Path) -> None:
    """The three ways to upsert, each with a batch of its own."""
    made = (payments(num_rows, first_id=_FIRST_ID * batch, batch=batch, seed=batch) for batch in (2, 3, 4))
    with connect(endpoint, patience=LOAD_PATIENCE_SECONDS) as driver:
        warm_up(driver, endpoint)
        begin = time.perf_counter()
        with spark_session(LOCAL, scratch=folder / "spark") as session:

            def rounds(rows: DataFrame) -> None:
                write_in_rounds(rows, UPSERT_TRANSACTIONS, endpoint)

            def at_random(rows: DataFrame) -> None:
                written(rows.repartition(parallelism(session)), UPSERT_TRANSACTIONS, endpoint).collect()

            small = payments(1_000, first_id=_FIRST_ID * 8, batch=8, seed=8)
            by_spark(report, "Spark's first 1,000", session, endpoint, small, rounds, folder)
            start = time.perf_counter() - begin
            spark_rate = by_spark(report, "Spark, block rounds", session, endpoint, next(made), rounds, folder)
            random_rate = by_spark(report, "Spark, random partitions", session, endpoint, next(made), at_random, folder)
        plain_rate = by_one_writer(report, driver, endpoint, next(made))
    report.row("Spark's start", start, "s")
    report.ratio("upserts, Spark in block rounds: relationships/s", spark_rate, at_least=15_000)
    report.ratio("upserts, relationships/s, block rounds : random partitions", spark_rate / random_rate)
    report.ratio("upserts, relationships/s, block rounds : one writer", spark_rate / plain_rate)
    saved = 1 / plain_rate - 1 / spark_rate
    report.row("rows from which Spark pays, its start included", start / saved if saved > 0 else float("inf"), "rows")
    report.row("rows from which `load_graph` takes Spark", SPARK_ROWS, "rows")


def warm_up(driver: neo4j.Driver, endpoint: Endpoint) -> None:
    """The server's first writes are slow: none of the three is to pay for them."""
    rows = payments(20_000, first_id=_FIRST_ID * 9, batch=9, seed=9)
    write_entities(driver, endpoint, rows)
    for chunk in chunks(rows.delivered):
        queries.write(driver, endpoint.database, UPSERT_TRANSACTIONS, {"rows": chunk})


def write_entities(driver: neo4j.Driver, endpoint: Endpoint, rows: Payments) -> None:
    """The ends, before the relationships are timed."""
    for kind in ("account", "merchant"):
        chosen = rows.entities.filter(pc.equal(rows.entities.column("type"), kind)).drop_columns("type")
        for chunk in chunks(chosen):
            queries.write(driver, endpoint.database, queries.upsert_entities(kind), {"rows": chunk})


def by_spark(
    report: Report,
    name: str,
    session: SparkSession,
    endpoint: Endpoint,
    rows: Payments,
    upsert: Callable[[DataFrame], None],
    folder: Path,
) -> float:
    """Transactions a second, each counted once; from a Parquet file, in a session that has started."""
    with connect(endpoint, patience=LOAD_PATIENCE_SECONDS) as driver:
        write_entities(driver, endpoint, rows)
    path = folder / f"{name}.parquet"
    pq.write_table(rows.delivered, path, row_group_size=50_000)
    with stopwatch() as elapsed:
        upsert(session.read.parquet(str(path)))
    return checked(report, name, endpoint, rows, elapsed())


def by_one_writer(report: Report, driver: neo4j.Driver, endpoint: Endpoint, rows: Payments) -> float:
    """The plain path of `load_graph`."""
    write_entities(driver, endpoint, rows)
    with stopwatch() as elapsed:
        for chunk in chunks(rows.delivered):
            queries.write(driver, endpoint.database, UPSERT_TRANSACTIONS, {"rows": chunk})
    return checked(report, "one writer", endpoint, rows, elapsed())


def checked(report: Report, name: str, endpoint: Endpoint, rows: Payments, seconds: float) -> float:
    """Hold what the store has of a batch against what was sent."""
    batch, wanted = rows.transactions.column("batch")[0].as_py(), rows.transactions.num_rows
    with connect(endpoint) as driver:
        ((held, distinct, total),) = queries.run_read(
            driver, endpoint.database, _COUNT, {"batch": batch}, timeout=queries.SCAN_SECONDS
        )
    report.row(f"upserts, {name}", seconds, "s")
    report.ratio(f"upserts, {name}: relationships lost", wanted - distinct, at_most=0)
    report.ratio(f"upserts, {name}: relationships there twice", held - distinct, at_most=0)
    report.ratio(f"upserts, {name}: amounts are right (1 = yes)", float(total == rows.total_minor), at_least=1)
    return wanted / seconds


def neighborhoods(report: Report, endpoint: Endpoint, snapshot: Snapshot, sizes: Sizes) -> None:
    """Milliseconds of `neighborhood`, and of the peer on the first few questions."""
    asked = questions(snapshot, sizes.num_neighborhoods)
    store = Neo4jStore(endpoint, batch=snapshot.manifest["batch"])
    store.warm_up()
    for ref, as_of in asked[: len(asked) // 5]:
        store.neighborhood(ref, as_of=as_of, hops=_HOPS, limit=_LIMIT)
    ours, nodes = [], []
    for ref, as_of in asked:
        with stopwatch() as elapsed:
            found = store.neighborhood(ref, as_of=as_of, hops=_HOPS, limit=_LIMIT)
        ours.append(1_000 * elapsed())
        nodes.append(len(found.nodes))
    store.close()
    report.row("2 hops, entities found, median", float(np.median(nodes)), "")
    report.row("2 hops, median", float(np.median(ours)), "ms")
    report.row("2 hops, p99", float(np.percentile(ours, 99)), "ms")
    with laid_bare(endpoint) as driver:
        peer, ended = [], 0
        for ref, as_of in asked[: sizes.num_peer]:
            with stopwatch() as elapsed:
                ended += not peer_neighborhood(driver, endpoint, ref, as_of, sizes.peer_seconds)
            peer.append(1_000 * elapsed())
    report.row("2 hops, peer, median (an ended one counts as long as it ran)", float(np.median(peer)), "ms")
    report.row("2 hops, peer, p99", float(np.percentile(peer, 99)), "ms")
    report.row(
        f"2 hops, peer, ended after {sizes.peer_seconds:g} s a read, or out of memory", ended / len(peer), "share"
    )
    ratio = float(np.median(peer) / np.median(ours[: sizes.num_peer]))
    report.ratio("2 hops, median ms, without indexes and hub policy : ours", ratio, at_least=5)


def questions(snapshot: Snapshot, count: int) -> list[tuple[PartyRef, int]]:
    """Sources of random transactions, as of when these were available."""
    positions = np.random.default_rng(3).choice(len(snapshot.arrays), count, replace=False)
    entities = snapshot.entities()
    refs = [entities.slice(int(dense), 1).to_pylist()[0] for dense in snapshot.arrays.entity[positions, 0]]
    times = snapshot.arrays.available_at[positions].tolist()
    return [(PartyRef(type=ref["type"], key=ref["key"]), as_of) for ref, as_of in zip(refs, times, strict=True)]


@contextmanager
def laid_bare(endpoint: Endpoint) -> Iterator[neo4j.Driver]:
    """The store without its constraints and indexes; they stay away, the store is thrown away."""
    with connect(endpoint) as driver:
        for statement in _SCHEMA:
            queries.write(driver, endpoint.database, statement, {})
        yield driver


def peer_neighborhood(driver: neo4j.Driver, endpoint: Endpoint, ref: PartyRef, as_of: int, seconds: float) -> bool:
    """Two hops by the same statement with everything followed; False when it was ended by its time or its memory."""
    frontier = {str(ref)}
    for _ in range(_HOPS):
        parameters = {"keys": sorted(frontier), "as_of": as_of, "batch": 1, "limit": _NO_LIMIT}
        try:
            rows = queries.run_read(
                driver, endpoint.database, queries.EXPAND, parameters, timeout=seconds, max_rows=10**9
            )
        except GraphTimeout:
            return False
        except neo4j.exceptions.TransientError as error:
            if error.code != _OUT_OF_MEMORY:
                raise
            return False
        frontier = {end for _, found, uses in rows for row in found for end in row[1:3]}
        frontier |= {end for _, found, uses in rows for row in uses for end in row[:2]}
    return True


def main() -> int:
    """0 when every goal was reached."""
    arguments = parser(__doc__).parse_args()
    native.prepare()
    sizes = QUICK if arguments.quick else FULL
    shares = {"hub_share": HUB_SHARE, "redelivered": REDELIVERED, "hops": _HOPS, "limit": _LIMIT}
    report = Report(
        benchmark="graph_store",
        config={"master": LOCAL, "quick": arguments.quick} | vars(sizes) | shares,
        distributions=("neo4j", "neo4j-rust-ext", "pyspark", "pyarrow"),
    )
    folder = Path(tempfile.mkdtemp(prefix="graph-store-"))
    workspace = Workspace.open(folder / "workspace")
    try:
        snapshot = first_load(report, workspace, sizes.num_transactions)
        endpoint = server.ensure_running(workspace, workspace.settings())
        upserts(report, endpoint, sizes.num_upserts, folder)
        neighborhoods(report, endpoint, snapshot, sizes)
    finally:
        server.stop(workspace)
        shutil.rmtree(folder, ignore_errors=True)
    return report.finish(arguments.json)


if __name__ == "__main__":
    sys.exit(main())
