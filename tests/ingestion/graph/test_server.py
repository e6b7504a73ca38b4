"""The workspace's graph server: one owner, loopback only, nothing lost when it is killed."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from pathlib import Path

import orjson
import psutil
import pytest

from ingestion.config import GraphSettings, Settings
from ingestion.errors import GraphUnavailable, RetryLater, UsageError
from ingestion.graph import server, server_process
from ingestion.graph.endpoint import Endpoint, living_process, read_endpoint, write_endpoint
from ingestion.graph.neo4j_jars import ensure_jars
from ingestion.graph.neo4j_store import Neo4jStore
from ingestion.graph.open import open_graph_store
from ingestion.graph.server_process import GraphServerFailed, end, free_port, make_home, start_detached
from ingestion.workspace import Workspace
from tests.builders import START, build_snapshot, transaction
from tests.graph_server import LoadedGraph, loaded_graph, needs_managed_server

PATIENCE = 10.0  # a dead server is noticed in 3 s; the test leaves room for a busy machine


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.open(tmp_path / "workspace")


def own_endpoint(workspace: Workspace, **fields: object) -> Endpoint:
    me = psutil.Process()
    given: dict[str, object] = {"pid": me.pid, "pid_started": me.create_time()} | fields
    endpoint = Endpoint(uri="bolt://127.0.0.1:1", user="neo4j", password="x", database="neo4j")
    return dataclasses.replace(endpoint, **given)  # type: ignore[arg-type]


def test_a_pid_of_another_process_is_stale(workspace: Workspace) -> None:
    assert living_process(own_endpoint(workspace)) is not None
    assert living_process(own_endpoint(workspace, pid_started=psutil.Process().create_time() - 60)) is None
    assert living_process(own_endpoint(workspace, pid=None)) is None


def test_a_stale_record_stops_nobody(workspace: Workspace) -> None:
    workspace.graph.mkdir()
    write_endpoint(workspace.graph, own_endpoint(workspace, pid_started=1.0))
    assert server.status(workspace, workspace.settings())["running"] is False
    assert server.stop(workspace) is False
    assert read_endpoint(workspace.graph, "") is None, "the record is gone, this process is not"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"uri": 1}'])
def test_a_damaged_record_is_no_server(workspace: Workspace, content: bytes) -> None:
    workspace.graph.mkdir()
    (workspace.graph / "endpoint.json").write_bytes(content)
    assert server.status(workspace, workspace.settings())["running"] is False


def external_settings(workspace: Workspace, uri: str, password: str = "x") -> Settings:
    return workspace.settings(graph={"uri": uri, "password": password})


def test_an_external_server_that_is_away_says_what_to_do(workspace: Workspace) -> None:
    settings = external_settings(workspace, f"bolt://127.0.0.1:{free_port()}")
    assert server.ensure_running(workspace, settings).is_external
    assert not (workspace.graph / "endpoint.json").exists(), "it is not ours"
    began = time.monotonic()
    with pytest.raises(GraphUnavailable, match="does not answer") as caught:
        server.status(workspace, settings)
    assert time.monotonic() - began < PATIENCE
    assert "RINGFENCE_GRAPH_URI" in caught.value.remedy and caught.value.exit_code == 75


def test_a_removed_store_starts_no_empty_server(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never loaded, or `graph/` removed while the release is served: the reader says so, and nothing is started."""

    def unexpected(*arguments: object, **more: object) -> Endpoint:
        raise AssertionError("a server was to be started")

    monkeypatch.setattr(server, "ensure_running", unexpected)
    with pytest.raises(GraphUnavailable, match="holds no graph store"):
        open_graph_store(workspace, workspace.settings())
    workspace.graph.mkdir(exist_ok=True)
    (workspace.graph / "current.json").write_bytes(orjson.dumps({"lineage": "lineage-gone"}))
    with pytest.raises(GraphUnavailable, match="holds no graph store"):
        open_graph_store(workspace, workspace.settings())


