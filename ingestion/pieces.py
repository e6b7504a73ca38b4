"""Pieces of source files: what crosses between who plans a read, who reads, and who maps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ingestion.errors import DataContractError
from ingestion.pan import scrub


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

    `num_rows` is a guess for a CSV file, and `encoding` its own. `verified_by` says what vouches for its bytes:
    "sha256 sidecar" or "page checksums"; None when nothing does. `row_groups` are the rows of each of a Parquet
    file; those of `damaged` numbers cannot be decoded.
    """

    path: Path
    name: str
    sha256: str
    kind: str
    columns: tuple[str, ...]
    num_rows: int
    encoding: str = "utf-8"
    verified_by: str | None = None
    row_groups: tuple[int, ...] = ()
    damaged: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A part of a file that one worker reads: bytes of a CSV file, or rows of a Parquet row group.

    `first_line` is the line of its first record (CSV) or the number of its first row (Parquet, from 1). Of a
    `verified` file nothing enters when a piece is damaged; otherwise the piece's rows are broken ones, as they are
    without looking when it is `damaged`.
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
    encoding: str = "utf-8"
    verified: bool = False
    damaged: bool = False


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


def piece_of(file: SourceFile, index: int, start: int, size: int, line: int, **more: object) -> Piece:
    return Piece(
        path=str(file.path),
        name=file.name,
        kind=file.kind,
        columns=file.columns,
        file=index,
        verified=file.verified_by is not None,
        start=start,
        size=size,
        first_line=line,
        encoding=file.encoding,
        **more,  # type: ignore[arg-type]  # row_group or delimiter
    )


def as_utf8(data: bytes, encoding: str) -> bytes:
    """Bytes of a text in UTF-8; what is none in its own encoding stays as it is, which is no UTF-8 either."""
    if encoding == "utf-8":
        return data
    return data.decode(encoding, errors="surrogateescape").encode("utf-8", errors="surrogateescape")


def is_utf8(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
