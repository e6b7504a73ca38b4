"""Source files: what there is to read, cut into pieces that Spark's workers read on their own.

A source is a CSV or Parquet file, or a folder of them (in name order). CSV records that cannot be rows (too few
or too many values, broken UTF-8, unclosed quotes) are kept as broken rows with their line, never nulled away.
Parquet is read with page checksums verified; a damaged file is refused whole.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ingestion.artifacts import file_sha256
from ingestion.csv_records import Records, find_records
from ingestion.errors import DataContractError
from ingestion.pan import scrub

PARQUET_ROWS = 262_144
LEAST_ROWS = 20_000
CSV_BYTES = 8_388_608
BATCH_ROWS = 131_072
_SUFFIXES = (".csv", ".parquet")
_BOM = b"\xef\xbb\xbf"


class DamagedFile(DataContractError):
    """A source file is damaged: none of it enters."""

    @classmethod
    def of(cls, name: str, why: object) -> DamagedFile:
        """The error for one file."""
        text = str(why).strip().splitlines()[0] if str(why).strip() else type(why).__name__
        return cls(
            f"{name} is damaged, so none of it was read: {scrub(text)}.",
            remedy="Fetch the file again; the snapshot in force is unchanged.",
        )


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """One file: `name` without card numbers, `sha256`, `kind` csv or parquet, and its columns in order.

    `num_rows` is a guess for a CSV file.
    """

    path: Path
    name: str
    sha256: str
    kind: str
    columns: tuple[str, ...]
    num_rows: int


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A part of a file that one worker reads: bytes of a CSV file, or rows of a Parquet row group.

    `first_line` is the line of its first record (CSV) or the number of its first row (Parquet, from 1).
    """

    path: str
    name: str
    kind: str
    columns: tuple[str, ...]
    file: int
    start: int
    size: int
    first_line: int
    row_group: int = 0
    delimiter: str = ","


@dataclass(frozen=True, kw_only=True)
class BrokenRow:
    """A record that cannot be a row; `values` are those that could be read, by column."""

    line: int
    reason: str
    field: str
    value: str
    values: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class RawRows:
    """Rows as the user wrote them, (N,) with (N,) int64 `lines`, and what could not be a row."""

    table: pa.Table
    lines: NDArray[np.int64]
    broken: tuple[BrokenRow, ...] = ()


def find_files(source: Path) -> list[Path]:
    """The files of a source. Raises `DataContractError` when there are none."""
    if source.is_dir():
        files = sorted(path for path in source.iterdir() if path.suffix.lower() in _SUFFIXES and path.is_file())
    else:
        files = [source] if source.is_file() and source.suffix.lower() in _SUFFIXES else []
    if not files:
        state = "holds no" if source.is_dir() else "is no" if source.exists() else "is not there, so it is no"
        raise DataContractError(
            f"{scrub(str(source))} {state} CSV or Parquet file.", remedy="Name a .csv or .parquet file, or a folder."
        )
    return files


def open_file(path: Path, *, delimiter: str = ",", sha256: str | None = None) -> SourceFile:
    """Look at one file: its hash and columns. Raises `DamagedFile`."""
    kind = path.suffix.lower().removeprefix(".")
    name = scrub(path.name)
    columns, num_rows = _parquet_header(path, name) if kind == "parquet" else _csv_header(path, name, delimiter)
    repeated = {column for column in columns if columns.count(column) > 1}
    if repeated:
        raise DataContractError(
            f"{name} has two columns named {sorted(repeated)[0]!r}.", remedy="Give each column a name of its own."
        )
    return SourceFile(
        path=path, name=name, sha256=sha256 or file_sha256(path), kind=kind, columns=columns, num_rows=num_rows
    )


def pieces_of(file: SourceFile, index: int, *, workers: int, delimiter: str = ",") -> list[Piece]:
    """Cut a file into pieces, two or more a worker where it is large enough."""
    if file.kind == "parquet":
        return _parquet_pieces(file, index, workers)
    return _csv_pieces(file, index, workers, delimiter)


def read_piece(piece: Piece, wanted: Sequence[str]) -> Iterator[RawRows]:
    """Read a piece, some rows at a time. Raises `DamagedFile`."""
    columns = [name for name in piece.columns if name in set(wanted)]
    return _read_parquet(piece, columns) if piece.kind == "parquet" else _read_csv(piece, columns)


def _parquet_header(path: Path, name: str) -> tuple[tuple[str, ...], int]:
    try:
        file = pq.ParquetFile(path)
        return tuple(file.schema_arrow.names), file.metadata.num_rows
    except (OSError, pa.ArrowException) as error:
        raise DamagedFile.of(name, error) from error


