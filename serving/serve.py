"""`ringfence serve`: the state process and the HTTP API of a workspace, until SIGTERM or SIGINT.

The state process is a child that is started again when it dies; its events are in the log, so nothing is lost. Both
end together, and whatever ends this process, the child notices and ends too.
"""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import structlog
import uvicorn

from ingestion.config import Settings
from ingestion.errors import RetryLater, RingfenceError
from ingestion.workspace import Workspace
from serving.api.app import create_app
from serving.api.auth import KEY_SECRET as API_KEY_SECRET
from serving.api.cursors import KEY_SECRET as CURSOR_KEY_SECRET
from serving.api.cursors import Cursors
from serving.api.dependencies import Services
from serving.api.idempotency import IdempotencyStore
from serving.api.metrics import ApiMetrics
from serving.context import ServingContext
from serving.context_holder import ContextHolder
from serving.database import database
from serving.logs import configure_logging
from serving.release import Release
from serving.state_client import StateClient
from serving.state_protocol import StateUnavailable

START_SECONDS = 300.0
STOP_SECONDS = 20.0
RELEASE_POLL_SECONDS = 2.0
#: Pause before a state process that died is started again; doubled up to the second number.
RESTART_SECONDS = (0.5, 30.0)
STATE_TIMEOUT_SECONDS = 30.0
log = structlog.get_logger("ringfence.serve")


class StateProcess:
    """The state process of a workspace as a child, restarted when it dies."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._stopping = threading.Event()
        self._child = self._spawn()
        self._guard = threading.Thread(target=self._keep_alive, name="state-guard", daemon=True)

    def wait_until_ready(self, client: StateClient) -> None:
        """Wait until it answers, then keep it alive. Raises `RetryLater` when it ends or takes too long."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if (code := self._child.poll()) is not None:
                raise RetryLater(
                    f"The state process ended with exit code {code} before it was ready.",
                    remedy="Its last log lines above say why; mend that and start again.",
                )
            if self._answers(client):
                self._guard.start()
                return
            time.sleep(0.1)
        raise RetryLater(
            f"The state process was not ready in {START_SECONDS:.0f} s.", remedy="Look at its log lines; start again."
        )

    def _answers(self, client: StateClient) -> bool:
        """Whether our own child answers, and not one of another `serve`, which would make ours end soon."""
        try:
            return bool(client.status(timeout_seconds=1.0)["pid"] == self._child.pid)
        except StateUnavailable:
            return False

    def stop(self) -> None:
        """End it, by SIGTERM first."""
        self._stopping.set()
        self._child.terminate()
        try:
            self._child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def _spawn(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "serving.state", str(self._workspace.root), "--parent", str(os.getpid())],
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches us first, and we stop it in order
        )

    def _keep_alive(self) -> None:
        pause, most = RESTART_SECONDS
        while not self._stopping.is_set():
            started = time.monotonic()
            code = self._child.wait()
            if self._stopping.is_set():
                return
            pause = RESTART_SECONDS[0] if time.monotonic() - started > most else min(pause * 2, most)
            log.error("state.died", exit_code=code, restart_seconds=pause)
            if self._stopping.wait(pause):
                return
            self._child = self._spawn()


def serve(workspace: Workspace, settings: Settings, *, host: str, port: int) -> None:
    """Serve the release in force; prints where, and returns after SIGTERM or SIGINT with nothing left running.

    Port 0 takes a free one. Raises `DataContractError` before the first nightly run, `RetryLater` when another process
    serves the workspace or the port.
    """
    Release.in_force(workspace)
    configure_logging()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), _listening(host, port) as listener, _state_process(workspace) as state:
        metrics = ApiMetrics()
        contexts = _open_contexts(workspace, settings, metrics)
        client = StateClient(workspace, timeout_seconds=STATE_TIMEOUT_SECONDS)
        state.wait_until_ready(client)
        try:
            with database(workspace) as engine, _following(contexts):
                services = Services(
                    contexts=contexts,
                    state=client,
                    cursors=Cursors(workspace.secret(CURSOR_KEY_SECRET)),
                    idempotency=IdempotencyStore(engine),
                    metrics=metrics,
                )
                _run_http(services, workspace, listener)
        finally:
            client.close()
            contexts.close()


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's algorithm off (40 ms an answer) only where the protocol is named.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise RetryLater(
                f"Cannot listen on {host}:{port}: {error.strerror}.", remedy="Choose another with --host or --port."
            ) from error
        yield listener


@contextmanager
def _state_process(workspace: Workspace) -> Iterator[StateProcess]:
    state = StateProcess(workspace)
    try:
        yield state
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):  # stopping takes its time; once is enough
            signal.signal(number, signal.SIG_IGN)
        state.stop()


@contextmanager
def _following(contexts: ContextHolder[ServingContext]) -> Iterator[None]:
    """Look for another release in the background."""
    stopping = threading.Event()

    def follow() -> None:
        while not stopping.wait(RELEASE_POLL_SECONDS):
            try:
                contexts.refresh()
            except RingfenceError as error:  # the pointer cannot be read for now
                log.error("context.pointer", what=error.what)

    thread = threading.Thread(target=follow, name="release-follow", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


def _open_contexts(workspace: Workspace, settings: Settings, metrics: ApiMetrics) -> ContextHolder[ServingContext]:
    def reopen() -> ServingContext:
        return ServingContext.open(workspace, settings, on_stale=metrics.stale_reads.inc)

    def current_release() -> str | None:
        release = workspace.current_release()
        return None if release is None else str(release["id"])

    return ContextHolder(reopen(), current_release=current_release, reopen=reopen)


def _run_http(services: Services, workspace: Workspace, listener: socket.socket) -> None:
    config = uvicorn.Config(
        create_app(services, api_key=workspace.secret(API_KEY_SECRET)),
        timeout_graceful_shutdown=10,
        timeout_keep_alive=30,
        server_header=False,
        access_log=False,
        log_level="warning",
        lifespan="off",
    )
    listener.listen(config.backlog)  # who is told the address may call at once
    _announce(workspace, *listener.getsockname()[:2])
    uvicorn.Server(config).run(sockets=[listener])


def _announce(workspace: Workspace, host: str, port: int) -> None:
    key = shlex.quote(str(workspace.secrets / API_KEY_SECRET))
    root = shlex.quote(str(workspace.root))
    base = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    sys.stdout.write(
        f"ringfence serves {root} at {base} (API reference at /docs). Stop it with Ctrl-C.\n"
        f"The API key is in {key}. Try:\n"
        f'  curl -H "X-API-Key: $(cat {key})" "{base}/v1/alerts?limit=5"\n'
        f"The graph server keeps running; stop it with: ringfence graph stop --workspace {root}\n"
    )
    sys.stdout.flush()
