"""Spark's writers: a hub, rows that come twice, and a password that is told to nobody."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from ingestion.errors import GraphUnavailable
from ingestion.graph import queries, server
from ingestion.graph.driver import connect
from ingestion.graph.endpoint import Endpoint
from ingestion.graph.link_states import LINK_STATE
from ingestion.graph.rows import ENTITY_COLUMNS, TRANSACTION_COLUMNS, USE_COLUMNS, GraphRows
from ingestion.graph.spark_writer import upsert_rows_by_spark, written
from ingestion.graph.upsert import chunks, statements
from tests.graph_server import loaded_graph

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.neo4j, pytest.mark.spark]

BATCH = 1_000  # later than all that the other tests read
FIRST_ID = 10**9
ACCOUNTS, DEVICES, TRANSACTIONS = 300, 40, 3_000


@pytest.fixture(scope="module")
def endpoint() -> Endpoint:
    graph = loaded_graph()
    return server.ensure_running(graph.workspace, graph.settings)


def rows_with_a_hub() -> GraphRows:
    """A fifth of all transactions has the first account as target, and a tenth of the rows comes twice."""
    rng = np.random.default_rng(4)
    source, target = rng.integers(0, ACCOUNTS, (2, TRANSACTIONS))
    target[: TRANSACTIONS // 5] = 0
    transactions = pa.table(
        [
            FIRST_ID + source,
            FIRST_ID + target,
            [f"sw-{i}" for i in range(TRANSACTIONS)],
            *(np.arange(TRANSACTIONS) for _ in range(3)),
            np.ones(TRANSACTIONS, np.int64),
            *([text] * TRANSACTIONS for text in ("EUR", "transfer", "approved")),
            pa.nulls(TRANSACTIONS, pa.string()),
            pa.array([["device:sw-0"] if i % 2 else None for i in range(TRANSACTIONS)], pa.list_(pa.string())),
            np.full(TRANSACTIONS, BATCH),
        ],
        names=list(TRANSACTION_COLUMNS),
    )
    again = transactions.take(rng.permutation(TRANSACTIONS)[: TRANSACTIONS // 10])
    keys = [f"account:sw-{i}" for i in range(ACCOUNTS)] + [f"device:sw-{i}" for i in range(DEVICES)]
    types = ["account"] * ACCOUNTS + ["device"] * DEVICES
    ids = FIRST_ID + np.arange(len(keys))
    user = FIRST_ID + np.arange(ACCOUNTS)
    used = FIRST_ID + ACCOUNTS + np.arange(ACCOUNTS) % DEVICES
    uses = pa.table([user, used, np.arange(ACCOUNTS), np.full(ACCOUNTS, BATCH)], names=list(USE_COLUMNS))
    return GraphRows(
        entities=pa.table([ids, keys, np.full(len(keys), BATCH), types], names=list(ENTITY_COLUMNS)),
        transactions=pa.concat_tables([transactions, again]).take(rng.permutation(TRANSACTIONS + len(again))),
        uses=pa.concat_tables([uses, uses.slice(0, 30)]),
        links=LINK_STATE.empty_table(),
    )


def test_nothing_is_lost_or_there_twice(spark: SparkSession, endpoint: Endpoint, tmp_path: Path) -> None:
    rows, told = rows_with_a_hub(), list[float]()
    for time in ("first", "again"):
        upsert_rows_by_spark(spark, endpoint, rows, tmp_path / time, lambda doing, fraction: told.append(fraction))
        count = "MATCH (e:Entity {batch: $batch}) RETURN count(e)"
        assert read(endpoint, count) == [(ACCOUNTS + DEVICES,)]
        count = "MATCH ()-[t:TRANSACTED {batch: $batch}]->() RETURN count(t), count(DISTINCT t.tx), count(t.parties)"
        assert read(endpoint, count) == [(TRANSACTIONS, TRANSACTIONS, TRANSACTIONS // 2)]
        count = "MATCH (u)-[x:USES {batch: $batch}]->(d) RETURN count(x), count(DISTINCT [u.id, d.id])"
        assert read(endpoint, count) == [(ACCOUNTS, ACCOUNTS)]
        hub = "MATCH (:Entity {key: 'account:sw-0'})<-[t:TRANSACTED]-() RETURN count(t) >= 600"
        assert read(endpoint, hub) == [(True,)]
        assert told[-1] == 1.0
    assert loaded_graph().neo4j[2].canonical_hash() == loaded_graph().oracle[2].canonical_hash(), "a later batch"


def read(endpoint: Endpoint, text: str) -> list[tuple[object, ...]]:
    with connect(endpoint) as driver:
        return queries.run_read(driver, endpoint.database, text, {"batch": BATCH}, timeout=60)


def test_the_password_is_in_no_plan_and_no_setting(spark: SparkSession, endpoint: Endpoint) -> None:
    frame = written(spark.range(3), "", endpoint)
    told = frame._jdf.queryExecution().toString() + str(spark.sparkContext.getConf().getAll())  # type: ignore[operator]
    assert "written" in told or "MapInArrow" in told, "the plan is there"
    assert endpoint.password not in told


def test_a_server_that_refuses_is_told_as_such(spark: SparkSession, endpoint: Endpoint, tmp_path: Path) -> None:
    wrong = dataclasses.replace(endpoint, password="wrong-one")
    with pytest.raises(GraphUnavailable, match="refused user 'neo4j'") as caught:
        upsert_rows_by_spark(spark, wrong, rows_with_a_hub(), tmp_path)
    assert "RINGFENCE_GRAPH_PASSWORD" in caught.value.remedy
    assert "wrong-one" not in str(caught.value)


def test_the_same_use_twice_in_one_transaction(endpoint: Endpoint) -> None:
    """The plain path's statement: a use that comes twice in one transaction is made once."""
    statement, uses = next(
        (statement, table) for statement, table in statements(rows_with_a_hub()) if "USES" in statement
    )
    rows = [[*row[:2], 77, 2_000] for chunk in chunks(uses.slice(0, 1)) for row in chunk] * 2
    with connect(endpoint) as driver:
        queries.write(driver, endpoint.database, statement, {"rows": rows})
    assert read(endpoint, "MATCH ()-[x:USES {batch: 2000}]->() RETURN count(x)") == [(0,)], "known by then already"
    rows = [[*row[:2], -1, 2_000] for row in rows]
    with connect(endpoint) as driver:
        queries.write(driver, endpoint.database, statement, {"rows": rows})
    assert read(endpoint, "MATCH ()-[x:USES {batch: 2000}]->() RETURN count(x)") == [(1,)]
