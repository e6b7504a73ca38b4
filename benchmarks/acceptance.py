"""Run an issue's acceptance lines and write `docs/acceptance/NN.md`: line, command, figure, goal, met or not.

    python -m benchmarks.acceptance 01 --data DIR

The lines are in `docs/acceptance/NN.toml`. A line's command passes by its exit code; its figure is the last
line of its output that starts with `FIGURE`, else pytest's closing line, else the last line. What already ran at
this commit with the same command and passed is not run again (`.accept/NN.json`).
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_RECORDS = ROOT / ".accept"


def code_version() -> str:
    """Commit of the code, `-dirty` when tracked files outside docs differ from it."""
    commit = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    changed = subprocess.run(
        ["git", "status", "--porcelain", "-uno", "--", ".", ":!docs"], cwd=ROOT, capture_output=True, text=True
    )
    return commit.stdout.strip() + ("-dirty" if changed.stdout.strip() else "")


def figure_of(output: str) -> str:
    """The figure that a command printed."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    marked = [line.removeprefix("FIGURE").strip(" :") for line in lines if line.startswith("FIGURE")]
    closing = [line.strip("= ") for line in lines if re.search(r"\d+ (passed|failed)", line)]
    return (marked or closing or lines or ["no output"])[-1][:600]


def run_line(line: dict[str, Any], data: Path | None) -> dict[str, Any]:
    """Run one acceptance line; a line that needs data which is not there is not met, and says so."""
    command = line["command"].replace("{data}", str(data)).replace("{python}", sys.executable)
    if "{data}" in line["command"] and data is None:
        return {"met": False, "figure": "not run: give DATA=DIR", "seconds": 0.0}
    started = time.monotonic()
    run = subprocess.run(
        command, shell=True, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    log = _RECORDS / f"{line['id']}.log"
    log.write_text(run.stdout)
    return {
        "met": run.returncode == 0,
        "figure": figure_of(run.stdout),
        "seconds": round(time.monotonic() - started, 1),
    }


def table_row(line: dict[str, Any], result: dict[str, Any]) -> str:
    """One line of the page."""
    command = line["command"].replace("{python}", "python").replace("{data}", "DATA")
    seen = f"{result['figure']} ({result['seconds']:.0f} s, at {result['version']})"
    verdict = "met" if result["met"] else "**not met**"
    return f"| {line['text']} | `{command}` | {seen} | {line['goal']} | {verdict} |"


def write_page(issue: str, lines: list[dict[str, Any]], results: dict[str, dict[str, Any]]) -> Path:
    """The committed page."""
    rows = [table_row(line, results[line["id"]]) for line in lines]
    head = (
        f"# Acceptance {issue}\n\nWritten by `make accept ISSUE={issue}`; "
        "each figure names the commit that it was seen at.\n\n"
    )
    table = "| line | command | figure | goal | |\n|---|---|---|---|---|\n" + "\n".join(rows) + "\n"
    page = ROOT / "docs" / "acceptance" / f"{issue}.md"
    page.write_text(head + table)
    return page


def main() -> int:
    """0 when every line is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("issue", help="two digits, e.g. 01")
    parser.add_argument("--data", type=Path, help="folder of the public data sets")
    parser.add_argument("--only", help="run this line id alone, and again")
    arguments = parser.parse_args()
    file = ROOT / "docs" / "acceptance" / f"{arguments.issue}.toml"
    if not file.exists():
        parser.error(f"there is no {file.relative_to(ROOT)}")
    lines = tomllib.loads(file.read_text())["line"]
    _RECORDS.mkdir(exist_ok=True)
    record = _RECORDS / f"{arguments.issue}.json"
    version = code_version()
    results: dict[str, dict[str, Any]] = json.loads(record.read_text()) if record.exists() else {}
    data = None if arguments.data is None else arguments.data.resolve()
    for line in lines:
        done = results.get(line["id"], {})
        same = done.get("version") == version and done.get("command") == line["command"] and done.get("met")
        if (arguments.only and arguments.only != line["id"]) or (same and not arguments.only):
            continue
        print(f"{line['id']}: {line['command']}", file=sys.stderr, flush=True)
        results[line["id"]] = run_line(line, data) | {"version": version, "command": line["command"]}
        print(f"  -> {results[line['id']]}", file=sys.stderr, flush=True)
        record.write_text(json.dumps(results, indent=1))
    shown = [line for line in lines if line["id"] in results]
    page = write_page(arguments.issue, shown, results)
    print(page.read_text())
    return 0 if all(results.get(line["id"], {}).get("met") for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
