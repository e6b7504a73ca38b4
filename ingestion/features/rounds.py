"""What lies between the two rounds of the feature job: parts of the first round, kept in the work folder."""

from __future__ import annotations

import pickle
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow.parquet as pq

from ingestion.features import motifs
from ingestion.features.batch import LabelRows, Stream, carried_values
from ingestion.features.kernels import Doubles, Floats, Ints
from ingestion.features.spec import IS_UNUSUAL, FeatureSpec
from ingestion.jobs.parts import part_name


@dataclass(frozen=True, kw_only=True)
class ValueBlock:
    """Values (M, F) of a stream, or lists (M, 2 LIST), at positions (M,) of one part."""

    stream: int
    position: Ints
    values: Any


@dataclass(frozen=True, kw_only=True)
class Part:
    """N consecutive transactions from position `base` on: `matrix` (N, F) float32 with NaN where the second round
    comes; `lists` (N, 2 LIST) by role of the stream that made them."""

    base: int
    matrix: Floats
    labels: LabelRows | None
    lists: dict[str, Ints]

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
    def of(cls, spec: FeatureSpec, streams: Sequence[Stream], found: Sequence[Any], *, base: int, own: Floats) -> Part:
        """A part from its transactions' own features (N, E) and its blocks, in any order."""
        num = len(own)
        matrix = np.full((num, len(spec.names)), np.nan, np.float32, order="F")
        matrix[:, : len(spec.event)] = own
        known = [block for block in found if isinstance(block, LabelRows)]
        part = cls(
            base=base,
            matrix=matrix,
            labels=LabelRows.join(known) if known else None,
            lists={item.role: np.full((num, 2 * motifs.LIST), -1) for item in streams if item.makes_lists},
        )
        part.fill(spec, streams, found)
        return part

    def fill(self, spec: FeatureSpec, streams: Sequence[Stream], found: Sequence[Any]) -> None:
        """Put the values and lists of blocks into place."""
        place = {name: index for index, name in enumerate(spec.names)}
        for block in found:
            if not isinstance(block, ValueBlock):
                continue
            stream, rows = streams[block.stream], block.position - self.base
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

    def write(self, number: int, part: Part) -> None:
        """Keep one part; a part that is written again takes the place of the former."""
        if number >= self.first_part:
            self._put(self._matrix(number), lambda file: np.save(file, part.matrix))
        rest = (part.base, len(part.matrix), part.labels, part.lists)
        self._put(self._rest(number), lambda file: pickle.dump(rest, file, protocol=5))

    def read(self, number: int) -> Part:
        """One part; its matrix may be changed, the file stays as it is."""
        with self._rest(number).open("rb") as file:
            base, num_rows, labels, lists = pickle.load(file)  # noqa: S301 - of our own job
        if number >= self.first_part:
            matrix = np.load(self._matrix(number), mmap_mode="c")
        else:
            matrix = self._kept_columns(number, num_rows)
        return Part(base=base, matrix=matrix, labels=labels, lists=lists)

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
