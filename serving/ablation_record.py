"""The one-page record of an ablation: claim, what was run, cost, result, what is adopted. Markdown, to be committed."""

from __future__ import annotations

from pathlib import Path

import orjson
from rich.console import Console
from rich.table import Table

from graphml.ablation import Ablated
from graphml.code_version import code_version
from ingestion.artifacts import write_atomically
from serving.pages import code_span


def write(folder: Path, name: str, snapshot_id: str, found: Ablated) -> Path:
    """Write `<name>.md` and `<name>.json`; the page."""
    page = folder / f"{name}.md"
    folder.mkdir(parents=True, exist_ok=True)
    body = found.as_dict() | {"snapshot": snapshot_id, "code_version": code_version()}
    write_atomically(folder / f"{name}.json", orjson.dumps(body, option=orjson.OPT_INDENT_2))
    write_atomically(page, told(name, snapshot_id, found).encode())
    return page


def told(name: str, snapshot_id: str, found: Ablated) -> str:
    """The record as Markdown."""
    plan, whole = found.plan, found.rows[0]
    lines = [
        f"# Ablation {code_span(name)}",
        "",
        f"**Claim.** {code_span(plan.claim)}",
        "",
        f"**Run.** {plan.network} on {snapshot_id}, {plan.budget}, test weeks {', '.join(f.name for f in found.folds)} "
        f"({found.num_frauds:,} frauds, base rate {found.base_rate:.3%}), seeds {', '.join(map(str, plan.seeds))}; "
        f"settings {code_span(repr(plan.base))}; code {code_version()}.",
        "",
        "| row | without | AP | AP less the whole's | 95 % interval | CPU min | verdict |",
        "|---|---|---|---|---|---|---|",
        f"| whole | | {whole.average_precision.value:.4f} | | | {whole.cpu_minutes:.1f} | |",
    ]
    for row in found.rows[1:]:
        assert row.difference is not None
        without = _cell(", ".join(f"{key} = {value}" for key, value in plan.parts[row.name].items()))
        lines.append(
            f"| {_cell(row.name)} | {without} | {row.average_precision.value:.4f} | {row.difference.value:+.4f} | "
            f"[{row.difference.low:+.4f}, {row.difference.high:+.4f}] | {row.cpu_minutes:.1f} | {found.verdict(row)} |"
        )
    kept = ", ".join(code_span(part) for part in found.kept) or "none"
    cost = sum(row.cpu_minutes for row in found.rows)
    lines += [
        "",
        f"**Cost.** {cost:.0f} CPU minutes for {len(found.rows)} rows.",
        "",
        f"**Adopted.** Parts that earn their place: {kept}. A part is kept when leaving it out costs average precision "
        "with an interval below 0 (it draws whole parties of the test weeks, not other weeks or seeds); all else is "
        "dropped, for the simpler network is as good as far as these folds tell.",
        "",
    ]
    return "\n".join(lines)


def _cell(value: str) -> str:
    """A code span in a table, where a bar would end the cell."""
    return str(code_span(value)).replace("|", "\\|")


def show(console: Console, found: Ablated, page: Path) -> None:
    """The table on a terminal."""
    table = Table("row", "AP", "less the whole's", "95 % interval", "CPU min", "verdict")
    for row in found.rows:
        low_high = row.difference
        table.add_row(
            row.name,
            f"{row.average_precision.value:.4f}",
            "" if low_high is None else f"{low_high.value:+.4f}",
            "" if low_high is None else f"{low_high.low:+.4f}, {low_high.high:+.4f}",
            f"{row.cpu_minutes:.1f}",
            "" if low_high is None else found.verdict(row),
        )
    console.print(table)
    console.print(f"record: {page}")
