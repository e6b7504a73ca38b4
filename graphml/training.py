"""Training of a whole model: every row of the ladder on one split, judged, calibrated, published as a bundle.

The id of a model is a hash of its inputs (snapshot, settings, code, and with dropout, whose draws hang on the rank, the
number of processes), so the same inputs find what is published.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from graphml.baselines import LogisticRow, TreeRow
from graphml.bundle import write_bundle
from graphml.calibration import Calibration
from graphml.code_version import code_version
from graphml.context import GraphContext
from graphml.distributed import Ranks, joined, world_size
from graphml.embedders import Embedder, fit_embedder
from graphml.evaluation import average_precision
from graphml.fused_row import FusedRow
from graphml.graph import TransactionGraph
from graphml.graph_row import GraphRow
from graphml.graph_training import GraphRun, GraphTraining
from graphml.ladder import (
    Ladder,
    LadderRow,
    TestWindow,
    choose_served,
    judge_row,
    window_amounts,
)
from graphml.model import Model, RowPolicy
from graphml.network_training import fit_network
from graphml.prepared import FittedRow, Prepared, Progress, Tracking
from graphml.rewire import rewire
from graphml.run_config import TrainConfig
from graphml.scorer import Scorer
from graphml.stacked_row import Network, StackedRow, fit_stacked, require_frauds
from graphml.stored_graph import stored_graph
from graphml.tasks import Task, Tasks, Windows, plan_windows
from ingestion.artifacts import publish, short_hash, staging, verify
from ingestion.config import Settings
from ingestion.errors import ArtifactError
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace

_SHUFFLED = "_shuffled"

NetworkRun = GraphRun[GraphRow] | GraphRun[FusedRow]


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What a training answers; `reused` when the model was there already."""

    model_id: str
    path: Path
    ladder: Ladder
    windows: Windows
    reused: bool


def train(
    workspace: Workspace,
    snapshot: Snapshot,
    settings: Settings,
    *,
    progress: Progress | None = None,
    seed: int | None = None,
    tracking: Tracking | None = None,
) -> TrainResult:
    """Train, judge and publish a model of `snapshot`, or find it published.

    A killed run goes on at its last checkpoint; with dropout, when it has as many processes as before. `progress(stage,
    fraction)` is called as work goes on. Under `torchrun` all processes call this alike: they train the networks
    together, and each for itself the trees on them (`stack`); the first one does everything else. Raises
    `TooLittleData` (exit 3) when the snapshot is too short.
    """
    config = TrainConfig.of(settings, snapshot, seed=seed)
    model_id = model_id_of(snapshot.id, config, processes=world_size())
    target = workspace.models / model_id
    with joined() as ranks:
        if ranks.from_first(_is_published(target)):
            return _published(target, reused=True)
        prepared = _prepare(
            workspace,
            snapshot,
            config,
            ranks,
            checkpoints=workspace.cache / "training" / model_id,
            progress=progress or _silent,
            tracking=tracking if ranks.is_first else None,
        )
        if ranks.is_first:
            _train_and_publish(prepared, target)
        else:
            _train_networks(prepared)
        ranks.from_first(None)  # nobody leaves before the model is there
        return _published(target, reused=False)


def model_id_of(snapshot_id: str, config: TrainConfig, *, processes: int) -> str:
    """The id of what so many processes train."""
    trainings = [*config.networks, *([config.embedder] if config.embedder else [])]
    hangs_on_ranks = processes > 1 and any(training.hangs_on_ranks for training in trainings)
    of_processes = [{"processes": processes}] if hangs_on_ranks else []
    return "model-" + short_hash([snapshot_id, config.as_dict(), code_version(), *of_processes])


def _train_and_publish(prepared: Prepared, target: Path) -> None:
    model_id = target.name
    if prepared.tracking is not None:
        prepared.tracking.start(model_id, prepared.config.as_dict())
    try:
        rows = _fit_rows(prepared)
        embedder = _fit_embedder(prepared)
    except BaseException:
        if prepared.tracking is not None:
            prepared.tracking.fail()
        raise
    ladder = _judge(prepared, rows)
    with staging(target.parent, prefix="model") as folder:
        write_bundle(folder, model_id, prepared, rows, ladder)
        if embedder is not None:
            embedder.save(folder)
        manifest = {
            "id": model_id,
            "kind": "model",
            "snapshot_id": prepared.snapshot.id,
            "served": ladder.served,
            "code_version": code_version(),
        }
        publish(folder, target, manifest, fail_point="model")
    if prepared.tracking is not None:
        prepared.tracking.finish({f"test_ap/{row.name}": row.average_precision.value for row in ladder.rows})
    _drop_checkpoints(prepared.checkpoints)
    prepared.progress("publish", 1.0)


