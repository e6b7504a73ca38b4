"""Open the graph store of a workspace."""

from __future__ import annotations

from ingestion.config import Settings
from ingestion.errors import GraphUnavailable
from ingestion.graph import server
from ingestion.graph.neo4j_store import Neo4jStore
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace


def open_graph_store(workspace: Workspace, settings: Settings, snapshot: Snapshot | None = None) -> Neo4jStore:
    """The graph store of a workspace, its own server started when it does not run and has a store. Close it.

    Args:
        snapshot: reads see what this snapshot holds; without it, all that the store holds.

    Raises `GraphUnavailable` when the server does not answer or does not hold the snapshot, `RetryLater` when it
    cannot be started. A caller that must go on then reads from `SnapshotStore(snapshot, stale=True)`.
    """
    if not settings.graph.uri and not server.has_store(workspace):
        raise GraphUnavailable(
            f"{workspace.graph} holds no graph store: it was never loaded, or was removed.",
            remedy="Run `ringfence nightly` (or `data ingest`): it loads the graph.",
        )
    endpoint = server.ensure_running(workspace, settings)
    store = Neo4jStore(endpoint, batch=None if snapshot is None else snapshot.manifest["batch"])
    try:
        if snapshot is not None:
            _require(store, snapshot)
        store.warm_up()
        return store
    except BaseException:
        store.close()
        raise


def _require(store: Neo4jStore, snapshot: Snapshot) -> None:
    marker, manifest = store.marker, snapshot.manifest
    if marker.lineage != manifest["lineage"] or marker.batch < manifest["batch"]:
        raise GraphUnavailable(
            f"The graph store holds {marker.snapshot_id} (lineage {marker.lineage}, batch {marker.batch}), which does "
            f"not cover {snapshot.id} (lineage {manifest['lineage']}, batch {manifest['batch']}).",
            remedy="Run `ringfence nightly` (or `data ingest`) again: it loads the graph.",
        )
