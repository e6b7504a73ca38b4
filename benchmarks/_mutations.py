"""Damaged copies of a table, as disks and transfers make them, and what a reader makes of each (TRUST DAT1).

Four kinds of file: Parquet with page checksums, Parquet without, CSV with its `.sha256` beside it, CSV without.
Five kinds of damage: a flipped bit, a cut, a zeroed block, two swapped blocks, inserted bytes.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from ingestion.artifacts import file_sha256
from ingestion.errors import DataContractError
from ingestion.mapping import require_columns
from ingestion.pieces import DamagedFile
from ingestion.sources import open_file, pieces_of, read_piece

ROWS = 400
COLUMNS = ("id", "amount", "memo")
KINDS = ("parquet with page checksums", "parquet without", "csv with sidecar", "csv without")
_BLOCK = 16

Damage = Callable[[bytearray, random.Random], None]


def _flip(data: bytearray, rng: random.Random) -> None:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _cut(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


def _zero(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data) - _BLOCK)
    data[at : at + _BLOCK] = bytes(_BLOCK)


def _swap(data: bytearray, rng: random.Random) -> None:
    first, second = sorted(rng.sample(range(len(data) // _BLOCK), 2))
    one, two = first * _BLOCK, second * _BLOCK
    data[one : one + _BLOCK], data[two : two + _BLOCK] = data[two : two + _BLOCK], data[one : one + _BLOCK]


def _insert(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data))
    data[at:at] = rng.randbytes(rng.randint(1, 9))


DAMAGES: tuple[Damage, ...] = (_flip, _cut, _zero, _swap, _insert)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a reader made of one damaged file: `refused`, or rows `right`, `wrong` and `broken` (quarantined)."""

    kind: str
    refused: bool
    marked_unverified: bool
    right: int = 0
    wrong: int = 0
    broken: int = 0


def original(seed: int = 0) -> pa.Table:
    """The table before anything happened to it."""
    rng, numbers = random.Random(seed), np.random.default_rng(seed)
    return pa.table(
        {
            "id": [f"t{number:05d}" for number in range(ROWS)],
            "amount": [str(value) for value in numbers.integers(0, 10**6, ROWS)],
            "memo": [rng.choice(["rent", "food", "o'brien", 'said "no"', "two\nlines"]) for _ in range(ROWS)],
        }
    )


def write_good(folder: Path, table: pa.Table) -> dict[str, Path]:
    """One whole file of each kind."""
    paths = {kind: folder / f"{number}.{kind.split()[0]}" for number, kind in enumerate(KINDS)}
    for kind, path in paths.items():
        if path.suffix == ".csv":
            pa_csv.write_csv(table, path)
        else:
            pq.write_table(table, path, row_group_size=150, write_page_checksum=kind == KINDS[0])
    return paths


def try_damaged(folder: Path, good: dict[str, Path], table: pa.Table, number: int) -> Outcome:
    """Damage a copy of one good file (the `number` chooses kind, damage and place) and read it as an ingest does.

    Anything but a refusal by our own error is raised: it is a crash.
    """
    kind, rng = KINDS[number % len(KINDS)], random.Random(number)
    whole = good[kind]
    data = bytearray(whole.read_bytes())
    DAMAGES[number // len(KINDS) % len(DAMAGES)](data, rng)
    path = folder / f"damaged-{number}{whole.suffix}"
    path.write_bytes(data)
    if kind == "csv with sidecar":
        path.with_name(path.name + ".sha256").write_text(f"{file_sha256(whole)}  {path.name}\n")
    expected = {int(line): row for line, row in zip(lines_of(whole), table.to_pylist(), strict=True)}
    right = wrong = broken = 0
    try:
        file = open_file(path)
        require_columns("mine", COLUMNS, file.columns, table=file.name)
        for piece in pieces_of(file, 0, workers=2):
            for raw in read_piece(piece, COLUMNS):
                rows = raw.table.select(COLUMNS).to_pylist()
                same = [row in expected.values() for row in rows]
                right, wrong = right + sum(same), wrong + len(same) - sum(same)
                broken += len(raw.broken)
    except DataContractError as error:
        assert isinstance(error, DamagedFile) or error.remedy, "a refusal says what to do"
        return Outcome(kind=kind, refused=True, marked_unverified=False)
    unverified = file.verified_by is None
    if not unverified and (right != ROWS or broken):
        wrong += ROWS - right  # what is vouched for is whole or refused
    return Outcome(kind=kind, refused=False, marked_unverified=unverified, right=right, wrong=wrong, broken=broken)


def lines_of(path: Path) -> list[int]:
    """The line of each row of a whole file."""
    pieces = pieces_of(open_file(path), 0, workers=2)
    return [int(line) for piece in pieces for raw in read_piece(piece, COLUMNS) for line in raw.lines]
