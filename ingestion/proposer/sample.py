"""A sample of a file that nobody has described: how it is written, and rows of its start, middle and end."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from ingestion.errors import DataContractError
from ingestion.expression_values import Rows, is_plain
from ingestion.numbers import PLAIN, NumberFormat, currency_mark
from ingestion.pieces import Piece, SourceFile
from ingestion.proposer.column_look import ColumnLook, look_at
from ingestion.sources import find_files, open_file, pieces_of, read_piece

MOST_ROWS = 50_000
_HEAD = 1_048_576
_DELIMITERS = (",", ";", "\t", "|")
_COMMA = re.compile(r"[+-]?(?:\d{1,3}(?:[. '\u00a0\u202f]\d{3})+|\d+),\d{1,8}")
_POINT = re.compile(r"[+-]?(?:\d{1,3}(?:[, '\u00a0\u202f]\d{3})+|\d+)\.\d{1,8}")
#: One group of three digits after the mark and at most three before it: 1,234 may be a thousand, or one and a bit.
_ONLY_GROUPS = re.compile(r"[+-]?\d{1,3}[.,]\d{3}")
_GROUP = re.compile(r"\d{1,3}([,. '\u00a0\u202f])\d{3}(?!\d)")


@dataclass(frozen=True, kw_only=True)
class Written:
    """How a file is written. `rivals` are other separators that cut it into columns as evenly; `groups_guessed` is set
    when `numbers` rests on values such as 1,234 alone, which could have a fraction."""

    delimiter: str = ","
    encoding: str = "utf-8"
    numbers: NumberFormat = PLAIN
    rivals: tuple[str, ...] = ()
    groups_guessed: bool = False


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Rows (N,) of a table as they are written; `num_rows` is a guess of how many the table has."""

    name: str
    table: pa.Table
    written: Written
    num_rows: int

    @cached_property
    def looks(self) -> dict[str, ColumnLook]:
        """Column -> what the sample says about it."""
        rows = Rows.of(self.table)
        return {name: look_at(name, rows.column(name), self.written.numbers) for name in self.table.column_names}


