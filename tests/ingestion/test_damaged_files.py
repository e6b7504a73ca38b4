"""TRUST DAT1: mutated files, through the readers that an ingest uses; `benchmarks/faults.py` tries 300."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks._mutations import COLUMNS, KINDS, ROWS, original, try_damaged, write_good
from ingestion import parquet_source
from ingestion.guarded import CallDied
from ingestion.pieces import DamagedFile, SourceFile
from ingestion.sources import open_file, pieces_of, read_piece, without_damage


def read_all(file: SourceFile) -> tuple[list[str], list[tuple[int, str]]]:
    """Ids of the good rows, and line and reason of the broken ones."""
    found = [raw for piece in pieces_of(file, 0, workers=1) for raw in read_piece(piece, COLUMNS)]
    broken = [(row.line, row.reason) for raw in found for row in raw.broken]
    return [name for raw in found for name in raw.table.column("id").to_pylist()], broken


def test_sixty_mutated_files(tmp_path: Path) -> None:
    table = original()
    good = write_good(tmp_path, table)
    outcomes = [try_damaged(tmp_path, good, table, number) for number in range(60)]
    vouched = [outcome for outcome in outcomes if outcome.kind in (KINDS[0], KINDS[2])]
    others = [outcome for outcome in outcomes if outcome not in vouched]
    assert sum(outcome.wrong for outcome in vouched) == 0
    assert sum(outcome.refused for outcome in vouched) >= 25
    assert all(outcome.marked_unverified or outcome.refused for outcome in others)
    assert sum(outcome.broken for outcome in others) > 0 < sum(outcome.right for outcome in others)


def two_groups(path: Path, *, checksums: bool) -> Path:
    """A file of two row groups whose second cannot be decoded."""
    pq.write_table(original(), path, row_group_size=200, write_page_checksum=checksums, compression="snappy")
    chunk = pq.ParquetFile(path).metadata.row_group(1).column(0)
    data = bytearray(path.read_bytes())
    start = chunk.dictionary_page_offset if chunk.has_dictionary_page else chunk.data_page_offset
    data[start + 40 : start + 60] = b"\xff" * 20
    path.write_bytes(data)
    return path


def test_of_an_unverified_file_the_good_row_groups_enter(tmp_path: Path) -> None:
    file = open_file(two_groups(tmp_path / "half.parquet", checksums=False))
    assert file.verified_by is None
    ids, broken = read_all(file)
    assert ids == original().column("id").to_pylist()[:200]
    assert broken == [(line, "damaged_row_group") for line in range(201, ROWS + 1)]


def test_a_verified_file_is_refused_whole(tmp_path: Path) -> None:
    file = open_file(two_groups(tmp_path / "half.parquet", checksums=True))
    assert file.verified_by == "page checksums"
    with pytest.raises(DamagedFile, match="none of it was read"):
        read_all(file)
    with pytest.raises(DamagedFile, match="row group 1"):
        without_damage(file, COLUMNS)


def test_row_groups_that_kill_a_reader_are_found_and_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker's death leaves to find out: each group is tried in a child process."""
    path = tmp_path / "table.parquet"
    pq.write_table(original(), path, row_group_size=100)

    class Dying:
        def call(self, function: object, path: Path, number: int, columns: list[str], *, seconds: float) -> str | None:
            if number == 2:
                raise CallDied("the process that read it died (signal 11)")
            return None

    file = open_file(path)
    with monkeypatch.context() as patch:
        patch.setattr(parquet_source, "GUARDED", Dying())
        file = without_damage(file, COLUMNS)
    assert file.damaged == (2,)
    ids, broken = read_all(file)
    assert len(ids) == 300 and "t00200" not in ids
    assert [line for line, _ in broken] == list(range(201, 301))


def test_checksums_are_seen_where_they_are(tmp_path: Path) -> None:
    for checksums, compression in ((True, "snappy"), (False, "zstd"), (True, "none"), (False, "none")):
        path = tmp_path / f"{checksums}-{compression}.parquet"
        pq.write_table(pa.table({"id": ["a"] * 9, "n": range(9)}), path, write_page_checksum=checksums)
        assert (open_file(path).verified_by == "page checksums") == checksums
