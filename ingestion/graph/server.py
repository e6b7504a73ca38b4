"""The workspace's graph server: a daemon that outlives the command that started it (DESIGN 4.1, who owns Neo4j).

`ensure_running` starts it under `graph/lock` and records it in `graph/endpoint.json`; the API, the nightly job
and the commands are its clients; only `stop` stops it. With `[graph] uri` set, that server is used and is never
started or stopped by us. Its data lie in `graph/stores/<lineage>`; `graph/current.json` names the lineage.
"""

from __future__ import annotations

import dataclasses
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
from filelock import FileLock
from neo4j.exceptions import AuthError, DriverError, Neo4jError

from ingestion.artifacts import write_atomically
from ingestion.config import GraphSettings, Settings
from ingestion.errors import UsageError
from ingestion.graph import queries
from ingestion.graph.driver import connect, graph_errors
from ingestion.graph.endpoint import (
    Endpoint,
    forget_endpoint,
    living_process,
    read_endpoint,
    write_endpoint,
)
from ingestion.graph.neo4j_jars import ensure_jars
from ingestion.graph.server_process import GraphServerFailed, end, failed_start, free_port, make_home, start_detached
from ingestion.workspace import Workspace

Progress = Callable[[str, float], None]

EMPTY = "empty"  # name of the store before the first load
_PASSWORD = "neo4j.password"
_START_SECONDS = 120.0
_PORT_ATTEMPTS = 3


def ensure_running(workspace: Workspace, settings: Settings, *, progress: Progress | None = None) -> Endpoint:
    """The server of a workspace, started when it does not run; the jars are fetched when first needed.

    Raises `RetryLater` (exit 75) when there is no Java, the jars cannot be had, or the server does not start.
    """
    if settings.graph.uri:
        return Endpoint.external(settings)
    with _lock(workspace):
        return _running(workspace) or _start(workspace, settings.graph, progress)


def stop(workspace: Workspace) -> bool:
    """Stop the workspace's own server; False when it was not running. An external one is never stopped."""
    with _lock(workspace):
        return _stop(workspace)


def status(workspace: Workspace, settings: Settings) -> dict[str, Any]:
    """Whether the server runs, where, and what it holds (lineage, batch, snapshot); starts nothing."""
    if settings.graph.uri:
        endpoint: Endpoint | None = Endpoint.external(settings)
    else:
        with _lock(workspace):
            endpoint = _running(workspace)
    if endpoint is None:
        return {"running": False, "external": False, "lineage": current_lineage(workspace)}
    with graph_errors(endpoint), connect(endpoint) as driver:
        marker = queries.read_marker(driver, endpoint.database)
    return {
        "running": True,
        "external": endpoint.is_external,
        "uri": endpoint.uri,
        "pid": endpoint.pid,
        "lineage": marker.lineage if marker else None,
        "batch": marker.batch if marker else None,
        "snapshot_id": marker.snapshot_id if marker else None,
    }


def current_lineage(workspace: Workspace) -> str | None:
    """Lineage of the store that the server runs on, None before the first load."""
    path = workspace.graph / "current.json"
    if not path.exists():
        return None
    lineage: str = orjson.loads(path.read_bytes())["lineage"]
    return lineage


def has_store(workspace: Workspace) -> bool:
    """Whether the workspace's own server has a store to run on; without one it would start empty."""
    lineage = current_lineage(workspace)
    return lineage is not None and (store_folder(workspace, lineage) / "data" / "databases").is_dir()


def store_folder(workspace: Workspace, lineage: str | None) -> Path:
    """Home folder of a lineage's store."""
    name = lineage or EMPTY
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", name):
        raise UsageError(f"{name!r} cannot name a store.", remedy="A lineage has letters, digits, '.', '_' and '-'.")
    return workspace.graph / "stores" / name


