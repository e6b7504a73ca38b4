"""Spark as this project starts it, and the traps of it in one place.

- Workers run this interpreter (otherwise the system's Python: "No module named numpy"), with one OpenMP thread.
- Java comes from `ingestion.java`; its noise goes to a log file, so that a terminal shows progress bars alone.
- A stopped SparkContext leaves its JVM alive with its heap: here it ends with the session.
- Workers of a cluster need an environment of their own (docs/cluster.md); our code is shipped to them as a zip with
  every session, and the workspace must be on a file system that they share (`ingestion.cluster`).
"""

from __future__ import annotations

import os
import re
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Any

from py4j.protocol import Py4JError
from pyspark import SparkConf, SparkContext
from pyspark.errors import PySparkException
from pyspark.java_gateway import launch_gateway
from pyspark.sql import SparkSession

from ingestion.errors import IngestionError, RetryLater
from ingestion.java import java_home

LOCAL = "local[2]"
SHUFFLE_PARTITIONS = 8
ARROW_ROWS = 131_072
#: The largest value switches Spark's limit of bytes off: to keep it, it sizes the whole batch again after each row,
#: which took 28 s of processor time for 220,000 rows where 5 s do (docs/experiments.md). `ARROW_ROWS` bounds a batch.
_NO_BYTE_LIMIT = 2**31 - 1
_JAVA_OPTIONS = "-XX:+UseParallelGC -Dfile.encoding=UTF-8"
_ROOT = Path(__file__).resolve().parent.parent


class SparkJobFailed(IngestionError):
    """A Spark job failed: a fault of ours or of the machine, not of the data."""

    @classmethod
    def of(cls, error: PySparkException) -> SparkJobFailed:
        """The error with what Spark says last, up to a quoted value: a value may be personal."""
        lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.startswith("\tat ")]
        told = next((line for line in reversed(lines) if "Error" in line or "Exception" in line), type(error).__name__)
        told = re.split(r"['\"\u2018`]", told)[0]
        return cls(
            f"A Spark job failed: {told[:300]}.",
            remedy="Check free memory and disk, and run the same command again; nothing was published.",
        )


def settings(master: str, *, scratch: Path, driver_memory: str = "3g", short: bool = False) -> dict[str, str]:
    """The Spark settings of a session; `scratch` takes shuffle files and spills.

    A `short` session keeps to the JVM's first compiler: the second one costs more than it saves in under a minute
    (100,000 rows: 36 s of processor time instead of 56 s; at 1.75 M rows it is the other way round).
    """
    chosen = {
        "spark.master": master,
        "spark.app.name": "ringfence",
        "spark.ui.enabled": "false",
        "spark.log.level": "ERROR",
        "spark.driver.memory": driver_memory,
        "spark.driver.extraJavaOptions": _JAVA_OPTIONS + (" -XX:TieredStopAtLevel=1" if short else ""),
        "spark.local.dir": str(scratch),
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        "spark.executorEnv.PYTHONHASHSEED": "0",
        "spark.executorEnv.OMP_NUM_THREADS": "1",
        "spark.executorEnv.NUMBA_NUM_THREADS": "1",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": str(SHUFFLE_PARTITIONS),
        "spark.sql.adaptive.enabled": "true",
        "spark.python.sql.dataFrameDebugging.enabled": "false",
        "spark.sql.autoBroadcastJoinThreshold": str(32 * 2**20),
        "spark.sql.execution.arrow.maxRecordsPerBatch": str(ARROW_ROWS),
        "spark.sql.execution.arrow.maxBytesPerBatch": str(_NO_BYTE_LIMIT),
        "spark.hadoop.parquet.page.verify-checksum.enabled": "true",
    }
    if master.startswith("local"):
        chosen |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
        chosen["spark.executorEnv.PYTHONPATH"] = str(_ROOT)
    return chosen


@contextmanager
def spark_session(
    master: str = LOCAL, *, scratch: Path, driver_memory: str = "3g", short: bool = False
) -> Iterator[SparkSession]:
    """A session that ends, JVM and all, with the block; one that is active already is used and left alone.

    `short` says that it will not live for long (see `settings`). Raises `RetryLater` when Spark does not start.
    """
    if SparkContext._active_spark_context is not None:  # "active session" is a thread's own: another one has none
        yield SparkSession.builder.getOrCreate()
        return
    scratch.mkdir(parents=True, exist_ok=True)
    log = scratch / "spark.log"
    conf = SparkConf(loadDefaults=False)
    chosen = settings(master, scratch=scratch, driver_memory=driver_memory, short=short)
    conf.setAll(list(chosen.items()))
    with _environment(_variables(master)):
        try:
            with log.open("ab") as file:
                gateway = launch_gateway(conf, {"stdout": file, "stderr": file})
            session = SparkSession(SparkContext(conf=conf, gateway=gateway))
            if not is_local(session):
                ship_code(session, scratch)
        except (PySparkException, Py4JError, OSError) as error:
            tail = log.read_text(encoding="utf-8", errors="replace")[-500:] if log.exists() else ""
            raise RetryLater(
                f"Spark did not start on {master}: {error} {tail}",
                remedy="Check Java (`ringfence doctor`), the free memory and the master.",
            ) from error
    try:
        yield session
    except PySparkException as error:
        raise SparkJobFailed.of(error) from None  # its own text is gone with the JVM
    finally:
        _stop(session, gateway)


def is_local(session: SparkSession) -> bool:
    """Whether the workers are threads of this machine's JVM, not a cluster's."""
    return str(session.sparkContext.master).startswith("local")


def ship_code(session: SparkSession, scratch: Path) -> None:
    """Send this package to the workers as a zip: they run the driver's code, whatever is installed there."""
    path = scratch / "ringfence_code.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted((_ROOT / "ingestion").rglob("*")):
            if file.suffix in (".py", ".toml"):
                archive.write(file, file.relative_to(_ROOT))
    before = list(sys.path)
    session.sparkContext.addPyFile(str(path))
    sys.path[:] = before  # the driver goes on with the code that it has


def parallelism(session: SparkSession) -> int:
    """Cores that tasks run on."""
    return int(session.sparkContext.defaultParallelism)


def _variables(master: str) -> dict[str, str]:
    """What Spark reads from the environment alone."""
    variables = {"JAVA_HOME": str(java_home()), "PYSPARK_PYTHON": sys.executable}
    return variables | ({"SPARK_LOCAL_IP": "127.0.0.1"} if master.startswith("local") else {})


def _stop(session: SparkSession, gateway: Any) -> None:
    session.stop()
    gateway.shutdown()
    SparkContext._gateway = None
    SparkContext._jvm = None
    process = gateway.proc
    process.stdin.close()  # the JVM ends when its input does
    try:
        process.wait(timeout=20)
    except TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for what is started in the block."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
