"""Source files in pieces: every row once with its line, broken records kept as such, damage refused (TRUST DAT1)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingestion import csv_source
from ingestion.errors import DataContractError
from ingestion.pieces import BrokenRow, DamagedFile
from ingestion.sources import find_files, open_file, pieces_of, read_piece

COLUMNS = ("id", "amount", "memo")


def rows_of(
    path: Path, *, workers: int = 2, wanted: tuple[str, ...] = COLUMNS
) -> tuple[list[tuple[int, str]], list[BrokenRow]]:
    """(line, id) of every row and the broken rows, over all pieces."""
    rows: list[tuple[int, str]] = []
    broken: list[BrokenRow] = []
    for piece in pieces_of(open_file(path), 0, workers=workers):
        for raw in read_piece(piece, COLUMNS):
            assert raw.table.num_rows == len(raw.lines)
            rows += zip(raw.lines.tolist(), map(str, raw.table.column("id").to_pylist()), strict=True)
            broken += raw.broken
    return rows, broken


def test_csv_in_many_pieces_loses_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Quoted line ends, blank lines and pieces that end anywhere: ids are their own line numbers."""
    monkeypatch.setattr(csv_source, "PIECE_BYTES", 4_096)
    lines, line = ["id,amount,memo"], 2
    for number in range(6_000):
        memo = '"two\nlines, and ""more"""' if number % 7 == 0 else "plain"
        lines.append(f"{line},{number},{memo}")
        line += 2 if number % 7 == 0 else 1
        if number % 11 == 0:
            lines.append("")
            line += 1
    path = tmp_path / "many.csv"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).replace("\n", "\n").encode())
    assert len(pieces_of(open_file(path), 0, workers=2)) > 10
    rows, broken = rows_of(path)
    assert len(rows) == 6_000
    assert all(number == int(text) for number, text in rows)
    assert broken == []


def test_records_that_cannot_be_rows_are_kept_with_line_and_reason(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(b'id,amount,memo\n1,5,ok\n2,5\n3,5,caf\xe9\n4,5,a,b\n5,5,ok\n6,5,"open\n')
    rows, broken = rows_of(path)
    assert rows == [(2, "1"), (6, "5")]
    assert [(row.line, row.reason, row.field, row.values.get("id")) for row in broken] == [
        (3, "too_few_columns", "memo", "2"),
        (4, "broken_utf8", "memo", "3"),
        (5, "too_many_columns", "memo", "4"),
        (7, "broken_quotes", "", None),
    ]
    assert broken[0].value == "2 of 3 values"


@pytest.mark.parametrize("workers", [1, 2, 7])
@pytest.mark.parametrize("row_group", [100_000, 30_000])
def test_parquet_in_pieces_has_every_row_once(tmp_path: Path, workers: int, row_group: int) -> None:
    path = tmp_path / "table.parquet"
    table = pa.table({"id": np.arange(1, 100_001), "other": np.zeros(100_000)})
    pq.write_table(table, path, row_group_size=row_group, write_page_checksum=True)
    rows, broken = rows_of(path, workers=workers)
    assert rows == [(number, str(number)) for number in range(1, 100_001)]
    assert broken == []


def test_text_that_is_no_utf8_in_parquet_is_a_broken_row(tmp_path: Path) -> None:
    memo = pa.array([b"good", b"caf\xe9", None], pa.binary())
    memo = pa.Array.from_buffers(pa.string(), 3, memo.buffers(), null_count=1)
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"id": [1, 2, 3], "memo": memo}), path)
    rows, broken = rows_of(path)
    assert rows == [(1, "1"), (3, "3")]
    assert [(row.line, row.reason, row.field, row.value) for row in broken] == [(2, "broken_utf8", "memo", "caf\ufffd")]


def test_what_is_no_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataContractError, match="is not there"):
        find_files(tmp_path / "absent.csv")
    (tmp_path / "table.xlsx").write_text("x")
    with pytest.raises(DataContractError, match="is no CSV or Parquet file"):
        find_files(tmp_path / "table.xlsx")
    with pytest.raises(DataContractError, match="holds no CSV or Parquet file"):
        find_files(tmp_path)
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(DataContractError, match="is empty"):
        open_file(tmp_path / "empty.csv")
    (tmp_path / "twice.csv").write_text("id,id\n1,2\n")
    with pytest.raises(DataContractError, match="two columns named 'id'"):
        open_file(tmp_path / "twice.csv")
    (tmp_path / "4111111111111111.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(DamagedFile) as caught:
        open_file(tmp_path / "4111111111111111.parquet")
    assert "4111" not in str(caught.value)
