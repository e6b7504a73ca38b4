"""What a snapshot shares with its parent: leading parts that nothing new can have changed, as hard links.

Parts are cut at times and lie in order, so whatever comes at a time T leaves every part that ends before T as it is.
Where a part ends stands in its own footer; the cuts of the parent are kept, so that parts stay shareable night after
night, and its last part is closed once it is large enough.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import pyarrow.parquet as pq
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ingestion.contracts import micros
from ingestion.jobs.parts import Parts, part_name, time_bounds

#: A part is closed from this size on, and cut again above four times of it.
CLOSED_ROWS = 65_536


@dataclass(frozen=True, kw_only=True)
class Tail:
    """The parts of a parent's folder from `num_kept` on, which are made again.

    All that is kept lies up to `begin` (µs; None: nothing is kept); `bounds` (µs) cut what is made.
    """

    folder: Path
    num_kept: int
    begin: int | None
    bounds: tuple[int, ...]

    @property
    def files(self) -> list[str]:
        """The parent's files in the tail."""
        return [str(path) for path in part_files(self.folder)[self.num_kept :]]


def part_files(folder: Path) -> list[Path]:
    """The parts of a folder in order."""
    return sorted(folder.glob("part-*.parquet"))


def tail_from(folder: Path, column: str, first_change: int | None) -> Tail:
    """The tail of a folder of parts in the order of `column` when something new comes at `first_change` (µs) first.

    None: nothing new, so everything is kept.
    """
    ends = part_ends(folder, column)
    if first_change is None:
        return Tail(folder=folder, num_kept=len(ends), begin=_last(ends), bounds=())
    is_open = Parts.of(folder).num_rows[-1] < CLOSED_ROWS
    closed = ends[:-1] if is_open else ends
    num_kept = next((at for at, end in enumerate(closed) if end is not None and end >= first_change), len(closed))
    cuts = closed[num_kept:]
    bounds = tuple(end for end in cuts if end is not None)
    return Tail(folder=folder, num_kept=num_kept, begin=_last(closed[:num_kept]), bounds=bounds)


def earliest(rows: DataFrame, column: str) -> int | None:
    """The smallest time (µs) of a column, None without rows."""
    found: int | None = rows.agg(F.min(F.unix_micros(column)).alias("time")).collect()[0].time
    return found


def first_change(before: DataFrame, after: DataFrame) -> int | None:
    """The smallest `known_at` (µs) among labels (of one set of columns) that are in one of the two alone."""
    names = after.columns
    both = before.select(*names, F.lit(-1).alias("side")).unionByName(after.select(*names, F.lit(1).alias("side")))
    changed = both.groupBy(*names).agg(F.sum("side").alias("surplus")).where(F.col("surplus") != 0)
    return earliest(changed, "known_at")


def part_ends(folder: Path, column: str) -> list[int | None]:
    """The largest `column` (µs) of each part, None for an empty one, from the footers."""
    return [_end(path, column) for path in part_files(folder)]


def cut_further(times: DataFrame, bounds: tuple[int, ...]) -> list[int]:
    """The bounds, and more where a part would be larger than four times CLOSED_ROWS."""
    name = times.columns[0]
    at = F.unix_micros(name)
    part = reduce(lambda total, bound: total + (at > bound).cast("int"), bounds, F.lit(0))
    counts = times.groupBy(part.alias("part")).count().collect()
    cuts = set(bounds)
    for row in counts:
        parts = -(-row["count"] // (4 * CLOSED_ROWS))
        if parts > 1:
            cuts |= set(time_bounds(times.where(part == row["part"]), parts))
    return sorted(cuts)


def link_parts(parent: Path, folder: Path, num_parts: int) -> None:
    """Give `folder` the first parts of `parent`: the same files by hard links, copies where links are impossible."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, source in enumerate(part_files(parent)[:num_parts]):
        target = folder / part_name(index)
        try:
            os.link(source, target)
        except OSError:  # another file system, or one without links
            shutil.copyfile(source, target)


def full_parts(folder: Path, rows_a_part: int) -> int:
    """How many leading parts hold exactly `rows_a_part` rows."""
    sizes = Parts.of(folder).num_rows
    return next((index for index, size in enumerate(sizes) if size != rows_a_part), len(sizes))


def _last(ends: list[int | None]) -> int | None:
    return max((end for end in ends if end is not None), default=None)


def _end(path: Path, column: str) -> int | None:
    metadata = pq.read_metadata(path)
    at = metadata.schema.names.index(column)
    found = [metadata.row_group(group).column(at).statistics for group in range(metadata.num_row_groups)]
    ends = [micros(statistics.max) for statistics in found if statistics is not None and statistics.has_min_max]
    assert len(ends) == len(found) or metadata.num_rows == 0, "the times of our own files have statistics"
    return max(ends, default=None)
