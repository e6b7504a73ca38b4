"""What a training tells of itself to a store of experiments: MLflow, in the workspace's own SQLite file.

For looking at and comparing runs. What a model is comes from its bundle, never from here.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Param, RunStatus, ViewType
from mlflow.tracking import MlflowClient
from mlflow.utils.time import get_current_time_millis

from graphml.trainer import Tracker

EXPERIMENT = "ringfence"
_MODEL = "ringfence.model"
_MAX_VALUE = 6_000

logging.getLogger("mlflow").setLevel(logging.WARNING)
logging.getLogger("alembic").setLevel(logging.WARNING)


class MlflowTracking:
    """One MLflow run a model in `file`; a training that goes on after a kill goes on in its run."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._client = MlflowClient(tracking_uri=f"sqlite:///{file}")
        self._artifacts = (file.parent / "mlartifacts").as_uri()
        self._run_id = ""

    def start(self, model_id: str, settings: Mapping[str, Any]) -> None:
        """Begin, or go on with, the run of a model; `settings` become its parameters."""
        experiment = self._experiment()
        found = self._client.search_runs(
            [experiment], f"tags.`{_MODEL}` = '{model_id}'", run_view_type=ViewType.ACTIVE_ONLY, max_results=1
        )
        if found:
            self._run_id = found[0].info.run_id
            self._client.update_run(self._run_id, status=RunStatus.to_string(RunStatus.RUNNING))
            return
        run = self._client.create_run(experiment, tags={_MODEL: model_id}, run_name=model_id)
        self._run_id = run.info.run_id
        parameters = [Param(name, str(value)[:_MAX_VALUE]) for name, value in _flat(settings)]
        self._client.log_batch(self._run_id, params=parameters)

    def tracker(self, stage: str) -> Tracker:
        """What a network's training calls after every epoch; metrics are named `<stage>/<metric>`."""
        return lambda step, metrics: self._log({f"{stage}/{name}": value for name, value in metrics.items()}, step)

    def fail(self) -> None:
        """End the run as failed; one that is trained again goes on in it."""
        self._client.set_terminated(self._run_id, RunStatus.to_string(RunStatus.FAILED))

    def finish(self, metrics: Mapping[str, float]) -> None:
        """End the run with the figures of its ladder."""
        self._log(metrics, 0)
        self._client.set_terminated(self._run_id, RunStatus.to_string(RunStatus.FINISHED))

    def _log(self, metrics: Mapping[str, float], step: int) -> None:
        now = get_current_time_millis()
        self._client.log_batch(
            self._run_id, metrics=[Metric(name, value, now, step) for name, value in metrics.items()]
        )

    def _experiment(self) -> str:
        found = self._client.get_experiment_by_name(EXPERIMENT)
        if found is not None:
            return str(found.experiment_id)
        return str(self._client.create_experiment(EXPERIMENT, artifact_location=self._artifacts))


def _flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """`{"a": {"b": 1}}` -> `[("a.b", 1)]`; lists of mappings are numbered."""
    pairs: list[tuple[str, Any]] = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            pairs += _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple) and value and all(isinstance(item, Mapping) for item in value):
            pairs += _flat({f"{name}.{index}": item for index, item in enumerate(value)}, prefix)
        else:
            pairs.append((f"{prefix}{name}", value))
    return pairs
