"""One served workspace a test session, and the API over it without a process or a server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from ingestion.mapping import Mapping
from ingestion.privacy import Tokenizer
from ingestion.workspace import Workspace
from serving.api.app import create_app
from serving.api.cursors import Cursors
from serving.api.dependencies import Services
from serving.api.idempotency import IdempotencyStore
from serving.api.metrics import ApiMetrics
from serving.context import ReleaseParts, ServingContext
from serving.context_holder import ContextHolder
from serving.database import open_database
from serving.event_log import EventLog
from serving.event_reader import EventReader
from serving.graph_reads import ResilientStore
from serving.release import Release
from serving.wiring import open_scoring
from tests.serving.fakes import InProcessState, SnapshotServer
from tests.serving.served import Served, build_served

API_KEY = "key-of-the-tests"


@dataclass(frozen=True)
class Api:
    """A client with the key, and what is behind it."""

    client: TestClient
    context: ServingContext
    server: SnapshotServer
    served: Served
    services: Services


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Served:
    """Read it, never write to it: `served` is a copy."""
    return build_served(tmp_path_factory.mktemp("served") / "workspace")


@pytest.fixture
def served(built: Served, tmp_path: Path) -> Served:
    """A served workspace of the test's own."""
    shutil.copytree(built.workspace.root, tmp_path / "workspace")
    return replace(built, workspace=Workspace.open(tmp_path / "workspace"))


@pytest.fixture
def api(served: Served) -> Iterator[Api]:
    """The API over a served workspace; the state is in this process, the snapshot stands in for the graph server."""
    yield from open_api(served)


def open_api(served: Served) -> Iterator[Api]:
    """See `api`."""
    workspace = served.workspace
    release = Release.in_force(workspace)
    log, engine = EventLog(workspace.state / "events.db"), open_database(workspace)
    scoring = open_scoring(workspace, release, log)
    scoring.take_over()
    metrics = ApiMetrics()
    parts = ReleaseParts.open(workspace, release)
    server = SnapshotServer(parts.snapshot)
    context = ServingContext(
        parts,
        store=ResilientStore(
            lambda: server, SnapshotServer(parts.snapshot, stale=True), on_stale=metrics.stale_reads.inc
        ),
        app=open_database(workspace),
        events=EventReader(workspace),
        tokenizer=Tokenizer.of(workspace, Mapping.model_validate(parts.snapshot.manifest["mapping"])),
    )
    services = Services(
        contexts=ContextHolder(context, current_release=lambda: served.release["id"], reopen=lambda: context),
        state=InProcessState(scoring),
        cursors=Cursors("cursor-key-of-the-tests"),
        idempotency=IdempotencyStore(engine),
        metrics=metrics,
    )
    app = create_app(services, api_key=API_KEY)
    client = TestClient(app, raise_server_exceptions=False, headers={"X-API-Key": API_KEY})
    yield Api(client, context, server, served, services)
    context.close()
    engine.dispose()
    log.close()
