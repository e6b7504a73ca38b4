"""The contract of the graph store, run against the server and against the snapshot's own reader."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingestion.errors import GraphUnavailable
from ingestion.graph import server
from ingestion.graph.open import open_graph_store
from ingestion.graph.snapshot_store import SnapshotStore
from ingestion.graph.store import GraphStore
from ingestion.workspace import Workspace
from tests.builders import build_snapshot
from tests.contracts.graph_store_suite import GraphStoreSuite
from tests.graph_server import HAND_MADE, HAND_MADE_LINKS, loaded_graph


class TestSnapshotStore(GraphStoreSuite):
    @pytest.fixture(scope="class")
    def store(self, tmp_path_factory: pytest.TempPathFactory) -> GraphStore:
        workspace = Workspace.open(tmp_path_factory.mktemp("workspace"))
        return SnapshotStore(build_snapshot(workspace, HAND_MADE, links=HAND_MADE_LINKS))


@pytest.mark.neo4j
class TestNeo4jStore(GraphStoreSuite):
    @pytest.fixture(scope="class")
    def store(self) -> GraphStore:
        return loaded_graph().neo4j[2]


@pytest.mark.neo4j
class TestExternalServer(GraphStoreSuite):
    """Another workspace's server, reached as one that somebody else runs: by address, user and password."""

    @pytest.fixture(scope="class")
    def store(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GraphStore]:
        graph = loaded_graph()
        endpoint = server.ensure_running(graph.workspace, graph.settings)
        workspace = Workspace.open(tmp_path_factory.mktemp("other"))
        given = {"uri": endpoint.uri, "user": endpoint.user, "password": endpoint.password}
        store = open_graph_store(workspace, workspace.settings(graph=given), graph.snapshots[2])
        yield store
        store.close()

    @pytest.mark.parametrize("given", [{"password": "wrong"}, {"user": "nobody", "password": "x"}, {}])
    def test_a_wrong_password_says_what_to_set(self, store: GraphStore, tmp_path: Path, given: dict[str, str]) -> None:
        graph = loaded_graph()
        endpoint = server.ensure_running(graph.workspace, graph.settings)
        workspace = Workspace.open(tmp_path)
        with pytest.raises(GraphUnavailable, match="refused user") as caught:
            open_graph_store(workspace, workspace.settings(graph={"uri": endpoint.uri} | given), graph.snapshots[2])
        assert "RINGFENCE_GRAPH_PASSWORD" in caught.value.remedy
        assert endpoint.password not in str(caught.value)
