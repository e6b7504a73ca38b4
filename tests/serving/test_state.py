"""The state process: a private socket, group commit, nothing lost by a kill, a new release taken up."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ingestion.errors import RetryLater
from ingestion.workspace import Workspace
from serving import state as state_module
from serving.answers import ScoringPolicy
from serving.database import open_database
from serving.event_log import EventLog
from serving.fold import Fold
from serving.release import Release
from serving.scoring import Scoring
from serving.state import StateServer, run
from serving.state_client import StateClient
from serving.state_protocol import StateTimeout, StateUnavailable, socket_address, socket_path
from tests.builders import DAY, START, transaction
from tests.serving.fakes import NoHistory, PlainIntake, RecordingScorer
from tests.serving.served import Served

START_SECONDS = 90


def row(number: int, amount_minor: int = 1_000) -> dict[str, Any]:
    return transaction(f"t-{number}", START + number, "account:a", "merchant:m", amount_minor) | {"known_at": None}


def set_release(workspace: Workspace, release_id: str) -> None:
    workspace.set_current_release(
        {
            "id": release_id,
            "snapshot_id": "snap-1",
            "model_id": "model-1",
            "index_id": None,
            "graph": {"lineage": "l", "batch": 1},
            "digests": {},
        }
    )


def fake_scoring(workspace: Workspace, release: Release, log: EventLog) -> Scoring:
    return Scoring(
        policy=ScoringPolicy(
            release_id=release.id,
            model_id=release.model_id,
            threshold=0.5,
            alert_role="source",
            feature_names=("position", "labels", "frauds"),
        ),
        fold=Fold(RecordingScorer(), last=(START - 1, 1, 0, b""), due=[], maturity=7 * DAY),
        intake=PlainIntake(),
        history=NoHistory(),
        batch=NoHistory(),
        log=log,
        app=open_database(workspace),
    )


@contextmanager
def running(workspace: Workspace) -> Iterator[tuple[StateClient, list[BaseException]]]:
    """The server in a thread, with a scorer that keeps a record; and the errors that ended it."""
    log = EventLog(workspace.state / "events.db")
    errors: list[BaseException] = []
    loops: list[tuple[asyncio.AbstractEventLoop, StateServer]] = []

    async def serve() -> None:
        server = StateServer(workspace, log, lambda release, opened: fake_scoring(workspace, release, opened))
        loops.append((asyncio.get_running_loop(), server))
        await server.run()

    def main() -> None:
        try:
            asyncio.run(serve())
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=main)
    thread.start()
    client = StateClient(workspace, timeout_seconds=5)
    try:
        wait_for(lambda: answers(client) or not thread.is_alive())
        yield client, errors
    finally:
        client.close()
        loop, server = loops[0]
        if thread.is_alive():
            loop.call_soon_threadsafe(server.stop)
        thread.join(10)
        log.close()
    assert not thread.is_alive()


def answers(client: StateClient) -> bool:
    try:
        client.status(timeout_seconds=1)
    except StateUnavailable:
        return False
    return True


def wait_for(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """A workspace so deep that its socket's path is over the 107 bytes of a Unix address."""
    opened = Workspace.open(tmp_path / ("deep" * 30))
    set_release(opened, "release-1")
    return opened


def test_it_answers_over_a_private_socket(workspace: Workspace) -> None:
    with running(workspace) as (client, _):
        assert stat.S_IMODE(socket_path(workspace).stat().st_mode) == 0o600
        assert stat.S_IMODE(workspace.state.stat().st_mode) == 0o700
        (answer,) = client.score([row(1, 9_000)])
        assert answer["status"] == "scored" and answer["alert"]
        status = client.status()
        assert (status["release_id"], status["events"], status["answers"]) == ("release-1", 1, 1)
    assert not socket_path(workspace).exists()


def test_requests_that_come_together_each_get_their_own_answers(workspace: Workspace) -> None:
    with running(workspace) as (client, _), ThreadPoolExecutor(16) as pool:
        batches = [[row(10 * batch + number) for number in range(5)] for batch in range(40)]
        for sent, got in zip(batches, pool.map(client.score, batches), strict=True):
            assert [answer["transaction_id"] for answer in got] == [item["transaction_id"] for item in sent]
        assert client.status()["events"] == 200


