"""A snapshot with nothing new but what people decided about links: everything else is shared with its parent."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from pyspark.sql import SparkSession

from ingestion.artifacts import MANIFEST, publish, short_hash, staging
from ingestion.resolution.job import LinkJob
from ingestion.resolution.periods import Decision
from ingestion.resolution.rules import Resolution
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace

_MADE_ANEW = ("links", "hubs", "components")


def undecided(snapshot: Snapshot, decisions: Sequence[Decision]) -> bool:
    """Whether there are decisions that the snapshot does not hold yet."""
    links = snapshot.manifest.get("links", {})
    return bool(links) and links["decisions"] < len(decisions)


def link_terms(resolution: Resolution, decisions: Sequence[Decision]) -> str | None:
    """Hash of what links depend on beside the rows: rules, and what people decided. None without rules."""
    terms = [resolution.model_dump(mode="json"), [vars(decision) for decision in decisions]]
    return short_hash(terms) if resolution.rules else None


def relink(
    workspace: Workspace, parent: Snapshot, decisions: Sequence[Decision], *, session: SparkSession, work: Path
) -> str:
    """Publish the parent with its links under the decisions, as the next batch, and point at it; returns its id."""
    resolution = Resolution.model_validate(parent.manifest["mapping"]["resolution"])
    terms = link_terms(resolution, decisions)
    snapshot_id = "snap-" + short_hash([parent.id, terms], length=16)
    with staging(workspace.snapshots, prefix="snapshot") as folder:
        for name in sorted({Path(name).parts[0] for name in parent.manifest["files"]} - set(_MADE_ANEW) - {MANIFEST}):
            _share(parent.path / name, folder / name)
        job = LinkJob(session=session, resolution=resolution, decisions=decisions, folder=folder, work=work)
        num_entities = sum(parent.manifest["num_entities"].values())
        links = job.run(num_entities=num_entities, horizon=parent.manifest["horizon"])
        new = {"id": snapshot_id, "parent": parent.id, "batch": parent.manifest["batch"] + 1}
        manifest = parent.manifest | new | {"links": links, "link_terms": terms}
        publish(folder, workspace.snapshots / snapshot_id, manifest, fail_point="snapshot")
    workspace.set_current_snapshot(snapshot_id)
    return snapshot_id


def _share(source: Path, target: Path) -> None:
    """A second name for a file, or for every file of a folder; a copy where the file system has no such thing."""
    if source.is_dir():
        shutil.copytree(source, target, copy_function=_link_or_copy)
    else:
        _link_or_copy(str(source), str(target))


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
