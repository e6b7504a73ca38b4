"""`torchrun … -m serving model train`: two processes, one model, one MLflow run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from mlflow.tracking import MlflowClient

from graphml.model import Model
from graphml.tracking import EXPERIMENT
from ingestion.workspace import Workspace
from tests.builders import build_snapshot, random_rows

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_two_processes_train_and_publish_one_model(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "workspace")
    rows, labels = random_rows(4_000, seed=5, fraud_rate=0.03)
    build_snapshot(workspace, rows, labels=labels, spec="handbook")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "serving", "model", "train", "-w", str(workspace.root), "--epochs", "2", "--json"]
    environment = os.environ | {"RINGFENCE_TRAIN_TRACKING": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr.decode()[-2_000:]
    (answer,) = done.stdout.splitlines()  # the second process says nothing
    told = orjson.loads(answer)
    model = Model.open(Path(told["path"]))
    assert {row["name"] for row in told["rows"]} >= {"xgboost", "graphsage", "graphsage_shuffled"}
    assert len(model.metrics["history"]["graphsage"]) == 2
    assert [path.name for path in workspace.models.iterdir() if path.is_dir()] == [model.id]
    assert list((workspace.cache / "graphs").glob("graph-*/graph.safetensors"))
    client = MlflowClient(tracking_uri=f"sqlite:///{workspace.root / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id])
    assert (run.info.run_name, run.info.status) == (model.id, "FINISHED")
    assert run.data.metrics["graphsage/seeds_per_second"] > 0
