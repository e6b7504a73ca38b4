"""Neo4j killed 50 times before, during and after a commit, and its connection cut 100 times (TRUST NEO).

Each load brings one snapshot more through a TCP proxy, which lets the fault happen at the commit of the entities,
transactions, uses, links or the marker. A load that failed is run again after a restart. After each the store is held
against the snapshot: rows of every kind that are missing or too many, and the canonical hash. While the server is
away a reader must go on from the snapshot, and say that it is stale.

    python benchmarks/graph_faults.py            50 kills, 100 cuts
    python benchmarks/graph_faults.py --quick    5 kills, 15 cuts
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
from pathlib import Path

from _report import Report, parser, stopwatch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tests.graph_faults import PHASES, PLACES, FaultyGraph, Outcome  # tests are no package to install


def run(graph: FaultyGraph, count: int, *, kill: bool) -> list[Outcome]:
    """Loads with a fault each, every place and phase in turn; the server dies up to 5 ms after it has the commit."""
    rng = random.Random(count)
    places = list(PLACES)
    pairs = [(places[index % len(places)], PHASES[index % len(PHASES)]) for index in range(len(PLACES) * len(PHASES))]
    outcomes = []
    for number in range(count):
        place, phase = pairs[number % len(pairs)]
        outcomes.append(graph.load_with_fault(place, phase, kill=kill, delay_seconds=rng.random() * 0.005))
        what = "killed" if kill else "cut"
        print(f"{what} {number + 1}/{count} {phase} the commit of {place}: {outcomes[-1]}", file=sys.stderr)
    return outcomes


def tell(report: Report, name: str, outcomes: list[Outcome]) -> None:
    """Rows and goals of one kind of fault."""
    report.row(f"{name}: loads run again", sum(outcome.num_runs - 1 for outcome in outcomes), "")
    report.ratio(f"{name}: faults that happened", sum(outcome.was_hit for outcome in outcomes), at_least=len(outcomes))
    report.ratio(f"{name}: rows lost", sum(outcome.num_lost for outcome in outcomes), at_most=0)
    report.ratio(f"{name}: rows there twice", sum(outcome.num_twice for outcome in outcomes), at_most=0)
    unequal = sum(not outcome.is_equal for outcome in outcomes)
    report.ratio(f"{name}: canonical hashes unlike a clean run's", unequal, at_most=0)


def main() -> int:
    """0 when every goal was reached."""
    arguments = parser(__doc__).parse_args()
    kills, cuts = (5, 15) if arguments.quick else (50, 100)
    report = Report(
        benchmark="graph_faults",
        config={"kills": kills, "cuts": cuts, "quick": arguments.quick},
        distributions=("neo4j", "neo4j-rust-ext"),
    )
    folder = Path(tempfile.mkdtemp(prefix="graph-faults-"))
    graph = FaultyGraph(folder)
    try:
        with stopwatch() as elapsed:
            cut = run(graph, cuts, kill=False)
            killed = run(graph, kills, kill=True)
    finally:
        graph.close()
        shutil.rmtree(folder, ignore_errors=True)
    report.row("all", elapsed(), "s")
    tell(report, "killed", killed)
    tell(report, "cut", cut)
    waits = [outcome.seconds_to_stale for outcome in killed if outcome.seconds_to_stale is not None]
    report.ratio("reads that went on from the snapshot", len(waits), at_least=kills)
    report.ratio("longest first read of a dead server, s", max(waits, default=float("nan")), at_most=3)
    return report.finish(arguments.json)


if __name__ == "__main__":
    sys.exit(main())
