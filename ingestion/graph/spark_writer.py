"""Many rows into Neo4j at once: Spark's tasks write in block rounds, so that no two wait for each other's locks.

The statements are those of the plain path (`upsert`), each row may be sent again, and a task that fails is simply run
again. Tasks get the endpoint inside their pickled function: it is in no plan, setting or log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark import TaskContext
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from ingestion.errors import GraphUnavailable
from ingestion.graph import queries
from ingestion.graph.block_rounds import num_groups, turns
from ingestion.graph.driver import LOAD_PATIENCE_SECONDS, connect, graph_errors
from ingestion.graph.endpoint import Endpoint
from ingestion.graph.rows import GraphRows
from ingestion.graph.upsert import chunks, statements
from ingestion.spark import parallelism

Progress = Callable[[str, float], None]

#: More writers than this only queue up in the server.
MAX_WRITERS = 16
_ROWS_A_FILE = 250_000
_WRITTEN = "num_rows bigint, problem string, remedy string"
_WRITTEN_ARROW = pa.schema([("num_rows", pa.int64()), ("problem", pa.string()), ("remedy", pa.string())])


def upsert_rows_by_spark(
    session: SparkSession, endpoint: Endpoint, rows: GraphRows, scratch: Path, progress: Progress | None = None
) -> None:
    """As `upsert.upsert_rows`; `scratch` is an empty folder that the workers can read.

    Raises `GraphUnavailable` when a writer cannot reach the server for a minute.
    """
    done, total = 0, max(rows.num_rows, 1)
    for index, (statement, table) in enumerate(statements(rows)):
        frame = _frame(session, table, scratch / str(index))
        if table.schema.names[0] == "id":
            write_apart(frame, statement, endpoint)
        else:
            write_in_rounds(frame, statement, endpoint)
        done += table.num_rows
        if progress is not None:
            progress(f"{done:,} rows into Neo4j", done / total)


def write_apart(rows: DataFrame, statement: str, endpoint: Endpoint) -> int:
    """Write rows that lock nothing but themselves, equal `id` to one writer; returns the number of rows."""
    writers = _num_writers(rows.sparkSession)
    return _write(rows.repartition(writers, "id"), statement, endpoint)


def write_in_rounds(rows: DataFrame, statement: str, endpoint: Endpoint) -> int:
    """Write relationships whose first two columns are the dense ids of their ends; returns the number of rows.

    `rows` are read once a round, so they should be at rest.
    """
    writers = _num_writers(rows.sparkSession)
    groups = num_groups(writers)
    schedule = turns(writers)
    low, high = (pick(*(_group(rows[name], groups) for name in rows.columns[:2])) for pick in (F.least, F.greatest))
    by_block = [schedule[min(a, b), max(a, b)] for a in range(groups) for b in range(groups)]
    placed = rows.withColumns(
        {
            "_round": _looked_up([turn.round for turn in by_block], low * groups + high),
            "_writer": _looked_up([turn.writer for turn in by_block], low * groups + high),
        }
    )
    return sum(
        _write(
            placed.where(F.col("_round") == number).repartitionById(writers, F.col("_writer")).select(*rows.columns),
            statement,
            endpoint,
        )
        for number in range(groups)
    )


def _num_writers(session: SparkSession) -> int:
    return min(max(parallelism(session), 1), MAX_WRITERS)


def _group(end: Column, groups: int) -> Column:
    return F.pmod(F.xxhash64(end), F.lit(groups)).cast("int")


def _looked_up(values: list[int], index: Column) -> Column:
    return F.element_at(F.array(*map(F.lit, values)), index + 1)


def _frame(session: SparkSession, table: pa.Table, folder: Path) -> DataFrame:
    folder.mkdir(parents=True)
    for start in range(0, max(table.num_rows, 1), _ROWS_A_FILE):
        pq.write_table(table.slice(start, _ROWS_A_FILE), folder / f"{start:012d}.parquet", write_page_checksum=True)
    return session.read.parquet(str(folder))


def _write(rows: DataFrame, statement: str, endpoint: Endpoint) -> int:
    reports = written(rows, statement, endpoint).collect()
    for report in reports:
        if report.problem is not None:
            raise GraphUnavailable(report.problem, remedy=report.remedy)
    return sum(report.num_rows for report in reports)


def written(rows: DataFrame, statement: str, endpoint: Endpoint) -> DataFrame:
    """What each partition's writer reports once it has written it, in transactions of `ROWS_A_TRANSACTION`."""

    def write(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        assert TaskContext.get() is not None, "written by Spark's tasks"
        num_rows, problem, remedy = 0, None, None
        try:
            with graph_errors(endpoint), connect(endpoint, patience=LOAD_PATIENCE_SECONDS) as driver:
                for batch in batches:
                    for chunk in chunks(pa.Table.from_batches([batch])):
                        queries.write(driver, endpoint.database, statement, {"rows": chunk})
                        num_rows += len(chunk)
        except GraphUnavailable as error:
            problem, remedy = error.what, error.remedy
        yield pa.RecordBatch.from_pylist(
            [{"num_rows": num_rows, "problem": problem, "remedy": remedy}], schema=_WRITTEN_ARROW
        )

    return rows.mapInArrow(write, _WRITTEN)
