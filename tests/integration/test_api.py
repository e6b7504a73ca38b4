"""`ringfence serve` as a user runs it: two processes, HTTP over a socket, kills, a new release, a clean end."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import psutil
import pytest

from serving.state_protocol import socket_path
from tests.serving.api.test_conventions import as_json
from tests.serving.served import Served

START_SECONDS = 120


@dataclass
class Running:
    """A `serve` process and a client of it."""

    process: subprocess.Popen[str]
    client: httpx.Client
    served: Served

    def state_pid(self) -> int:
        """Process id of the state process."""
        (child,) = psutil.Process(self.process.pid).children()
        return int(child.pid)

    def score(self, rows: list[dict[str, Any]]) -> httpx.Response:
        return self.client.post("/v1/transactions:score", json={"transactions": [as_json(row) for row in rows]})


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], object], seconds: float = START_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def start(served: Served, port: int = 0) -> subprocess.Popen[str]:
    root = str(served.workspace.root)
    code = (
        "from ingestion import native; native.prepare()\n"
        "from ingestion.workspace import Workspace; from serving.serve import serve\n"
        f"workspace = Workspace.open({root!r})\n"
        f"serve(workspace, workspace.settings(), host='127.0.0.1', port={port})\n"
    )
    away = {"RINGFENCE_GRAPH_URI": f"bolt://127.0.0.1:{closed_port()}", "RINGFENCE_GRAPH_PASSWORD": "none"}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | away,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


@pytest.fixture
def running(served: Served) -> Iterator[Running]:
    process = start(served)
    assert process.stdout is not None
    try:
        announced = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", announced)
        assert found, announced
        key = {"X-API-Key": served.workspace.secret("api.key")}
        with httpx.Client(base_url=found.group(), headers=key, timeout=30) as client:
            wait_for(lambda: client.get("/health/live").status_code == 200)
            yield Running(process, client, served)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
        process.stdout.close()


def test_served_for_real(running: Running) -> None:
    client, served = running.client, running.served
    ready = client.get("/health/ready").json()
    assert ready["status"] == "degraded"  # there is no graph server in this test
    assert {check["name"]: check["status"] for check in ready["checks"]} == {
        "state": "ok",
        "graph": "degraded",
        "index": "ok",
        "model": "ok",
        "release": "ok",
    }
    alert = client.get("/v1/alerts", params={"limit": 1}).json()["alerts"][0]
    entity = f"/v1/entities/{alert['entity']['type']}/{alert['entity']['key']}"
    assert client.get(entity).status_code == 200
    assert client.get(f"{entity}/neighborhood").json()["stale"] is True
    assert client.get(f"{entity}/similar").json()["similar"]
    assert client.post("/v1/investigations", json={"alert_id": alert["id"]}).status_code == 201
    first = running.score(served.later_rows[:20]).json()["results"]
    assert {answer["status"] for answer in first} == {"scored"}

    old = running.state_pid()
    os.kill(old, signal.SIGKILL)
    answer = running.score(served.later_rows[20:21])
    assert answer.status_code in (200, 503)
    if answer.status_code == 503:
        assert answer.json()["type"] == "/problems/unavailable" and answer.headers["retry-after"]
        assert client.get("/health/ready").status_code == 503
    assert client.get(entity).status_code == 200, "reads go on without the state process"
    wait_for(lambda: client.get("/health/ready").status_code == 200)
    assert running.state_pid() != old
    assert running.score(served.later_rows[:20]).json()["results"] == first
    assert running.score(served.later_rows[20:40]).json()["results"][0]["status"] == "scored"

    release = served.release | {"id": "release-000000000001"}
    served.workspace.set_current_release(release)
    wait_for(lambda: client.get("/version").json()["release_id"] == release["id"])
    wait_for(lambda: client.get("/health/ready").status_code == 200)
    again = running.score(served.later_rows[:1]).json()
    assert again["release_id"] == release["id"] and again["results"] == first[:1]

    state_pid = running.state_pid()
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(30) == 0
    assert not psutil.pid_exists(state_pid)
    assert not socket_path(served.workspace).exists()


def test_a_second_server_is_refused_and_the_state_process_ends_with_its_parent(running: Running) -> None:
    port = int(str(running.client.base_url).rsplit(":", 1)[-1])
    for taken in (port, 0):
        second = start(running.served, taken)
        try:
            second.communicate(timeout=START_SECONDS)
        finally:
            second.kill()
        assert second.returncode == 1  # RetryLater, raised by the call; the command line makes it 75
    assert running.client.get("/health/ready").status_code == 200

    state_pid = running.state_pid()
    running.process.kill()
    running.process.wait()
    wait_for(lambda: not psutil.pid_exists(state_pid), 20)  # it notices that its parent is gone
