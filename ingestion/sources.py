"""Source files: what there is to read, cut into pieces that Spark's workers read on their own.

A source is a CSV or Parquet file, or a folder of them (in name order).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from ingestion.artifacts import file_sha256
from ingestion.csv_source import csv_header, csv_pieces, read_csv_piece
from ingestion.errors import DataContractError
from ingestion.pan import scrub
from ingestion.parquet_source import parquet_header, parquet_pieces, read_parquet_piece
from ingestion.pieces import Piece, RawRows, SourceFile

_SUFFIXES = (".csv", ".parquet")


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


def open_file(path: Path, *, delimiter: str = ",", encoding: str = "utf-8", sha256: str | None = None) -> SourceFile:
    """Look at one file: its hash and columns. Raises `DamagedFile`."""
    kind = path.suffix.lower().removeprefix(".")
    name = scrub(path.name)
    columns, num_rows = parquet_header(path, name) if kind == "parquet" else csv_header(path, name, delimiter, encoding)
    repeated = {column for column in columns if columns.count(column) > 1}
    if repeated:
        raise DataContractError(
            f"{name} has two columns named {sorted(repeated)[0]!r}.", remedy="Give each column a name of its own."
        )
    return SourceFile(
        path=path,
        name=name,
        sha256=sha256 or file_sha256(path),
        kind=kind,
        columns=columns,
        num_rows=num_rows,
        encoding=encoding,
    )


def pieces_of(file: SourceFile, index: int, *, workers: int, delimiter: str = ",") -> list[Piece]:
    """Cut a file into pieces, two or more a worker where it is large enough."""
    if file.kind == "parquet":
        return parquet_pieces(file, index, workers)
    return csv_pieces(file, index, workers, delimiter)


def read_piece(piece: Piece, wanted: Sequence[str]) -> Iterator[RawRows]:
    """Read a piece, some rows at a time. Raises `DamagedFile`."""
    columns = [name for name in piece.columns if name in set(wanted)]
    return read_parquet_piece(piece, columns) if piece.kind == "parquet" else read_csv_piece(piece, columns)


def sources_hash(files: Sequence[SourceFile]) -> str:
    """Names the set of files that an ingest reads."""
    return hashlib.sha256("\n".join(sorted(file.sha256 for file in files)).encode()).hexdigest()[:12]