def install_store(workspace: Workspace, settings: Settings, staged: Path, lineage: str) -> Endpoint:
    """Put a staged home folder in place of a lineage's store and run the server on it.

    A crash in between leaves a store without its marker, or none: the next load imports again.
    """
    target = store_folder(workspace, lineage)
    with _lock(workspace):
        _stop(workspace)
        if target.exists():
            shutil.rmtree(target)
        staged.rename(target)
        write_atomically(workspace.graph / "current.json", orjson.dumps({"lineage": lineage}))
        return _start(workspace, settings.graph, None)


def remove_other_stores(workspace: Workspace, lineage: str) -> None:
    """Give back the disk of the stores that the server no longer runs on."""
    for folder in store_folder(workspace, lineage).parent.iterdir():
        if folder.name != lineage and not folder.name.startswith("."):
            shutil.rmtree(folder)


def _lock(workspace: Workspace) -> FileLock:
    workspace.graph.mkdir(parents=True, exist_ok=True)
    return FileLock(workspace.graph / "lock")


def _running(workspace: Workspace) -> Endpoint | None:
    endpoint = read_endpoint(workspace.graph, workspace.secret(_PASSWORD))
    return endpoint if endpoint is not None and living_process(endpoint) is not None else None


def _stop(workspace: Workspace) -> bool:
    endpoint = read_endpoint(workspace.graph, workspace.secret(_PASSWORD))
    process = living_process(endpoint) if endpoint is not None else None
    if process is not None:
        end(process)
    forget_endpoint(workspace.graph)
    return process is not None


def _start(workspace: Workspace, settings: GraphSettings, progress: Progress | None) -> Endpoint:
    jars = ensure_jars(progress)
    lineage = current_lineage(workspace)
    home = store_folder(workspace, lineage)
    if progress is not None:
        progress("starting Neo4j", 0.9)
    for attempt in range(_PORT_ATTEMPTS):
        port = free_port(_last_port(workspace) if attempt == 0 else 0)
        make_home(home, settings, port)
        is_fresh = not (home / "data" / "databases" / "system").exists()
        process = start_detached(home, jars, settings)
        endpoint = Endpoint(
            uri=f"bolt://127.0.0.1:{port}",
            user="neo4j",
            password=workspace.secret(_PASSWORD),
            database="neo4j",
            pid=process.pid,
            pid_started=process.create_time(),
            lineage=lineage,
            num_downloaded=jars.num_downloaded,
        )
        write_endpoint(workspace.graph, endpoint)  # before it answers: a killed start leaves no unknown process
        try:
            _wait(endpoint, home, is_fresh)
            write_atomically(workspace.graph / "port", str(port).encode())
            return endpoint
        except GraphServerFailed as error:
            end(process)
            forget_endpoint(workspace.graph)
            if "Address already in use" not in str(error) or attempt + 1 == _PORT_ATTEMPTS:
                raise
    raise AssertionError("the last attempt returns or raises")


def _last_port(workspace: Workspace) -> int:
    """The port of the last run: a client that was connected then finds the server again. 0 when there is none."""
    path = workspace.graph / "port"
    return int(path.read_bytes()) if path.exists() else 0


def _wait(endpoint: Endpoint, home: Path, is_fresh: bool) -> None:
    """Until the server answers with the workspace's password, which a fresh store is given first."""
    default = dataclasses.replace(endpoint, password="neo4j")
    deadline = time.monotonic() + _START_SECONDS
    wants_password = is_fresh
    while time.monotonic() < deadline:
        if living_process(endpoint) is None:
            raise failed_start(home)
        try:
            if wants_password:
                with connect(default, patience=1.0) as driver:
                    queries.change_password(driver, old="neo4j", new=endpoint.password)
            with connect(endpoint, patience=1.0) as driver:
                queries.ping(driver, endpoint.database)
            return
        except AuthError:  # killed between start and password, or the other way round: the other one is right
            wants_password = not wants_password
        except (DriverError, Neo4jError, OSError):
            pass
        time.sleep(0.1)
    raise GraphServerFailed(
        f"The graph server did not answer at {endpoint.uri} within {_START_SECONDS:.0f} s.",
        remedy=f"See {home / 'logs'}; run the same command again when the machine has time for it.",
    )
