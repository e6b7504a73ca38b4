"""What a Spark cluster must offer before an ingest begins: the same files under the same paths, and our libraries."""

from __future__ import annotations

import importlib
import platform
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import orjson
import pyarrow as pa
from pyspark.sql import SparkSession

from ingestion.errors import RetryLater
from ingestion.spark import is_local, parallelism

LIBRARIES = ("numpy", "pyarrow", "numba", "orjson", "pydantic", "scipy")
_TASKS_A_CORE = 2


def check_workers(session: SparkSession, work: Path, source: Path) -> None:
    """Raise `RetryLater` naming a worker that cannot read `source`, read and write `work`, or lacks a library.

    A session on this machine needs no check. Every core gets a few tasks; a worker that joins later is not seen.
    """
    if is_local(session):
        return
    token = uuid.uuid4().hex
    (work / f"{token}.driver").write_text(token)
    number = _TASKS_A_CORE * parallelism(session)

    def look(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            told = [orjson.dumps(faults_of(work, source, token)).decode() for _ in range(batch.num_rows)]
            yield pa.RecordBatch.from_arrays([pa.array(told, pa.string())], names=["told"])

    found = session.range(0, number, 1, number).mapInArrow(look, "told string").toArrow().column("told").to_pylist()
    (work / f"{token}.driver").unlink()
    marks = list(work.glob(f"{token}.*.worker"))
    for mark in marks:
        mark.unlink()
    faults = sorted({(host, fault) for text in found for host, fault in orjson.loads(text)})
    if not faults and len(marks) < number:
        faults = [("a worker", f"wrote to a folder {work} that is not this one")]
    if faults:
        host, fault = faults[0]
        raise RetryLater(
            f"Spark worker on {host}: {fault} ({len(faults)} faults in all).",
            remedy="Put workspace and source on a file system that all workers mount under the same path, writable for"
            " their user, and install the same Python and libraries there (docs/cluster.md).",
        )


def faults_of(work: Path, source: Path, token: str) -> list[tuple[str, str]]:
    """What is wrong on this machine, with its name."""
    faults: list[str] = []
    seen = work / f"{token}.driver"
    if not seen.exists() or seen.read_text() != token:
        faults.append(f"does not see the workspace's {work}")
    else:
        try:
            (work / f"{token}.{uuid.uuid4().hex}.worker").touch()
        except OSError as error:
            faults.append(f"cannot write to {work}: {error.strerror}")
    if not source.exists():
        faults.append(f"does not see the source {source}")
    for name in LIBRARIES:
        try:
            importlib.import_module(name)
        except ImportError:
            faults.append(f"has no Python package {name} (Python {platform.python_version()})")
    return [(socket.gethostname(), fault) for fault in faults]
