"""Fixtures of the whole suite: one Spark session, started when the first test asks for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from ingestion import native

native.prepare()  # before any test, and in the process that only collects what the workers say
os.environ.setdefault("RINGFENCE_TRAIN_TRACKING", "false")  # seconds a training; what is tracked has tests of its own
os.environ.setdefault("RINGFENCE_TRAIN_SEEDS_PER_EPOCH", "2048")  # a quarter of the time of each training
os.environ.setdefault("RINGFENCE_TRAIN_PRECISION", "fp32")  # "auto" measures: bytes could differ from run to run

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


#: Files that take minutes: they begin first, so that no worker has one of them left at the end.
_LONGEST = ("test_nightly.py", "test_serve_nightly.py", "test_cluster.py", "test_ingest_kill.py", "test_load.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order files by how long they take; each keeps its own order."""
    items.sort(key=lambda item: _LONGEST.index(item.path.name) if item.path.name in _LONGEST else len(_LONGEST))


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """A local[2] session; `ingest` uses it while it is there."""
    from ingestion.spark import spark_session

    with spark_session(scratch=tmp_path_factory.mktemp("spark"), driver_memory="1g") as session:
        yield session
