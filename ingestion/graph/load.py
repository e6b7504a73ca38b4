"""Bring the graph store to a snapshot.

The first load of a lineage fills a fresh store with the server's bulk importer; later ones upsert what the
snapshot has more, many rows by Spark (`spark_writer`), fewer by one writer. All give the same graph. A marker in the
store, written in the last transaction, says which snapshot it holds: a load that died anywhere is simply run again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

import neo4j
import numpy as np

from ingestion.artifacts import staging
from ingestion.config import Settings
from ingestion.errors import ArtifactError, UsageError
from ingestion.failpoints import failpoint
from ingestion.graph import queries, server
from ingestion.graph.bulk_import import import_rows
from ingestion.graph.driver import LOAD_PATIENCE_SECONDS, connect, graph_errors
from ingestion.graph.endpoint import Endpoint
from ingestion.graph.link_states import restated
from ingestion.graph.neo4j_jars import ensure_jars
from ingestion.graph.neo4j_store import Neo4jStore
from ingestion.graph.queries import Marker
from ingestion.graph.rows import GraphRows, ancestors, batches_of, graph_rows
from ingestion.graph.spark_writer import upsert_rows_by_spark
from ingestion.graph.store import GraphContents
from ingestion.graph.upsert import upsert_rows
from ingestion.snapshot import Snapshot
from ingestion.spark import LOCAL, spark_session
from ingestion.workspace import Workspace

Progress = Callable[[str, float], None]
Step = Literal["nothing", "append", "append_all", "fresh"]

#: From so many rows on Spark writes: there it makes up for its start on two cores (`benchmarks/graph_store.py`).
SPARK_ROWS = 650_000


def load_graph(
    workspace: Workspace,
    snapshot: Snapshot,
    settings: Settings,
    *,
    master: str = LOCAL,
    progress: Progress | None = None,
    replace: bool = False,
) -> GraphContents:
    """Load a snapshot into the workspace's graph store and say what the store holds up to its batch.

    Args:
        master: Spark's, for a load of many rows.
        replace: an external server that holds something else is emptied first; without it, that is refused.

    Raises `RetryLater` (no Java, no jars, no answer: run again later) and `UsageError` (see `replace`).
    """
    tell = progress or _silent
    lineage = snapshot.manifest["lineage"]
    marker = None
    if settings.graph.uri or server.current_lineage(workspace) == lineage:
        endpoint = server.ensure_running(workspace, settings, progress=progress)
        with graph_errors(endpoint), connect(endpoint) as driver:
            marker = queries.read_marker(driver, endpoint.database)
    older = ancestors(workspace, snapshot)
    step = next_step(marker, snapshot, older, workspace)
    if step != "nothing":
        tell("preparing rows", 0.05)
        rows = _rows(snapshot, older, marker, step)
        if step == "fresh" and not settings.graph.uri:
            endpoint = _import(workspace, settings, rows, lineage, tell)
        with graph_errors(endpoint), connect(endpoint, patience=LOAD_PATIENCE_SECONDS) as driver:
            if step == "fresh" and settings.graph.uri:
                _make_room(driver, endpoint, Marker(lineage, 0, snapshot.id), replace=replace)
            queries.create_schema(driver, endpoint.database)
            if step != "fresh" and marker is not None:
                queries.write_marker(driver, endpoint.database, dataclasses.replace(marker, loading=snapshot.id))
            if step == "append_all" and marker is not None and marker.batch > 0:
                _end_older_links(driver, endpoint, snapshot.manifest["batch"])
            if step != "fresh" or settings.graph.uri:
                _upsert(driver, endpoint, rows, workspace, master, tell)
            _write_marker(driver, endpoint, snapshot)
        if not settings.graph.uri:
            server.remove_other_stores(workspace, lineage)
    tell("counting", 0.95)
    store = Neo4jStore(endpoint, batch=snapshot.manifest["batch"])
    try:
        return store.contents()
    finally:
        store.close()


def next_step(marker: Marker | None, snapshot: Snapshot, older: list[Snapshot], workspace: Workspace) -> Step:
    """What brings a store with this marker to the snapshot; `older` are its ancestors, newest first."""
    if marker is None or marker.lineage != snapshot.manifest["lineage"]:
        return "fresh"
    if marker.batch == 0:  # a first load over Bolt that did not end
        return "append_all" if marker.snapshot_id == snapshot.id else "fresh"
    if marker.snapshot_id == snapshot.id:
        return "nothing"
    if marker.loading is not None and marker.loading not in {snapshot.id, *(ancestor.id for ancestor in older)}:
        return "fresh"  # rows of a snapshot that is no longer wanted are among the others
    if any(ancestor.id == marker.snapshot_id for ancestor in older):
        return "append"
    if _is_ancestor(snapshot, marker.snapshot_id, workspace):
        return "nothing"  # the store holds it and more: reads stop at its batch
    oldest = older[-1] if older else snapshot
    chain_is_whole = oldest.manifest.get("parent") is None
    return "fresh" if chain_is_whole or marker.batch >= oldest.manifest["batch"] else "append_all"


def _is_ancestor(snapshot: Snapshot, of_id: str, workspace: Workspace) -> bool:
    try:
        newer = Snapshot.at(workspace.snapshots / of_id)
    except ArtifactError:
        return False
    return any(ancestor.id == snapshot.id for ancestor in ancestors(workspace, newer))


def _rows(snapshot: Snapshot, older: list[Snapshot], marker: Marker | None, step: Step) -> GraphRows:
    if step == "append_all" and marker is not None and marker.batch > 0:
        # Which rows are new cannot be told: all are sent, and only those not there yet get this batch.
        batch = snapshot.manifest["batch"]
        rows = graph_rows(snapshot, np.full(snapshot.manifest["num_transactions"], batch, np.int64), older)
        return dataclasses.replace(rows, links=restated(rows.links, batch))
    rows = graph_rows(snapshot, batches_of(snapshot, older), older)
    return rows.after(marker.batch) if step == "append" and marker is not None else rows


def _import(workspace: Workspace, settings: Settings, rows: GraphRows, lineage: str, tell: Progress) -> Endpoint:
    """Fill a new store beside the one in force, then let the server run on it."""
    jars = ensure_jars(tell)
    stores = server.store_folder(workspace, lineage).parent
    with staging(stores, prefix="import") as staged:
        failpoint("graph.before_import")
        tell(f"importing {rows.num_rows:,} rows", 0.2)
        import_rows(rows, staged, jars, settings.graph)
        failpoint("graph.after_import")
        tell("starting Neo4j on the new store", 0.7)
        return server.install_store(workspace, settings, staged, lineage)


def _upsert(
    driver: neo4j.Driver, endpoint: Endpoint, rows: GraphRows, workspace: Workspace, master: str, tell: Progress
) -> None:
    if rows.num_rows < SPARK_ROWS:
        upsert_rows(driver, endpoint.database, rows, tell)
        return
    tell("starting Spark", 0.1)
    with (
        staging(workspace.cache, prefix="graph") as scratch,
        spark_session(master, scratch=scratch / "spark") as session,
    ):
        upsert_rows_by_spark(session, endpoint, rows, scratch / "rows", tell)


def _make_room(driver: neo4j.Driver, endpoint: Endpoint, loading: Marker, *, replace: bool) -> None:
    """An external database must be empty, or is emptied; then it is marked as being loaded."""
    (is_empty,) = queries.run_read(driver, endpoint.database, queries.IS_EMPTY, {})[0]
    if not is_empty and not replace:
        raise UsageError(
            f"The graph database at {endpoint.uri} holds something else than the history of {loading.snapshot_id}.",
            remedy="Name an empty database, or run `ringfence graph load --replace`, which deletes what it holds.",
        )
    while not is_empty:
        ((deleted,),) = queries.write(driver, endpoint.database, queries.DELETE_SOME, {"limit": 10_000})
        is_empty = deleted == 0
    queries.write_marker(driver, endpoint.database, loading)


def _end_older_links(driver: neo4j.Driver, endpoint: Endpoint, batch: int) -> None:
    """What older batches said of links ends with this one, which says all of it again."""
    ended = 1
    while ended:
        parameters = {"batch": batch, "limit": 10_000}
        ((ended,),) = queries.write(driver, endpoint.database, queries.END_OLDER_LINKS, parameters)


def _write_marker(driver: neo4j.Driver, endpoint: Endpoint, snapshot: Snapshot) -> None:
    manifest = snapshot.manifest
    failpoint("graph.before_marker")
    queries.write_marker(driver, endpoint.database, Marker(manifest["lineage"], manifest["batch"], snapshot.id))
    failpoint("graph.after_marker")


def _silent(doing: str, fraction: float) -> None:
    """Tells nobody."""
