"""The Spark feature job against the array path and the state that takes one event at a time: bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ingestion.features.spec import FeatureSpec, load_spec
from ingestion.features.state import FeatureState
from tests.ingestion.features.online import fed
from tests.ingestion.features.spark_features import spark_features
from tests.leakage.histories import ROLES, SPEC, History, features, random_history

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def mingled(history: History) -> History:
    """Sources from among the targets, so that money comes back and gathers."""
    entity = history.entity.copy()
    entity[:, 0] %= 25
    return replace(history, entity=entity)


@pytest.mark.spark
@pytest.mark.parametrize("spec", [SPEC, load_spec("handbook").for_roles(ROLES)], ids=["default", "handbook"])
def test_spark_arrays_and_online_agree_bit_for_bit(spark: SparkSession, tmp_path: Path, spec: FeatureSpec) -> None:
    """10 % of the rows late, three currencies, absent parties, parts smaller than the table."""
    history = mingled(random_history(2_000, seed=9))
    found = spark_features(spark, history, spec, tmp_path / "features", rows_a_part=700)
    assert len(list((tmp_path / "features").iterdir())) == 3
    assert found.tobytes() == features(history, spec).tobytes()
    assert found.tobytes() == fed(FeatureState(spec), history, begin=0, end=len(history)).tobytes()
    assert np.isnan(found).any() == (spec is SPEC)
    motifs = [index for index, column in enumerate(spec.columns) if column.kind == "motifs"]
    assert (found[:, motifs] > 0).any(axis=0).all(), "every motif occurs"


@pytest.mark.spark
def test_parts_of_the_parent_are_kept_and_the_rest_is_the_same(spark: SparkSession, tmp_path: Path) -> None:
    """What the second round needs of the first comes from the kept parts themselves."""
    history = mingled(random_history(2_000, seed=11))
    whole = spark_features(spark, history, SPEC, tmp_path / "features", rows_a_part=700)
    for part in (1, 2):
        (tmp_path / "features" / f"part-{part:05d}.parquet").unlink()
    kept = (tmp_path / "features" / "part-00000.parquet").stat().st_mtime_ns
    again = spark_features(spark, history, SPEC, tmp_path / "features", rows_a_part=700, first_part=1)
    assert again.tobytes() == whole.tobytes()
    assert (tmp_path / "features" / "part-00000.parquet").stat().st_mtime_ns == kept