def take_sample(source: Path, *, most_rows: int = MOST_ROWS) -> Sample:
    """A sample of a CSV or Parquet file, or of the largest in a folder of them.

    Raises `DataContractError` when there is no file, no row, or no way to read it.
    """
    path = max(find_files(source), key=lambda path: path.stat().st_size)
    written = _sniff(path) if path.suffix.lower() == ".csv" else Written()
    file = open_file(path, delimiter=written.delimiter, encoding=written.encoding)
    pieces = pieces_of(file, 0, workers=8, delimiter=written.delimiter)
    if file.num_rows <= most_rows:
        tables = [table for piece in pieces for table in _tables(piece, file)]
    else:
        few, middle = -(-most_rows // 3), len(pieces) // 2
        tables = _first(pieces, file, few) + _first(pieces[middle:-1] or pieces[:1], file, few)
        tables += _last(pieces, file, few)
    if sum(table.num_rows for table in tables) == 0:
        raise DataContractError(f"{file.name} has no rows to propose a mapping from.", remedy="Name a file with rows.")
    table = pa.concat_tables(tables, promote_options="permissive").combine_chunks()
    table = table.select([field.name for field in table.schema if is_plain(field.type)])
    if file.kind == "csv":
        numbers, guessed = _numbers(table)
        written = replace(written, numbers=numbers, groups_guessed=guessed)
    return Sample(name=file.name, table=table, written=written, num_rows=max(file.num_rows, table.num_rows))


def _tables(piece: Piece, file: SourceFile) -> list[pa.Table]:
    return [rows.table for rows in read_piece(piece, file.columns)]


def _first(pieces: list[Piece], file: SourceFile, few: int) -> list[pa.Table]:
    """The first `few` rows of some pieces."""
    found: list[pa.Table] = []
    for piece in pieces:
        for table in _tables(piece, file):
            found.append(table.slice(0, few - sum(part.num_rows for part in found)))
        if sum(part.num_rows for part in found) >= few:
            break
    return found


def _last(pieces: list[Piece], file: SourceFile, few: int) -> list[pa.Table]:
    """The last `few` rows of some pieces."""
    found: list[pa.Table] = []
    for piece in reversed(pieces):
        found = _tables(piece, file) + found
        if sum(part.num_rows for part in found) >= few:
            break
    table = pa.concat_tables(found, promote_options="permissive")
    return [table.slice(max(0, table.num_rows - few))]


def _sniff(path: Path) -> Written:
    with path.open("rb") as file:
        head = file.read(_HEAD)
        file.seek(max(0, path.stat().st_size - _HEAD))
        tail = file.read(_HEAD)
    encoding = _encoding(head, tail)
    lines = head.decode(encoding, errors="replace").removeprefix("\ufeff").splitlines()
    lines = lines[:-1] if len(head) == _HEAD else lines
    cuts = {mark: _evenness(lines[:200], mark) for mark in _DELIMITERS}
    best = max(cuts, key=lambda mark: cuts[mark])
    rivals = tuple(mark for mark in _DELIMITERS if mark != best and cuts[mark] > 0.8 * cuts[best] > 0)
    return Written(delimiter=best, encoding=encoding, rivals=rivals)


def _encoding(*parts: bytes) -> str:
    if parts[0].startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataContractError("The file is written in UTF-16.", remedy="Convert it to UTF-8 first (iconv -t UTF-8).")
    try:
        for part in parts:
            # A letter may be cut in two at the edges of a part: three bytes at most.
            body = re.sub(rb"^[\x80-\xbf]{0,3}", b"", part)
            re.sub(rb"[\xc2-\xf4][\x80-\xbf]{0,2}$", b"", body).decode("utf-8")
    except UnicodeDecodeError:
        try:
            b"".join(parts).decode("cp1252")
        except UnicodeDecodeError:
            return "latin-1"
        return "cp1252"
    return "utf-8"


def _evenness(lines: list[str], delimiter: str) -> float:
    """Columns of the header times the share of lines that have as many."""
    widths = [len(row) for row in csv.reader(lines, delimiter=delimiter) if row]
    if not widths or widths[0] < 2:
        return 0.0
    return widths[0] * sum(width == widths[0] for width in widths) / len(widths)


def _numbers(table: pa.Table) -> tuple[NumberFormat, bool]:
    """The decimal and thousands signs that most columns of numbers use, and whether they are but a guess."""
    forms: list[NumberFormat] = []
    guesses: list[NumberFormat] = []
    for name in table.column_names:
        values = [text.strip() for text in table.column(name).slice(0, 2_000).to_pylist() if text and text.strip()]
        if mark := currency_mark(values):
            values = [value.replace(mark, "").strip() for value in values]
        for decimal, form in ((",", _COMMA), (".", _POINT)):
            matching = [value for value in values if form.fullmatch(value)]
            if matching and len(matching) >= 0.5 * len(values):
                other = "." if decimal == "," else ","
                if all(_ONLY_GROUPS.fullmatch(value) for value in matching):
                    guesses.append(NumberFormat(decimal=other, thousands=decimal))
                else:
                    forms.append(NumberFormat(decimal=decimal, thousands=_group_of(matching, decimal)))
    if not forms:
        return (_most(guesses), True) if guesses else (PLAIN, False)
    usual = [form for form in forms if form.decimal == _most(forms).decimal]
    grouped = [form for form in usual if form.thousands]
    return _most(grouped or usual), False


def _group_of(values: list[str], decimal: str) -> str:
    """The sign between groups of three digits, none when no number is long enough."""
    marks = [found.group(1) for value in values if (found := _GROUP.search(value)) is not None]
    groups = [" " if mark in ("\u00a0", "\u202f") else mark for mark in marks if mark != decimal]
    return max(set(groups), key=groups.count) if groups else ""


def _most(forms: list[NumberFormat]) -> NumberFormat:
    return max(forms, key=forms.count)
