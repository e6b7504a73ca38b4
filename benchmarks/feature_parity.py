"""Parity: features of events one by one against the Spark job's, bit for bit, with late events and a restart.

A random history with three currencies, absent parties, declines, refunds and delayed labels; 1 % of the events come up
to three days late. Halfway the state is thrown away and folded from what the Spark job wrote.

    python benchmarks/feature_parity.py          200,000 events
    python benchmarks/feature_parity.py --quick  20,000 events
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _report import Report, parser, stopwatch

from ingestion.spark import LOCAL, spark_session
from tests.ingestion.features.online import unequal
from tests.ingestion.features.spark_features import spark_features
from tests.leakage.histories import SPEC, random_history


def main() -> int:
    """1 when a bit differs."""
    arguments = parser(__doc__).parse_args()
    num = 20_000 if arguments.quick else 200_000
    report = Report(
        benchmark="feature_parity",
        config={"events": num, "late_share": 0.01, "features": len(SPEC.names)},
        distributions=("pyspark", "numba"),
    )
    history = random_history(num, seed=21, days=180, late_share=0.01)
    with tempfile.TemporaryDirectory() as scratch, spark_session(LOCAL, scratch=Path(scratch) / "spark") as session:
        with stopwatch() as elapsed:
            matrix = spark_features(session, history, SPEC, Path(scratch) / "features")
        report.row("Spark job", num / elapsed(), "events/s")
    half = num // 2
    for name, begin, end in (("from nothing", 0, half), ("after a restart", half, num)):
        with stopwatch() as elapsed:
            wrong = unequal(history, matrix, begin=begin, end=end)
        report.row(f"one by one, {name}", (end - begin) / elapsed(), "events/s")
        report.ratio(f"values that differ, {name}", wrong, at_most=0)
    return report.finish(arguments.json)


if __name__ == "__main__":
    sys.exit(main())