def test_an_error_that_leaves_the_state_in_doubt_ends_the_process(workspace: Workspace) -> None:
    with running(workspace) as (client, errors):
        client.score([row(1)])
        with pytest.raises(StateUnavailable, match="RuntimeError"):
            client.score([row(2, 666)])
        wait_for(lambda: errors)
        with pytest.raises(StateUnavailable):
            client.status()
    with running(workspace) as (_, again):
        wait_for(lambda: again)  # the poisoned event is set aside now
    with running(workspace) as (client, _):
        assert client.status()["events"] == 1


def test_a_new_release_is_taken_up_between_two_groups(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_module, "RELEASE_POLL_SECONDS", 0.05)
    with running(workspace) as (client, _):
        (old,) = client.score([row(1)])
        set_release(workspace, "release-2")
        wait_for(lambda: client.status()["release_id"] == "release-2")
        again, new = client.score([row(1), row(2)])
        assert again == old
        assert new["release_id"] == "release-2"
        assert new["features"]["position"] == 1.0, "what the old one scored is history of the new one"


def test_garbage_on_the_socket_hurts_nobody_else(workspace: Workspace) -> None:
    with running(workspace) as (client, _):
        for garbage in (b"\xff\xff\xff\xff", b"\x00\x00\x00\x02{]", b"\x00\x00"):
            connection = client._connect()
            connection.sendall(garbage)
            connection.close()
        connection = client._connect()
        connection.sendall(b"\x00\x00\x00\x11" + b'{"op": "unknown"}')
        assert b'"ok":false' in connection.recv(200)
        connection.close()
        assert client.score([row(1)])[0]["status"] == "scored"


def test_there_is_one_state_process_a_workspace(workspace: Workspace) -> None:
    from filelock import FileLock

    workspace.state.mkdir(parents=True)
    with FileLock(workspace.state / "lock"), pytest.raises(RetryLater, match="has a state process already"):
        run(workspace, lambda release, log: fake_scoring(workspace, release, log))


def test_a_client_without_a_server_says_so_at_once(workspace: Workspace) -> None:
    started = time.monotonic()
    with pytest.raises(StateUnavailable, match="does not answer"):
        StateClient(workspace).score([row(1)])
    assert time.monotonic() - started < 1


def test_a_server_that_hangs_is_a_timeout_and_not_asked_twice(workspace: Workspace) -> None:
    workspace.state.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener, socket_address(workspace) as address:
        listener.bind(address)
        listener.listen()
        with pytest.raises(StateTimeout, match="in time"):
            StateClient(workspace, timeout_seconds=0.2).score([row(1)])
        listener.accept()[0].close()
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


def start(workspace: Workspace) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "serving.state", str(workspace.root), "--parent", str(os.getpid())]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_killed_under_load_and_started_again_nothing_is_lost_and_answers_are_the_same(served: Served) -> None:
    workspace, rows = served.workspace, served.later_rows
    client = StateClient(workspace, timeout_seconds=20)
    process = start(workspace)
    given: dict[str, dict[str, Any]] = {}
    try:
        wait_for(lambda: answers(client), START_SECONDS)
        killer = threading.Timer(0.5, process.kill)
        try:
            for item in rows:
                given[item["transaction_id"]] = client.score([item])[0]
                if len(given) == 1:  # however long a busy machine takes for the first answer
                    killer.start()
        except StateUnavailable:
            pass
        killer.join()
        assert process.wait(10) == -signal.SIGKILL
        assert len(given) > 0
        process = start(workspace)
        wait_for(lambda: answers(client), START_SECONDS)
        again = client.score(rows[: len(given)])
        assert again == list(given.values())
        assert client.status()["events"] >= len(given)
        rest = client.score(rows)
        assert rest[: len(given)] == again
        process.terminate()
        assert process.wait(10) == 0
        assert not socket_path(workspace).exists()
    finally:
        process.kill()
        process.wait()
        client.close()
    other = uninterrupted(served)
    strip = [{key: value for key, value in answer.items() if key != "release_id"} for answer in rest]
    assert strip == [{key: value for key, value in answer.items() if key != "release_id"} for answer in other]


def uninterrupted(served: Served) -> list[dict[str, Any]]:
    """What a state that never died says of the same rows, one at a time."""
    from serving.wiring import open_scoring

    log = EventLog(served.workspace.state / "another.db")
    state = open_scoring(served.workspace, Release.in_force(served.workspace), log)
    state.take_over()
    return [state.score([item])[0] for item in served.later_rows]
