"""How an HTTP worker talks to the state process: JSON frames over a Unix socket that only its owner may open.

A frame is its length (4 bytes, big-endian) and that many bytes of JSON. A request is `{"op": …, …}`; an answer
`{"ok": true, …}` or `{"ok": false, "error": …}`. One request at a time on a connection.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from ingestion.errors import RetryLater
from ingestion.workspace import Workspace

SOCKET_NAME = "scoring.sock"
#: 1,000 rows of 16 KiB.
MAX_FRAME_BYTES = 64 * 1024 * 1024
LENGTH = struct.Struct("!I")


class StateUnavailable(RetryLater):
    """The state process does not answer."""


class StateTimeout(StateUnavailable):
    """The state process took the request and did not answer in time; it may have done it."""


def encode(message: dict[str, Any]) -> bytes:
    """One frame."""
    body = orjson.dumps(message)
    if len(body) > MAX_FRAME_BYTES:
        raise ValueError(f"a message of {len(body)} bytes is over {MAX_FRAME_BYTES}: send fewer rows")
    return LENGTH.pack(len(body)) + body


def frame_length(header: bytes) -> int:
    """Length of the body that follows. Raises `ValueError` for a frame that is too long."""
    (length,) = LENGTH.unpack(header)
    if length > MAX_FRAME_BYTES:
        raise ValueError(f"a frame of {length} bytes is over {MAX_FRAME_BYTES}")
    return int(length)


@contextmanager
def socket_address(workspace: Workspace) -> Iterator[str]:
    """The address of the workspace's socket, for `bind` or `connect` while the block runs.

    A Unix address holds 107 bytes and a workspace may lie deeper, so the folder is named by its descriptor.
    """
    workspace.state.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(workspace.state, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET_NAME}"
    finally:
        os.close(descriptor)


def socket_path(workspace: Workspace) -> Path:
    """Where the socket lies."""
    return workspace.state / SOCKET_NAME
