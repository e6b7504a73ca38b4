"""What a training leaves in MLflow's store, read back with MLflow's own client."""

from __future__ import annotations

from pathlib import Path

from mlflow.tracking import MlflowClient

from graphml.tracking import EXPERIMENT, MlflowTracking


def runs(file: Path):
    client = MlflowClient(tracking_uri=f"sqlite:///{file}")
    return client, client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id])


def test_a_training_is_one_run_that_a_resumed_one_goes_on_in(tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    settings = {"seed": 3, "networks": ({"network": "gat", "trainer": {"epochs": 2}},), "fanouts": [16, 8]}
    tracking = MlflowTracking(file)
    tracking.start("model-1", settings)
    tracking.tracker("gat")(7, {"loss": 0.5, "seeds_per_second": 100.0})
    resumed = MlflowTracking(file)  # the process was killed
    resumed.start("model-1", settings)
    resumed.tracker("gat")(14, {"loss": 0.25})
    resumed.finish({"test_ap/gat": 0.75})
    MlflowTracking(file).start("model-2", settings)

    client, found = runs(file)
    assert sorted(run.info.run_name for run in found) == ["model-1", "model-2"]
    run = next(run for run in found if run.info.run_name == "model-1")
    assert run.info.status == "FINISHED"
    assert run.data.params["networks.0.trainer.epochs"] == "2"
    assert run.data.params["fanouts"] == "[16, 8]"
    assert run.data.metrics["test_ap/gat"] == 0.75
    history = client.get_metric_history(run.info.run_id, "gat/loss")
    assert [(metric.step, metric.value) for metric in history] == [(7, 0.5), (14, 0.25)]


def test_a_training_that_failed_says_so_until_it_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    failed = MlflowTracking(file)
    failed.start("model-1", {})
    failed.fail()
    assert [run.info.status for run in runs(file)[1]] == ["FAILED"]
    MlflowTracking(file).start("model-1", {})
    assert [run.info.status for run in runs(file)[1]] == ["RUNNING"]
