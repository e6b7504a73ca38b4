"""A TCP proxy before a Bolt server that cuts connections around a commit (TRUST 2.7), or kills the server there.

    with TcpProxy(upstream_port) as proxy:
        proxy.arm(CommitFault(statement="MERGE (m:RingfenceGraph", phase="during"))
        load(through=proxy.port)

The toxics are named as in Toxiproxy: `down` refuses connections, `reset_peer` is what a fault does to both sides.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal

Phase = Literal["before", "during", "after"]

#: A Bolt chunk that holds the message COMMIT alone (signature 0x12, no fields), and the end of the message.
COMMIT = b"\x00\x02\xb0\x12\x00\x00"


@dataclass(frozen=True, kw_only=True)
class CommitFault:
    """Cut the connection at the commit of a transaction that ran a statement.

    before: the server never sees the commit; during: it has it, nobody waits for the answer; after: its answer is
    thrown away. `action` is called at that moment, e.g. to kill the server; `skip` lets so many such commits pass.
    """

    statement: str
    phase: Phase
    skip: int = 0
    delay_seconds: float = 0.0
    action: Callable[[], None] = field(default=lambda: None)


class TcpProxy:
    """Listens on a loopback port and passes everything on; faults happen once, then it passes on again."""

    def __init__(self, upstream_port: int) -> None:
        self.down = False
        self.num_faults = 0
        self._upstream_port = upstream_port
        self._fault: CommitFault | None = None
        self._to_skip = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tcp-proxy", daemon=True)
        self._thread.start()
        started = asyncio.start_server(self._serve, "127.0.0.1", 0)
        self._server = asyncio.run_coroutine_threadsafe(started, self._loop).result(10)
        self.port: int = self._server.sockets[0].getsockname()[1]

    @property
    def uri(self) -> str:
        return f"bolt://127.0.0.1:{self.port}"

    def arm(self, fault: CommitFault | None) -> None:
        """Have the next fitting commit fail; None takes the fault back."""
        self._to_skip = 0 if fault is None else fault.skip
        self._fault = fault

    def close(self) -> None:
        """Stop; connections are cut."""
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def __enter__(self) -> TcpProxy:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self.down:
                raise ConnectionRefusedError
            upstream = await asyncio.open_connection("127.0.0.1", self._upstream_port)
        except OSError:
            writer.transport.abort()
            return
        connection = _Connection(self, (reader, writer), upstream)
        await asyncio.gather(connection.requests(), connection.answers())

    def take_fault(self, has_run: Callable[[str], bool]) -> CommitFault | None:
        """The fault that is to happen at a commit now, if any."""
        fault = self._fault
        if fault is None or not has_run(fault.statement):
            return None
        if self._to_skip > 0:
            self._to_skip -= 1
            return None
        self._fault = None
        self.num_faults += 1
        return fault


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Connection:
    """One client and its connection to the server."""

    def __init__(self, proxy: TcpProxy, client: Stream, server: Stream) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self._sent = b""  # since the last commit
        self._awaited: CommitFault | None = None
        self._is_muted = False

    async def requests(self) -> None:
        try:
            while data := await self._client[0].read(1 << 16):
                self._sent += data
                fault = self._fault() if self._sent.endswith(COMMIT) else None
                if fault is not None and fault.phase == "before":
                    self._strike(fault)
                    return
                self._awaited = fault if fault is not None and fault.phase == "after" else self._awaited
                self._is_muted = fault is not None and fault.phase == "during"
                self._server[1].write(data)
                await self._server[1].drain()
                if fault is not None and fault.phase == "during":
                    await asyncio.sleep(fault.delay_seconds)
                    self._strike(fault)
                    return
        except OSError:
            pass
        self._cut()

    async def answers(self) -> None:
        try:
            while data := await self._server[0].read(1 << 16):
                if self._awaited is not None and data.strip(b"\x00"):  # an empty chunk is a sign of life, no answer
                    self._strike(self._awaited)
                    return
                if self._is_muted:
                    continue
                self._client[1].write(data)
                await self._client[1].drain()
        except OSError:
            pass
        self._cut()

    def _fault(self) -> CommitFault | None:
        sent, self._sent = self._sent, b""
        return self._proxy.take_fault(lambda statement: statement.encode() in sent)

    def _strike(self, fault: CommitFault) -> None:
        fault.action()
        self._cut()

    def _cut(self) -> None:
        """reset_peer, on both sides."""
        for _, writer in (self._client, self._server):
            writer.transport.abort()
