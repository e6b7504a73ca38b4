"""A sample of a file that nobody has described: how it is written, and rows of its start, middle and end."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from ingestion.errors import DataContractError
from ingestion.expression_values import Rows
from ingestion.numbers import PLAIN, NumberFormat
from ingestion.proposer.column_look import ColumnLook, look_at
from ingestion.sources import find_files, open_file, pieces_of, read_piece

MOST_ROWS = 50_000
_HEAD = 1_048_576
_DELIMITERS = (",", ";", "\t", "|")
_COMMA = re.compile(r"[+-]?(?:\d{1,3}(?:[. '\u00a0\u202f]\d{3})+|\d+),\d{1,8}")
_POINT = re.compile(r"[+-]?(?:\d{1,3}(?:[, '\u00a0\u202f]\d{3})+|\d+)\.\d{1,8}")
_GROUP = re.compile(r"\d{1,3}([,. '\u00a0\u202f])\d{3}(?!\d)")


@dataclass(frozen=True, kw_only=True)
class Written:
    """How a file is written. `rivals` are other separators that cut it into columns as evenly."""

    delimiter: str = ","
    encoding: str = "utf-8"
    numbers: NumberFormat = PLAIN
    rivals: tuple[str, ...] = ()


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
    """A sample of a CSV or Parquet file, or of a folder of them (its first file).

    Raises `DataContractError` when there is no file, no row, or no way to read it.
    """
    path = find_files(source)[0]
    written = _sniff(path) if path.suffix.lower() == ".csv" else Written()
    file = open_file(path, delimiter=written.delimiter, encoding=written.encoding)
    pieces = pieces_of(file, 0, workers=8, delimiter=written.delimiter)
    chosen = sorted({0, len(pieces) // 2, len(pieces) - 1}) if file.num_rows > most_rows else range(len(pieces))
    tables = []
    for index in chosen:
        raw = pa.concat_tables([rows.table for rows in read_piece(pieces[index], file.columns)])
        few = -(-most_rows // len(chosen))
        tables.append(raw.slice(raw.num_rows - few if index else 0, few) if raw.num_rows > few else raw)
    table = pa.concat_tables(tables, promote_options="permissive").combine_chunks()
    if table.num_rows == 0:
        raise DataContractError(f"{file.name} has no rows to propose a mapping from.", remedy="Name a file with rows.")
    if file.kind == "csv":
        written = replace(written, numbers=_numbers(table))
    return Sample(name=file.name, table=table, written=written, num_rows=max(file.num_rows, table.num_rows))


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


def _numbers(table: pa.Table) -> NumberFormat:
    """The decimal and thousands signs that most columns of numbers with a fraction use."""
    votes: dict[tuple[str, str], int] = {}
    for name in table.column_names:
        values = [text.strip() for text in table.column(name).slice(0, 2_000).to_pylist() if text and text.strip()]
        if not values:
            continue
        for decimal, form in ((",", _COMMA), (".", _POINT)):
            matching = [value for value in values if form.fullmatch(value)]
            if len(matching) < 0.5 * len(values):
                continue
            marks = [found.group(1) for value in matching if (found := _GROUP.search(value)) is not None]
            groups = [mark for mark in marks if mark != decimal]
            thousands = max(set(groups), key=groups.count) if groups else ""
            thousands = " " if thousands in ("\u00a0", "\u202f") else thousands
            key = (decimal, thousands)
            votes[key] = votes.get(key, 0) + 1
    if not votes:
        return NumberFormat()
    of_decimal = {sign: sum(n for (decimal, _), n in votes.items() if decimal == sign) for sign in (",", ".")}
    decimal = max(of_decimal, key=lambda sign: of_decimal[sign])
    grouped = {mark: n for (sign, mark), n in votes.items() if sign == decimal and mark}
    return NumberFormat(decimal=decimal, thousands=max(grouped, key=lambda mark: grouped[mark]) if grouped else "")
