"""Bringing the store to a snapshot: importer and upserts agree, and a crash anywhere loses nothing (TRUST RES-I)."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pytest
from typer.testing import CliRunner

from ingestion import failpoints
from ingestion.config import Settings
from ingestion.errors import UsageError
from ingestion.graph import queries, server
from ingestion.graph.driver import connect
from ingestion.graph.load import load_graph, next_step
from ingestion.graph.neo4j_store import Neo4jStore
from ingestion.graph.queries import Marker
from ingestion.graph.rows import ancestors
from ingestion.graph.snapshot_store import SnapshotStore
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace
from serving.cli import app
from tests.builders import START, Row, build_snapshot, random_rows, transaction
from tests.graph_server import graph_settings, hostile_rows, needs_managed_server

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclasses.dataclass(frozen=True)
class Lineage:
    """Two snapshots, the second appended to the first, and a fork: another second one."""

    workspace: Workspace
    settings: Settings
    first: Snapshot
    second: Snapshot
    fork: Snapshot


def two_batches() -> tuple[list[Row], list[Row]]:
    """In the second there are older rows too, so some uses and entities turn out to be known earlier."""
    rows = random_rows(400, seed=3, days=20, late_share=0.2)[0] + hostile_rows(60)
    return [row for i, row in enumerate(rows) if i % 3], [row for i, row in enumerate(rows) if i % 3 == 0]


def make_lineage(root: Path) -> Lineage:
    workspace = Workspace.open(root)
    rows, more = two_batches()
    first = build_snapshot(workspace, rows)
    fork = build_snapshot(workspace, more[:50], parent=first)
    second = build_snapshot(workspace, more, parent=first)
    return Lineage(workspace, graph_settings(workspace), first, second, fork)


class TestNextStep:
    """The decision alone, without a server."""

    @pytest.fixture(scope="class")
    def lineage(self, tmp_path_factory: pytest.TempPathFactory) -> Lineage:
        return make_lineage(tmp_path_factory.mktemp("workspace"))

    def step(self, lineage: Lineage, snapshot: Snapshot, marker: Marker | None) -> str:
        return next_step(marker, snapshot, ancestors(lineage.workspace, snapshot), lineage.workspace)

    def marker(self, snapshot: Snapshot, **fields: object) -> Marker:
        made = Marker(snapshot.manifest["lineage"], snapshot.manifest["batch"], snapshot.id)
        return dataclasses.replace(made, **fields)  # type: ignore[arg-type]

    def test_each_case(self, lineage: Lineage) -> None:
        first, second, fork = lineage.first, lineage.second, lineage.fork
        assert self.step(lineage, first, None) == "fresh"
        assert self.step(lineage, first, self.marker(first, lineage="other")) == "fresh"
        assert self.step(lineage, first, self.marker(first)) == "nothing"
        assert self.step(lineage, second, self.marker(first)) == "append"
        assert self.step(lineage, first, self.marker(second)) == "nothing", "the store holds it and more"
        assert self.step(lineage, second, self.marker(fork)) == "fresh", "the fork's rows are not the second's"
        assert self.step(lineage, first, self.marker(first, batch=0)) == "append_all"
        assert self.step(lineage, second, self.marker(first, batch=0)) == "fresh"

    def test_a_load_that_died(self, lineage: Lineage) -> None:
        """It is gone on with, also by a later snapshot, unless it was one of a snapshot that is no ancestor."""
        first, second, fork = lineage.first, lineage.second, lineage.fork
        assert self.step(lineage, second, self.marker(first, loading=second.id)) == "append"
        assert self.step(lineage, second, self.marker(first, loading=fork.id)) == "fresh"
        assert self.step(lineage, first, self.marker(first, loading=fork.id)) == "nothing", "reads stop at its batch"

    def test_a_lost_parent(self, lineage: Lineage, tmp_path: Path) -> None:
        """What is new cannot be told, so everything is sent again; a store that is as new is made afresh."""
        workspace = Workspace.open(tmp_path)
        shutil.copytree(lineage.second.path, workspace.snapshots / lineage.second.id)
        orphan = Snapshot.at(workspace.snapshots / lineage.second.id)
        assert next_step(self.marker(lineage.first), orphan, [], workspace) == "append_all"
        assert next_step(self.marker(lineage.fork), orphan, [], workspace) == "fresh"


LOAD = """
import sys
from ingestion.graph.load import load_graph
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace
workspace = Workspace.open(sys.argv[1])
settings = workspace.settings(graph={"heap": "512m", "page_cache": "64m"})
load_graph(workspace, Snapshot.open(workspace, sys.argv[2]), settings)
"""


def load_and_die(lineage: Lineage, snapshot: Snapshot, name: str, log: Path) -> None:
    """Load in a process of its own that is killed at a fail point."""
    environment = os.environ | {failpoints.VARIABLE: f"{name}:kill", failpoints.LOG_VARIABLE: str(log)}
    command = [sys.executable, "-c", LOAD, str(lineage.workspace.root), snapshot.id]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=200)
    assert run.returncode == -signal.SIGKILL, run.stderr
    assert log.read_text().splitlines()[-1] == name


@pytest.mark.neo4j
@needs_managed_server
class TestLoad:
    """In order, on one server: each test goes on from the store that the one before left."""

    @pytest.fixture(scope="class")
    def lineage(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lineage]:
        lineage = make_lineage(tmp_path_factory.mktemp("workspace"))
        yield lineage
        server.stop(lineage.workspace)

    def assert_equal(self, lineage: Lineage, snapshot: Snapshot, settings: Settings | None = None) -> Neo4jStore:
        endpoint = server.ensure_running(lineage.workspace, settings or lineage.settings)
        store = Neo4jStore(endpoint, batch=snapshot.manifest["batch"])
        oracle = SnapshotStore(snapshot)
        assert store.contents().transactions == len(snapshot.arrays)
        assert store.canonical_hash() == oracle.canonical_hash()
        store.close()
        return store

    def test_a_first_load_killed_anywhere_and_run_again(self, lineage: Lineage, tmp_path: Path) -> None:
        for name in ("graph.before_import", "graph.after_import", "graph.before_marker", "graph.after_marker"):
            load_and_die(lineage, lineage.first, name, tmp_path / "log")
            if name != "graph.after_marker":
                assert server.current_lineage(lineage.workspace) in (None, "lineage-test")
        contents = load_graph(lineage.workspace, lineage.first, lineage.settings)
        assert contents == SnapshotStore(lineage.first).contents()
        self.assert_equal(lineage, lineage.first)
        stores = lineage.workspace.graph / "stores"
        assert [path.name for path in stores.iterdir()] == ["lineage-test"], "no left-overs of the killed ones"

    def test_an_increment_killed_anywhere_and_run_again(self, lineage: Lineage, tmp_path: Path) -> None:
        load_and_die(lineage, lineage.second, "graph.before_marker", tmp_path / "log")
        assert "graph.before_import" not in (tmp_path / "log").read_text(), "an increment is not imported"
        self.assert_equal(lineage, lineage.first)
        load_and_die(lineage, lineage.second, "graph.after_marker", tmp_path / "log")
        contents = load_graph(lineage.workspace, lineage.second, lineage.settings)
        assert contents == SnapshotStore(lineage.second).contents()
        self.assert_equal(lineage, lineage.second)

    def test_an_older_release_still_sees_its_own_graph(self, lineage: Lineage) -> None:
        self.assert_equal(lineage, lineage.first)
        contents = load_graph(lineage.workspace, lineage.first, lineage.settings)
        assert contents.transactions == len(lineage.first.arrays), "nothing is taken away from the newer one"
        self.assert_equal(lineage, lineage.second)

    def test_loading_again_changes_nothing(self, lineage: Lineage, monkeypatch: pytest.MonkeyPatch) -> None:
        def unexpected(*arguments: object, **more: object) -> None:
            raise AssertionError("nothing was to be written")

        monkeypatch.setattr("ingestion.graph.load.upsert_rows", unexpected)
        monkeypatch.setattr("ingestion.graph.load.import_rows", unexpected)
        assert load_graph(lineage.workspace, lineage.second, lineage.settings).batch == 2

    def test_upserts_are_idempotent(self, lineage: Lineage) -> None:
        """All rows sent once more, as after a parent that was lost."""
        from ingestion.graph.driver import connect
        from ingestion.graph.rows import batches_of, graph_rows
        from ingestion.graph.upsert import upsert_rows

        endpoint = server.ensure_running(lineage.workspace, lineage.settings)
        rows = graph_rows(lineage.second, batches_of(lineage.second, [lineage.first]), [lineage.first])
        told: list[float] = []
        with connect(endpoint) as driver:
            upsert_rows(driver, endpoint.database, rows, lambda doing, fraction: told.append(fraction))
        assert told[-1] == 1.0
        for snapshot in (lineage.first, lineage.second):
            self.assert_equal(lineage, snapshot)

    def test_a_rebuilt_store_knows_the_batches(self, lineage: Lineage) -> None:
        """The store is lost: the importer makes the same again, seen at either batch."""
        server.stop(lineage.workspace)
        shutil.rmtree(lineage.workspace.graph)
        load_graph(lineage.workspace, lineage.second, lineage.settings)
        for snapshot in (lineage.first, lineage.second):
            self.assert_equal(lineage, snapshot)

    def test_a_new_lineage_gets_a_store_of_its_own(self, lineage: Lineage) -> None:
        workspace = lineage.workspace
        rows = [transaction("t", START, "account:a", "merchant:m")]
        other = build_snapshot(workspace, rows, lineage="lineage-two", set_current=False)
        contents = load_graph(workspace, other, lineage.settings)
        assert (contents.lineage, contents.transactions) == ("lineage-two", 1)
        assert server.current_lineage(workspace) == "lineage-two"
        assert [path.name for path in (workspace.graph / "stores").iterdir()] == ["lineage-two"]

    def test_another_database_is_loaded_over_bolt(self, lineage: Lineage, monkeypatch: pytest.MonkeyPatch) -> None:
        """As an external server: refused while it holds something else, emptied with `replace`, equal in the end."""
        settings = self.external(lineage)
        with pytest.raises(UsageError, match="holds something else") as caught:
            load_graph(lineage.workspace, lineage.second, settings)
        assert "graph load --replace" in caught.value.remedy and caught.value.exit_code == 2
        command = ["graph", "load", "--replace", "--json", "--workspace", str(lineage.workspace.root)]
        monkeypatch.setenv("RINGFENCE_GRAPH_URI", str(settings.graph.uri))
        monkeypatch.setenv("RINGFENCE_GRAPH_PASSWORD", server.ensure_running(lineage.workspace, settings).password)
        assert Snapshot.open(lineage.workspace).id == lineage.second.id
        said = CliRunner().invoke(app, command)
        assert said.exit_code == 0, said.output
        assert orjson.loads(said.stdout) == dataclasses.asdict(SnapshotStore(lineage.second).contents())
        for snapshot in (lineage.first, lineage.second):
            self.assert_equal(lineage, snapshot, settings)

    @pytest.mark.spark
    def test_spark_loads_the_same(self, lineage: Lineage, spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
        """A first load and an increment by Spark's writers, each seen as the snapshot that it is."""

        def unexpected(*arguments: object, **more: object) -> None:
            raise AssertionError("many rows are not written by one writer")

        monkeypatch.setattr("ingestion.graph.load.upsert_rows", unexpected)
        monkeypatch.setattr("ingestion.graph.load.SPARK_ROWS", 1)
        settings = self.external(lineage)
        endpoint = server.ensure_running(lineage.workspace, settings)
        with connect(endpoint) as driver:
            queries.write(driver, endpoint.database, "MATCH (m:RingfenceGraph) DELETE m", {})
        for snapshot in (lineage.first, lineage.second):
            contents = load_graph(lineage.workspace, snapshot, settings, replace=snapshot is lineage.first)
            assert contents == SnapshotStore(snapshot).contents()
        for snapshot in (lineage.first, lineage.second):
            self.assert_equal(lineage, snapshot, settings)
        assert not list(lineage.workspace.cache.iterdir()), "the rows on their way are gone"

    def test_rows_of_an_unwanted_snapshot_are_not_kept(self, lineage: Lineage, tmp_path: Path) -> None:
        """The load of a second snapshot dies, then another second one is wanted: the dead one's rows must go."""
        workspace = lineage.workspace
        load_graph(workspace, lineage.first, lineage.settings)
        load_and_die(lineage, lineage.fork, "graph.before_marker", tmp_path / "log")
        self.assert_equal(lineage, lineage.first)
        load_graph(workspace, lineage.second, lineage.settings)
        for snapshot in (lineage.first, lineage.second):
            self.assert_equal(lineage, snapshot)

    def external(self, lineage: Lineage) -> Settings:
        """The same server as one that somebody else runs."""
        endpoint = server.ensure_running(lineage.workspace, lineage.settings)
        return lineage.workspace.settings(graph={"uri": endpoint.uri, "password": endpoint.password})
