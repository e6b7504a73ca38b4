"""A look at a Parquet file before any of it is decoded: columns, row groups, and whether its pages carry checksums.

It runs in a child process (`ingestion/guarded.py`): a damaged footer is parsed by native code. What a footer says
twice must agree, because page checksums do not cover it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ingestion.pieces import DamagedFile

BATCH_ROWS = 131_072
_PAGE_HEADER_BYTES = 64


@dataclass(frozen=True, kw_only=True)
class ParquetLook:
    """Columns in order, rows of each row group, and whether the pages of every column chunk begin with checksums."""

    columns: tuple[str, ...]
    row_groups: tuple[int, ...]
    has_checksums: bool


def look_at_parquet(path: Path, name: str) -> ParquetLook:
    """Read the footer and the first page headers; `name` is for messages. Raises `DamagedFile`."""
    try:
        with pq.ParquetFile(path) as file:
            metadata, schema = file.metadata, file.schema_arrow
            groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
            if why := _disagreement(metadata, groups):
                raise DamagedFile.of(name, why)
            return ParquetLook(
                columns=tuple(schema.names),
                row_groups=tuple(group.num_rows for group in groups),
                has_checksums=_have_checksums(path, name, groups),
            )
    except (OSError, pa.ArrowException, UnicodeDecodeError, ValueError) as error:
        raise DamagedFile.of(name, error) from error


def decode_row_group(path: Path, row_group: int, columns: list[str]) -> str | None:
    """Decode a row group and drop it; why that is impossible, None when it is not. May crash: call it guarded."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for _ in file.iter_batches(BATCH_ROWS, row_groups=[row_group], columns=columns):
                pass
    except (OSError, pa.ArrowException, UnicodeDecodeError, ValueError) as error:
        return str(error) or type(error).__name__
    return None


def _disagreement(metadata: pq.FileMetaData, groups: list[pq.RowGroupMetaData]) -> str | None:
    """What the footer says in two ways, None when it says it once."""
    rows = [group.num_rows for group in groups]
    if sum(rows) != metadata.num_rows or min(rows, default=0) < 0:
        return f"its row groups have {sum(rows)} rows, its footer says {metadata.num_rows}"
    for number, group in enumerate(groups):
        for index in range(group.num_columns):
            chunk = group.column(index)
            flat = chunk.path_in_schema == metadata.schema.column(index).name
            if flat and chunk.num_values != group.num_rows:
                return f"row group {number} has {group.num_rows} rows and {chunk.num_values} values in a column"
            if chunk.path_in_schema != metadata.schema.column(index).path:
                return f"row group {number} has a column that the schema does not have at its place"
            if chunk.physical_type != metadata.schema.column(index).physical_type:
                return f"row group {number} stores another type than the schema says"
    return None


def _have_checksums(path: Path, name: str, groups: list[pq.RowGroupMetaData]) -> bool:
    """Whether the first page of every column chunk carries a checksum. Raises `DamagedFile` when only some do."""
    chunks = [group.column(index) for group in groups for index in range(group.num_columns)]
    carried = 0
    with path.open("rb") as file:
        for chunk in chunks:
            offset = chunk.data_page_offset
            if chunk.has_dictionary_page and chunk.dictionary_page_offset is not None:
                offset = min(offset, chunk.dictionary_page_offset)
            file.seek(offset)
            carried += page_has_checksum(file.read(_PAGE_HEADER_BYTES))
    if 0 < carried < len(chunks):
        raise DamagedFile.of(name, f"{len(chunks) - carried} of {len(chunks)} columns lack the checksum of the others")
    return carried > 0


def page_has_checksum(header: bytes) -> bool:
    """Whether a page header (Thrift's compact protocol) has its fourth field, the CRC.

    Fields 1 to 3 (type and two sizes) are required i32: each is the byte 0x15 (next field, i32) and a number whose
    bytes but the last have the high bit set.

    >>> page_has_checksum(bytes([0x15, 0, 0x15, 0x80, 1, 0x15, 4, 0x15, 2])), page_has_checksum(bytes([0x15, 0]))
    (True, False)
    """
    position = 0
    for _ in range(3):
        if header[position : position + 1] != b"\x15":
            return False
        position += 1
        while position < len(header) and header[position] & 0x80:
            position += 1
        position += 1
    return header[position : position + 1] == b"\x15"
