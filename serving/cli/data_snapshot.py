"""`ringfence data snapshot`: list, show, compare and prune snapshots."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from serving.cli.options import DEFAULT_WORKSPACE, JsonOption, WorkspaceOption, answer, open_workspace

app = typer.Typer(help="Snapshots: list, show, compare, prune.", no_args_is_help=True)

SnapshotArgument = Annotated[str, typer.Argument(help="Snapshot id, or `current`.")]


@app.command("list")
def list_snapshots(workspace: WorkspaceOption = DEFAULT_WORKSPACE, as_json: JsonOption = False) -> None:
    """List snapshots as a tree: batch, rows, size, what is shared, which is current or released.

    Example: ringfence data snapshot list
    """
    from ingestion.history import snapshots

    opened, _ = open_workspace(workspace)
    entries = snapshots(opened)
    body = {"snapshots": [entry.as_dict() for entry in entries]}

    def show(console: Console) -> None:
        table = Table("snapshot", "batch", "transactions", "labels", "size", "shared", "")
        for entry in entries:
            marks = [*(["current"] if entry.is_current else []), *entry.released_by]
            marks += [entry.damaged] if entry.damaged else []
            sizes = (size_text(entry.bytes), size_text(entry.shared_bytes))
            counts = (str(entry.batch), f"{entry.transactions:,}", f"{entry.labels:,}")
            table.add_row("  " * entry.depth + entry.id, *counts, *sizes, ", ".join(marks))
        console.print(table if entries else "No snapshot yet: ringfence data ingest FILE --mapping NAME")

    answer(body, as_json, show)


@app.command()
def show(
    snapshot: SnapshotArgument = "current", workspace: WorkspaceOption = DEFAULT_WORKSPACE, as_json: JsonOption = False
) -> None:
    """Show one snapshot's manifest in words, and its profile.

    Example: ringfence data snapshot show current
    """
    from ingestion.snapshot import Snapshot
    from serving.pipeline import utc

    opened, _ = open_workspace(workspace)
    found = Snapshot.open(opened, None if snapshot == "current" else snapshot)
    manifest, stored = found.manifest, found.profile()

    def tell(console: Console) -> None:
        entities = ", ".join(f"{count:,} {kind}" for kind, count in sorted(manifest["num_entities"].items()))
        console.print(
            f"{found.id}, batch {manifest['batch']} of {manifest['lineage']}, parent {manifest['parent'] or 'none'}.\n"
            f"{manifest['num_transactions']:,} transactions from {utc(manifest['first_event_time'])}"
            f" to {utc(manifest['last_event_time'])}; {manifest['num_labels']:,} labels;"
            f" {manifest['num_quarantined']:,} rows in quarantine.\n"
            f"Entities: {entities}.\n"
            f"Features: {len(found.spec.names)} of spec {found.spec.name!r}. Made by ringfence"
            f" {manifest['code_version']} from {len(manifest['sources'])} files."
        )
        if stored is None:
            console.print("No profile: an older version made it.")
        elif stored["drift"] is not None:
            show_drift(console, stored["drift"])

    answer({"manifest": manifest, "profile": stored}, as_json, tell)


@app.command()
def diff(
    before: SnapshotArgument,
    after: SnapshotArgument = "current",
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Compare two snapshots: rows, labels, entities, features, drift.

    Example: ringfence data snapshot diff snap-0123456789abcdef current
    """
    from ingestion.history import difference
    from ingestion.snapshot import Snapshot

    opened, _ = open_workspace(workspace)
    ids = [Snapshot.open(opened).id if name == "current" else name for name in (before, after)]
    body = difference(opened, *ids)

    def tell(console: Console) -> None:
        rows, labels = body["transactions"], body["labels"]
        console.print(
            f"{body['before']} -> {body['after']}: {rows['added']:,} transactions added, {rows['removed']:,} removed;"
            f" labels: {labels['added']:,} added, {labels['changed']:,} changed, {labels['removed']:,} removed."
        )
        console.print("Entities: " + ", ".join(f"{count:+,} {kind}" for kind, count in body["entities"].items()))
        console.print("Features: same spec." if body["same_feature_spec"] else f"Features differ: {body['features']}")
        show_drift(console, body["drift"])

    answer(body, as_json, tell)


@app.command()
def prune(
    keep: Annotated[int, typer.Option(min=0, help="How many of those that may go stay, newest first.")],
    older_than: Annotated[float | None, typer.Option(help="Only those older than so many days.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go; remove nothing.")] = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Remove old snapshots; never the current one, a released one or an ancestor of these.

    Example: ringfence data snapshot prune --keep 3 --older-than 30 --dry-run
    """
    from ingestion import history

    opened, _ = open_workspace(workspace)
    body = history.prune(opened, keep=keep, older_than_days=older_than, dry_run=dry_run)

    def tell(console: Console) -> None:
        verb = "Would remove" if dry_run else "Removed"
        console.print(f"{verb} {len(body['removed'])} snapshots, {size_text(body['bytes_freed'])} freed.")
        for name, reason in body["kept"].items():
            console.print(f"  kept {name}: {reason}")

    answer(body, as_json, tell)


def show_drift(console: Console, drift: dict[str, Any], *, limit: int = 12) -> None:
    """The columns that moved most."""
    moved = [column for column in drift["columns"] if column["verdict"] in ("moved", "shifted")]
    few = sum(column["verdict"] == "too few rows" for column in drift["columns"])
    console.print(
        f"Drift of {drift['current']['transactions']:,} transactions against {drift['reference']['transactions']:,}:"
        f" {len(moved)} of {len(drift['columns'])} columns moved, {few} with too few rows to say."
    )
    if not moved:
        return
    table = Table("column", "verdict", "PSI", "noise", "KS", "rows before", "rows now")
    for column in moved[:limit]:
        distance = "" if column["ks"] is None else f"{column['ks']:.3f}"
        rows = (f"{column['num_reference']:,}", f"{column['num_current']:,}")
        table.add_row(
            column["name"], column["verdict"], f"{column['psi']:.3f}", f"{column['noise']:.3f}", distance, *rows
        )
    console.print(table)


def size_text(num_bytes: int) -> str:
    """Bytes in words.

    >>> size_text(3_500_000)
    '3.5 MB'
    """
    return f"{num_bytes / 1e6:,.1f} MB"
