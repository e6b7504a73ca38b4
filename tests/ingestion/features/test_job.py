"""The Spark feature job against the array path and the state that takes one event at a time: bit for bit."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from ingestion.features import job
from ingestion.features.spec import FeatureSpec, load_spec
from ingestion.features.state import FeatureState, OnlineTransaction
from tests.ingestion.features.spark_features import spark_features
from tests.leakage.histories import CURRENCIES, ROLES, SPEC, Floats, History, as_tables, features, random_history

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
def test_spark_arrays_and_online_agree_bit_for_bit(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: FeatureSpec
) -> None:
    """10 % of the rows late, three currencies, absent parties, parts smaller than the table."""
    monkeypatch.setattr(job, "ROWS_A_PART", 700)
    history = random_history(2_000, seed=9)
    found = spark_features(spark, history, spec, tmp_path / "features")
    assert len(list((tmp_path / "features").iterdir())) == 3
    assert found.tobytes() == features(history, spec).tobytes()
    assert found.tobytes() == stepped(history, spec).tobytes()
    assert np.isnan(found).any() == (spec is SPEC)


@pytest.mark.spark
def test_no_step_has_a_single_partition(spark: SparkSession) -> None:
    transactions, labels = (spark.createDataFrame(table) for table in as_tables(random_history(300, seed=1)))
    values, _ = job.features(transactions, labels, SPEC, currencies=CURRENCIES, num_partitions=4, num_rows=300_000)
    plan = values._jdf.queryExecution().executedPlan().toString()
    assert "MapInArrow" in plan
    assert "SinglePartition" not in plan
