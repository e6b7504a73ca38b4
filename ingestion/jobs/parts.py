"""Ordered Parquet parts: how a job writes a DataFrame whose rows have a global order, and numbers its rows.

A partition becomes one file named by its number, so the files in name order hold the rows in order. No step has a
single partition: rows go to partitions by bounds of a time, found from a sample.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import accumulate
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark import TaskContext
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

Batches = Iterator[pa.RecordBatch]

_WRITTEN = "part int, num_rows bigint"
_WRITTEN_ARROW = pa.schema([("part", pa.int32()), ("num_rows", pa.int64())])


@dataclass(frozen=True)
class Parts:
    """Files of one folder and the rows of each, in order."""

    folder: Path
    num_rows: tuple[int, ...]

    @classmethod
    def of(cls, folder: Path) -> Parts:
        """The parts that lie in a folder, by their footers."""
        return cls(folder, tuple(pq.read_metadata(path).num_rows for path in sorted(folder.glob("part-*.parquet"))))

    @property
    def total(self) -> int:
        """Rows in all parts."""
        return sum(self.num_rows)

    def offsets(self) -> list[int]:
        """Number of rows before each part."""
        return list(accumulate(self.num_rows, initial=0))[:-1]

    def read(self, begin: int, end: int, columns: Sequence[str]) -> pa.Table:
        """Some columns of the rows from place `begin` up to `end` (excluded), which must be some."""
        found = []
        for index, offset in enumerate(self.offsets()):
            low, high = max(begin - offset, 0), min(end - offset, self.num_rows[index])
            if low < high:
                found.append(_rows_of(self.folder / part_name(index), low, high, columns))
        return pa.concat_tables(found)

    def numbered(self, session: SparkSession, name: str, *, start: int = 0) -> DataFrame:
        """The rows with their place in the order as column `name`, from `start` on."""
        offsets = F.array(*[F.lit(start + offset).cast("bigint") for offset in self.offsets()])
        at = F.substring(F.col("_metadata.file_name"), len("part-") + 1, 5).cast("int") + F.lit(1)  # see `part_name`
        place = F.element_at(offsets, at) + F.col("_metadata.row_index")
        return session.read.parquet(str(self.folder)).select("*", place.alias(name))


def part_name(index: int) -> str:
    """File name of a part.

    >>> part_name(3)
    'part-00003.parquet'
    """
    return f"part-{index:05d}.parquet"


def write_parts(
    rows: DataFrame,
    outputs: Sequence[tuple[Path, pa.Schema]],
    *,
    make: Callable[[Batches], Batches] | None = None,
    first: int = 0,
) -> Parts:
    """Write each partition as one part of each output folder: the columns of its schema, in the order that rows have.

    `make` is applied to the partition's batches first (it saves a trip through the JVM). The parts get the numbers
    from `first` on; those before lie there already. Returns all parts of the first output.
    """
    for folder, _ in outputs:
        folder.mkdir(parents=True, exist_ok=True)
    targets = [(str(folder), schema) for folder, schema in outputs]

    def write(batches: Batches) -> Batches:
        context = TaskContext.get()
        assert context is not None, "parts are written by Spark's tasks"
        part = first + context.partitionId()
        num_rows = _write_part(make(batches) if make else batches, targets, part)
        yield pa.RecordBatch.from_arrays([pa.array([part], pa.int32()), pa.array([num_rows])], schema=_WRITTEN_ARROW)

    written = rows.mapInArrow(write, _WRITTEN).collect()
    for folder, _ in outputs:
        for left in folder.glob(".part-*"):  # of a task that died
            left.unlink(missing_ok=True)
    if not written:  # Spark gives an empty table no partition at all
        _write_part(iter(()), targets, first)
    before = tuple(pq.read_metadata(outputs[0][0] / part_name(index)).num_rows for index in range(first))
    return Parts(outputs[0][0], before + (tuple(row.num_rows for row in sorted(written, key=_part)) or (0,)))


def time_bounds(times: DataFrame, num_parts: int) -> list[int]:
    """Times (µs) that cut the only column of `times`, a timestamp, into about equal parts."""
    if num_parts == 1:
        return []
    shares = [index / num_parts for index in range(1, num_parts)]
    micros = times.select(F.unix_micros(times.columns[0]).alias("micros"))
    return sorted({int(bound) for bound in micros.approxQuantile("micros", shares, 0.01)})


def in_time_order(rows: DataFrame, order: Sequence[str], bounds: Sequence[int]) -> DataFrame:
    """Rows in partitions by `order[0]`, a time, cut at `bounds`, and within each sorted by all of `order`."""
    micros = F.unix_micros(order[0])
    part = reduce(lambda total, bound: total + (micros > bound).cast("int"), bounds, F.lit(0))
    return rows.repartitionById(len(bounds) + 1, part).sortWithinPartitions(*order)


def num_parts(num_rows: int, workers: int, *, rows_a_part: int = 262_144) -> int:
    """Partitions for a table: enough to keep the workers busy and each in memory."""
    return max(1, min(workers, num_rows // 20_000), -(-num_rows // rows_a_part))


def _rows_of(path: Path, low: int, high: int, columns: Sequence[str]) -> pa.Table:
    """Rows low … high - 1 of a file, from the row groups that hold them."""
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        begins = list(accumulate(sizes, initial=0))
        groups = [group for group, size in enumerate(sizes) if begins[group] < high and begins[group] + size > low]
        table = file.read_row_groups(groups, columns=list(columns), use_threads=False)
    return table.slice(low - begins[groups[0]], high - low)


def _part(written: Row) -> int:
    return int(written.part)


def _write_part(batches: Batches, targets: Sequence[tuple[str, pa.Schema]], part: int) -> int:
    """Write one part of each target. It appears whole: Spark may run a task twice at once, and a link to a parent's
    file must never be written through."""
    paths = [Path(folder) / part_name(part) for folder, _ in targets]
    asides = [path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}") for path in paths]
    writers = [_writer(aside, schema) for aside, (_, schema) in zip(asides, targets, strict=True)]
    num_rows = 0
    for batch in batches:
        table = pa.Table.from_batches([batch])
        for writer in writers:
            writer.write_table(conform(table, writer.schema))
        num_rows += batch.num_rows
    for writer, aside, path in zip(writers, asides, paths, strict=True):
        writer.close()
        aside.replace(path)
    return num_rows


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Features repeat too seldom for a dictionary: it would make them larger, and writing thrice as slow."""
    repeating = [field.name for field in schema if not pa.types.is_floating(field.type)]
    return pq.ParquetWriter(
        path, schema, write_page_checksum=True, compression="zstd", compression_level=1, use_dictionary=repeating
    )


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The columns of a schema from a table whose types are the same but for nullability."""
    columns = [column_as(table.column(field.name), field) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def column_as(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    """A column as a field's type; Spark hands over lists and maps with nullable parts."""
    kind = field.type
    if column.type == kind:
        return column
    if pa.types.is_list(kind):
        chunks = [_list_as(chunk, kind) for chunk in column.chunks]
        return pa.chunked_array(chunks, kind)
    if pa.types.is_map(kind):
        chunks = [pa.MapArray.from_arrays(chunk.offsets, chunk.keys, chunk.items) for chunk in column.chunks]
        return pa.chunked_array(chunks, kind)
    return column.cast(kind)


def _list_as(lists: pa.ListArray, kind: pa.DataType) -> pa.ListArray:
    fields = [kind.value_type.field(index) for index in range(kind.value_type.num_fields)]
    items = pa.StructArray.from_arrays(lists.values.flatten(), fields=fields)
    return pa.ListArray.from_arrays(lists.offsets, items, type=kind)
