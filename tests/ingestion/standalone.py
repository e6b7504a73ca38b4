"""A standalone Spark cluster on this machine: a master and workers, started and stopped by us."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyspark

from ingestion.java import java_home


@contextmanager
def standalone_cluster(folder: Path, *, workers: int = 2, memory: str = "1g") -> Iterator[str]:
    """Yields the master's address once its workers are there; each has one core."""
    home = Path(pyspark.__file__).parent
    variables = os.environ | {
        "SPARK_HOME": str(home),
        "JAVA_HOME": str(java_home()),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_NO_DAEMONIZE": "1",
        "SPARK_DAEMON_MEMORY": "256m",
    }
    variables.pop("PYTHONPATH", None)
    port, program = free_port(), str(home / "bin" / "spark-class")
    master = f"spark://127.0.0.1:{port}"
    address = ["--host", "127.0.0.1", "--webui-port", "0"]
    commands = [["org.apache.spark.deploy.master.Master", *address, "--port", str(port)]]
    for number in range(workers):
        own = ["--cores", "1", "--memory", memory, "--work-dir", str(folder / f"worker-{number}")]
        commands.append(["org.apache.spark.deploy.worker.Worker", *address, *own, master])
    logs = [folder / f"{number}.log" for number in range(len(commands))]
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for command, log in zip(commands, logs, strict=True):
            with log.open("wb") as file:
                processes.append(
                    subprocess.Popen([program, *command], env=variables, cwd=folder, stdout=file, stderr=file)
                )
        wait_for(logs[1:], "Successfully registered with master", processes)
        yield master
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            process.wait(timeout=30)


def wait_for(logs: list[Path], words: str, processes: list[subprocess.Popen[bytes]], *, seconds: float = 90) -> None:
    """Wait until each log holds the words."""
    deadline = time.monotonic() + seconds
    while any(words not in log.read_text(errors="replace") for log in logs):
        assert all(process.poll() is None for process in processes), "a process of the cluster ended"
        assert time.monotonic() < deadline, f"no {words!r} within {seconds} s"
        time.sleep(0.3)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