def _parquet_pieces(file: SourceFile, index: int, workers: int) -> list[Piece]:
    try:
        metadata = pq.ParquetFile(file.path).metadata
        counts = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    except (OSError, pa.ArrowException) as error:
        raise DamagedFile.of(file.name, error) from error
    # Every worker has work; but a piece decodes its row group from the start, so few pieces a group.
    total = sum(counts)
    most = max(min(PARQUET_ROWS, -(-total // workers)), -(-total // (4 * workers)), LEAST_ROWS)
    pieces: list[Piece] = []
    first = 1
    for group, rows in enumerate(counts):
        for start in range(0, rows, most):
            pieces.append(_piece(file, index, start, min(most, rows - start), first + start, row_group=group))
        first += rows
    return pieces


def _piece(file: SourceFile, index: int, start: int, size: int, line: int, **more: object) -> Piece:
    return Piece(
        path=str(file.path),
        name=file.name,
        kind=file.kind,
        columns=file.columns,
        file=index,
        start=start,
        size=size,
        first_line=line,
        **more,  # type: ignore[arg-type]  # row_group or delimiter
    )


def _read_parquet(piece: Piece, columns: list[str]) -> Iterator[RawRows]:
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
                if value is not None and not _is_utf8(value) and row not in broken:
                    shown = value.decode("utf-8", errors="replace")
                    broken[row] = BrokenRow(
                        line=int(lines[row]), reason="broken_utf8", field=name, value=shown, values={}
                    )
    if not broken:
        return RawRows(table=table, lines=lines)
    keep = np.ones(len(lines), np.bool_)
    keep[list(broken)] = False
    return RawRows(table=table.filter(pa.array(keep)), lines=lines[keep], broken=tuple(broken.values()))


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _csv_header(path: Path, name: str, delimiter: str) -> tuple[tuple[str, ...], int]:
    with path.open("rb") as file:
        head = file.read(CSV_BYTES)
    records = find_records(head, delimiter=delimiter)
    if len(records) == 0:
        raise DataContractError(f"{name} is empty.", remedy="Name a file with a header and rows.")
    try:
        text = head[: int(records.end[0])].removeprefix(_BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataContractError(f"The header of {name} is not UTF-8.", remedy="Write the file in UTF-8.") from error
    columns = tuple(column.strip() for column in next(csv.reader([text], delimiter=delimiter)))
    return columns, path.stat().st_size * len(records) // len(head)


def _csv_pieces(file: SourceFile, index: int, workers: int, delimiter: str) -> list[Piece]:
    """Cut at the ends of records; one pass over the bytes."""
    block = min(CSV_BYTES, max(65_536, file.path.stat().st_size // (2 * workers)))
    pieces: list[Piece] = []
    start, line, rest = 0, 1, b""
    with file.path.open("rb") as handle:
        while data := handle.read(block):
            last = len(data) < block
            rest += data
            records = find_records(rest, delimiter=delimiter, at_end=last)
            if records.consumed:
                pieces.append(_piece(file, index, start, records.consumed, line, delimiter=delimiter))
            start, line, rest = start + records.consumed, line + records.num_lines, rest[records.consumed :]
    if rest:
        pieces.append(_piece(file, index, start, len(rest), line, delimiter=delimiter))
    return pieces


def _read_csv(piece: Piece, columns: list[str]) -> Iterator[RawRows]:
    with Path(piece.path).open("rb") as file:
        file.seek(piece.start)
        data = file.read(piece.size)
    if len(data) < piece.size:
        raise DamagedFile.of(piece.name, "it became shorter while it was read")
    records = find_records(data, delimiter=piece.delimiter)
    lines = records.line + piece.first_line
    keep = (records.fields == len(piece.columns)) & ~records.broken
    if not _is_utf8(data):
        keep &= [
            _is_utf8(data[start:end]) for start, end in zip(records.start.tolist(), records.end.tolist(), strict=True)
        ]
    is_header = (records.start == 0) & (piece.start == 0)
    broken = [_broken(piece, records, int(row), data) for row in np.flatnonzero(~keep & ~is_header)]
    rows = np.flatnonzero(keep & ~is_header)
    whole = len(rows) == len(records)
    text = data if whole else b"\n".join(data[records.start[row] : records.end[row]] for row in rows)
    table = _parse(piece, text, columns)
    if table.num_rows != len(rows):
        raise DataContractError(
            f"{piece.name}: {len(rows)} records from line {piece.first_line} on were read as {table.num_rows} rows.",
            remedy="Quote values that hold quotation marks or line ends as RFC 4180 says.",
        )
    yield RawRows(table=table, lines=lines[rows], broken=tuple(broken))


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


def _broken(piece: Piece, records: Records, row: int, data: bytes) -> BrokenRow:
    """Why a record is no row, and what of it could be read."""
    text = data[records.start[row] : records.end[row]].decode("utf-8", errors="replace")
    try:
        values = next(csv.reader(io.StringIO(text, newline=""), delimiter=piece.delimiter))
    except (csv.Error, StopIteration):
        values = []
    named = dict(zip(piece.columns, values, strict=False))
    line = int(records.line[row]) + piece.first_line
    count, wanted = int(records.fields[row]), len(piece.columns)
    if bool(records.broken[row]):
        return BrokenRow(line=line, reason="broken_quotes", field="", value=f"{count} values", values={})
    if count != wanted:
        reason = "too_few_columns" if count < wanted else "too_many_columns"
        first = piece.columns[min(count, wanted - 1)]
        return BrokenRow(line=line, reason=reason, field=first, value=f"{count} of {wanted} values", values=named)
    name = next((name for name, value in named.items() if "\ufffd" in value), piece.columns[0])
    return BrokenRow(line=line, reason="broken_utf8", field=name, value=named.get(name, ""), values=named)


def sources_hash(files: Sequence[SourceFile]) -> str:
    """Names the set of files that an ingest reads."""
    return hashlib.sha256("\n".join(sorted(file.sha256 for file in files)).encode()).hexdigest()[:12]
