"""A standalone cluster of two workers gives what this machine alone gives, with the driver's code in the workers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ingestion.cluster import faults_of
from ingestion.ingest import ingest
from ingestion.mapping import load_mapping
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace
from tests.builders import START, random_rows
from tests.ingestion.standalone import standalone_cluster
from tests.ingestion.tables import write_source

ROOT = Path(__file__).resolve().parents[2]
NOW = START + 200 * 86_400_000_000
PROGRAM = """
import json, sys
from pathlib import Path
import pyarrow as pa
from ingestion import cluster, spark
from ingestion.ingest import ingest
from ingestion.mapping import load_mapping
from ingestion.workspace import Workspace
from tests.ingestion.plans import watched

root, source, master, now = sys.argv[1:]
def where(batches):
    import socket, os
    import ingestion.features.kernels as kernels
    for batch in batches:
        yield pa.RecordBatch.from_arrays([pa.array([f"{os.getppid()} {kernels.__file__}"])], names=["told"])

with spark.spark_session(master, scratch=Path(root) / "scratch", driver_memory="1g") as session:
    code = session.range(0, 4, 1, 4).mapInArrow(where, "told string").toArrow().column("told").to_pylist()
    with watched(session) as seen:
        mapping = load_mapping("ringfence")
        result = ingest(Workspace.open(root), Path(source), mapping, master=master, max_bad_share=1, now=int(now))
    try:
        cluster.check_workers(session, Path(root), Path(root) / "nowhere.parquet")
        refused = None
    except Exception as error:
        refused = f"{type(error).__name__}: {error}"
print(json.dumps({"code": code, "id": result.snapshot_id, "most_rows": seen.most_rows, "plans": len(seen.plans),
                  "single": seen.single_partitions() if result.num_rows > 100_000 else [], "refused": refused}))
"""


@pytest.mark.slow
@pytest.mark.spark
@pytest.mark.usefixtures("spark")
@pytest.mark.timeout(600)
def test_two_workers_give_what_this_machine_gives(tmp_path: Path) -> None:
    source = write_source(tmp_path / "table", *random_rows(600, seed=3))
    alone = Workspace.open(tmp_path / "alone")
    ingest(alone, source, load_mapping("ringfence"), max_bad_share=1, now=NOW)
    ours = Snapshot.open(alone)
    spread = Workspace.open(tmp_path / "spread")
    (spread.root / "secrets").mkdir(mode=0o700)
    for path in (alone.root / "secrets").iterdir():  # the same tokens
        (spread.root / "secrets" / path.name).write_bytes(path.read_bytes())
        (spread.root / "secrets" / path.name).chmod(0o600)
    folder = tmp_path / "cluster"
    folder.mkdir()
    with standalone_cluster(folder) as master:
        variables = os.environ | {"SPARK_LOCAL_IP": "127.0.0.1", "PYTHONPATH": ""}
        command = [sys.executable, "-c", PROGRAM, str(spread.root), str(source), master, str(NOW)]
        done = subprocess.run(
            command, env=variables, cwd=ROOT, capture_output=True, text=True, timeout=420, check=False
        )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert all("ringfence_code.zip" in path for path in told["code"]), told["code"]
    assert len({path.split()[0] for path in told["code"]}) == 2, "both workers had tasks"
    assert 0 < told["most_rows"] <= 40 and told["plans"] > 20, "no rows of the data reached the driver"
    assert told["refused"].startswith("RetryLater: Spark worker on") and "does not see the source" in told["refused"]
    theirs = Snapshot.open(spread)
    assert theirs.id == ours.id
    assert theirs.manifest["rows_hash"] == ours.manifest["rows_hash"]
    assert theirs.features().tobytes() == ours.features().tobytes()
    for one, other in (
        (ours.transactions(), theirs.transactions()),
        (ours.labels(), theirs.labels()),
        (ours.entities(), theirs.entities()),
    ):
        assert one.equals(other)


def test_what_a_worker_lacks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work, source = tmp_path / "work", tmp_path / "table.parquet"
    work.mkdir()
    told = [fault for _, fault in faults_of(work, source, "token")]
    assert len(told) == 2 and "does not see the workspace" in told[0] and "source" in told[1]
    (work / "token.driver").write_text("token")
    source.touch()
    assert faults_of(work, source, "token") == []
    assert len(list(work.glob("token.*.worker"))) == 1
    (work / "token.driver").write_text("another file system's")
    assert len(faults_of(work, source, "token")) == 1
    (work / "token.driver").write_text("token")
    monkeypatch.setattr("ingestion.cluster.LIBRARIES", ("no_such_package",))
    assert "no Python package no_such_package" in faults_of(work, source, "token")[0][1]
