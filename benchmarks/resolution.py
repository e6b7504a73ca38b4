"""Entity resolution: connected components by scipy, Spark and networkx; the links stage; links against the truth.

Components: a random graph of 1,000,000 edges over 1,500,000 ids, the same for all three, and all three must agree.
The links stage is timed inside an ingest of the simulator's table by the shipped mapping. Its links are held against
what the simulator knows: two accounts belong together when they are of one household, or mules of one ring. The
simulator gives every account a mailbox and cards of its own, so it is the device rule that is judged; what it links
beyond the truth are public devices, borrowed phones, and the crews that take accounts over.

    python benchmarks/resolution.py             1,000,000 edges; an ingest of a million rows
    python benchmarks/resolution.py --quick     100,000 of each
"""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

import networkx as nx
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from _report import Report, parser, stopwatch

from ingestion import native
from ingestion.ingest import ingest
from ingestion.mapping import load_mapping
from ingestion.privacy import Tokenizer
from ingestion.resolution.components import components
from ingestion.resolution.components_spark import connected
from ingestion.simulator import identities
from ingestion.simulator.config import SimulatorConfig
from ingestion.simulator.population import populate
from ingestion.simulator.simulate import SimulatedTables, simulate, write
from ingestion.snapshot import Snapshot
from ingestion.spark import LOCAL, spark_session
from ingestion.workspace import Workspace

Pair = tuple[str, str]


def compare_components(report: Report, num_edges: int, folder: Path) -> None:
    """Time the three ways over one graph."""
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, num_edges * 3 // 2, size=(2, num_edges))
    with stopwatch() as ours:
        entities, component = components(a, b)
    with stopwatch() as peer:
        graph: nx.Graph = nx.Graph()
        graph.add_edges_from(zip(a.tolist(), b.tolist(), strict=True))
        expected = {
            member: least for part in nx.connected_components(graph) for least in [min(part)] for member in part
        }
    pq.write_table(pa.table({"a_id": a, "b_id": b}), folder / "edges.parquet")
    with spark_session(LOCAL, scratch=folder / "spark") as session:
        edges = session.read.parquet(str(folder / "edges.parquet"))
        edges.count()  # the session is warm
        with stopwatch() as spark:
            found = connected(edges, folder / "rounds").toArrow().sort_by("entity_id")
    agree = dict(zip(entities.tolist(), component.tolist(), strict=True)) == expected
    agree &= found.column("entity_id").to_numpy().tolist() == entities.tolist()
    agree &= found.column("component_id").to_numpy().tolist() == component.tolist()
    report.row("components, scipy", ours(), "s")
    report.row("components, networkx", peer(), "s")
    report.row(f"components, Spark {LOCAL}", spark(), "s")
    report.ratio("components: all three give the same answer (1 = yes)", float(agree), at_least=1)
    report.ratio("components, seconds, scipy : networkx", ours() / peer(), at_most=0.5)
    report.ratio(f"components, seconds, Spark {LOCAL} : scipy", spark() / ours())


def compare_links(report: Report, num_rows: int, folder: Path) -> None:
    """Ingest the simulator's table; time the stage, and hold its links against the truth."""
    config = SimulatorConfig(num_transactions=num_rows)
    tables = simulate(config)
    write(tables, folder / "table")
    workspace, mapping = Workspace.open(folder / "workspace"), load_mapping("ringfence")
    result = ingest(workspace, folder / "table" / "transactions.parquet", mapping)
    stage, total = result.seconds["links"], sum(result.seconds.values())
    report.row(f"links stage, {num_rows:,} rows, three rules", stage, "s")
    report.row(f"the whole ingest, {num_rows:,} rows", total, "s")
    report.ratio("links stage : whole ingest, seconds", stage / total, at_most=0.25)
    found = linked_pairs(Snapshot.open(workspace))
    token = Tokenizer.of(workspace, mapping).token
    homes, rings = household_pairs(config), ring_pairs(tables)
    true = {_pair(token("account", one), token("account", other)) for one, other in homes | rings}
    mules = {_pair(token("account", one), token("account", other)) for one, other in rings}
    hit = found & true
    report.row("pairs that share an identifier", len(found), "pairs")
    report.row("precision: pairs of one household or ring", len(hit) / len(found), "share")
    report.row("recall: pairs of one household or ring", len(hit) / len(true), "share")
    report.row("recall: pairs of one mule ring", len(found & mules) / max(len(mules), 1), "share")
    report.ratio("recall of mule rings", len(found & mules) / max(len(mules), 1), at_least=0.75)


def linked_pairs(snapshot: Snapshot) -> set[Pair]:
    """Pairs of accounts that share an identifier which is no hub at the end of the data."""
    links = snapshot.links(snapshot.manifest["horizon"])
    groups: dict[Pair, set[str]] = defaultdict(set)
    for row in links.select(["rule", "identifier", "a_key", "b_key"]).to_pylist():
        groups[row["rule"], row["identifier"]] |= {row["a_key"], row["b_key"]}
    return _pairs(groups.values())


def household_pairs(config: SimulatorConfig) -> set[Pair]:
    """Pairs of accounts of one household."""
    population = populate(config)
    homes: dict[int, set[str]] = defaultdict(set)
    for account, home in zip(
        identities.account_ids(config.seed, population), population.household.tolist(), strict=True
    ):
        homes[home].add(account)
    return _pairs(homes.values())


def ring_pairs(tables: SimulatedTables) -> set[Pair]:
    """Pairs of accounts that one crew runs: those that forward money in one mule ring."""
    truth = tables.truth.append_column("source_id", tables.transactions.column("source_id"))
    is_mule = pc.and_(pc.equal(truth.column("typology"), "mule_ring"), pc.equal(truth.column("role"), "forward"))
    rings: dict[str, set[str]] = defaultdict(set)
    for row in truth.filter(pc.fill_null(is_mule, False)).select(["case_id", "source_id"]).to_pylist():
        rings[row["case_id"]].add(row["source_id"])
    return _pairs(rings.values())


def _pairs(groups: Iterable[set[str]]) -> set[Pair]:
    return {pair for group in groups for pair in combinations(sorted(group), 2)}


def _pair(one: str, other: str) -> Pair:
    return (one, other) if one < other else (other, one)


def main() -> int:
    """0 when every goal was reached."""
    arguments = parser(__doc__).parse_args()
    native.prepare()
    size = 100_000 if arguments.quick else 1_000_000
    report = Report(
        benchmark="resolution",
        config={"master": LOCAL, "quick": arguments.quick, "num_edges": size, "num_rows": size},
        distributions=("pyspark", "scipy", "networkx", "pyarrow"),
    )
    with tempfile.TemporaryDirectory() as scratch:
        compare_components(report, size, Path(scratch))
        compare_links(report, size, Path(scratch))
    return report.finish(arguments.json)


if __name__ == "__main__":
    sys.exit(main())
