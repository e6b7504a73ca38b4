"""Source files: what there is to read, cut into pieces that Spark's workers read on their own.

A source is a CSV or Parquet file, or a folder of them (in name order).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ingestion.artifacts import file_sha256
from ingestion.csv_source import csv_header, csv_pieces, read_csv_piece
from ingestion.errors import DataContractError
from ingestion.pan import scrub
from ingestion.parquet_source import damaged_row_groups, parquet_look, parquet_pieces, read_parquet_piece
from ingestion.pieces import DamagedFile, Piece, RawRows, SourceFile
from ingestion.sidecar import stated_sha256

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


def source_bytes(source: Path) -> int:
    """Bytes of the files of a source; 0 when there are none, which `find_files` tells."""
    paths = source.iterdir() if source.is_dir() else [source]
    return sum(path.stat().st_size for path in paths if path.is_file())


def open_file(path: Path, *, delimiter: str = ",", encoding: str = "utf-8", sha256: str | None = None) -> SourceFile:
    """Look at one file: its hash, its columns, and what vouches for its bytes.

    Raises `DamagedFile` when it cannot be read, or is not what its sidecar says (`ingestion/sidecar.py`).
    """
    kind = path.suffix.lower().removeprefix(".")
    name, sha256 = scrub(path.name), sha256 or file_sha256(path)
    stated = stated_sha256(path)
    if stated is not None and stated != sha256:
        raise DamagedFile.of(name, f"its SHA-256 is {sha256}, and {stated} is stated beside it")
    verified_by = None if stated is None else "sha256 sidecar"
    row_groups: tuple[int, ...] = ()
    if kind == "parquet":
        look = parquet_look(path, name)
        columns, row_groups, num_rows = look.columns, look.row_groups, sum(look.row_groups)
        verified_by = verified_by or ("page checksums" if look.has_checksums else None)
    else:
        columns, num_rows = csv_header(path, name, delimiter, encoding)
    repeated = {column for column in columns if columns.count(column) > 1}
    if repeated:
        raise DataContractError(
            f"{name} has two columns named {scrub(repr(sorted(repeated)[0]))}.",
            remedy="Give each column a name of its own.",
        )
    return SourceFile(
        path=path,
        name=name,
        sha256=sha256,
        kind=kind,
        columns=columns,
        num_rows=num_rows,
        verified_by=verified_by,
        row_groups=row_groups,
        encoding=encoding,
    )


def without_damage(file: SourceFile, wanted: Sequence[str]) -> SourceFile:
    """The file with the row groups marked that crash a reader, hang it or cannot be decoded: found one by one, each
    in a child process, after a worker died. Raises `DamagedFile` for a verified file that has one."""
    if file.kind != "parquet":
        return file
    columns = [name for name in file.columns if name in set(wanted)]
    damaged = damaged_row_groups(file, columns)
    if damaged and file.verified_by is not None:
        number, why = next(iter(damaged.items()))
        raise DamagedFile.of(file.name, f"row group {number}: {why}")
    return replace(file, damaged=tuple(damaged))


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
