"""One real Neo4j server for a whole test run, loaded as a workspace loads it.

Batch 1 comes by the bulk importer, batches 2 and 3 by upserts; all of batch 3 is available after `FUTURE`.
`NEO4J_TEST_URI` (with `NEO4J_TEST_USER` and `NEO4J_TEST_PASSWORD`) names another server; everything in its
database is deleted then.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

from ingestion.config import Settings
from ingestion.errors import RetryLater
from ingestion.graph import server
from ingestion.graph.load import load_graph
from ingestion.graph.neo4j_store import Neo4jStore
from ingestion.graph.snapshot_store import SnapshotStore
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace
from tests.builders import DAY, START, Row, build_snapshot, link, random_rows, transaction

# Half the processor time of a start; a load of test size gains nothing from the second compiler.
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1")

#: Set it where no server can be had; otherwise its absence fails the tests.
OPT_OUT = "RINGFENCE_TESTS_WITHOUT_NEO4J"
IS_EXTERNAL = bool(os.environ.get("NEO4J_TEST_URI"))
needs_managed_server = pytest.mark.skipif(IS_EXTERNAL, reason="NEO4J_TEST_URI names a server that is not ours to stop")


def without_server(error: RetryLater) -> NoReturn:
    """Skip when it was said that there is no server, else fail."""
    if os.environ.get(OPT_OUT):
        pytest.skip(f"no Neo4j server can be had: {error}")
    pytest.fail(f"No Neo4j server: {error} Set {OPT_OUT}=1 to leave its tests out.")


MINUTE = 60_000_000
FUTURE = START + 50 * DAY

#: Worked through by hand in `graph_store_suite`. `late` happened first and arrived last.
HAND_MADE: list[Row] = [
    transaction("h1", START, "account:ha", "merchant:hm", 100, parties=["device:hd", "ip:hi"]),
    transaction("h2", START + 1 * MINUTE, "account:hb", "merchant:hm", 200, parties=["device:hd"], outcome="declined"),
    transaction("h3", START + 2 * MINUTE, "account:ha", "account:hb", 300, kind="transfer", currency="JPY"),
    transaction("h4", START + 3 * MINUTE, "account:hb", "account:hc", 400, kind="transfer"),
    transaction("h5", START + 4 * MINUTE, "merchant:hm", "account:ha", 100, kind="refund", refers_to="h1"),
    transaction("h6", START + 5 * MINUTE, "account:hc", "account:hc", 600, kind="transfer"),
    transaction("late", START - 5 * MINUTE, "account:hc", "merchant:hn", 700, known_at=START + 6 * MINUTE),
    # One time, ids that compare differently as UTF-16 than as UTF-8.
    transaction("tie-～", START + 7 * MINUTE, "account:ht", "merchant:ho", 1),
    transaction("tie-😀", START + 7 * MINUTE, "account:ht", "merchant:ho", 2),
    transaction("tie-z", START + 7 * MINUTE, "account:ht", "merchant:ho", 3),
]

#: Rings: ra -> rb -> rc -> ra in time order, ra -> rb -> ra against it (`r4` came before `r1`); what was declined or
#: taken back moves no money. Shared: `device:rd` by ra, rb and rc. `rx` is linked with ra alone, until minute 30.
HAND_MADE += [
    transaction("r4", START + 10 * MINUTE, "account:rb", "account:ra", 10, kind="transfer"),
    transaction("r1", START + 11 * MINUTE, "account:ra", "account:rb", 11, kind="transfer", parties=["device:rd"]),
    transaction("r2", START + 12 * MINUTE, "account:rb", "account:rc", 12, kind="transfer", parties=["device:rd"]),
    transaction("r3", START + 13 * MINUTE, "account:rc", "account:ra", 13, kind="transfer", parties=["device:rd"]),
    transaction("r5", START + 14 * MINUTE, "account:rc", "account:ra", 14, kind="transfer", outcome="declined"),
    transaction("r6", START + 15 * MINUTE, "account:ra", "account:rc", 13, kind="refund", refers_to="r3"),
    transaction("r7", START + 16 * MINUTE, "account:rx", "merchant:rm", 17),
]
LINKED_AT, REVOKED_AT = START + 20 * MINUTE, START + 30 * MINUTE
HAND_MADE_LINKS = [
    link(
        "account:ra",
        "account:rx",
        LINKED_AT,
        rule="same-mail",
        identifier="email:e",
        revoked_at=REVOKED_AT,
        reason="hub",
    ),
    link("account:rb", "account:ra", START + 12 * MINUTE, identifier="device:rd"),
    link("account:rc", "account:ra", START + 13 * MINUTE, identifier="device:rd"),
]

_ODD = (
    "'",
    '"',
    "`",
    "\\",
    "\x00",
    "\x1f",
    "\n",
    "\r\n",
    "\t",
    ",",
    ";",
    ":",
    "{}",
    "$key",
    "//",
    "/*",
    "\u202e",
    "\u200b",
)
_STATEMENTS = (
    "'}) DETACH DELETE n //",
    '"}) MATCH (n) DETACH DELETE n RETURN ({a: "',
    "`]->() DELETE n //",
    "\\u0027}) DETACH DELETE n //",
    "x' OR 1=1 --",
    "'; CALL dbms.shutdown(); //",
    "${jndi:ldap://127.0.0.1/a}",
    "{{7*7}}",
    "a' UNION MATCH (n) RETURN n //",
    "Robert'); DROP CONSTRAINT entity_key; --",
    "😀 ｀ ＇ ʼ",
    "=cmd|' /C calc'!A0",
)


def hostile_values(count: int = 300) -> list[str]:
    """Texts that would do harm if they were ever part of a statement or of a badly quoted CSV file; all differ."""
    return [f"{_STATEMENTS[i % len(_STATEMENTS)]}{_ODD[i % len(_ODD)]}{i}" for i in range(count)]


def hostile_rows(count: int = 300) -> list[Row]:
    """Each value as a transaction id, as keys of all parties and as the transaction that is referred to."""
    return [
        transaction(
            f"tx{value}",
            START + 10 * MINUTE + i,
            f"account:{value}",
            f"merchant:{value}",
            i,
            parties=[f"device:{value}"],
            refers_to=value,
        )
        for i, value in enumerate(hostile_values(count))
    ]


@dataclass(frozen=True)
class LoadedGraph:
    """The server's stores beside the snapshots that they must equal, by batch."""

    workspace: Workspace
    settings: Settings
    snapshots: tuple[Snapshot, ...]
    neo4j: tuple[Neo4jStore, ...]
    oracle: tuple[SnapshotStore, ...]
    rows: tuple[list[Row], ...]


