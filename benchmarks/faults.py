"""Damaged source files: 300 mutated files through the readers of an ingest (TRUST DAT1).

Four kinds of file (Parquet with and without page checksums, CSV with and without a `.sha256`), five kinds of damage.
With something that vouches for the bytes no wrong row may enter; without it nothing may crash.

    python benchmarks/faults.py            300 files
    python benchmarks/faults.py --quick    60 files
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from _mutations import KINDS, Outcome, original, try_damaged, write_good
from _report import Report, parser, stopwatch


def main() -> int:
    """Run the benchmark; 1 when a goal is missed."""
    arguments = parser(__doc__).parse_args()
    count = 60 if arguments.quick else 300
    report = Report(benchmark="faults", config={"files": count}, distributions=("pyarrow",))
    with tempfile.TemporaryDirectory() as name, stopwatch() as elapsed:
        folder, table = Path(name), original()
        good = write_good(folder, table)
        outcomes = [try_damaged(folder, good, table, number) for number in range(count)]
    for kind in KINDS:
        _tell(report, kind, [outcome for outcome in outcomes if outcome.kind == kind])
    report.row("time", elapsed(), "s")
    vouched = sum(outcome.wrong for outcome in outcomes if outcome.kind in (KINDS[0], KINDS[2]))
    unmarked = sum(not (o.refused or o.marked_unverified) for o in outcomes if o.kind in (KINDS[1], KINDS[3]))
    report.ratio("wrong rows of verified files", vouched, at_most=0)
    report.ratio("files that nothing vouches for, read and not marked unverified", unmarked, at_most=0)
    return report.finish(arguments.json)


def _tell(report: Report, kind: str, outcomes: list[Outcome]) -> None:
    report.row(f"{kind}: files", len(outcomes), "")
    report.row(f"{kind}: refused whole", sum(outcome.refused for outcome in outcomes), "")
    report.row(f"{kind}: rows quarantined", sum(outcome.broken for outcome in outcomes), "")
    report.row(f"{kind}: rows that differ from the original", sum(outcome.wrong for outcome in outcomes), "")


if __name__ == "__main__":
    sys.exit(main())
