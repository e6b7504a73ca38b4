"""Blocks: many rows of arrays that travel between Spark's workers as one binary value.

A DataFrame of blocks has the columns `target`, the partition that the block goes to, and `block`, its pickled content.
A row of Spark costs about a microsecond in each of four hand-overs; a block costs that once for thousands of rows.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ingestion.features.kernels import Ints

Batches = Iterator[pa.RecordBatch]

SCHEMA = "target int, block binary"
_ARROW = pa.schema([("target", pa.int32()), ("block", pa.binary())])
#: Bytes of blocks that are handed to the JVM at once.
_BATCH_BYTES = 8 << 20


def packed(blocks: Iterable[tuple[int, Any]]) -> Batches:
    """Batches of blocks from (target, content) pairs."""
    targets: list[int] = []
    contents: list[bytes] = []
    size = 0
    for target, content in blocks:
        targets.append(target)
        contents.append(pickle.dumps(content, protocol=5))
        size += len(contents[-1])
        if size > _BATCH_BYTES:
            yield pa.RecordBatch.from_arrays([pa.array(targets, pa.int32()), pa.array(contents)], schema=_ARROW)
            targets, contents, size = [], [], 0
    if targets:
        yield pa.RecordBatch.from_arrays([pa.array(targets, pa.int32()), pa.array(contents)], schema=_ARROW)


def unpacked(batches: Batches) -> Iterator[Any]:
    """The contents of blocks."""
    for batch in batches:
        for content in batch.column("block"):
            yield pickle.loads(content.as_buffer())  # noqa: S301 - of our own job


def narrow(values: Ints) -> NDArray[Any]:
    """The same integers (M,) in fewer bytes: one (1,) where all are equal, else the smallest type that holds them."""
    if len(values) == 0:
        return values
    low, high = values.min(), values.max()
    if low == high:
        return values[:1]
    kind = np.promote_types(np.min_scalar_type(low), np.min_scalar_type(high))
    return values.astype(kind) if np.issubdtype(kind, np.integer) else values


def widened(values: NDArray[Any], num: int) -> Ints:
    """What `narrow` was given, (num,)."""
    return values.astype(np.int64) if len(values) == num else np.full(num, values[0], np.int64)


def split(targets: NDArray[Any]) -> Iterator[tuple[int, Ints]]:
    """Each target in (M,) small numbers, with the rows that go there, in their order."""
    if len(targets) == 0:
        return
    order = np.argsort(targets.astype(np.uint16) if targets.max() < 1 << 16 else targets, kind="stable")
    in_order = targets[order]
    bounds = [0, *(np.flatnonzero(np.diff(in_order)) + 1).tolist(), len(order)]
    for begin, end in pairwise(bounds):
        yield int(in_order[begin]), order[begin:end]


def chunks(batches: Batches, num_rows: int) -> Iterator[pa.Table]:
    """Tables of about `num_rows` rows or more from the batches of a partition."""
    waiting: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        waiting.append(batch)
        rows += batch.num_rows
        if rows >= num_rows:
            yield pa.Table.from_batches(waiting)
            waiting, rows = [], 0
    if rows:
        yield pa.Table.from_batches(waiting)
