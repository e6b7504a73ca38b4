"""The snapshots of a workspace: their tree, what they share, how two differ, and which may go."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.artifacts import read_manifest
from ingestion.contracts import LABEL
from ingestion.drift import snapshot_drift
from ingestion.errors import ArtifactError, UsageError
from ingestion.failpoints import failpoint
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace

_DOOMED = ".tmp-pruned-"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One snapshot in the list. `shared_bytes` lie in files that another snapshot has too; `depth` is its place in
    the tree; `damaged` says why it cannot be read."""

    id: str
    parent: str | None
    lineage: str
    batch: int
    depth: int
    transactions: int
    labels: int
    bytes: int
    shared_bytes: int
    made_at: str
    is_current: bool
    released_by: tuple[str, ...]
    damaged: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def snapshots(workspace: Workspace) -> list[Entry]:
    """All snapshots, each parent before its children, oldest lineage first."""
    folders = sorted(workspace.snapshots.glob("snap-*")) if workspace.snapshots.exists() else []
    released = _released(workspace)
    current = workspace.current_snapshot()
    found = {folder.name: _entry(folder, current, released.get(folder.name, ())) for folder in folders}
    return list(_tree(found))


def difference(workspace: Workspace, before_id: str, after_id: str) -> dict[str, Any]:
    """Rows, labels and entities that one snapshot has more than another, whether their features are of one spec,
    and the drift between them.

    A label counts as changed when its transaction had one of the same origin, as added otherwise.
    """
    before, after = (Snapshot.open(workspace, name) for name in (before_id, after_id))
    added, gone = _only_in(after.transaction_ids, before.transaction_ids)
    return {
        "before": before.id,
        "after": after.id,
        "same_lineage": before.manifest["lineage"] == after.manifest["lineage"],
        "transactions": {"added": added, "removed": gone},
        "labels": _labels(before.labels(), after.labels()),
        "entities": _entities(before.manifest["num_entities"], after.manifest["num_entities"]),
        "same_feature_spec": before.spec == after.spec,
        "features": {
            "added": sorted(set(after.spec.names) - set(before.spec.names)),
            "removed": sorted(set(before.spec.names) - set(after.spec.names)),
        },
        "drift": snapshot_drift(before, after),
    }


def prune(
    workspace: Workspace, *, keep: int, older_than_days: float | None = None, dry_run: bool = False
) -> dict[str, Any]:
    """Remove old snapshots; never the current one, one that a release binds, or the parent chain of either.

    The chain is needed to tell which batch brought a row when the graph is loaded. Of the rest the newest `keep`
    stay, and those younger than `older_than_days`. A folder is renamed before it is deleted, so that a crash leaves
    no half one; left-overs go with the next prune. Returns ids, kept ones with the reason, and the bytes freed.
    """
    if keep < 0:
        raise UsageError(f"--keep {keep} keeps fewer than none.", remedy="Name 0 or more.")
    with workspace.lock(doing="pruning"):
        entries = snapshots(workspace)
        needed = _needed(workspace, entries)
        free = sorted((entry for entry in entries if entry.id not in needed), key=lambda entry: entry.made_at)
        doomed = free[: len(free) - keep] if keep else free
        if older_than_days is not None:
            limit = dt.datetime.now(dt.UTC) - dt.timedelta(days=older_than_days)
            doomed = [entry for entry in doomed if dt.datetime.fromisoformat(entry.made_at) < limit]
        names = [entry.id for entry in doomed]
        freed = _freed(workspace, set(names))
        if not dry_run:
            for name in names:
                hidden = workspace.snapshots / f"{_DOOMED}{name}"
                (workspace.snapshots / name).rename(hidden)
                failpoint("prune.after_rename")
            for hidden in workspace.snapshots.glob(f"{_DOOMED}*"):
                shutil.rmtree(hidden)
    kept = {entry.id: needed.get(entry.id, "recent") for entry in entries if entry.id not in names}
    return {"removed": names, "kept": kept, "bytes_freed": freed, "dry_run": dry_run}