@pytest.mark.parametrize("name", ["heap", "page_cache"])
@pytest.mark.parametrize("value", ["1 g", "-1g", "big", "0m", "1g -XX:+Evil", "512"])
def test_a_memory_size_is_checked(tmp_path: Path, name: str, value: str) -> None:
    settings = GraphSettings(**{name: value})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=name):
        make_home(tmp_path, settings, 1)
        server_process._memory("heap", settings.heap)


@pytest.mark.parametrize("lineage", ["../other", "a/b", "", ".hidden", "a b"])
def test_a_store_stays_in_its_folder(workspace: Workspace, lineage: str) -> None:
    if lineage:
        with pytest.raises(UsageError, match="cannot name a store"):
            server.store_folder(workspace, lineage)
    else:
        assert server.store_folder(workspace, None).name == server.EMPTY


@pytest.mark.neo4j
@needs_managed_server
def test_a_misspelt_setting_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Strict validation is on: a setting of ours that a later version drops would be noticed at once."""
    monkeypatch.setattr(server_process, "_CONFIGURATION", server_process._CONFIGURATION + "server.bolt.enabld=true\n")
    monkeypatch.setattr(server, "_PORT_ATTEMPTS", 1)
    workspace = Workspace.open(tmp_path)
    try:
        with pytest.raises(GraphServerFailed, match=r"server\.bolt\.enabld"):
            server.ensure_running(workspace, workspace.settings(graph={"heap": "256m", "page_cache": "32m"}))
        assert read_endpoint(workspace.graph, "") is None
    finally:
        server.stop(workspace)


@pytest.mark.neo4j
@needs_managed_server
class TestRunningServer:
    @pytest.fixture(scope="class")
    def graph(self) -> LoadedGraph:
        return loaded_graph()

    @pytest.fixture
    def endpoint(self, graph: LoadedGraph) -> Endpoint:
        return server.ensure_running(graph.workspace, graph.settings)

    def process(self, endpoint: Endpoint) -> psutil.Process:
        found = living_process(endpoint)
        assert found is not None
        return found

    def test_it_is_started_once(self, graph: LoadedGraph, endpoint: Endpoint) -> None:
        assert server.ensure_running(graph.workspace, graph.settings) == endpoint
        body = server.status(graph.workspace, graph.settings)
        assert body == {
            "running": True,
            "external": False,
            "uri": endpoint.uri,
            "pid": endpoint.pid,
            "lineage": "lineage-test",
            "batch": 3,
            "snapshot_id": graph.snapshots[2].id,
        }

    def test_it_is_nobodys_child(self, endpoint: Endpoint) -> None:
        process = self.process(endpoint)
        assert process.pid not in {child.pid for child in psutil.Process().children(recursive=True)}
        assert os.getsid(process.pid) != os.getsid(0), "the end of a terminal does not reach it"

    def test_it_listens_on_the_loopback_interface_alone(self, endpoint: Endpoint) -> None:
        listening = {
            (found.laddr.ip.removeprefix("::ffff:"), found.laddr.port)
            for found in self.process(endpoint).net_connections(kind="inet")
            if found.status == psutil.CONN_LISTEN
        }
        assert listening == {("127.0.0.1", int(endpoint.uri.rsplit(":", 1)[1]))}

    def test_its_password_is_in_one_file(self, graph: LoadedGraph, endpoint: Endpoint) -> None:
        secret = graph.workspace.secrets / "neo4j.password"
        assert secret.stat().st_mode & 0o777 == 0o600
        assert len(endpoint.password) > 30 and secret.read_text() == endpoint.password
        assert "password" not in orjson.loads((graph.workspace.graph / "endpoint.json").read_bytes())
        assert endpoint.password not in " ".join(self.process(endpoint).cmdline())
        assert endpoint.password not in repr(endpoint)
        home = server.store_folder(graph.workspace, "lineage-test")
        for file in [*home.glob("conf/*"), *home.glob("logs/*")]:
            assert endpoint.password.encode() not in file.read_bytes()

    def test_the_default_password_is_gone(self, endpoint: Endpoint) -> None:
        store = Neo4jStore(dataclasses.replace(endpoint, password="neo4j"))
        with pytest.raises(GraphUnavailable, match="refused user 'neo4j'"):
            store.contents()
        store.close()

    def test_another_workspace_uses_it_but_never_stops_it(
        self, graph: LoadedGraph, endpoint: Endpoint, workspace: Workspace
    ) -> None:
        settings = external_settings(workspace, endpoint.uri, endpoint.password)
        assert server.ensure_running(workspace, settings).uri == endpoint.uri
        assert server.status(workspace, settings)["external"] is True
        store = open_graph_store(workspace, settings, graph.snapshots[1])
        assert store.contents() == graph.neo4j[1].contents()
        store.close()
        assert server.stop(workspace) is False
        assert living_process(endpoint) is not None

    def test_a_snapshot_that_it_does_not_hold_is_refused(self, graph: LoadedGraph, workspace: Workspace) -> None:
        other = build_snapshot(
            workspace, [transaction("x", START, "account:a", "merchant:m")], lineage="another-lineage"
        )
        with pytest.raises(GraphUnavailable, match="does not cover"):
            open_graph_store(graph.workspace, graph.settings, other)

    def test_a_hanging_server_is_noticed(self, graph: LoadedGraph, endpoint: Endpoint) -> None:
        store = Neo4jStore(endpoint)
        store.contents()
        process = self.process(endpoint)
        process.suspend()
        try:
            began = time.monotonic()
            with pytest.raises(GraphUnavailable, match="does not answer"):
                store.transaction("h1", as_of=START)
            assert time.monotonic() - began < PATIENCE
        finally:
            process.resume()
            store.close()

    def test_a_killed_server_loses_nothing(self, graph: LoadedGraph, endpoint: Endpoint) -> None:
        store = Neo4jStore(endpoint)
        before = store.contents()
        process = self.process(endpoint)
        os.kill(process.pid, signal.SIGKILL)
        psutil.wait_procs([process], timeout=PATIENCE)
        began = time.monotonic()
        with pytest.raises(GraphUnavailable, match="does not answer") as caught:
            store.transaction("h1", as_of=START)
        assert time.monotonic() - began < PATIENCE
        assert "graph start" in caught.value.remedy
        again = server.ensure_running(graph.workspace, graph.settings)
        assert again.pid != endpoint.pid
        assert again.uri == endpoint.uri, "a client that was connected finds it again"
        assert store.contents() == before
        assert store.canonical_hash() == graph.oracle[2].canonical_hash()
        store.close()


@pytest.mark.neo4j
@needs_managed_server
def test_a_start_that_was_killed_before_the_password_is_finished(tmp_path: Path) -> None:
    """A fresh server still has its default password; the next start of the workspace gives it its own."""
    workspace = Workspace.open(tmp_path)
    settings = workspace.settings(graph={"heap": "256m", "page_cache": "32m"})
    home = server.store_folder(workspace, None)
    make_home(home, settings.graph, free_port())
    process = start_detached(home, ensure_jars(), settings.graph)
    deadline = time.monotonic() + 100
    while "Started." not in (home / "logs" / "console.log").read_text() and time.monotonic() < deadline:
        time.sleep(0.1)
    end(process)
    try:
        endpoint = server.ensure_running(workspace, settings)
        store = Neo4jStore(endpoint)
        with pytest.raises(RetryLater, match="holds no graph yet"):
            store.contents()
        store.close()
        assert server.stop(workspace) is True
        assert server.stop(workspace) is False
        assert living_process(endpoint) is None
    finally:
        server.stop(workspace)
