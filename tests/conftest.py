"""Fixtures of the whole suite: one Spark session, started when the first test asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from ingestion import native

native.prepare()  # before any test, and in the process that only collects what the workers say

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """A local[2] session; `ingest` uses it while it is there."""
    from ingestion.spark import spark_session

    with spark_session(scratch=tmp_path_factory.mktemp("spark"), driver_memory="1g") as session:
        yield session
