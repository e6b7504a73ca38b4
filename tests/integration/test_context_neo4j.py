"""The serving context over a real graph server: the same answers as from the snapshot, through a kill and back."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from ingestion.config import Settings
from ingestion.contracts import PartyRef
from ingestion.errors import RetryLater
from ingestion.graph import server
from ingestion.graph.load import load_graph
from ingestion.graph.snapshot_store import SnapshotStore
from serving import graph_reads
from serving.alerts import AlertFilter, list_alerts
from serving.context import ServingContext
from serving.database import database
from tests.graph_server import graph_settings, needs_managed_server, without_server
from tests.serving.served import Served

pytestmark = [pytest.mark.neo4j, needs_managed_server]


@pytest.fixture
def settings(served: Served) -> Iterator[Settings]:
    found = graph_settings(served.workspace)
    try:
        load_graph(served.workspace, served.snapshot, found)
    except RetryLater as error:
        without_server(error)
    yield found
    server.stop(served.workspace)


def test_reads_from_the_graph_through_a_kill_and_back(
    served: Served, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_reads, "PAUSE_SECONDS", 0.5)
    oracle = SnapshotStore(served.snapshot)
    with database(served.workspace) as engine:
        alerts = list_alerts(engine, AlertFilter(), limit=5)
    stale_reads: list[int] = []
    with ServingContext.open(served.workspace, settings, on_stale=lambda: stale_reads.append(1)) as context:
        for alert in alerts:
            found = context.store.neighborhood(alert.entity, as_of=alert.available_at, hops=2, limit=20)
            assert found == oracle.neighborhood(alert.entity, as_of=alert.available_at, hops=2, limit=20)
        by_graph = context.investigate(alerts[0].id)
        assert by_graph.narrative and not by_graph.removed
        assert context.similar(str(alerts[0].entity), k=3)
        assert not stale_reads and context.store.held().batch == 1

        endpoint = server.ensure_running(served.workspace, settings)
        assert endpoint.pid is not None
        os.kill(endpoint.pid, signal.SIGKILL)
        started = time.monotonic()
        entity: PartyRef = alerts[0].entity
        stale = context.store.neighborhood(entity, as_of=context.data_end)
        assert time.monotonic() - started < 5 and stale.stale and stale_reads
        by_snapshot = context.investigate(alerts[0].id)
        assert [claim.text for claim in by_snapshot.narrative] == [claim.text for claim in by_graph.narrative]
        time.sleep(1.5)
        assert context.store.is_stale, "nobody starts the server behind the operator's back"

        server.ensure_running(served.workspace, settings)
        deadline = time.monotonic() + 60
        while context.store.is_stale:
            assert time.monotonic() < deadline, "the context found the server again"
            time.sleep(0.1)
        assert not context.store.neighborhood(entity, as_of=context.data_end).stale
