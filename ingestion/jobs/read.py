"""The first job: every worker reads pieces of the source files and leaves contract rows, labels, bad rows.

Work is done on whole Arrow batches in the workers, and written by them as Parquet parts, one for each piece: good
rows in `rows/` (with their hash and origin), labels in `labels/`, bad rows in `quarantine/`. What comes back to the
driver is a few counts for each piece, and the originals of personal values for the vault.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from ingestion.canonical import HASH, hash_sum, label_hashes, transaction_hashes
from ingestion.contract_rows import label_columns, labels_of_column, labels_of_file, quarantine_of, transactions_of
from ingestion.contracts import LABEL, QUARANTINE, TRANSACTION
from ingestion.errors import DataContractError, MappingError
from ingestion.jobs.parts import part_name
from ingestion.mapping import LabelColumn, LabelFile, Mapping
from ingestion.pieces import DamagedFile, Piece, RawRows
from ingestion.privacy import ORIGINALS, Tokenizer
from ingestion.sources import read_piece

_ORIGIN = [pa.field("row_hash", HASH), pa.field("file", pa.int32()), pa.field("line", pa.int64())]
ROWS = pa.schema([*TRANSACTION, *_ORIGIN])
LABEL_ROWS = pa.schema([*LABEL, *_ORIGIN])

_REFUSALS = {refusal.__name__: refusal for refusal in (DataContractError, DamagedFile, MappingError)}
_REPORT = "piece int, counts string, token string, type string, original string"
_REPORT_ARROW = pa.schema(
    [("piece", pa.int32())] + [(name, pa.string()) for name in ("counts", "token", "type", "original")]
)


@dataclass
class ReadResult:
    """What a read found: counts, sums of row hashes, currencies, and originals for the vault."""

    num_rows: int = 0
    num_good: int = 0
    num_labels: int = 0
    num_quarantined: int = 0
    hash_sum: int = 0
    currencies: set[str] = field(default_factory=set)
    originals: pa.Table = field(default_factory=ORIGINALS.empty_table)

    def add(self, counts: dict[str, Any]) -> None:
        """Take in the counts of one piece."""
        for name in ("num_rows", "num_good", "num_labels", "num_quarantined"):
            setattr(self, name, getattr(self, name) + counts[name])
        self.hash_sum += int(counts["hash_sum"], 16)
        self.currencies |= set(counts["currencies"])


@dataclass(frozen=True, kw_only=True)
class Reader:
    """What a worker needs to read a piece: it travels to the workers, so it is plain data."""

    mapping: Mapping
    tokenizer: Tokenizer
    now: int
    folder: str
    label_file: int | None
    lines: dict[int, tuple[int, ...]] | None = None

    def read(self, number: int, piece: Piece) -> Iterator[pa.RecordBatch]:
        """Read one piece into its parts; yields its report."""
        counts: dict[str, Any] = {"num_rows": 0, "num_good": 0, "num_labels": 0, "num_quarantined": 0, "hash_sum": 0}
        currencies: set[str] = set()
        originals: list[pa.Table] = []
        schemas = {"rows": ROWS, "labels": LABEL_ROWS, "quarantine": QUARANTINE}
        writers = {name: self._writer(name, number, schema) for name, schema in schemas.items()}
        read = self._labels if piece.file == self.label_file else self._transactions
        try:
            for whole in read_piece(piece, self._columns(piece)):
                raw = whole if self.lines is None else _only(whole, self.lines[piece.file])
                tables, found = read(raw, piece)
                for name, table in tables.items():
                    writers[name].write_table(table)
                originals.append(found)
                counts["num_rows"] += len(raw.lines) + len(raw.broken)
                counts["num_quarantined"] += tables["quarantine"].num_rows
                if "rows" in tables:
                    counts["num_good"] += tables["rows"].num_rows
                    currencies |= set(pc.unique(tables["rows"].column("currency")).to_pylist())
                counts["num_labels"] += tables["labels"].num_rows if "labels" in tables else 0
                for name in ("rows", "labels"):
                    counts["hash_sum"] += hash_sum(tables[name].column("row_hash")) if name in tables else 0
        except DataContractError as error:  # the driver raises it again: an exception of a worker loses its class
            counts["refused"] = [type(error).__name__, error.what, error.remedy]
        for writer in writers.values():
            writer.close()
        counts |= {"hash_sum": f"{counts['hash_sum']:x}", "currencies": sorted(currencies)}
        yield _report(number, counts)
        for table in originals:
            yield from _originals(number, table)

    def _writer(self, name: str, number: int, schema: pa.Schema) -> pq.ParquetWriter:
        return pq.ParquetWriter(Path(self.folder) / name / part_name(number), schema, compression="lz4")

    def _columns(self, piece: Piece) -> list[str]:
        if piece.file != self.label_file:
            return list(self.mapping.columns.values())
        assert isinstance(self.mapping.labels, LabelFile)
        return list(label_columns(self.mapping.labels).values())

    def _transactions(self, raw: RawRows, piece: Piece) -> tuple[dict[str, pa.Table], pa.Table]:
        mapping = self.mapping
        table, faults = transactions_of(raw.table, mapping, now=self.now)
        labels = None
        if isinstance(mapping.labels, LabelColumn):
            labels = labels_of_column(raw.table, table, mapping.labels, faults)
        quarantine = quarantine_of(raw, faults, name=piece.name, id_column=mapping.fields.transaction_id.column)
        keep = pa.array(~faults.bad)
        protected = self.tokenizer.protect(table.filter(keep).combine_chunks())
        lines = raw.lines[~faults.bad]
        hashes = transaction_hashes(protected.table)
        tables = {"rows": _with_origin(protected.table, hashes, piece, lines, ROWS), "quarantine": quarantine}
        if labels is not None:
            good = labels.filter(keep)
            has_label = good.column("label").is_valid()
            good = good.filter(has_label)
            lines = lines[has_label.to_numpy()]
            tables["labels"] = _with_origin(good, label_hashes(good), piece, lines, LABEL_ROWS)
        return tables, protected.originals

    def _labels(self, raw: RawRows, piece: Piece) -> tuple[dict[str, pa.Table], pa.Table]:
        labels, faults = labels_of_file(raw.table, self.mapping, now=self.now)
        quarantine = quarantine_of(raw, faults, name=piece.name, id_column=faults.columns["transaction_id"])
        good = labels.filter(pa.array(~faults.bad))
        rows = _with_origin(good, label_hashes(good), piece, raw.lines[~faults.bad], LABEL_ROWS)
        return {"labels": rows, "quarantine": quarantine}, ORIGINALS.empty_table()


def read_sources(session: SparkSession, pieces: list[Piece], reader: Reader) -> ReadResult:
    """Read all pieces, one task each. Raises what a worker refused: `DamagedFile`, `MappingError`."""
    for name in ("rows", "labels", "quarantine"):
        (Path(reader.folder) / name).mkdir(parents=True)

    def read(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for number in batch.column(0).to_pylist():
                yield from reader.read(number, pieces[number])

    numbers = session.range(0, len(pieces), 1, len(pieces))
    report = numbers.mapInArrow(read, _REPORT).toArrow()
    result = ReadResult()
    for text in report.column("counts").drop_null().to_pylist():
        counts = orjson.loads(text)
        if "refused" in counts:
            name, what, remedy = counts["refused"]
            raise _REFUSALS[name](what, remedy=remedy)
        result.add(counts)
    result.originals = report.filter(report.column("token").is_valid()).select(ORIGINALS.names).cast(ORIGINALS)
    return result


def _only(raw: RawRows, lines: tuple[int, ...]) -> RawRows:
    """The rows of some lines: what a replay reads."""
    wanted = np.isin(raw.lines, np.asarray(lines, np.int64))
    broken = tuple(row for row in raw.broken if row.line in set(lines))
    return RawRows(table=raw.table.filter(pa.array(wanted)), lines=raw.lines[wanted], broken=broken)


def _with_origin(
    table: pa.Table, hashes: pa.Array, piece: Piece, lines: np.ndarray[Any, Any], schema: pa.Schema
) -> pa.Table:
    files = pa.repeat(pa.scalar(piece.file, pa.int32()), table.num_rows)
    columns = [*table.columns, hashes, files, pa.array(lines, pa.int64())]
    return pa.Table.from_arrays(columns, schema=schema)


def _report(number: int, counts: dict[str, Any]) -> pa.RecordBatch:
    nothing = pa.array([None], pa.string())
    arrays = [pa.array([number], pa.int32()), pa.array([orjson.dumps(counts).decode()]), nothing, nothing, nothing]
    return pa.RecordBatch.from_arrays(arrays, schema=_REPORT_ARROW)


def _originals(number: int, originals: pa.Table) -> Iterator[pa.RecordBatch]:
    for batch in originals.to_batches():
        numbers = pa.repeat(pa.scalar(number, pa.int32()), batch.num_rows)
        nothing = pa.nulls(batch.num_rows, pa.string())
        yield pa.RecordBatch.from_arrays([numbers, nothing, *batch.columns], schema=_REPORT_ARROW)
