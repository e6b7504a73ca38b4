"""The session that an ingest runs in."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ingestion.spark import spark_session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark


def test_a_session_of_another_thread_is_used_and_left_alone(spark: SparkSession, tmp_path: Path) -> None:
    def counted() -> tuple[bool, int]:
        with spark_session(scratch=tmp_path) as session:
            return session.sparkContext is spark.sparkContext, session.range(5).count()

    with ThreadPoolExecutor(1) as other:
        assert other.submit(counted).result() == (True, 5)
    assert spark.range(3).count() == 3
