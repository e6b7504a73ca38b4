"""The first job: every worker reads pieces of the source files and leaves contract rows, labels, bad rows.

Work is done on whole Arrow batches in the workers, and written by them as Parquet parts, one for each piece: good
rows in `rows/` (with their hash and origin), labels in `labels/`, bad rows in `quarantine/`, and the originals of
personal values in `originals/` for the vault. What comes back to the driver is a few counts for each piece.
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
from ingestion.contract_rows import left_out, quarantine_of, transactions_of
from ingestion.contracts import LABEL, QUARANTINE, TRANSACTION
from ingestion.errors import DataContractError, MappingError
from ingestion.expression_values import Rows
from ingestion.jobs.parts import part_name
from ingestion.label_rows import DELAY, label_columns, labels_of_column, labels_of_file, of_source
from ingestion.label_sources import LabelFile
from ingestion.mapping import Mapping
from ingestion.pieces import DamagedFile, Piece, RawRows
from ingestion.privacy import ORIGINALS, Tokenizer
from ingestion.sources import read_piece

_ORIGIN = [pa.field("row_hash", HASH), pa.field("file", pa.int32()), pa.field("line", pa.int64())]
ROWS = pa.schema([*TRANSACTION, *_ORIGIN])
#: Labels as read: `known_at` is null where `delay` settles it; `source` numbers the label sources of one row.
LABEL_ROWS = pa.schema(
    [
        *[field.with_nullable(True) if field.name == "known_at" else field for field in LABEL],
        *_ORIGIN,
        DELAY,
        pa.field("source", pa.int32()),
    ]
)
#: Folders that a read writes.
PARTS = ("rows", "labels", "quarantine", "originals")
#: Rows that a file of labels holds for no source of the mapping.
NO_SOURCE = "of no label source"

_REFUSALS = {refusal.__name__: refusal for refusal in (DataContractError, DamagedFile, MappingError)}
_REPORT = "piece int, counts string"
_REPORT_ARROW = pa.schema([("piece", pa.int32()), ("counts", pa.string())])


_NUMBERS = ("num_rows", "num_good", "num_labels", "num_delayed", "num_entity_labels", "num_quarantined")


@dataclass
class ReadResult:
    """What a read found: counts, sums of row hashes and currencies.

    `left_out` counts rows that the filters leave out, by reason; they are in no other number. `num_delayed` labels
    have no time yet.
    """

    num_rows: int = 0
    num_good: int = 0
    num_labels: int = 0
    num_delayed: int = 0
    num_entity_labels: int = 0
    num_quarantined: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    hash_sum: int = 0
    currencies: set[str] = field(default_factory=set)

    def add(self, counts: dict[str, Any]) -> None:
        """Take in the counts of one piece."""
        for name in _NUMBERS:
            setattr(self, name, getattr(self, name) + counts[name])
        for reason, number in counts["left_out"].items():
            self.left_out[reason] = self.left_out.get(reason, 0) + number
        self.hash_sum += int(counts["hash_sum"], 16)
        self.currencies |= set(counts["currencies"])


@dataclass(frozen=True, kw_only=True)
class Reader:
    """What a worker needs to read a piece: it travels to the workers, so it is plain data."""

    mapping: Mapping
    tokenizer: Tokenizer
    now: int
    folder: str
    label_files: dict[int, tuple[LabelFile, ...]]
    lines: dict[int, tuple[int, ...]] | None = None

    def read(self, number: int, piece: Piece) -> Iterator[pa.RecordBatch]:
        """Read one piece into its parts; yields its report."""
        counts: dict[str, Any] = dict.fromkeys(_NUMBERS, 0) | {"hash_sum": 0, "left_out": {}}
        currencies: set[str] = set()
        schemas = {"rows": ROWS, "labels": LABEL_ROWS, "quarantine": QUARANTINE, "originals": ORIGINALS}
        writers = {name: self._writer(name, number, schema) for name, schema in schemas.items()}
        read = self._labels if piece.file in self.label_files else self._transactions
        try:
            for whole in read_piece(piece, self._columns(piece)):
                wanted = whole if self.lines is None else _only(whole, self.lines[piece.file])
                raw, left = self._kept(wanted, piece)
                for reason, rows in left.items():
                    counts["left_out"][reason] = counts["left_out"].get(reason, 0) + rows
                tables, found = read(raw, piece)
                for name, table in tables.items():
                    writers[name].write_table(table)
                writers["originals"].write_table(found)
                counts["num_rows"] += len(raw.lines) + len(raw.broken)
                counts["num_quarantined"] += tables["quarantine"].num_rows
                if "rows" in tables:
                    counts["num_good"] += tables["rows"].num_rows
                    currencies |= set(pc.unique(tables["rows"].column("currency")).to_pylist())
                if "labels" in tables:
                    counts["num_labels"] += tables["labels"].num_rows
                    counts["num_delayed"] += tables["labels"].num_rows - tables["labels"].column("delay").null_count
                    of_entities = tables["labels"].column("entity_key")
                    counts["num_entity_labels"] += len(of_entities) - of_entities.null_count
                for name in ("rows", "labels"):
                    counts["hash_sum"] += hash_sum(tables[name].column("row_hash")) if name in tables else 0
        except DataContractError as error:  # the driver raises it again: an exception of a worker loses its class
            counts["refused"] = [type(error).__name__, error.what, error.remedy]
        for writer in writers.values():
            writer.close()
        counts |= {"hash_sum": f"{counts['hash_sum']:x}", "currencies": sorted(currencies)}
        yield _report(number, counts)

    def _writer(self, name: str, number: int, schema: pa.Schema) -> pq.ParquetWriter:
        return pq.ParquetWriter(Path(self.folder) / name / part_name(number), schema, compression="lz4")

    def _columns(self, piece: Piece) -> list[str]:
        sources = self.label_files.get(piece.file)
        if sources is None:
            return list(self.mapping.read_columns)
        return list(dict.fromkeys(column for source in sources for column in label_columns(source)))

    def _rows(self, raw: RawRows, piece: Piece) -> Rows:
        return Rows(
            table=raw.table,
            lines=raw.lines,
            name=piece.name,
            numbers=self.mapping.numbers,
            personal=self.mapping.personal_columns,
            secret=self.tokenizer.key,
        )

    def _kept(self, raw: RawRows, piece: Piece) -> tuple[RawRows, dict[str, int]]:
        """The rows that the filters keep, or that are of a label source, and how many others by reason."""
        rows, sources = self._rows(raw, piece), self.label_files.get(piece.file)
        if sources is None:
            keep, left = left_out(rows, self.mapping)
        else:
            keep = of_source(rows, sources[0])
            for source in sources[1:]:
                keep = pc.or_(keep, of_source(rows, source))
            left = {NO_SOURCE: len(keep) - int(pc.sum(keep).as_py() or 0)}
        if not any(left.values()):
            return raw, {}
        return _chosen(raw, keep), left

    def _transactions(self, raw: RawRows, piece: Piece) -> tuple[dict[str, pa.Table], pa.Table]:
        mapping, rows = self.mapping, self._rows(raw, piece)
        table, faults = transactions_of(rows, mapping, now=self.now)
        labels = [labels_of_column(rows, table, source, faults) for source in mapping.label_columns]
        quarantine = quarantine_of(
            raw,
            faults,
            name=piece.name,
            id_column=mapping.fields.transaction_id.column,
            ids=table.column("transaction_id").combine_chunks(),
        )
        keep = pa.array(~faults.bad)
        protected = self.tokenizer.protect(table.filter(keep).combine_chunks())
        lines = raw.lines[~faults.bad]
        hashes = transaction_hashes(protected.table)
        tables = {"rows": _with_origin(protected.table, hashes, piece, lines, ROWS), "quarantine": quarantine}
        if labels:
            good = [given.filter(keep) for given in labels]
            tables["labels"] = pa.concat_tables(
                self._label_rows(given, piece, lines, source) for source, given in enumerate(good)
            )
        return tables, protected.originals

    def _labels(self, raw: RawRows, piece: Piece) -> tuple[dict[str, pa.Table], pa.Table]:
        tables: dict[str, list[pa.Table]] = {"labels": [], "quarantine": []}
        originals = [ORIGINALS.empty_table()]
        for number, source in enumerate(self.label_files[piece.file]):
            own = _chosen(raw, of_source(self._rows(raw, piece), source), broken=number == 0)
            labels, faults = labels_of_file(self._rows(own, piece), source, self.mapping, now=self.now)
            id_column = faults.columns.get("transaction_id")
            tables["quarantine"].append(quarantine_of(own, faults, name=piece.name, id_column=id_column))
            protected = self.tokenizer.protect_labels(labels.filter(pa.array(~faults.bad)).combine_chunks())
            originals.append(protected.originals)
            tables["labels"].append(self._label_rows(protected.table, piece, own.lines[~faults.bad], number))
        return {name: pa.concat_tables(parts) for name, parts in tables.items()}, pa.concat_tables(originals)

    def _label_rows(self, labels: pa.Table, piece: Piece, lines: np.ndarray[Any, Any], source: int) -> pa.Table:
        """The labels that there are, with hash and origin; one without a time yet has an empty hash."""
        has_label = labels.column("label").is_valid()
        labels, lines = labels.filter(has_label).combine_chunks(), lines[has_label.to_numpy()]
        delay = labels.column("delay").combine_chunks()
        timed = pc.is_null(delay)
        hashes = pa.repeat(pa.scalar(b"\0" * 32, HASH), labels.num_rows)
        hashes = pc.replace_with_mask(hashes, timed, label_hashes(labels.filter(timed)))
        files = pa.repeat(pa.scalar(piece.file, pa.int32()), labels.num_rows)
        number = pa.repeat(pa.scalar(source, pa.int32()), labels.num_rows)
        columns = [*(labels.column(name) for name in LABEL.names), hashes, files, pa.array(lines, pa.int64())]
        return pa.Table.from_arrays([*columns, delay, number], schema=LABEL_ROWS)


def read_sources(session: SparkSession, pieces: list[Piece], reader: Reader) -> ReadResult:
    """Read all pieces, one task each. Raises what a worker refused: `DamagedFile`, `MappingError`."""
    for name in PARTS:
        (Path(reader.folder) / name).mkdir(parents=True)

    def read(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for number in batch.column(0).to_pylist():
                yield from reader.read(number, pieces[number])

    numbers = session.range(0, len(pieces), 1, len(pieces))
    report = numbers.mapInArrow(read, _REPORT).toArrow()
    result = ReadResult()
    for text in report.column("counts").to_pylist():
        counts = orjson.loads(text)
        if "refused" in counts:
            name, what, remedy = counts["refused"]
            raise _REFUSALS[name](what, remedy=remedy)
        result.add(counts)
    return result


def _chosen(raw: RawRows, keep: pa.Array, *, broken: bool = True) -> RawRows:
    return RawRows(
        table=raw.table.filter(keep),
        lines=raw.lines[keep.to_numpy(zero_copy_only=False)],
        broken=raw.broken if broken else (),
    )


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
    arrays = [pa.array([number], pa.int32()), pa.array([orjson.dumps(counts).decode()])]
    return pa.RecordBatch.from_arrays(arrays, schema=_REPORT_ARROW)
