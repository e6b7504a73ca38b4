"""What Spark's workers do for the features: spread rows by party, replay parties, put values together by position."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark import TaskContext

from ingestion.features import blocks
from ingestion.features.batch import (
    Events,
    LabelRows,
    Rows,
    Stream,
    event_features,
    label_rows,
    scales,
    streams_of,
    transaction_rows,
)
from ingestion.features.blocks import Batches
from ingestion.features.kernels import Doubles, Floats, Ints
from ingestion.features.rounds import FirstRound, Part, ValueBlock
from ingestion.features.spec import SOURCE_IN, TARGET_OUT, FeatureSpec
from ingestion.jobs.base_amounts import in_base_currency
from ingestion.jobs.parts import Parts
from ingestion.money import exponent

#: Rows of one part of the matrix: it is held in memory.
ROWS_A_PART = 131_072
#: Rows of all streams that one task replays, and transactions that are spread over the tasks at once.
_ROWS_A_TASK = 1_000_000
_CHUNK = 65_536
_DECLINED = "declined"
_OWN = ("event_time", "amount_minor", "currency", "kind", "outcome")
_KEPT = pa.schema([("part", pa.int32())])
_MIX, _MIX_PAIR = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)


@dataclass(frozen=True, kw_only=True)
class FeatureTasks:
    """The features of all transactions, by part of `rows_a_part`; all of it travels to the workers.

    Args:
        transactions: parts in the order of the sequence, where every worker can read them, with transaction_id,
            event_time, available_at, amount_minor, amount_base_minor, currency, kind, outcome and entity_<role>.
        base: the currency that amounts are in where `amount_base_minor` is given.
        roles: of the parties, as the transactions have them; source and target come first.
        currencies: every code that occurs.
        folder: where the parts of the features lie; those before `first_part` are there already. Histories of parties
            that do not occur from that part on are not replayed.
        work: for what is not kept; all workers see it.
        parallelism: tasks at least.
    """

    spec: FeatureSpec
    roles: tuple[str, ...]
    currencies: tuple[str, ...]
    transactions: Parts
    folder: Path
    work: Path
    base: str | None = None
    first_part: int = 0
    parallelism: int = 2
    rows_a_part: int = ROWS_A_PART

    @cached_property
    def streams(self) -> tuple[Stream, ...]:
        return streams_of(self.spec)

    @property
    def num_rows(self) -> int:
        return self.transactions.total

    @property
    def num_parts(self) -> int:
        return max(1, -(-self.num_rows // self.rows_a_part))

    def has_round(self, number: int) -> bool:
        return any(stream.round == number for stream in self.streams)

    def num_tasks(self, number: int) -> int:
        num_streams = sum(stream.round == number for stream in self.streams)
        return max(self.parallelism, -(-num_streams * self.num_rows // _ROWS_A_TASK))

    @property
    def entities(self) -> list[str]:
        return [f"entity_{role}" for role in self.roles]

    @property
    def counts_declined(self) -> bool:
        return any(column.statistic == "declined_count" for column in self.spec.columns)

    @property
    def _scale(self) -> Doubles:
        return scales([exponent(code) for code in self.currencies])

    @property
    def _first_round(self) -> FirstRound:
        return FirstRound(spec=self.spec, features=self.folder, work=self.work, first_part=self.first_part)

    def first_rows(self, batches: Batches) -> Batches:
        streams = [(index, stream) for index, stream in enumerate(self.streams) if stream.round == 1]
        for number in _numbers(batches):
            events = self._events(number)
            made = {index: transaction_rows(stream, events, self.roles) for index, stream in streams}
            yield from blocks.packed(self._spread(made, self.num_tasks(1)))

    def first_label_rows(self, batches: Batches) -> Batches:
        streams = [(index, item) for index, item in enumerate(self.streams) if item.round == 1 and item.has_labels]
        for table in blocks.chunks(batches, _CHUNK):
            labels = self._labels_of(table)
            made = {index: label_rows(stream, labels, self.roles) for index, stream in streams}
            yield from blocks.packed(self._spread(made, self.num_tasks(1)))

    def second_rows(self, batches: Batches) -> Batches:
        for number in _numbers(batches):
            first, events = self._first_round.read(number), self._events(number)
            labels = first.labels_told(self.spec)
            made = {}
            for index, stream in enumerate(self.streams):
                if stream.round != 2:
                    continue
                made[index] = transaction_rows(
                    stream,
                    events,
                    self.roles,
                    carried=first.carried(self.spec, stream.carried),
                    in_of_source=first.lists.get(SOURCE_IN),
                    out_of_target=first.lists.get(TARGET_OUT),
                )
                if stream.has_labels and labels is not None:
                    made[index] = Rows.join([made[index], label_rows(stream, labels, self.roles)])
            yield from blocks.packed(self._spread(made, self.num_tasks(2)))

    def _spread(self, made: dict[int, Rows], num_tasks: int) -> Iterator[tuple[int, Any]]:
        """Rows of streams by the task of their party."""
        by_task: dict[int, list[Any]] = {}
        for index, rows in made.items():
            for task, chosen in blocks.split(_task(rows, index, num_tasks)):
                by_task.setdefault(task, []).append((index, rows.take(chosen).packed()))
        yield from by_task.items()

    def replay_of(self, number: int) -> Callable[[Batches], Batches]:
        begin, scale = self.first_part * self.rows_a_part, self._scale

        def replay(batches: Batches) -> Batches:
            parts: dict[int, list[Rows]] = {}
            for block in blocks.unpacked(batches):
                for index, packed in block:
                    parts.setdefault(index, []).append(Rows.of(packed))
            for index in sorted(parts):
                stream = self.streams[index]
                rows = Rows.join(parts.pop(index)).in_order()
                if begin and stream.columns:
                    rows = rows.of_parties_from(begin)
                yield from blocks.packed(self._values(index, rows, begin if stream.columns else 0, scale))

        return replay

    def _values(self, index: int, rows: Rows, begin: int, scale: Doubles) -> Iterator[tuple[int, ValueBlock]]:
        """Values, or lists, of the scored rows of a stream at positions from `begin` on, by part."""
        stream = self.streams[index]
        values: Any = stream.values(rows, scale) if stream.columns else stream.lists(rows)
        scored = np.flatnonzero(rows.scored & (rows.position >= begin))
        position = rows.position[scored]
        for part, chosen in blocks.split(position // self.rows_a_part):
            yield part, ValueBlock(stream=index, position=position[chosen], values=values[scored[chosen]])

    def label_blocks(self, batches: Batches) -> Batches:
        for table in blocks.chunks(batches, _CHUNK):
            labels = self._labels_of(table)
            targets = labels.position // self.rows_a_part
            yield from blocks.packed((part, labels.take(rows)) for part, rows in blocks.split(targets))

    def keep(self, batches: Batches) -> Batches:
        """Keep a part of the first round for the second."""
        number = _partition()
        if number * self.rows_a_part < self.num_rows:
            part, _ = self._part(number, batches)
            self._first_round.write(number, part)
            yield pa.RecordBatch.from_arrays([pa.array([number], pa.int32())], schema=_KEPT)

    def wide(self, batches: Batches) -> Batches:
        """The wide rows of one part, by position."""
        number = self.first_part + _partition()
        if number * self.rows_a_part >= self.num_rows:
            return
        if self.has_round(2):
            part, ids = self._first_round.read(number), self._read(number, ["transaction_id"]).column("transaction_id")
            part.fill(self.spec, self.streams, list(blocks.unpacked(batches)))
        else:
            part, ids = self._part(number, batches)
        columns = [pa.array(part.matrix[:, at]) for at in range(part.matrix.shape[1])]
        yield pa.RecordBatch.from_arrays([ids.combine_chunks(), *columns], schema=wide_schema(self.spec))

    def _part(self, number: int, batches: Batches) -> tuple[Part, pa.ChunkedArray]:
        """A part from the blocks of the first round, and the ids of its transactions."""
        table = self._read(number, ["transaction_id", *(_OWN if self.spec.event else ())])
        base, found = number * self.rows_a_part, list(blocks.unpacked(batches))
        part = Part.of(self.spec, self.streams, found, base=base, own=self._own(table))
        return part, table.column("transaction_id")

    def _read(self, number: int, columns: Sequence[str]) -> pa.Table:
        """Columns of the transactions of one part, amounts in the base currency."""
        begin = number * self.rows_a_part
        wanted = [*columns, "amount_base_minor", "currency"] if self.base and "amount_minor" in columns else columns
        table = self.transactions.read(begin, min(begin + self.rows_a_part, self.num_rows), list(dict.fromkeys(wanted)))
        return in_base_currency(table, self.base) if "amount_minor" in columns else table

    def _events(self, number: int) -> Events:
        """The transactions of one part."""
        wanted = ["event_time", "available_at", "amount_minor", *self.entities]
        wanted += ["currency"] if len(self.currencies) > 1 else []
        table = self._read(number, wanted + (["outcome"] if self.counts_declined else []))
        num = table.num_rows
        currency = declined = np.zeros(num, np.int64)
        if len(self.currencies) > 1:
            currency = _ints(pc.index_in(table.column("currency"), value_set=pa.array(self.currencies)))
        if self.counts_declined:
            declined = _ints(pc.equal(table.column("outcome"), _DECLINED))
        return Events(
            position=number * self.rows_a_part + np.arange(num),
            event_time=_ints(table.column("event_time")),
            available_at=_ints(table.column("available_at")),
            amount_minor=_ints(table.column("amount_minor")),
            currency=currency,
            declined=declined,
            entity=self._parties(table),
        )

    def _labels_of(self, table: pa.Table) -> LabelRows:
        return LabelRows(
            position=_ints(table.column("position")),
            known_at=_ints(table.column("known_at")),
            is_fraud=_ints(table.column("is_fraud")),
            unusual=np.zeros(table.num_rows, np.int64),
            entity=self._parties(table),
        )

    def _parties(self, table: pa.Table) -> Ints:
        return np.stack([_ints(table.column(name).fill_null(-1)) for name in self.entities], axis=1)

    def _own(self, table: pa.Table) -> Floats:
        if not self.spec.event:
            return np.empty((table.num_rows, 0), np.float32)
        digits = np.asarray([exponent(code) for code in self.currencies], np.int64)
        codes = _ints(pc.index_in(table.column("currency"), value_set=pa.array(self.currencies)))
        return event_features(
            self.spec,
            event_time=_ints(table.column("event_time")),
            amount_minor=_ints(table.column("amount_minor")),
            exponent=digits[codes],
            kind=table.column("kind").to_numpy(),
            outcome=table.column("outcome").to_numpy(),
        )


def wide_schema(spec: FeatureSpec) -> pa.Schema:
    """transaction_id, then one float32 column a feature."""
    return pa.schema(
        [pa.field("transaction_id", pa.string(), nullable=False)]
        + [pa.field(name, pa.float32()) for name in spec.names]
    )


def _task(rows: Rows, stream: int, num_tasks: int) -> Ints:
    """(M,) the task that replays each row's party."""
    mixed = rows.a.astype(np.uint64) * _MIX + rows.b.astype(np.uint64) * _MIX_PAIR + np.uint64(stream)
    return ((mixed ^ (mixed >> np.uint64(29))) % np.uint64(num_tasks)).astype(np.int64)


def _numbers(batches: Batches) -> Iterator[int]:
    """The values of the column id."""
    for batch in batches:
        yield from batch.column("id").to_pylist()


def _partition() -> int:
    context = TaskContext.get()
    assert context is not None, "parts are made by Spark's tasks"
    return int(context.partitionId())


def _ints(values: pa.Array | pa.ChunkedArray) -> Ints:
    integers: Ints = values.cast(pa.int64()).to_numpy()
    return integers
