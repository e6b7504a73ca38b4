"""The state process of a workspace: one writer that owns the event log and the online state.

    python -m serving.state WORKSPACE [--parent PID]

An asyncio server on a Unix socket (mode 0600). Requests that arrive while a group is being written wait and go
together in the next one (group commit). When a new release is in force, its state is built beside the old one and
takes its place between two groups. An error that leaves the state in doubt ends the process: the next one folds
the log again.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import orjson
import structlog
from filelock import FileLock, Timeout

from ingestion import native
from ingestion.errors import RetryLater, RingfenceError
from ingestion.workspace import Workspace
from serving.event_log import EventLog
from serving.logs import configure_logging, where
from serving.release import Release
from serving.scoring import Scoring
from serving.state_protocol import LENGTH, encode, frame_length, socket_address, socket_path
from serving.wiring import open_scoring

#: Rows that go together in one commit at most.
MAX_GROUP_ROWS = 2_000
RELEASE_POLL_SECONDS = 2.0
LAST_ANSWERS_SECONDS = 2.0
log = structlog.get_logger("ringfence.state")

Result = TypeVar("Result")
#: Builds the state of a release's snapshot, to write to this log once it has taken over.
Opener = Callable[[Release, EventLog], Scoring]


@dataclass(frozen=True, kw_only=True)
class _Waiting:
    """A score request and where its answers go."""

    rows: list[Mapping[str, Any]]
    answers: asyncio.Future[list[dict[str, Any]]]


class StateServer:
    """Serves the state of a workspace until `stop` is called or the state is in doubt."""

    def __init__(self, workspace: Workspace, event_log: EventLog, opener: Opener) -> None:
        self._workspace = workspace
        self._log = event_log
        self._opener = opener
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._builder = ThreadPoolExecutor(1, thread_name_prefix="builder")
        self._queue: asyncio.Queue[_Waiting | None] = asyncio.Queue(maxsize=1_000)
        self._failure: BaseException | None = None
        self._num_in_flight = 0
        self._stopping = asyncio.Event()
        self._started_at = time.time_ns() // 1_000
        self._scoring: Scoring
        self._loop: asyncio.AbstractEventLoop

    async def run(self) -> None:
        """Open the release in force, then serve. Raises what left the state in doubt."""
        self._loop = asyncio.get_running_loop()
        self._scoring = await self._in_writer(self._open_first)
        with socket_address(self._workspace) as address:
            socket_path(self._workspace).unlink(missing_ok=True)
            umask = os.umask(0o177)
            try:
                server = await asyncio.start_unix_server(self._serve_connection, address)
            finally:
                os.umask(umask)
        writing = asyncio.create_task(self._write_groups())
        following = asyncio.create_task(self._follow_release())
        log.info("state.ready", release_id=self._scoring.policy.release_id, **self._log.counts())
        await self._stopping.wait()
        server.close()
        following.cancel()
        await self._finish(writing)
        self._writer.shutdown()
        self._builder.shutdown(cancel_futures=True)
        socket_path(self._workspace).unlink(missing_ok=True)
        if self._failure is not None:
            raise self._failure

    async def _finish(self, writing: asyncio.Task[None]) -> None:
        """Write the group in hand, turn away who waits, and let the last answers go out."""
        waiting = [self._queue.get_nowait() for _ in range(self._queue.qsize())]
        for item in filter(None, waiting):
            item.answers.set_exception(RetryLater("The state process is stopping."))
        await self._queue.put(None)
        await writing
        deadline = time.monotonic() + LAST_ANSWERS_SECONDS
        while self._num_in_flight and time.monotonic() < deadline:
            await asyncio.sleep(0.01)

    def stop(self) -> None:
        """End `run` after the group in hand."""
        self._stopping.set()

    def _open_first(self) -> Scoring:
        scoring = self._opener(Release.in_force(self._workspace), self._log)
        scoring.take_over()
        return scoring

    async def _serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                header = await reader.readexactly(LENGTH.size)
                request = orjson.loads(await reader.readexactly(frame_length(header)))
                self._num_in_flight += 1
                try:
                    writer.write(encode(await self._answer(request)))
                    await writer.drain()
                finally:
                    self._num_in_flight -= 1
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            pass  # the client is gone, or does not speak the protocol
        except asyncio.CancelledError:
            pass  # we are stopping; asyncio of Python 3.11 logs a handler that lets this through
        finally:
            writer.close()

    async def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            return {"ok": True} | await self._dispatch(request)
        except Exception as error:
            return {"ok": False, "error": type(error).__name__}

    async def _dispatch(self, request: dict[str, Any]) -> dict[str, Any]:
        match request["op"]:
            case "score":
                return {"answers": await self._enqueue(request["rows"])}
            case "label":
                fields = {key: request[key] for key in ("transaction_id", "label", "known_at", "origin")}
                return {"known": await self._in_writer(self._label, fields)}
            case "status":
                return {"status": await self._in_writer(self._status)}
            case other:
                raise ValueError(f"unknown operation {other!r}")

    async def _enqueue(self, rows: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
        future: asyncio.Future[list[dict[str, Any]]] = asyncio.get_running_loop().create_future()
        await self._queue.put(_Waiting(rows=rows, answers=future))
        return await future

    async def _write_groups(self) -> None:
        """Group after group, until None is in the queue."""
        waiting = await self._queue.get()
        while waiting is not None:
            group, num_rows = [waiting], len(waiting.rows)
            while num_rows < MAX_GROUP_ROWS and not self._queue.empty():
                following = self._queue.get_nowait()
                if following is None:
                    await self._write_group(group)
                    return
                group.append(following)
                num_rows += len(following.rows)
            await self._write_group(group)
            waiting = await self._queue.get()

    async def _write_group(self, group: list[_Waiting]) -> None:
        rows = [row for waiting in group for row in waiting.rows]
        try:
            answers = await self._in_writer(self._score, rows)
        except Exception as error:
            for waiting in group:
                if not waiting.answers.done():
                    waiting.answers.set_exception(error)
            return
        start = 0
        for waiting in group:
            if not waiting.answers.done():
                waiting.answers.set_result(answers[start : start + len(waiting.rows)])
            start += len(waiting.rows)

    def _score(self, rows: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
        with self._fail_stop():
            return self._scoring.score(rows)

    def _label(self, fields: dict[str, Any]) -> bool:
        with self._fail_stop():
            return self._scoring.label(fields.pop("transaction_id"), **fields)

    def _status(self) -> dict[str, Any]:
        return {
            "release_id": self._scoring.policy.release_id,
            "model_id": self._scoring.policy.model_id,
            "last_available_at": self._scoring.last_available_at,
            "pid": os.getpid(),
            "started_at": self._started_at,
            **self._log.counts(),
        }

    async def _follow_release(self) -> None:
        """Build the state of a new release beside the old one, then swap. A release that is refused is not retried."""
        refused: set[str] = set()
        while True:
            await asyncio.sleep(RELEASE_POLL_SECONDS)
            release_id = self._scoring.policy.release_id
            try:
                release = Release.in_force(self._workspace)
                release_id = release.id
                if release_id != self._scoring.policy.release_id and release_id not in refused:
                    loop = asyncio.get_running_loop()
                    built = await loop.run_in_executor(self._builder, self._build, release)
                    await self._in_writer(self._swap, built)
                    log.info("state.release", release_id=release_id)
            except RingfenceError as error:
                refused.add(release_id)
                log.error("state.release_refused", release_id=release_id, what=error.what, remedy=error.remedy)
            except Exception as error:
                self._fail(error)

    def _build(self, release: Release) -> Scoring:
        scoring = self._opener(release, self._log)
        reading = EventLog(self._log.path)
        try:
            scoring.replay(reading)
        finally:
            reading.close()
        return scoring

    def _swap(self, built: Scoring) -> None:
        with self._fail_stop():
            built.take_over()
            self._scoring = built

    @contextmanager
    def _fail_stop(self) -> Iterator[None]:
        """What fails between the append and the answer leaves the state in doubt: end the process."""
        try:
            yield
        except Exception as error:
            self._loop.call_soon_threadsafe(self._fail, error)
            raise

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self._stopping.set()

    async def _in_writer(self, function: Callable[..., Result], *arguments: Any) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._writer, function, *arguments)


def run(workspace: Workspace, opener: Opener, *, parent: int | None = None) -> None:
    """Be the state process of a workspace until SIGTERM or SIGINT, or until `parent` is gone.

    Raises `RetryLater` when there is one already, and what left the state in doubt.
    """
    workspace.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        lock = FileLock(workspace.state / "lock").acquire(timeout=0)
    except Timeout as error:
        raise RetryLater(
            f"{workspace.root} has a state process already.", remedy="Stop that `ringfence serve`, or use it."
        ) from error
    with lock:
        event_log = EventLog(workspace.state / "events.db")
        try:
            asyncio.run(_until_signal(StateServer(workspace, event_log, opener), parent))
        finally:
            event_log.close()


async def _until_signal(server: StateServer, parent: int | None) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, server.stop)
    watch = asyncio.create_task(_until_orphan(server, parent))
    await server.run()
    watch.cancel()


async def _until_orphan(server: StateServer, parent: int | None) -> None:
    while parent is not None:
        if os.getppid() != parent:
            log.warning("state.orphan", parent=parent)
            server.stop()
            return
        await asyncio.sleep(1.0)


def main() -> int:
    """Entry point of the process; the exit code of the error that ended it."""
    native.prepare()
    configure_logging()
    arguments = argparse.ArgumentParser(prog="python -m serving.state", description="State process of a workspace.")
    arguments.add_argument("workspace", type=Path)
    arguments.add_argument("--parent", type=int, help="End when this process is no longer the parent.")
    given = arguments.parse_args()
    workspace = Workspace.open(given.workspace)
    try:
        run(workspace, partial(open_scoring, workspace), parent=given.parent)
    except RingfenceError as error:
        log.error("state.stopped", error=type(error).__name__, what=error.what, remedy=error.remedy)
        return error.exit_code
    except Exception as error:
        log.error("state.in_doubt", error=type(error).__name__, where=where(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
