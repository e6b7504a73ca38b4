"""CSV files in pieces of whole records; what cannot be a row is kept as a broken one, with its line."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from ingestion.csv_records import Ints, Records, find_records
from ingestion.errors import DataContractError
from ingestion.pieces import BrokenRow, DamagedFile, Piece, RawRows, SourceFile, as_utf8, is_utf8, piece_of

PIECE_BYTES = 8_388_608
_BOM = b"\xef\xbb\xbf"


def csv_header(path: Path, name: str, delimiter: str, encoding: str = "utf-8") -> tuple[tuple[str, ...], int]:
    with path.open("rb") as file:
        head = file.read(PIECE_BYTES)
    records = find_records(head, delimiter=delimiter)
    if len(records) == 0:
        raise DataContractError(f"{name} is empty.", remedy="Name a file with a header and rows.")
    try:
        text = as_utf8(head[: int(records.end[0])].removeprefix(_BOM), encoding).decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataContractError(
            f"The header of {name} is not {encoding.upper()}.",
            remedy="Write the file in UTF-8, or set `encoding` in the mapping.",
        ) from error
    columns = tuple(column.strip() for column in next(csv.reader([text], delimiter=delimiter)))
    return columns, path.stat().st_size * len(records) // len(head)


def csv_pieces(file: SourceFile, index: int, workers: int, delimiter: str) -> list[Piece]:
    """Cut at the ends of records; one pass over the bytes."""
    block = min(PIECE_BYTES, max(65_536, file.path.stat().st_size // (2 * workers)))
    pieces: list[Piece] = []
    start, line, rest = 0, 1, b""
    with file.path.open("rb") as handle:
        while data := handle.read(block):
            last = len(data) < block
            rest += data
            records = find_records(rest, delimiter=delimiter, at_end=last)
            if records.consumed:
                pieces.append(piece_of(file, index, start, records.consumed, line, delimiter=delimiter))
            start, line, rest = start + records.consumed, line + records.num_lines, rest[records.consumed :]
    if rest:
        pieces.append(piece_of(file, index, start, len(rest), line, delimiter=delimiter))
    return pieces


def read_csv_piece(piece: Piece, columns: list[str]) -> Iterator[RawRows]:
    with Path(piece.path).open("rb") as file:
        file.seek(piece.start)
        data = file.read(piece.size)
    if len(data) < piece.size:
        raise DamagedFile.of(piece.name, "it became shorter while it was read")
    data = as_utf8(data, piece.encoding)
    records = find_records(data, delimiter=piece.delimiter)
    lines = records.line + piece.first_line
    keep = (records.fields == len(piece.columns)) & ~records.broken
    if not is_utf8(data):
        keep &= [
            is_utf8(data[start:end]) for start, end in zip(records.start.tolist(), records.end.tolist(), strict=True)
        ]
    is_header = (records.start == 0) & (piece.start == 0)
    broken = [_broken(piece, records, int(row), data) for row in np.flatnonzero(~keep & ~is_header)]
    rows = np.flatnonzero(keep & ~is_header)
    tables, unread = _parsed(piece, data, records, rows, columns)
    broken += [_broken(piece, records, row, data, reason="broken_quotes") for row in unread]
    rows = np.setdiff1d(rows, unread, assume_unique=True)
    yield RawRows(table=pa.concat_tables(tables).combine_chunks(), lines=lines[rows], broken=tuple(broken))


def _parsed(
    piece: Piece, data: bytes, records: Records, rows: Ints, columns: list[str]
) -> tuple[list[pa.Table], list[int]]:
    """Tables of some records, and those records (by number) that the parser does not take for one row.

    Records that are not read as so many rows are halved until the faulty ones are alone.
    """
    if len(rows) == 0:
        return [_parse(piece, b"", columns)], []
    whole = len(rows) == len(records)
    text = data if whole else b"\n".join(data[records.start[row] : records.end[row]] for row in rows)
    try:
        table = _parse(piece, text, columns)
        if table.num_rows == len(rows):
            return [table], []
    except pa.ArrowInvalid:
        pass
    if len(rows) == 1:
        return [_parse(piece, b"", columns)], [int(rows[0])]
    left, right = (_parsed(piece, data, records, half, columns) for half in np.array_split(rows, 2))
    return left[0] + right[0], left[1] + right[1]


def _parse(piece: Piece, text: bytes, columns: list[str]) -> pa.Table:
    if not text:
        return pa.table({name: pa.array([], pa.string()) for name in columns})
    return pa_csv.read_csv(
        io.BytesIO(text),
        read_options=pa_csv.ReadOptions(
            column_names=list(piece.columns), use_threads=False, block_size=max(len(text) + 1, 1024)
        ),
        parse_options=pa_csv.ParseOptions(delimiter=piece.delimiter, newlines_in_values=True),
        convert_options=pa_csv.ConvertOptions(
            column_types={name: pa.string() for name in piece.columns},
            include_columns=columns,
            null_values=[""],
            strings_can_be_null=True,
        ),
    ).combine_chunks()


def _broken(piece: Piece, records: Records, row: int, data: bytes, *, reason: str | None = None) -> BrokenRow:
    """Why a record is no row (`reason`, or what its bytes show), and what of it could be read."""
    text = data[records.start[row] : records.end[row]].decode("utf-8", errors="replace")
    try:
        values = next(csv.reader(io.StringIO(text, newline=""), delimiter=piece.delimiter))
    except (csv.Error, StopIteration):
        values = []
    named = dict(zip(piece.columns, values, strict=False))
    line = int(records.line[row]) + piece.first_line
    count, wanted = int(records.fields[row]), len(piece.columns)
    if reason == "broken_quotes" or bool(records.broken[row]):
        return BrokenRow(line=line, reason="broken_quotes", field="", value=f"{count} values", values={})
    if count != wanted:
        reason = "too_few_columns" if count < wanted else "too_many_columns"
        first = piece.columns[min(count, wanted - 1)]
        return BrokenRow(line=line, reason=reason, field=first, value=f"{count} of {wanted} values", values=named)
    name = next((name for name, value in named.items() if "\ufffd" in value), piece.columns[0])
    return BrokenRow(line=line, reason="broken_utf8", field=name, value=named.get(name, ""), values=named)
