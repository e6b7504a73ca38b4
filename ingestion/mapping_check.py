"""What a mapping will do to a table, told before anything is ingested: the first rows one by one, counts of a sample.

The same code as the ingest reads and maps the rows. Nothing is kept: tokens are made with a key that is thrown away,
so what is shown is as safe to show as a snapshot.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ingestion.contract_rows import left_out, transactions_of
from ingestion.expression_values import Rows
from ingestion.label_rows import label_columns, labels_of_column, labels_of_file, of_source
from ingestion.label_sources import LabelFile
from ingestion.mapping import Mapping
from ingestion.mapping_sample import Sample
from ingestion.pan import scrub
from ingestion.pieces import RawRows, SourceFile
from ingestion.plan import SourcePaths, source_paths
from ingestion.privacy import Tokenizer
from ingestion.quality import REMEDIES, Faults
from ingestion.rates import Rates
from ingestion.sources import open_file, pieces_of, read_piece

SAMPLE_ROWS = 100_000


@dataclass(frozen=True, kw_only=True)
class CheckedRow:
    """One row of the table: what it says in the columns that the mapping reads, personal values masked, and what
    becomes of it.

    `becomes` holds the fields of the contract, tokens in place of personal values; it is None for a row that is bad
    (`problem`: reason, field, value, remedy) or left out by a filter (`left_out` is its reason).
    """

    file: str
    line: int
    raw: dict[str, str | None]
    becomes: dict[str, Any] | None = None
    problem: dict[str, str | None] | None = None
    left_out: str | None = None


@dataclass(kw_only=True)
class MappingCheck:
    """What `check_mapping` found: the first rows, and the counts of a sample (see `ingestion.mapping_sample`)."""

    mapping: str
    files: list[str]
    unused_columns: list[str]
    rows: list[CheckedRow]
    sample: dict[str, Any]
    labels: list[dict[str, Any]] = field(default_factory=list)

    @property
    def bad_share(self) -> float:
        """Share of bad rows among those that no filter leaves out."""
        bad = sum(reason["rows"] for reason in self.sample["bad"].values())
        return bad / max(self.sample["rows"] - sum(self.sample["left_out"].values()), 1)

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {"bad_share": self.bad_share}


def check_mapping(
    source: Path, mapping: Mapping, *, rows: int = 20, sample_rows: int = SAMPLE_ROWS, now: int | None = None
) -> MappingCheck:
    """Map the first rows of a source, and count over the first `sample_rows`; `now` is our clock in µs.

    Raises `MappingError` for a column that is missing, `DataContractError` for a file of labels or rates that is.
    """
    clock = time.time_ns() // 1_000 if now is None else now
    paths = source_paths(source, mapping)
    files = [open_file(path, delimiter=mapping.delimiter, encoding=mapping.encoding) for path in paths.transactions]
    for file in files:
        mapping.check_columns(file.columns, table=file.name)
    checker = _Checker(mapping=mapping, now=clock, sample=Sample(rates=_rates(paths, mapping)))
    told = checker.read(files, rows=rows, limit=sample_rows)
    unused = [scrub(name) for name in files[0].columns if name not in {*mapping.read_columns, *mapping.dropped}]
    labels = checker.sample.label_counts(mapping.label_columns)
    for name, path in paths.labels.items():
        labels += checker.label_file(path, mapping.label_files[name], limit=sample_rows)
    return MappingCheck(
        mapping=mapping.name,
        files=[file.name for file in files],
        unused_columns=unused,
        rows=told,
        sample=checker.sample.as_dict(),
        labels=labels,
    )


@dataclass(kw_only=True)
class _Checker:
    """A mapping at work on a sample."""

    mapping: Mapping
    now: int
    sample: Sample
    tokenizer: Tokenizer = field(init=False)

    def __post_init__(self) -> None:
        self.tokenizer = Tokenizer(
            key=secrets.token_hex(32),
            types=self.mapping.personal_types,
            attributes=frozenset(self.mapping.personal.attributes),
        )

    def read(self, files: Sequence[SourceFile], *, rows: int, limit: int) -> list[CheckedRow]:
        """Take rows of the files into the sample; returns the first `rows` of them."""
        told: list[CheckedRow] = []
        for file, raw in self._raw(files, limit, self.mapping.read_columns):
            told += self._chunk(file.name, raw, rows - len(told))
        return sorted(told, key=lambda row: (row.file, row.line))

    def label_file(self, path: Path, sources: Sequence[LabelFile], *, limit: int) -> list[dict[str, Any]]:
        """Counts of the label sources of one file."""
        file = open_file(path, delimiter=self.mapping.delimiter, encoding=self.mapping.encoding)
        found: list[list[tuple[pa.Table, Faults]]] = [[] for _ in sources]
        columns = [column for source in sources for column in label_columns(source)]
        for _, raw in self._raw([file], limit, columns):
            rows = self._rows(raw, file.name)
            for index, source in enumerate(sources):
                own = rows.filter(of_source(rows, source))
                found[index].append(labels_of_file(own, source, self.mapping, now=self.now))
        return [
            {"source": f"{source.file}: {source.keep or 'all rows'}"} | self.sample.labels_in_files(parts)
            for source, parts in zip(sources, found, strict=True)
        ]

    def _raw(
        self, files: Sequence[SourceFile], limit: int, columns: Sequence[str]
    ) -> Iterator[tuple[SourceFile, RawRows]]:
        left = limit
        for index, file in enumerate(files):
            for piece in pieces_of(file, index, workers=1, delimiter=self.mapping.delimiter):
                for raw in read_piece(piece, columns):
                    if left <= 0:
                        return
                    part = RawRows(table=raw.table.slice(0, left), lines=raw.lines[:left], broken=raw.broken)
                    left -= len(part.lines) + len(part.broken)
                    yield file, part

    def _rows(self, raw: RawRows, name: str) -> Rows:
        return Rows(
            table=raw.table,
            lines=raw.lines,
            name=name,
            numbers=self.mapping.numbers,
            personal=self.mapping.personal_columns,
            secret=self.tokenizer.key,
        )

    def _chunk(self, name: str, raw: RawRows, wanted: int) -> list[CheckedRow]:
        """Map one chunk into the sample; the first `wanted` rows of it, told."""
        mapping, rows = self.mapping, self._rows(raw, name)
        keep, reasons = left_out(rows, mapping)
        kept = rows.filter(keep)
        table, faults = transactions_of(kept, mapping, now=self.now)
        labels = [labels_of_column(kept, table, source, faults) for source in mapping.label_columns]
        self.sample.add(table, faults, labels, reasons, num_rows=len(rows) + len(raw.broken))
        for broken in raw.broken:
            self.sample.add_broken(broken, faults)
        told = [
            CheckedRow(
                file=name,
                line=broken.line,
                raw={
                    column: faults.safe_value(column, value)
                    for column, value in broken.values.items()
                    if column in mapping.read_columns
                },
                problem={
                    "reason": broken.reason,
                    "field": broken.field or None,
                    "value": faults.safe_value(broken.field, broken.value),
                    "remedy": REMEDIES[broken.reason],
                },
            )
            for broken in raw.broken[: max(wanted, 0)]
        ]
        told += self._first(name, rows.filter(pa.array(np.arange(len(rows)) < wanted)), faults)
        return sorted(told, key=lambda row: row.line)[: max(wanted, 0)]

    def _first(self, name: str, rows: Rows, faults: Faults) -> list[CheckedRow]:
        if len(rows) == 0:
            return []
        mapping = self.mapping
        reasons = _reasons(rows, mapping)
        table, own = transactions_of(rows, mapping, now=self.now)
        for source in mapping.label_columns:
            labels_of_column(rows, table, source, own)
        good = [not bad and reason is None for bad, reason in zip(own.bad.tolist(), reasons, strict=True)]
        becomes = iter(_plain(self.tokenizer.protect(table.filter(pa.array(good)).combine_chunks()).table))
        return [
            CheckedRow(
                file=name,
                line=line,
                raw={column: faults.safe_value(column, value) for column, value in said.items()},
                becomes=next(becomes) if enters else None,
                problem=vars(own.problems[row]) if reasons[row] is None and row in own.problems else None,
                left_out=reasons[row],
            )
            for row, (line, said, enters) in enumerate(
                zip(rows.lines.tolist(), rows.table.to_pylist(), good, strict=True)
            )
        ]


def _reasons(rows: Rows, mapping: Mapping) -> list[str | None]:
    """Why each row (N,) is left out, None where it is not."""
    found: list[str | None] = [None] * len(rows)
    keeps = [left_out(rows, mapping.model_copy(update={"filters": (each,)}))[0] for each in mapping.filters]
    for wanted, keep in zip(mapping.filters, keeps, strict=True):
        for row, kept in enumerate(keep.to_pylist()):
            found[row] = found[row] if kept or found[row] is not None else wanted.reason
    return found


def _plain(table: pa.Table) -> list[dict[str, Any]]:
    """Rows of the contract as plain data, times in ISO 8601."""
    return [
        row
        | {name: row[name].isoformat() for name in ("event_time", "known_at")}
        | {"parties": {party["type"]: party["key"] for party in row["parties"]}, "attributes": dict(row["attributes"])}
        for row in table.to_pylist()
    ]


def _rates(paths: SourcePaths, mapping: Mapping) -> Rates | None:
    if paths.rates is None or mapping.rates is None:
        return None
    return Rates.read(paths.rates, mapping.rates.base, delimiter=mapping.delimiter)
