"""The proxy itself, before a server that answers whatever it gets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.tcp_proxy import COMMIT, CommitFault, Phase, TcpProxy


@pytest.fixture
def seen() -> list[bytes]:
    """What reached the server."""
    return []


@pytest.fixture
def proxy(seen: list[bytes]) -> Iterator[TcpProxy]:
    def answer(connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(1 << 16):
                    seen.append(data)
                    connection.sendall(b"SUCCESS")
            except OSError:
                pass

    def accept(listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=accept, args=(listening,), daemon=True).start()
        with TcpProxy(listening.getsockname()[1]) as made:
            yield made


def commit(proxy: TcpProxy, statement: bytes = b"MERGE x") -> str:
    """What a client hears that runs a statement and commits it."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as client:
        try:
            client.sendall(statement)
            if client.recv(100) != b"SUCCESS":
                return "cut off"
            client.sendall(COMMIT)
            return client.recv(100).decode() or "cut off"
        except ConnectionError:
            return "cut off"


@pytest.mark.parametrize(("phase", "reaches_server"), [("before", False), ("during", True), ("after", True)])
def test_a_commit_is_cut(proxy: TcpProxy, seen: list[bytes], phase: Phase, reaches_server: bool) -> None:
    struck = threading.Event()
    proxy.arm(CommitFault(statement="MERGE x", phase=phase, action=struck.set, delay_seconds=0.2))
    assert commit(proxy, b"MERGE y") == "SUCCESS", "another statement"
    assert commit(proxy) == "cut off"
    assert struck.is_set() and proxy.num_faults == 1
    assert seen.count(COMMIT) == (2 if reaches_server else 1)
    assert commit(proxy) == "SUCCESS", "it happens once"


def test_commits_are_let_pass(proxy: TcpProxy) -> None:
    proxy.arm(CommitFault(statement="MERGE x", phase="before", skip=2))
    assert [commit(proxy) for _ in range(4)] == ["SUCCESS", "SUCCESS", "cut off", "SUCCESS"]
    proxy.arm(CommitFault(statement="MERGE x", phase="before"))
    proxy.arm(None)
    assert commit(proxy) == "SUCCESS"


def test_nobody_connects_while_it_is_down(proxy: TcpProxy) -> None:
    proxy.down = True
    assert commit(proxy) == "cut off"
    proxy.down = False
    assert commit(proxy) == "SUCCESS"
