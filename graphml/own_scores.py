"""Scores of a user's own model, from a file: an id and a score a row, held against what our ladder was judged on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow import csv

from graphml.judged import Judged
from graphml.own_models import MAX_SCORE
from ingestion.errors import DataContractError, UsageError

Doubles = NDArray[np.float64]

ID_COLUMNS = ("transaction_id", "id")
SCORE = "score"


@dataclass(frozen=True, kw_only=True)
class OwnScores:
    """Scores (n,) of the test window and, where the file has it, (m,) of the validation window.

    `num_ignored` rows of the file are of neither.
    """

    test: Doubles
    validation: Doubles | None
    num_ignored: int


def read_own_scores(path: Path, judged: Judged) -> OwnScores:
    """Read a CSV or Parquet file with `transaction_id` (or `id`) and `score`, higher for fraud, in any order.

    Raises `UsageError` when there is no such file, `DataContractError` naming the row when a score is missing, is given
    twice or is no number.
    """
    ids, scores = _columns(path)
    if (bad := pc.index(_is_usable(scores), False).as_py()) >= 0:
        raise DataContractError(
            f"{path.name}, row {bad + 1}: the score of {ids[bad]} is {scores[bad]}, which ranks nothing.",
            remedy=f"Give every transaction a finite number up to {MAX_SCORE:g}, higher for fraud.",
        )
    places = {name: index for index, name in enumerate(ids.to_pylist())}
    if len(places) < len(ids):
        counts = pc.value_counts(ids)
        twice = counts.filter(pc.greater(counts.field("counts"), 1))[0]["values"]
        raise DataContractError(f"{path.name} has {twice} twice.", remedy="Give each transaction one score.")
    values = scores.to_numpy(zero_copy_only=False)
    known = sum(name in places for name in (*judged.validation_ids, *judged.test_ids))
    has_validation = any(name in places for name in judged.validation_ids)
    return OwnScores(
        test=_of(path, "test", judged.test_ids, places, values),
        validation=_of(path, "validation", judged.validation_ids, places, values) if has_validation else None,
        num_ignored=len(ids) - known,
    )


def _of(path: Path, window: str, wanted: Sequence[str], places: dict[str, int], values: Doubles) -> Doubles:
    missing = [name for name in wanted if name not in places]
    if missing:
        raise DataContractError(
            f"{path.name} has no score for {len(missing):,} of the {len(wanted):,} judged transactions of the "
            f"{window} window, {missing[0]} among them.",
            remedy="Score all of them: `ringfence model judged` writes their ids. Of validation, all or none.",
        )
    return values[[places[name] for name in wanted]]


def _columns(path: Path) -> tuple[pa.Array, pa.Array]:
    if not path.is_file():
        raise UsageError(f"{path} is not there.", remedy="Name a CSV or Parquet file of ids and scores.")
    try:
        if path.suffix.lower() == ".parquet":
            table = pq.read_table(path, page_checksum_verification=True)
        else:
            as_text = csv.ConvertOptions(column_types=dict.fromkeys(ID_COLUMNS, pa.string()))
            table = csv.read_csv(path, convert_options=as_text)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataContractError(f"{path.name} cannot be read: {error}", remedy="Write CSV or Parquet.") from error
    if repeated := [name for name in (*ID_COLUMNS, SCORE) if table.column_names.count(name) > 1]:
        raise DataContractError(f"{path.name} has {repeated[0]} twice as a column.", remedy="Leave one of them.")
    name = next((name for name in ID_COLUMNS if name in table.column_names), None)
    if name is None or SCORE not in table.column_names:
        raise DataContractError(
            f"{path.name} has the columns {', '.join(table.column_names)}.",
            remedy="Call them transaction_id and score.",
        )
    try:
        scores = table.column(SCORE).cast(pa.float64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataContractError(f"{path.name}: `score` holds no numbers: {error}", remedy="Give numbers.") from error
    try:
        ids = table.column(name).cast(pa.string()).combine_chunks()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataContractError(f"{path.name}: `{name}` holds no ids: {error}", remedy="Give texts.") from error
    if (absent := pc.index(ids.is_null(), True).as_py()) >= 0:
        raise DataContractError(f"{path.name}, row {absent + 1}: `{name}` is empty.", remedy="Give each score its id.")
    return ids, scores.combine_chunks()


def _is_usable(scores: pa.Array) -> pa.Array:
    return pc.fill_null(pc.less_equal(pc.abs(scores), MAX_SCORE), False)