def _entry(folder: Path, current: str | None, released_by: tuple[str, ...]) -> Entry:
    files = [path.stat() for path in folder.rglob("*") if path.is_file()]
    made_at = dt.datetime.fromtimestamp(folder.stat().st_mtime, dt.UTC).isoformat(timespec="seconds")
    damaged, manifest = None, {}
    try:
        manifest = read_manifest(folder)
    except ArtifactError as error:
        damaged = error.what
    return Entry(
        id=folder.name,
        parent=manifest.get("parent"),
        lineage=manifest.get("lineage", "unknown"),
        batch=manifest.get("batch", 0),
        depth=0,
        transactions=manifest.get("num_transactions", 0),
        labels=manifest.get("num_labels", 0),
        bytes=sum(file.st_size for file in files),
        shared_bytes=sum(file.st_size for file in files if file.st_nlink > 1),
        made_at=made_at,
        is_current=folder.name == current,
        released_by=released_by,
        damaged=damaged,
    )


def _tree(found: dict[str, Entry]) -> Iterator[Entry]:
    def below(parent: str | None, depth: int) -> Iterator[Entry]:
        children = [entry for entry in found.values() if _parent(entry, found) == parent]
        for entry in sorted(children, key=lambda entry: (entry.lineage, entry.batch, entry.made_at)):
            yield Entry(**vars(entry) | {"depth": depth})
            yield from below(entry.id, depth + 1)

    yield from below(None, 0)


def _parent(entry: Entry, found: dict[str, Entry]) -> str | None:
    """The parent as far as it is still there."""
    return entry.parent if entry.parent in found else None


def _released(workspace: Workspace) -> dict[str, tuple[str, ...]]:
    """Releases by the snapshot that they bind."""
    releases: dict[str, tuple[str, ...]] = {}
    for path in sorted(workspace.releases.glob("release-*.json")):
        try:
            name = orjson.loads(path.read_bytes())["snapshot_id"]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise ArtifactError(f"{path} cannot be read: {error}.", remedy="Restore or remove it.") from error
        releases[name] = (*releases.get(name, ()), path.stem)
    return releases


def _needed(workspace: Workspace, entries: list[Entry]) -> dict[str, str]:
    """Snapshots that must stay, with the reason."""
    by_id = {entry.id: entry for entry in entries}
    needed = {entry.id: f"released by {entry.released_by[-1]}" for entry in entries if entry.released_by}
    needed |= {entry.id: "current" for entry in entries if entry.is_current}
    for name in list(needed):
        parent = by_id[name].parent
        while parent in by_id and parent not in needed:
            needed[parent] = f"ancestor of {name}"
            parent = by_id[parent].parent
    return needed


def _freed(workspace: Workspace, names: set[str]) -> int:
    """Bytes of the files that no other name holds."""
    links: dict[int, list[int]] = {}
    for name in names:
        for path in (workspace.snapshots / name).rglob("*"):
            if path.is_file():
                stat = path.stat()
                links.setdefault(stat.st_ino, [stat.st_nlink, stat.st_size, 0])[2] += 1
    return sum(size for num_links, size, gone in links.values() if gone >= num_links)


def _only_in(after: pa.Array, before: pa.Array) -> tuple[int, int]:
    added = pc.sum(pc.is_null(pc.index_in(after, value_set=before))).as_py() or 0
    removed = pc.sum(pc.is_null(pc.index_in(before, value_set=after))).as_py() or 0
    return int(added), int(removed)


def _labels(before: pa.Table, after: pa.Table) -> dict[str, int]:
    """Labels added, changed (one of the same origin was there) and gone."""
    old, new = (_label_keys(table, LABEL.names) for table in (before, after))
    is_new = pc.is_null(pc.index_in(new, value_set=old))
    same = ["transaction_id", "entity_type", "entity_key", "origin"]
    had_one = pc.is_valid(pc.index_in(_label_keys(after, same), value_set=_label_keys(before, same)))
    changed = int(pc.sum(pc.and_(is_new, had_one)).as_py() or 0)
    total = int(pc.sum(is_new).as_py() or 0)
    return {"added": total - changed, "changed": changed, "removed": _only_in(new, old)[1]}


def _label_keys(labels: pa.Table, names: list[str]) -> pa.Array:
    """One text a label."""
    parts = [pc.fill_null(labels.column(name).cast(pa.string()), "\x00") for name in names]
    keys = pc.binary_join_element_wise(*parts, "\x1f")
    return keys.combine_chunks() if isinstance(keys, pa.ChunkedArray) else keys


def _entities(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {kind: after.get(kind, 0) - before.get(kind, 0) for kind in sorted({*before, *after})}
