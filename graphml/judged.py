"""What a ladder was judged on, and each row's scores there: kept in the model's folder, so that any other model can be
compared on the very same transactions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from graphml.ladder import TestWindow
from ingestion.artifacts import read_parquet
from ingestion.errors import ArtifactError

Doubles = NDArray[np.float64]

FILE = "judged.parquet"
_SCORE, _UNIT = "score_", b"amount_unit"


@dataclass(frozen=True, kw_only=True)
class Judged:
    """The validation window (m,) and the test window (n,) of a model: ids, outcomes, scores by row of the ladder."""

    validation_ids: tuple[str, ...]
    validation_is_fraud: NDArray[np.bool_]
    validation_scores: Mapping[str, Doubles]
    test_ids: tuple[str, ...]
    test: TestWindow
    test_scores: Mapping[str, Doubles]

    def write(self, folder: Path) -> None:
        """Write `FILE`."""
        nothing = [None] * len(self.validation_ids)
        table = pa.table(
            {
                "transaction_id": pa.array([*self.validation_ids, *self.test_ids], pa.string()),
                "is_test": np.arange(len(self.validation_ids) + len(self.test_ids)) >= len(self.validation_ids),
                "is_fraud": np.concatenate([self.validation_is_fraud, self.test.is_fraud]),
                "day": pa.array([*nothing, *self.test.day.tolist()], pa.int64()),
                "party": pa.array([*nothing, *self.test.party.tolist()], pa.int64()),
                "known_before": pa.array([*nothing, *self.test.known_before.tolist()], pa.bool_()),
                "amount": pa.array([*nothing, *self.test.amount.tolist()], pa.float64()),
                "parties": pa.array([*nothing, *self.test.parties.tolist()], pa.list_(pa.int64())),
            }
            | {
                _SCORE + name: np.concatenate([scores, self.test_scores[name]])
                for name, scores in self.validation_scores.items()
            }
        )
        table = table.replace_schema_metadata({_UNIT: self.test.unit})
        pq.write_table(table, folder / FILE, write_page_checksum=True)

    @classmethod
    def read(cls, folder: Path) -> Judged:
        """Read what `write` wrote. Raises `ArtifactError` for a model of an earlier version, which has no such file."""
        if not (folder / FILE).exists():
            raise ArtifactError(f"{folder.name} kept no scores: it is of an earlier version.", remedy="Train it again.")
        table = read_parquet(folder / FILE)
        if "parties" not in table.column_names or _UNIT not in (table.schema.metadata or {}):
            raise ArtifactError(
                f"{folder.name} kept no parties: it is of an earlier version.", remedy="Train it again."
            )
        is_test = table.column("is_test").to_numpy()
        validation, test = table.filter(pa.array(~is_test)), table.filter(pa.array(is_test))
        names = [name for name in table.column_names if name.startswith(_SCORE)]

        def scores(part: pa.Table) -> dict[str, Doubles]:
            return {name.removeprefix(_SCORE): part.column(name).to_numpy() for name in names}

        def ids(part: pa.Table) -> Sequence[str]:
            found: list[str] = part.column("transaction_id").to_pylist()
            return found

        columns = ("is_fraud", "day", "party", "known_before", "amount")
        return cls(
            validation_ids=tuple(ids(validation)),
            validation_is_fraud=validation.column("is_fraud").to_numpy(),
            validation_scores=scores(validation),
            test_ids=tuple(ids(test)),
            test=TestWindow(
                **{name: test.column(name).to_numpy() for name in columns},
                parties=np.stack(test.column("parties").to_numpy()),
                unit=table.schema.metadata[_UNIT].decode(),
            ),
            test_scores=scores(test),
        )
