"""Graph reads go on from the snapshot while the server is away, and come back by themselves."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ingestion.contracts import PartyRef
from ingestion.errors import GraphUnavailable, RetryLater
from ingestion.graph.store import GraphStore
from ingestion.workspace import Workspace
from serving.graph_reads import ResilientStore
from tests.builders import START, build_snapshot, transaction
from tests.serving.fakes import SnapshotServer

ACCOUNT = PartyRef(type="account", key="a")


class Servers:
    """Connections to a server that can go away; `reads` counts the stale ones."""

    def __init__(self, folder: Path) -> None:
        rows = [transaction("t-1", START, "account:a", "merchant:m", parties=["device:d"])]
        self.snapshot = build_snapshot(Workspace.open(folder), rows)
        self.connected: list[SnapshotServer] = []
        self.is_away = False
        self.num_stale = 0

    def connect(self) -> SnapshotServer:
        if self.is_away:
            raise RetryLater("It cannot be started.")
        self.connected.append(SnapshotServer(self.snapshot))
        return self.connected[-1]

    def store(self) -> ResilientStore:
        fallback = SnapshotServer(self.snapshot, stale=True)
        return ResilientStore(self.connect, fallback, on_stale=self.count, pause_seconds=0.05)

    def count(self) -> None:
        self.num_stale += 1


@pytest.fixture
def servers(tmp_path: Path) -> Servers:
    return Servers(tmp_path)


def is_stale(store: ResilientStore) -> bool:
    return store.neighborhood(ACCOUNT, as_of=START).stale


def test_every_read_is_answered_by_either(servers: Servers) -> None:
    store = servers.store()
    for away in (False, True):
        servers.connected[0].is_away = away
        plain: GraphStore = store
        assert [item.transaction_id for item in plain.transactions(ACCOUNT, as_of=START)] == ["t-1"]
        found = plain.transaction("t-1", as_of=START)
        assert found is not None and found.target.key == "m"
        assert plain.entity(ACCOUNT, as_of=START) is not None
        assert plain.contents().transactions == 1
        assert plain.canonical_hash() == servers.connected[0].canonical_hash()
        assert is_stale(store) == away
        servers.is_away = True
    store.close()


def test_an_outage_is_noticed_once_and_ends_by_itself(servers: Servers) -> None:
    store = servers.store()
    assert not is_stale(store) and not store.is_stale
    servers.connected[0].is_away = servers.is_away = True
    assert is_stale(store) and store.is_stale
    time.sleep(0.2)
    assert is_stale(store)
    servers.is_away = False
    deadline = time.monotonic() + 5
    while is_stale(store):
        assert time.monotonic() < deadline, "it came back"
        time.sleep(0.02)
    assert len(servers.connected) == 2
    assert store.held().batch == 1
    assert servers.num_stale >= 2
    store.close()


def test_a_server_that_is_away_from_the_start(servers: Servers) -> None:
    servers.is_away = True
    store = servers.store()
    assert is_stale(store)
    with pytest.raises(GraphUnavailable):
        store.held()
    servers.is_away = False
    deadline = time.monotonic() + 5
    while store.is_stale:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert not is_stale(store)
    store.close()


def test_readiness_notices_an_outage_too(servers: Servers) -> None:
    store = servers.store()
    servers.connected[0].is_away = servers.is_away = True
    with pytest.raises(GraphUnavailable):
        store.held()
    assert store.is_stale
    store.close()
