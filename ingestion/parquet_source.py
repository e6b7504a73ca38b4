"""Parquet files in pieces of row groups, read with page checksums verified.

A damaged file that something vouches for is refused whole; of another one the rows that cannot be decoded are
quarantined.
"""

from __future__ import annotations

import faulthandler
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ingestion.guarded import GUARDED, CallDied
from ingestion.parquet_look import BATCH_ROWS, ParquetLook, decode_row_group, look_at_parquet
from ingestion.pieces import BrokenRow, DamagedFile, Piece, RawRows, SourceFile, is_utf8, piece_of

MOST_ROWS = 262_144
LEAST_ROWS = 20_000
#: Decoding one batch takes well under a second.
BATCH_SECONDS = 60.0


def parquet_look(path: Path, name: str) -> ParquetLook:
    """Columns and row groups, found in a child process. Raises `DamagedFile`."""
    try:
        return GUARDED.call(look_at_parquet, path, name)
    except CallDied as error:
        raise DamagedFile.of(name, error) from error


def damaged_row_groups(file: SourceFile, columns: list[str]) -> dict[int, str]:
    """Row groups that crash or hang a reader, or cannot be decoded, each with why; tried in a child process."""
    found: dict[int, str] = {}
    for number in range(len(file.row_groups)):
        try:
            why = GUARDED.call(decode_row_group, file.path, number, columns, seconds=BATCH_SECONDS)
        except CallDied as error:
            why = str(error)
        if why is not None:
            found[number] = why
    return found


def parquet_pieces(file: SourceFile, index: int, workers: int) -> list[Piece]:
    # Every worker has work; but a piece decodes its row group from the start, so few pieces a group.
    total = sum(file.row_groups)
    most = max(min(MOST_ROWS, -(-total // workers)), -(-total // (4 * workers)), LEAST_ROWS)
    pieces: list[Piece] = []
    first = 1
    for group, rows in enumerate(file.row_groups):
        for start in range(0, rows, most):
            size, damaged = min(most, rows - start), group in file.damaged
            pieces.append(piece_of(file, index, start, size, first + start, row_group=group, damaged=damaged))
        first += rows
    return pieces


def read_parquet_piece(piece: Piece, columns: list[str]) -> Iterator[RawRows]:
    """The rows of a piece. What cannot be decoded of an unverified file becomes broken rows, from the batch on in
    which the fault lies to the end of the piece. Raises `DamagedFile` for a verified file."""
    done = 0
    try:
        if piece.damaged:
            raise DamagedFile.of(piece.name, f"row group {piece.row_group} cannot be read")
        for raw in _batches(piece, columns):
            done += len(raw.lines) + len(raw.broken)
            yield raw
    except DamagedFile:
        if piece.verified:
            raise
        yield _nothing_but_broken(piece, columns, done)


def _batches(piece: Piece, columns: list[str]) -> Iterator[RawRows]:
    try:
        with pq.ParquetFile(piece.path, page_checksum_verification=True) as file:
            at = 0
            batches = file.iter_batches(BATCH_ROWS, row_groups=[piece.row_group], columns=columns)
            while (batch := _next_in_time(batches)) is not None:
                low, high = max(piece.start - at, 0), min(piece.start + piece.size - at, batch.num_rows)
                if low < high:
                    lines = np.arange(low, high) + at - piece.start + piece.first_line
                    yield _without_broken_text(pa.Table.from_batches([batch.slice(low, high - low)]), lines)
                at += batch.num_rows
                if at >= piece.start + piece.size:
                    return
            raise DamagedFile.of(piece.name, f"row group {piece.row_group} is shorter than it says")
    except (OSError, pa.ArrowException, ValueError) as error:
        raise DamagedFile.of(piece.name, error) from error


def _next_in_time(batches: Iterator[pa.RecordBatch]) -> pa.RecordBatch | None:
    """The next batch; native code that hangs on it ends this worker, and the driver finds out why."""
    faulthandler.dump_traceback_later(BATCH_SECONDS, exit=True, file=2)
    try:
        return next(batches, None)
    finally:
        faulthandler.cancel_dump_traceback_later()


def _nothing_but_broken(piece: Piece, columns: list[str], done: int) -> RawRows:
    """The rows of a piece after the first `done`, each a broken one."""
    told = f"row group {piece.row_group}"
    lines = range(piece.first_line + done, piece.first_line + piece.size)
    broken = tuple(BrokenRow(line=line, reason="damaged_row_group", field="", value=told, values={}) for line in lines)
    schema = pa.schema([(name, pa.string()) for name in columns])
    return RawRows(table=schema.empty_table(), lines=np.empty(0, np.int64), broken=broken)


def _without_broken_text(table: pa.Table, lines: NDArray[np.int64]) -> RawRows:
    """Take out the rows whose text is no UTF-8: Parquet does not check it."""
    broken: dict[int, BrokenRow] = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if not pa.types.is_string(column.type):
            continue
        try:
            column.validate(full=True)
        except pa.ArrowInvalid:
            for row, value in enumerate(column.cast(pa.binary()).to_pylist()):
                if value is not None and not is_utf8(value) and row not in broken:
                    shown = value.decode("utf-8", errors="replace")
                    broken[row] = BrokenRow(
                        line=int(lines[row]), reason="broken_utf8", field=name, value=shown, values={}
                    )
    if not broken:
        return RawRows(table=table, lines=lines)
    keep = np.ones(len(lines), np.bool_)
    keep[list(broken)] = False
    return RawRows(table=table.filter(pa.array(keep)), lines=lines[keep], broken=tuple(broken.values()))
