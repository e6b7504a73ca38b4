"""Run every benchmark and write `benchmarks/results/SUMMARY.md`.

    python -m benchmarks.run_all --data DIR --quick

Each script prints its own rows and ratios and exits 1 when a goal is missed; the summary lists them all.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
RESULTS = FOLDER / "results"
NOT_BENCHMARKS = {"acceptance", "run_all"}


def scripts() -> list[str]:
    """Names of the benchmark scripts."""
    stems = (path.stem for path in FOLDER.glob("*.py"))
    return sorted(stem for stem in stems if not stem.startswith("_") and stem not in NOT_BENCHMARKS)


def summary(results: dict[str, Path]) -> str:
    """One table of all ratios and their goals."""
    lines = ["# Benchmarks", "", "| benchmark | claim | value | goal | |", "|---|---|---|---|---|"]
    for name, path in results.items():
        if not path.exists():
            lines.append(f"| {name} | did not finish | | | |")
            continue
        for ratio in json.loads(path.read_text())["ratios"]:
            goal = ", ".join(
                f"{bound.replace('_', ' ')} {value:g}"
                for bound, value in (ratio["goal"] or {}).items()
                if value is not None
            )
            verdict = {True: "met", False: "**missed**", None: "reported"}[ratio["met"]]
            lines.append(f"| {name} | {ratio['name']} | {ratio['value']:.4g} | {goal} | {verdict} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """0 when every goal was reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the public data sets; benchmarks that need it skip")
    parser.add_argument("--quick", action="store_true", help="minutes, not hours")
    arguments = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    results: dict[str, Path] = {}
    failed = []
    for name in scripts():
        path = RESULTS / f"{name}.json"
        command = [sys.executable, str(FOLDER / f"{name}.py"), "--json", str(path)]
        command += ["--quick"] if arguments.quick else []
        if "data=" in (FOLDER / f"{name}.py").read_text():
            if arguments.data is None:
                print(f"{name}: skipped, it needs --data DIR", file=sys.stderr)
                continue
            command += ["--data", str(arguments.data)]
        if subprocess.run(command, check=False, cwd=FOLDER.parent).returncode != 0:
            failed.append(name)
        results[name] = path
    (RESULTS / "SUMMARY.md").write_text(summary(results))
    print((RESULTS / "SUMMARY.md").read_text())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