def _published(target: Path, *, reused: bool) -> TrainResult:
    model = Model.open(target)
    ladder = Ladder.from_dict(model.metrics["ladder"])
    return TrainResult(model_id=model.id, path=target, ladder=ladder, windows=model.windows, reused=reused)


def _is_published(target: Path) -> bool:
    """Whether the model is there and whole; a damaged one is trained again and replaced."""
    if not target.exists():
        return False
    try:
        verify(target)
    except ArtifactError:
        return False
    return True


def _prepare(
    workspace: Workspace,
    snapshot: Snapshot,
    config: TrainConfig,
    ranks: Ranks,
    *,
    checkpoints: Path,
    progress: Progress,
    tracking: Tracking | None,
) -> Prepared:
    progress("read", 0.0)
    context = GraphContext(snapshot if ranks.world == 1 else _shared_graph(workspace, snapshot, ranks))
    delay_days = int(snapshot.manifest["label_maturity_days"])
    windows = plan_windows(
        context.graph,
        delay_days=delay_days,
        validation_days=config.validation_days,
        test_days=config.test_days,
    )
    tasks = Tasks.of(context.graph, windows, delay_days=delay_days, not_for_training=snapshot.not_for_training)
    if config.stack:
        require_frauds(tasks.train)
    amount, unit = window_amounts(
        snapshot.feature_arrays, tasks.test.positions, base=snapshot.manifest.get("base_currency")
    )
    test = TestWindow.of(
        context.graph,
        tasks.test,
        role=snapshot.roles.index(snapshot.manifest["alert_party"]),
        amount=amount,
        unit=unit,
    )
    progress("read", 1.0)
    return Prepared(
        snapshot=snapshot,
        config=config,
        context=context,
        windows=windows,
        tasks=tasks,
        test=test,
        progress=progress,
        checkpoints=checkpoints,
        tracking=tracking,
    )


def _shared_graph(workspace: Workspace, snapshot: Snapshot, ranks: Ranks) -> TransactionGraph:
    """One memory-mapped graph for all processes of a machine, made by the first of them."""
    folder = workspace.cache / "graphs"
    graph = stored_graph(snapshot, folder) if ranks.is_first else None
    ranks.from_first(None)
    return graph or stored_graph(snapshot, folder)


def _fit_rows(prepared: Prepared) -> list[FittedRow]:
    """The rows in the order of the ladder. Trees grow on a thread of their own while the networks train here."""
    with ThreadPoolExecutor(1, thread_name_prefix="baselines") as pool:
        baselines = pool.submit(_fit_baselines, prepared)
        networks = _fit_networks(prepared)
        rows = baselines.result() + networks
    prepared.progress("baselines", 1.0)
    return rows


def _fit_baselines(prepared: Prepared) -> list[FittedRow]:
    context, task, config = prepared.context, prepared.tasks.train, prepared.config
    seeds = context.graph.seeds(task.positions)
    scorers: list[Scorer] = [
        LogisticRow.fit(seeds.features, task.is_fraud),
        TreeRow.fit(context, seeds, task.is_fraud, config.trees),
        TreeRow.fit(context, seeds, task.is_fraud, config.trees, config.neighbors),
    ]
    return [_fitted(prepared, context, scorer) for scorer in scorers]


def _fit_networks(prepared: Prepared) -> list[FittedRow]:
    """Each network, trees on it if asked for, and the network on shuffled edges."""
    return [
        _fitted(prepared, context, scorer, name=name, run=run) for name, context, scorer, run in _network_runs(prepared)
    ]


def _train_networks(prepared: Prepared) -> None:
    """The part of a process that is not the first: the same trainings in the same order."""
    for _ in _network_runs(prepared):
        pass
    _fit_embedder(prepared)


