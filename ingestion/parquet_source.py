"""Parquet files in pieces of row groups, read with page checksums verified; a damaged file is refused whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ingestion.pieces import BrokenRow, DamagedFile, Piece, RawRows, SourceFile, is_utf8, piece_of

MOST_ROWS = 262_144
LEAST_ROWS = 20_000
BATCH_ROWS = 131_072


def parquet_header(path: Path, name: str) -> tuple[tuple[str, ...], int]:
    try:
        file = pq.ParquetFile(path)
        return tuple(file.schema_arrow.names), file.metadata.num_rows
    except (OSError, pa.ArrowException) as error:
        raise DamagedFile.of(name, error) from error


def parquet_pieces(file: SourceFile, index: int, workers: int) -> list[Piece]:
    try:
        metadata = pq.ParquetFile(file.path).metadata
        counts = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    except (OSError, pa.ArrowException) as error:
        raise DamagedFile.of(file.name, error) from error
    # Every worker has work; but a piece decodes its row group from the start, so few pieces a group.
    total = sum(counts)
    most = max(min(MOST_ROWS, -(-total // workers)), -(-total // (4 * workers)), LEAST_ROWS)
    pieces: list[Piece] = []
    first = 1
    for group, rows in enumerate(counts):
        for start in range(0, rows, most):
            pieces.append(piece_of(file, index, start, min(most, rows - start), first + start, row_group=group))
        first += rows
    return pieces


def read_parquet_piece(piece: Piece, columns: list[str]) -> Iterator[RawRows]:
    try:
        with pq.ParquetFile(piece.path, page_checksum_verification=True) as file:
            at = 0
            for batch in file.iter_batches(BATCH_ROWS, row_groups=[piece.row_group], columns=columns):
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
