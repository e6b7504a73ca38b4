"""Calls in a child process: what crashes or hangs there takes nobody along (TRUST DAT1).

One child serves all calls of this process; it starts with the first, is started again after it died, and ends
when nobody called for a while, or with its parent. It is no child of `multiprocessing`, which would run the user's
main module again.
"""

from __future__ import annotations

import faulthandler
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, TypeVar

from ingestion.errors import IngestionError

Result = TypeVar("Result")

SECONDS = 30.0
_IDLE_SECONDS = 10.0
_GRACE_SECONDS = 5.0
_START_SECONDS = 20.0  # on a busy machine
_PROGRAM = "import sys; from ingestion.guarded import serve; serve(int(sys.argv[1]))"


class CallDied(IngestionError):
    """The child process crashed, or was ended because it took too long."""


class _Idle(CallDied):
    """The child ended well just before it was asked."""


class GuardedCalls:
    """Calls functions in a child process, one at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: tuple[subprocess.Popen[bytes], Connection] | None = None

    def call(self, function: Callable[..., Result], *arguments: Any, seconds: float = SECONDS) -> Result:
        """`function(*arguments)`, a function of a module; all of it must pickle.

        Raises what the function raised, as far as it pickles; `CallDied` for a crash, or after `seconds`.
        """
        with self._lock:
            try:
                outcome, value = self._exchange(function, arguments, seconds)
            except _Idle:  # it had just gone by itself
                outcome, value = self._exchange(function, arguments, seconds)
        if outcome == "raised":
            raise value
        return value

    def _exchange(self, function: Callable[..., Any], arguments: tuple[Any, ...], seconds: float) -> tuple[str, Any]:
        process, connection = self._running()
        begin = time.monotonic()
        try:
            connection.send((function, arguments, seconds))
            if connection.poll(seconds + _GRACE_SECONDS + _START_SECONDS):
                answer: tuple[str, Any] = connection.recv()
                return answer
            code = 0  # not even its watchdog woke up
        except (EOFError, BrokenPipeError, ConnectionResetError):
            code = process.wait(_GRACE_SECONDS)
        self.end()
        if time.monotonic() - begin >= seconds:
            raise CallDied(f"it was not read within {seconds:g} seconds")
        died = _Idle if code == 0 else CallDied
        raise died(f"the process that read it died ({_death(code)})")

    def _running(self) -> tuple[subprocess.Popen[bytes], Connection]:
        if self._child is not None and self._child[1].poll(0):  # it said that it goes, or died since
            self.end()
        if self._child is None:
            ours, theirs = Pipe()
            command = [sys.executable, "-c", _PROGRAM, str(theirs.fileno())]
            paths = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path) or "."}
            process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=paths, stdin=subprocess.DEVNULL)
            theirs.close()
            self._child = process, ours
        return self._child

    def end(self) -> None:
        """End the child, if there is one; the next call starts another."""
        if self._child is not None:
            process, connection = self._child
            connection.close()
            process.kill()
            process.wait()
            self._child = None


#: The calls of this process.
GUARDED = GuardedCalls()


def serve(descriptor: int) -> None:
    """The child: answers until it is idle, or its parent is gone; its watchdog ends it when a call takes too long."""
    connection = Connection(descriptor)
    with Path(os.devnull).open("w") as nowhere:
        while connection.poll(_IDLE_SECONDS):
            try:
                function, arguments, seconds = connection.recv()
            except EOFError:
                return
            faulthandler.dump_traceback_later(seconds, exit=True, file=nowhere)
            try:
                answer = ("returned", function(*arguments))
            except Exception as error:
                answer = ("raised", error)
            faulthandler.cancel_dump_traceback_later()
            connection.send(answer)


def _death(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
