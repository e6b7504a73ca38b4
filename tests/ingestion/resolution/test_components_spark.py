"""The same components in Spark and by scipy: random graphs, a long path, a hub."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from ingestion.contracts import COMPONENT
from ingestion.resolution.components import components
from ingestion.resolution.components_spark import connected

pytestmark = pytest.mark.spark

EDGES = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=60)


def check(spark: SparkSession, folder: Path, a: np.ndarray, b: np.ndarray) -> None:
    edges = spark.createDataFrame(pa.table({"a_id": a.astype(np.int64), "b_id": b.astype(np.int64)}))
    found = connected(edges, folder).toArrow().sort_by("entity_id")
    entities, component = components(a, b)
    assert found.column_names == COMPONENT.names
    assert found.column("entity_id").to_pylist() == entities.tolist()
    assert found.column("component_id").to_pylist() == component.tolist()


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EDGES)
def test_on_any_graph(spark: SparkSession, tmp_path: Path, edges: list[tuple[int, int]]) -> None:
    a, b = np.array(edges).T
    check(spark, tmp_path, a, b)


def test_on_a_long_path_a_hub_and_scattered_pairs(spark: SparkSession, tmp_path: Path) -> None:
    """One graph with all three: 60 in a row in shuffled order, 300 around one, 50 pairs, a loop."""
    rng = np.random.default_rng(4)
    row = rng.permutation(np.arange(1_000, 1_060))
    parts = [(row[:-1], row[1:]), (np.full(300, 2_150), np.arange(2_000, 2_300)), (np.arange(50), np.arange(50) + 500)]
    a, b = (np.concatenate([part[end] for part in parts]) for end in (0, 1))
    check(spark, tmp_path, a, b)
