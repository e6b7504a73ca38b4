"""Graph reads that go on while the graph server is away: the snapshot answers, marked `stale`.

A server that did not answer is left alone; a thread in the background looks for it until it is back, so an outage
costs one slow read and not each.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol, TypeVar

import structlog

from ingestion.contracts import PartyRef
from ingestion.errors import GraphUnavailable, RetryLater
from ingestion.graph.store import (
    GraphContents,
    GraphNode,
    GraphPath,
    GraphStore,
    GraphTransaction,
    Neighborhood,
    Rings,
    SharedIdentifiers,
)

#: Between two looks for a server that is away; longer than one of its reads may take.
PAUSE_SECONDS = 5.0
Result = TypeVar("Result")
log = structlog.get_logger("ringfence.graph")


class Marker(Protocol):
    """What a graph server was loaded with."""

    @property
    def lineage(self) -> str: ...

    @property
    def batch(self) -> int: ...


class ServerStore(GraphStore, Protocol):
    """A graph store on a server, which says what it was loaded with. `Neo4jStore` is one."""

    @property
    def marker(self) -> Marker: ...


class ResilientStore:
    """A `GraphStore` over a graph server and the snapshot.

    Args:
        connect: connects to the server; raises `RetryLater` while it is away.
        fallback: a `SnapshotStore` with `stale=True`.
        on_stale: called for every read that the fallback answered.
    """

    def __init__(
        self,
        connect: Callable[[], ServerStore],
        fallback: GraphStore,
        *,
        on_stale: Callable[[], None] | None = None,
        pause_seconds: float | None = None,
    ) -> None:
        self._connect = connect
        self._fallback = fallback
        self._on_stale = on_stale
        self._pause_seconds = PAUSE_SECONDS if pause_seconds is None else pause_seconds
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._is_looking = False
        self._primary = self._connected()
        if self._primary is None:
            self._look_for_server()

    @property
    def is_stale(self) -> bool:
        """Whether reads come from the snapshot for now."""
        return self._primary is None

    def held(self) -> Marker:
        """What the server was loaded with, after a read that shows that it answers. Raises `GraphUnavailable`."""
        primary = self._primary
        if primary is None:
            raise GraphUnavailable("The graph server is away.", remedy="Start it: `ringfence graph start`.")
        try:
            primary.transaction("-", as_of=0)
            return primary.marker
        except GraphUnavailable:
            self._give_up(primary)
            raise

    def contents(self) -> GraphContents:
        """See `GraphStore`."""
        return self._read(lambda store: store.contents())

    def entity(self, ref: PartyRef, *, as_of: int) -> GraphNode | None:
        """See `GraphStore`."""
        return self._read(lambda store: store.entity(ref, as_of=as_of))

    def transaction(self, transaction_id: str, *, as_of: int) -> GraphTransaction | None:
        """See `GraphStore`."""
        return self._read(lambda store: store.transaction(transaction_id, as_of=as_of))

    def transactions(self, ref: PartyRef, *, as_of: int, limit: int = 50) -> tuple[GraphTransaction, ...]:
        """See `GraphStore`."""
        return self._read(lambda store: store.transactions(ref, as_of=as_of, limit=limit))

    def neighborhood(self, ref: PartyRef, *, as_of: int, hops: int = 1, limit: int = 50) -> Neighborhood:
        """See `GraphStore`; `stale` when the snapshot answered."""
        return self._read(lambda store: store.neighborhood(ref, as_of=as_of, hops=hops, limit=limit))

    def shortest_path(self, a: PartyRef, b: PartyRef, *, as_of: int, max_hops: int = 4) -> GraphPath:
        """See `GraphStore`; `stale` when the snapshot answered."""
        return self._read(lambda store: store.shortest_path(a, b, as_of=as_of, max_hops=max_hops))

    def shared_identifiers(self, ref: PartyRef, *, as_of: int, limit: int = 50) -> SharedIdentifiers:
        """See `GraphStore`; `stale` when the snapshot answered."""
        return self._read(lambda store: store.shared_identifiers(ref, as_of=as_of, limit=limit))

    def rings(
        self, ref: PartyRef, *, as_of: int, max_length: int = 4, limit: int = 50, in_time_order: bool = False
    ) -> Rings:
        """See `GraphStore`; `stale` when the snapshot answered."""
        return self._read(
            lambda store: store.rings(ref, as_of=as_of, max_length=max_length, limit=limit, in_time_order=in_time_order)
        )

    def canonical_hash(self) -> str:
        """See `GraphStore`."""
        return self._read(lambda store: store.canonical_hash())

    def close(self) -> None:
        """Close both stores."""
        self._closing.set()
        primary = self._primary
        if primary is not None:
            primary.close()
        self._fallback.close()

    def _read(self, read: Callable[[GraphStore], Result]) -> Result:
        primary = self._primary
        if primary is not None:
            try:
                return read(primary)
            except GraphUnavailable as error:
                log.warning("graph.away", what=error.what)
                self._give_up(primary)
        if self._on_stale is not None:
            self._on_stale()
        return read(self._fallback)

    def _give_up(self, primary: ServerStore) -> None:
        with self._lock:
            if self._primary is not primary:
                return
            self._primary = None
        self._look_for_server(primary)

    def _look_for_server(self, lost: ServerStore | None = None) -> None:
        with self._lock:
            if self._is_looking:
                return
            self._is_looking = True
        threading.Thread(target=self._until_back, args=(lost,), name="graph-reconnect", daemon=True).start()

    def _until_back(self, lost: ServerStore | None) -> None:
        while not self._closing.wait(self._pause_seconds):
            found = self._connected()
            if found is None:
                continue
            if lost is not None:
                lost.close()
            with self._lock:
                self._is_looking = False
                self._primary = found
            log.info("graph.back")
            if self._closing.is_set():
                found.close()
            return

    def _connected(self) -> ServerStore | None:
        try:
            return self._connect()
        except RetryLater as error:
            log.warning("graph.away", what=error.what)
            return None
