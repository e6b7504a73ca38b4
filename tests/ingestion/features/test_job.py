"""The Spark feature job against the array path and the state that takes one event at a time: bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ingestion.features.spec import FeatureSpec, load_spec
from ingestion.features.state import FeatureState, OnlineTransaction
from tests.ingestion.features.spark_features import spark_features
from tests.leakage.histories import CURRENCIES, ROLES, SPEC, Floats, History, features, random_history

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def stepped(history: History, spec: FeatureSpec) -> Floats:
    """(N, F) by the online state, labels and transactions fed in the order of the sequence."""
    state, rows, label = FeatureState(spec), [], 0
    parties = [
        {role: int(entity) for role, entity in zip(ROLES, entities, strict=True) if entity >= 0}
        for entities in history.entity
    ]
    for position in range(len(history)):
        while label < len(history.label_known_at) and history.label_known_at[label] <= history.available_at[position]:
            state.observe_label(
                int(history.label_position[label]),
                parties[history.label_position[label]],
                known_at=int(history.label_known_at[label]),
                is_fraud=bool(history.label_is_fraud[label]),
            )
            label += 1
        rows.append(
            state.observe_transaction(
                OnlineTransaction(
                    event_time=int(history.event_time[position]),
                    amount_minor=int(history.amount_minor[position]),
                    currency=CURRENCIES[history.currency[position]],
                    kind=history.kind[position],
                    outcome=history.outcome[position],
                    parties=parties[position],
                )
            )
        )
    return np.stack(rows)


@pytest.mark.spark
@pytest.mark.parametrize("spec", [SPEC, load_spec("handbook").for_roles(ROLES)], ids=["default", "handbook"])
def test_spark_arrays_and_online_agree_bit_for_bit(spark: SparkSession, tmp_path: Path, spec: FeatureSpec) -> None:
    """10 % of the rows late, three currencies, absent parties, parts smaller than the table."""
    history = random_history(2_000, seed=9)
    found = spark_features(spark, history, spec, tmp_path / "features", rows_a_part=700)
    assert len(list((tmp_path / "features").iterdir())) == 3
    assert found.tobytes() == features(history, spec).tobytes()
    assert found.tobytes() == stepped(history, spec).tobytes()
    assert np.isnan(found).any() == (spec is SPEC)


@pytest.mark.spark
def test_parts_of_the_parent_are_kept_and_the_rest_is_the_same(spark: SparkSession, tmp_path: Path) -> None:
    """What the second round needs of the first comes from the kept parts themselves."""
    history = random_history(2_000, seed=11)
    whole = spark_features(spark, history, SPEC, tmp_path / "features", rows_a_part=700)
    for part in (1, 2):
        (tmp_path / "features" / f"part-{part:05d}.parquet").unlink()
    kept = (tmp_path / "features" / "part-00000.parquet").stat().st_mtime_ns
    again = spark_features(spark, history, SPEC, tmp_path / "features", rows_a_part=700, first_part=1)
    assert again.tobytes() == whole.tobytes()
    assert (tmp_path / "features" / "part-00000.parquet").stat().st_mtime_ns == kept
