"""The contract of the graph store, run against the server and against the snapshot's own reader."""

from __future__ import annotations

import pytest

from ingestion.graph.snapshot_store import SnapshotStore
from ingestion.graph.store import GraphStore
from ingestion.workspace import Workspace
from tests.builders import build_snapshot
from tests.contracts.graph_store_suite import GraphStoreSuite
from tests.graph_server import HAND_MADE, loaded_graph


class TestSnapshotStore(GraphStoreSuite):
    @pytest.fixture(scope="class")
    def store(self, tmp_path_factory: pytest.TempPathFactory) -> GraphStore:
        workspace = Workspace.open(tmp_path_factory.mktemp("workspace"))
        return SnapshotStore(build_snapshot(workspace, HAND_MADE))


@pytest.mark.neo4j
class TestNeo4jStore(GraphStoreSuite):
    @pytest.fixture(scope="class")
    def store(self) -> GraphStore:
        return loaded_graph().neo4j[2]