def _fit_embedder(prepared: Prepared) -> Embedder | None:
    """What makes vectors of parties, where the ladder's first network does not."""
    strategy = prepared.config.embedding
    if strategy == "outcomes":
        return None
    return fit_embedder(
        strategy,
        prepared.context,
        prepared.tasks.train,
        prepared.config.embedder,
        checkpoint=prepared.checkpoints / f"{strategy}.safetensors",
        progress=lambda _, fraction: prepared.progress(f"embedding, {strategy}", fraction),
    )


def _network_runs(prepared: Prepared) -> Iterator[tuple[str | None, GraphContext, Scorer, NetworkRun | None]]:
    """Name of a control (None for a row that can be served), its graph, the row, how it was trained (not of trees)."""
    shuffled = GraphContext(rewire(prepared.context.graph, seed=prepared.config.seed))
    for config in prepared.config.networks:
        run = _fit_network(prepared, prepared.context, config, config.network)
        yield None, prepared.context, run.row, run
        if prepared.config.stack:
            yield None, prepared.context, _stack(prepared, config, run.row), None
        name = shuffled_name(config.network)
        control = _fit_network(prepared, shuffled, config, name)
        yield name, shuffled, control.row, control


def _stack(prepared: Prepared, config: GraphTraining, network: Network) -> StackedRow:
    """Trees on a network that is trained, and on what its like, trained on a part of the rows, say of the rest."""

    def fit(task: Task, number: int) -> Network:
        stage = f"{config.network}_without_{number}"
        return _fit_network(prepared, prepared.context, config, stage, train=task).row

    return fit_stacked(prepared.context, prepared.tasks.train, prepared.config.trees, network, fit)


def shuffled_name(network: str) -> str:
    """Name of the row that is trained and judged on shuffled edges."""
    return network + _SHUFFLED


def _fit_network(
    prepared: Prepared,
    context: GraphContext,
    config: GraphTraining,
    stage: str,
    *,
    train: Task | None = None,
) -> NetworkRun:
    """On all training rows, or some of them."""
    return fit_network(
        context,
        prepared.tasks.train if train is None else train,
        prepared.tasks.validation,
        config,
        fitted_on=prepared.tasks.train.positions,
        checkpoint=prepared.checkpoints / f"{stage}.safetensors",
        progress=lambda _, fraction: prepared.progress(stage, fraction),
        tracker=None if prepared.tracking is None else prepared.tracking.tracker(stage),
    )


def _fitted(
    prepared: Prepared,
    context: GraphContext,
    scorer: Scorer,
    *,
    name: str | None = None,
    run: NetworkRun | None = None,
) -> FittedRow:
    """Score validation and test; calibration and threshold come from validation."""
    tasks = prepared.tasks
    validation = scorer.logits(context, context.graph.seeds(tasks.validation.positions))
    calibration = Calibration.fit(validation, tasks.validation.is_fraud)
    quantile = np.quantile(validation, 1 - prepared.config.alert_budget, method="higher")
    return FittedRow(
        scorer=scorer,
        name=name or scorer.name,
        is_servable=name is None,
        validation_logits=validation,
        test_logits=scorer.logits(context, context.graph.seeds(tasks.test.positions)),
        policy=RowPolicy(calibration=calibration, threshold_logit=float(quantile)),
        history=[] if run is None else run.history,
        precision=None if run is None else run.precision,
    )


def _judge(prepared: Prepared, rows: list[FittedRow]) -> Ladder:
    judged: list[LadderRow] = []
    for row in rows:
        judged.append(
            judge_row(
                prepared.test,
                name=row.name,
                is_servable=row.is_servable,
                cost=row.scorer.cost,
                validation_average_precision=average_precision(
                    prepared.tasks.validation.is_fraud, row.validation_logits
                ),
                logits=row.test_logits,
                calibration=row.policy.calibration,
                alert_budget=prepared.config.alert_budget,
            )
        )
        prepared.progress("evaluate", len(judged) / len(rows))
    is_fraud = prepared.test.is_fraud
    return Ladder(
        rows=tuple(judged),
        served=choose_served(judged),
        base_rate=float(is_fraud.mean()),
        num_transactions=len(is_fraud),
        num_frauds=int(is_fraud.sum()),
        alert_budget=prepared.config.alert_budget,
    )


def _drop_checkpoints(folder: Path) -> None:
    for file in folder.glob("*.safetensors"):
        file.unlink()


def _silent(stage: str, fraction: float) -> None:
    """Progress that nobody watches."""
