"""A graph server that dies, or whose connection does, at a commit of a load; three such loads are tests, the
benchmark `graph_faults` runs 50."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import psutil

from ingestion.contracts import PartyRef
from ingestion.errors import GraphUnavailable
from ingestion.graph import queries, server
from ingestion.graph.driver import connect
from ingestion.graph.endpoint import living_process
from ingestion.graph.load import load_graph
from ingestion.graph.neo4j_store import Neo4jStore
from ingestion.graph.rows import ancestors, batches_of, graph_rows
from ingestion.graph.snapshot_store import SnapshotStore
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace
from serving.graph_reads import ResilientStore
from tests.builders import DAY, START, build_snapshot, link, random_rows
from tests.tcp_proxy import CommitFault, Phase, TcpProxy

#: A part of each statement of a load, and how many of its commits come before the one that is hit.
PLACES = {
    "entities": ("MERGE (e:Entity", 0),
    "transactions": ("MERGE (source)-[t:TRANSACTED", 0),
    "uses": ("MERGE (user)-[:USES", 0),
    "links": ("MERGE (a)-[l:SAME_AS", 0),
    "marker": ("MERGE (m:RingfenceGraph", 1),  # the first one says that the load has begun
}
PHASES: tuple[Phase, ...] = ("before", "during", "after")
COUNTS = """
RETURN COUNT { MATCH (:Entity) } AS entities, COUNT { MATCH ()-[:TRANSACTED]->() } AS transactions,
  COUNT { MATCH ()-[:USES]->() } AS uses, COUNT { MATCH ()-[:SAME_AS]->() } AS links
"""
_AWAY_AFTER_SECONDS = 4.0  # patience of a load while its server is dead, so that it is run again soon


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one fault did. `seconds_to_stale` is None when the server was not killed."""

    was_hit: bool
    num_runs: int
    num_lost: int
    num_twice: int
    is_equal: bool
    seconds_to_stale: float | None


class FaultyGraph:
    """A workspace whose loads go through a proxy; each load brings one snapshot more, after one fault."""

    def __init__(self, root: Path) -> None:
        self.workspace = Workspace.open(root)
        self.settings = self.workspace.settings(graph={"heap": "512m", "page_cache": "64m"})
        self.snapshot = self._next(None)
        load_graph(self.workspace, self.snapshot, self.settings)
        endpoint = server.ensure_running(self.workspace, self.settings)
        self.proxy = TcpProxy(int(endpoint.uri.rsplit(":", 1)[1]))
        self.through_proxy = self.workspace.settings(graph={"uri": self.proxy.uri, "password": endpoint.password})

    def close(self) -> None:
        """Stop both."""
        self.proxy.close()
        server.stop(self.workspace)

    def load_with_fault(self, place: str, phase: Phase, *, kill: bool, delay_seconds: float = 0.0) -> Outcome:
        """Load one snapshot more; the commit at `place` fails, and the load is run again until it ends."""
        before, self.snapshot = self.snapshot, self._next(self.snapshot)
        statement, skip = PLACES[place]
        stale: float | None = None
        with self._reader(before) as reader:
            hit_before = self.proxy.num_faults
            action = self._kill if kill else _nothing
            self.proxy.arm(
                CommitFault(statement=statement, skip=skip, phase=phase, delay_seconds=delay_seconds, action=action)
            )
            num_runs = 1
            while not self._loaded():
                stale = self._seconds_to_stale(reader)
                server.ensure_running(self.workspace, self.settings)
                num_runs += 1
        lost, twice = self._compared()
        store = Neo4jStore(server.ensure_running(self.workspace, self.settings))
        is_equal = store.canonical_hash() == SnapshotStore(self.snapshot).canonical_hash()
        store.close()
        return Outcome(
            was_hit=self.proxy.num_faults == hit_before + 1,
            num_runs=num_runs,
            num_lost=lost,
            num_twice=twice,
            is_equal=is_equal,
            seconds_to_stale=stale,
        )

    def _loaded(self) -> bool:
        try:
            with mock.patch("ingestion.graph.load.LOAD_PATIENCE_SECONDS", _AWAY_AFTER_SECONDS):
                load_graph(self.workspace, self.snapshot, self.through_proxy)
            return True
        except GraphUnavailable:
            return False

    def _next(self, parent: Snapshot | None) -> Snapshot:
        batch = 1 if parent is None else parent.manifest["batch"] + 1
        rows, _ = random_rows(200 if parent is None else 40, seed=batch, days=20, late_share=0.2)
        rows = [row | {"transaction_id": f"{batch}-{row['transaction_id']}"} for row in rows]
        fresh = {"source_type": "account", "source_key": f"new{batch}"}
        rows[0] |= fresh | {"parties": [{"type": "device", "key": f"new{batch}"}]}
        links = [
            link(f"account:new{one}", f"account:new{one - 1}", START + DAY, identifier=f"device:{one}")
            for one in range(2, batch + 1)
        ]
        # The newest link but one is revoked by the next batch.
        links = [
            row | ({"revoked_at": START + 2 * DAY} if index == batch - 3 else {}) for index, row in enumerate(links)
        ]
        return build_snapshot(self.workspace, rows, parent=parent, links=links)

    def _kill(self) -> None:
        endpoint = server.ensure_running(self.workspace, self.settings)
        process = living_process(endpoint)
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        psutil.wait_procs([process], timeout=10)

    @contextmanager
    def _reader(self, snapshot: Snapshot) -> Iterator[ResilientStore]:
        endpoint = server.ensure_running(self.workspace, self.settings)
        reader = ResilientStore(
            lambda: Neo4jStore(endpoint, batch=snapshot.manifest["batch"]), SnapshotStore(snapshot, stale=True)
        )
        center = PartyRef(type="account", key="new1")
        assert not reader.neighborhood(center, as_of=START + 30 * DAY).stale
        yield reader
        reader.close()

    def _seconds_to_stale(self, reader: ResilientStore) -> float:
        """How long the first read after the server's death takes; the snapshot must answer it."""
        began = time.monotonic()
        around = reader.neighborhood(PartyRef(type="account", key="new1"), as_of=START + 30 * DAY)
        seconds = time.monotonic() - began
        assert around.stale and around.nodes, "the snapshot answers, and says so"
        return seconds

    def _compared(self) -> tuple[int, int]:
        """Rows that are missing and rows that are too many, over entities and each kind of relationship."""
        older = ancestors(self.workspace, self.snapshot)
        rows = graph_rows(self.snapshot, batches_of(self.snapshot, older), older)
        expected = [table.num_rows for table in (rows.entities, rows.transactions, rows.uses, rows.links)]
        endpoint = server.ensure_running(self.workspace, self.settings)
        with connect(endpoint) as driver:
            (held,) = queries.run_read(driver, endpoint.database, COUNTS, {})
        differences = [have - wanted for have, wanted in zip(held, expected, strict=True)]
        return -sum(min(one, 0) for one in differences), sum(max(one, 0) for one in differences)


def _nothing() -> None:
    """The connection alone is cut."""
