"""What lies between the two rounds of the feature job: parts of the first round, kept in the work folder."""

from __future__ import annotations

import pickle
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ingestion.features import motifs
from ingestion.features.batch import Events, LabelRows, Stream, carried_values
from ingestion.features.kernels import Doubles, Floats, Ints
from ingestion.features.spec import IS_UNUSUAL, FeatureSpec
from ingestion.jobs.parts import part_name


@dataclass(frozen=True, kw_only=True)
class EventBlock:
    """Transactions of one part: position (M,), transaction ids, own features (M, E); `events` where a second round
    needs them."""

    position: Ints
    ids: pa.Array
    own: Floats
    events: Events | None


@dataclass(frozen=True, kw_only=True)
class ValueBlock:
    """Values (M, F) of a stream, or lists (M, 2 LIST), at positions (M,) of one part."""

    stream: int
    position: Ints
    values: Any


@dataclass(frozen=True, kw_only=True)
class Part:
    """N consecutive transactions: `matrix` (N, F) float32 with NaN where the second round comes; `lists` (N, 2 LIST)
    by role of the stream that made them."""

    number: int
    ids: pa.Array
    matrix: Floats
    events: Events | None
    labels: LabelRows | None
    lists: dict[str, Ints]

    @property
    def base(self) -> int:
        """Position of the first transaction."""
        assert self.events is not None, "parts of a spec with a second round hold their events"
        return int(self.events.position[0])

    def carried(self, spec: FeatureSpec, names: Sequence[str]) -> Doubles:
        """(N, C) values that the transactions bring along."""
        return carried_values(self.matrix[:, [spec.names.index(name) for name in names]])

    def labels_told(self, spec: FeatureSpec) -> LabelRows | None:
        """The labels, with whether the amount of each transaction was unusual."""
        if self.labels is None or IS_UNUSUAL not in spec.names:
            return self.labels
        unusual = self.matrix[self.labels.position - self.base, spec.names.index(IS_UNUSUAL)] > 0
        return replace(self.labels, unusual=unusual.astype(np.int64))

    @classmethod
    def of(cls, spec: FeatureSpec, streams: Sequence[Stream], found: Sequence[Any], *, rows_a_part: int) -> Part:
        """A part from its blocks, in any order."""
        own = sorted((block for block in found if isinstance(block, EventBlock)), key=lambda block: block.position[0])
        position = np.concatenate([block.position for block in own])
        order = np.argsort(position, kind="stable")
        base = int(position[order[0]])
        assert int(position[order[-1]]) == base + len(order) - 1, "positions of a part have no gap"
        matrix = np.full((len(order), len(spec.names)), np.nan, np.float32, order="F")
        matrix[:, : len(spec.event)] = np.concatenate([block.own for block in own])[order]
        lists = {item.role: np.full((len(order), 2 * motifs.LIST), -1) for item in streams if item.makes_lists}
        known = [block for block in found if isinstance(block, LabelRows)]
        events = [block.events for block in own if block.events is not None]
        part = cls(
            number=base // rows_a_part,
            ids=pa.concat_arrays([block.ids for block in own]).take(pa.array(order)),
            matrix=matrix,
            events=Events.join(events).take(order) if events else None,
            labels=LabelRows.join(known) if known else None,
            lists=lists,
        )
        part.fill(spec, streams, found, base=base)
        return part

    def fill(self, spec: FeatureSpec, streams: Sequence[Stream], found: Sequence[Any], *, base: int) -> None:
        """Put the values and lists of blocks into place; `base` is the first position."""
        place = {name: index for index, name in enumerate(spec.names)}
        for block in found:
            if not isinstance(block, ValueBlock):
                continue
            stream, rows = streams[block.stream], block.position - base
            if stream.makes_lists:
                self.lists[stream.role][rows] = block.values
            for at, name in enumerate(stream.names):
                self.matrix[rows, place[name]] = block.values[:, at]


@dataclass(frozen=True, kw_only=True)
class FirstRound:
    """The parts of the first round, by number.

    Parts before `first_part` have their features in `features` already; of them the work folder holds the rest.
    """

    spec: FeatureSpec
    features: Path
    work: Path
    first_part: int

    def write(self, part: Part) -> None:
        """Keep one part; a part that is written again takes the place of the former."""
        if part.number >= self.first_part:
            self._put(self._matrix(part.number), lambda file: np.save(file, part.matrix))
        rest = (part.ids, part.events, part.labels, part.lists)
        self._put(self._rest(part.number), lambda file: pickle.dump(rest, file, protocol=5))

    def read(self, number: int) -> Part:
        """One part; its matrix may be changed, the file stays as it is."""
        with self._rest(number).open("rb") as file:
            ids, events, labels, lists = pickle.load(file)  # noqa: S301 - of our own job
        if number >= self.first_part:
            matrix = np.load(self._matrix(number), mmap_mode="c")
        else:
            matrix = self._kept_columns(number, len(ids))
        return Part(number=number, ids=ids, matrix=matrix, events=events, labels=labels, lists=lists)

    def _kept_columns(self, number: int, num_rows: int) -> Floats:
        """(N, F) what the second round needs of a part whose features are there already; NaN elsewhere."""
        matrix = np.full((num_rows, len(self.spec.names)), np.nan, np.float32)
        wanted = [name for name in dict.fromkeys((*self.spec.carried, IS_UNUSUAL)) if name in self.spec.names]
        table = pq.read_table(self.features / part_name(number), columns=wanted)
        for name in wanted:
            matrix[:, self.spec.names.index(name)] = table.column(name).to_numpy()
        return matrix

    def _matrix(self, number: int) -> Path:
        return self.work / f"first-{number:05d}.npy"

    def _rest(self, number: int) -> Path:
        return self.work / f"first-{number:05d}.pickle"

    def _put(self, path: Path, write: Callable[[BinaryIO], object]) -> None:
        """Write a file whole or not at all: Spark may run a task twice."""
        self.work.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}")
        with aside.open("wb") as file:
            write(file)
        aside.replace(path)