def graph_settings(workspace: Workspace, **values: object) -> Settings:
    """Settings for a small server, or for the one of `NEO4J_TEST_URI`."""
    if IS_EXTERNAL:
        names = {"uri": "NEO4J_TEST_URI", "user": "NEO4J_TEST_USER", "password": "NEO4J_TEST_PASSWORD"}
        values = {key: os.environ.get(name) for key, name in names.items()} | values
    return workspace.settings(graph={"heap": "512m", "page_cache": "64m"} | values)


@functools.cache
def loaded_graph() -> LoadedGraph:
    """Made on first use in a process, removed when it ends; skips with the reason when no server can be had."""
    root = Path(tempfile.mkdtemp(prefix="ringfence-graph-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    workspace = Workspace.open(root)
    settings = graph_settings(workspace)
    if not IS_EXTERNAL:
        atexit.register(server.stop, workspace)
    rows = _rows_by_batch()
    snapshots: list[Snapshot] = []
    for batch, links in zip(rows, _links_by_batch(), strict=True):
        parent = snapshots[-1] if snapshots else None
        snapshots.append(build_snapshot(workspace, batch, parent=parent, links=links))
    try:
        for snapshot in snapshots:
            load_graph(workspace, snapshot, settings, replace=IS_EXTERNAL)
    except RetryLater as error:
        without_server(error)
    endpoint = server.ensure_running(workspace, settings)
    return LoadedGraph(
        workspace=workspace,
        settings=settings,
        snapshots=tuple(snapshots),
        neo4j=tuple(Neo4jStore(endpoint, batch=batch) for batch in (1, 2, None)),
        oracle=tuple(SnapshotStore(snapshot) for snapshot in snapshots),
        rows=rows,
    )


def _links_by_batch() -> tuple[list[Row], list[Row], list[Row]]:
    """One is revoked by the second batch, one is not there any more and a new one is; the third keeps all."""
    revoked = HAND_MADE_LINKS[0]
    first = [revoked | {"revoked_at": None, "reason": None}, *HAND_MADE_LINKS[1:]]
    gone = link("account:ra", "merchant:hm", START + 14 * MINUTE, identifier="device:'}) //")
    new = link("account:rx", "merchant:rm", START + 16 * MINUTE)
    return [*first, gone], [*HAND_MADE_LINKS, new], [*HAND_MADE_LINKS, new]


def _rows_by_batch() -> tuple[list[Row], list[Row], list[Row]]:
    random, _ = random_rows(1_500, seed=5, days=40, late_share=0.2, self_transfers=0.01)
    hostile = hostile_rows()
    # Every seventh row comes with the second batch, old ones too: its uses may have an earlier first time.
    is_second = [i > 1_000 or i % 7 == 0 for i in range(len(random))]
    first = [row for row, is_later in zip(random, is_second, strict=True) if not is_later]
    second = [row for row, is_later in zip(random, is_second, strict=True) if is_later]
    third, _ = random_rows(300, seed=6, days=10, num_accounts=60, num_merchants=15)
    third = [row | {"event_time": row["event_time"] + FUTURE - START + 1} for row in third]
    third = [row | {"known_at": max(row["event_time"], row["known_at"])} for row in third]
    return first + hostile[:150] + HAND_MADE, second + hostile[150:], third
