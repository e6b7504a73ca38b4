"""The HTTP workers' side of the state process: blocking calls over pooled connections, from any thread."""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from ingestion.workspace import Workspace
from serving.state_protocol import LENGTH, StateTimeout, StateUnavailable, encode, frame_length, socket_address

REMEDY = "Send it again in a few seconds; the state process is being started or catches up."


class StateClient:
    """Calls the state process of a workspace. Every call may be repeated: scoring is idempotent by transaction id.

    Args:
        timeout_seconds: how long one call may take.
    """

    def __init__(self, workspace: Workspace, *, timeout_seconds: float = 10.0) -> None:
        self._workspace = workspace
        self._timeout = timeout_seconds
        self._idle: list[socket.socket] = []
        self._lock = threading.Lock()

    def score(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Answers of rows, in order. Raises `StateUnavailable`."""
        answers: list[dict[str, Any]] = self._call({"op": "score", "rows": list(rows)})["answers"]
        return answers

    def label(self, transaction_id: str, *, label: str, known_at: int, origin: str) -> bool:
        """An explicit label; False when the transaction is unknown."""
        fields = {"transaction_id": transaction_id, "label": label, "known_at": known_at, "origin": origin}
        return bool(self._call({"op": "label", **fields})["known"])

    def status(self, *, timeout_seconds: float | None = None) -> dict[str, Any]:
        """Release, counts, the last event's time."""
        status: dict[str, Any] = self._call({"op": "status"}, timeout_seconds=timeout_seconds)["status"]
        return status

    def close(self) -> None:
        """Close idle connections."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()

    def _call(self, request: dict[str, Any], *, timeout_seconds: float | None = None) -> dict[str, Any]:
        frame = encode(request)
        pooled = self._take()
        try:
            answer = self._exchange(pooled or self._connect(), frame, timeout_seconds)
        except TimeoutError as error:
            raise StateTimeout(f"The state process did not answer in time ({error}).", remedy=REMEDY) from error
        except OSError as error:
            if pooled is None:
                raise StateUnavailable(f"The state process does not answer ({error}).", remedy=REMEDY) from error
            answer = self._on_fresh_connection(frame, timeout_seconds)
        if not answer["ok"]:
            raise StateUnavailable(f"The state process failed: {answer['error']}.", remedy=REMEDY)
        return answer

    def _on_fresh_connection(self, frame: bytes, timeout_seconds: float | None) -> dict[str, Any]:
        """A pooled connection was of a process that is gone: drop them all, try once more."""
        self.close()
        try:
            return self._exchange(self._connect(), frame, timeout_seconds)
        except OSError as error:
            raise StateUnavailable(f"The state process does not answer ({error}).", remedy=REMEDY) from error

    def _exchange(self, connection: socket.socket, frame: bytes, timeout_seconds: float | None) -> dict[str, Any]:
        try:
            connection.settimeout(timeout_seconds or self._timeout)
            connection.sendall(frame)
            body = _receive(connection, frame_length(_receive(connection, LENGTH.size)))
        except BaseException:
            connection.close()
            raise
        with self._lock:
            self._idle.append(connection)
        answer: dict[str, Any] = orjson.loads(body)
        return answer

    def _take(self) -> socket.socket | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(self._timeout)
        try:
            with socket_address(self._workspace) as address:
                connection.connect(address)
        except OSError:
            connection.close()
            raise
        return connection


def _receive(connection: socket.socket, length: int) -> bytes:
    parts = bytearray()
    while len(parts) < length:
        part = connection.recv(min(length - len(parts), 1 << 20))
        if not part:
            raise ConnectionResetError("the connection was closed")
        parts += part
    return bytes(parts)
