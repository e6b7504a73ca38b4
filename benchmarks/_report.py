"""What every benchmark shares: its arguments, the hardware and versions it ran on, and a report with goals.

A script runs as `python benchmarks/NAME.py` and writes:

    from _report import Report, parser, stopwatch

    arguments = parser(__doc__).parse_args()
    report = Report(benchmark="NAME", config={"rows": 1_000_000, "quick": arguments.quick})
    with stopwatch() as elapsed:
        work()
    report.row("work", elapsed(), "s")
    report.ratio("rows/s, ours : peer", ours / peer, at_least=2.0)
    sys.exit(report.finish(arguments.json))
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any


def parser(description: str | None, *, data: str | None = None) -> argparse.ArgumentParser:
    """An argument parser with `--quick`, `--json FILE` and, when `data` names a default folder, `--data DIR`."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--quick", action="store_true", help="smaller sizes: a few minutes at most")
    made.add_argument("--json", type=Path, metavar="FILE", help="write the result as JSON")
    if data is not None:
        made.add_argument("--data", type=Path, metavar="DIR", default=Path(data), help=f"data folder, {data} if unset")
    return made


def hardware() -> dict[str, Any]:
    """Processor, cores that this process may use, memory, system, and the load when the run began."""
    names = [
        line.partition(":")[2].strip()
        for line in _read("/proc/cpuinfo").splitlines()
        if line.startswith(("model name", "Model"))
    ]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": names[0] if names else platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**30, 1),
        "system": platform.platform(),
        "load_average_1min": round(os.getloadavg()[0], 2),
    }


def versions(*distributions: str) -> dict[str, str]:
    """Versions of Python, the checkout, ringfence and the named distributions; `absent` for what is not there."""
    found = {"python": platform.python_version(), "commit": _commit()}
    for name in ("ringfence", *distributions):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def peak_memory_bytes() -> int:
    """Highest resident size so far of this process or, if larger, of its largest finished child."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return 1024 * max(own, children)


@contextmanager
def stopwatch() -> Iterator[Callable[[], float]]:
    """Yields a function that says how many seconds the block has taken, or took once it ended."""
    begin = time.perf_counter()
    end: float | None = None

    def elapsed() -> float:
        return (time.perf_counter() if end is None else end) - begin

    try:
        yield elapsed
    finally:
        end = time.perf_counter()


@dataclass(frozen=True, kw_only=True)
class Goal:
    """Bounds that a value must keep, `above` strictly; a bound that is None is open."""

    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None

    def met(self, value: float) -> bool:
        """Whether `value` keeps both bounds; NaN keeps none."""
        enough = self.at_least is None or value >= self.at_least
        below = self.at_most is None or value <= self.at_most
        above = self.above is None or value > self.above
        return enough and below and above and value == value

    def __str__(self) -> str:
        parts = [] if self.at_least is None else [f">= {self.at_least:g}"]
        parts += [] if self.above is None else [f"> {self.above:g}"]
        return ", ".join(parts if self.at_most is None else [*parts, f"<= {self.at_most:g}"])


@dataclass(kw_only=True)
class Report:
    """Rows (what was measured) and ratios (what is claimed, each with its goal) of one benchmark."""

    benchmark: str
    config: dict[str, Any]
    distributions: tuple[str, ...] = ()
    rows: list[dict[str, Any]] = field(default_factory=list)
    ratios: list[dict[str, Any]] = field(default_factory=list)
    hardware: dict[str, Any] = field(default_factory=hardware)

    def row(self, name: str, value: float, unit: str, *, low: float | None = None, high: float | None = None) -> None:
        """Add a measured value, with the ends of its interval when it has one."""
        self.rows.append({"name": name, "value": float(value), "unit": unit, "low": low, "high": high})

    def ratio(
        self,
        name: str,
        value: float,
        *,
        at_least: float | None = None,
        at_most: float | None = None,
        above: float | None = None,
    ) -> None:
        """Add a claim: a ratio to a peer or any value with a goal; without a bound it is only reported."""
        bounded = any(bound is not None for bound in (at_least, at_most, above))
        goal = Goal(at_least=at_least, at_most=at_most, above=above) if bounded else None
        met = goal.met(float(value)) if goal else None
        self.ratios.append(
            {"name": name, "value": float(value), "goal": asdict(goal) if goal else None, "met": met, "text": str(goal)}
        )

    def missed(self) -> list[str]:
        """Names of the goals that were missed."""
        return [ratio["name"] for ratio in self.ratios if ratio["met"] is False]

    def as_dict(self) -> dict[str, Any]:
        """The JSON form: benchmark, hardware, versions, config, rows, ratios."""
        return {
            "benchmark": self.benchmark,
            "hardware": self.hardware,
            "versions": versions(*self.distributions),
            "config": self.config,
            "rows": self.rows,
            "ratios": [  # JSON has no NaN
                {key: value if value == value else None for key, value in ratio.items() if key != "text"}
                for ratio in self.ratios
            ],
        }

    def figure(self) -> str:
        """All claims with a goal in one line, missed ones first: what an acceptance page shows."""
        bounded = sorted((ratio for ratio in self.ratios if ratio["goal"]), key=lambda ratio: ratio["met"])
        return "; ".join(
            f"{'' if ratio['met'] else 'MISSED '}{ratio['name']} {ratio['value']:.4g} ({ratio['text']})"
            for ratio in bounded
        )

    def finish(self, json_file: Path | None = None) -> int:
        """Print everything, write the JSON, and give the exit code: 1 when a goal is missed, else 0."""
        document = self.as_dict()
        for title in ("hardware", "versions", "config"):
            print(f"{title}: " + ", ".join(f"{key}={value}" for key, value in document[title].items()))
        self._print_rows()
        if json_file is not None:
            json_file.parent.mkdir(parents=True, exist_ok=True)
            json_file.write_text(json.dumps(document, indent=2, default=str) + "\n", encoding="utf-8")
        print(f"FIGURE: {self.figure()}")
        for name in self.missed():
            print(f"MISSED: {self.benchmark}: {name}", file=sys.stderr)
        return 1 if self.missed() else 0

    def _print_rows(self) -> None:
        width = max((len(entry["name"]) for entry in [*self.rows, *self.ratios]), default=0)
        for row in self.rows:
            interval = "" if row["low"] is None else f"  [{row['low']:.4g}, {row['high']:.4g}]"
            print(f"  {row['name']:<{width}}  {row['value']:>12.4g} {row['unit']}{interval}")
        for ratio in self.ratios:
            verdict = {True: "met", False: "MISSED", None: "reported"}[ratio["met"]]
            goal = f"  goal {ratio['text']}" if ratio["goal"] else ""
            print(f"  {ratio['name']:<{width}}  {ratio['value']:>12.4g}{goal}  {verdict}")


def _commit() -> str:
    """The commit that runs, `-dirty` when files differ from it."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):  # no git, or not a checkout
        return "absent"


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:  # no such file on this system
        return ""
