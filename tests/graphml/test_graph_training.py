"""Training of the graph row: resumes to the same weights, corrects the prior, draws as it says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from graphml import graph_training
from graphml.context import GraphContext
from graphml.graph_training import GraphTraining, epoch_positions, fit_graph, kept_share
from graphml.losses import Loss
from graphml.tasks import Task
from graphml.trainer_config import TrainerConfig
from tests.graphml.cases import random_graph

TRAINER = TrainerConfig(epochs=4, patience=9, batch_size=16, precision="fp32")
CONFIG = GraphTraining(trainer=TRAINER, seeds_per_epoch=60, negatives=2, width=8)


@pytest.fixture(scope="module")
def context() -> GraphContext:
    return GraphContext(random_graph(1, num=300, entities=30))


@pytest.fixture(scope="module")
def tasks() -> tuple[Task, Task]:
    rng = np.random.default_rng(0)
    is_fraud = rng.random(300) < 0.1
    return (
        Task(positions=np.arange(50, 200), is_fraud=is_fraud[50:200]),
        Task(positions=np.arange(200, 300), is_fraud=is_fraud[200:300]),
    )


def weights(run) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in run.row.network.state_dict().items()}


def test_the_same_seed_gives_the_same_weights(context: GraphContext, tasks) -> None:
    first, second = (fit_graph(context, *tasks, CONFIG) for _ in range(2))
    assert weights(first) == weights(second)
    assert first.history == second.history


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_killed_after_any_epoch_it_resumes_to_the_same_weights(
    context: GraphContext, tasks, tmp_path: Path, epoch: int
) -> None:
    def kill(_: str, fraction: float) -> None:
        if fraction >= epoch / TRAINER.epochs:
            raise KeyboardInterrupt

    checkpoint = tmp_path / "graphsage.safetensors"
    with pytest.raises(KeyboardInterrupt):
        fit_graph(context, *tasks, CONFIG, checkpoint=checkpoint, progress=kill)
    resumed = fit_graph(context, *tasks, CONFIG, checkpoint=checkpoint)
    clean = fit_graph(context, *tasks, CONFIG)
    assert weights(resumed) == weights(clean)
    assert resumed.history == clean.history


def test_a_damaged_checkpoint_only_costs_time(context: GraphContext, tasks, tmp_path: Path) -> None:
    checkpoint = tmp_path / "graphsage.safetensors"
    checkpoint.write_bytes(b"not a checkpoint")
    assert weights(fit_graph(context, *tasks, CONFIG, checkpoint=checkpoint)) == weights(
        fit_graph(context, *tasks, CONFIG)
    )


def test_an_epoch_holds_every_fraud_in_every_pass_and_fresh_negatives(tasks) -> None:
    train, _ = tasks
    frauds = set(train.positions[train.is_fraud].tolist())
    drawn = epoch_positions(train, CONFIG, 0)
    passes = round(CONFIG.seeds_per_epoch / (len(frauds) * (1 + CONFIG.negatives)))
    counted = np.bincount(drawn, minlength=300)
    assert {int(counted[position]) for position in frauds} == {passes}
    assert len(drawn) == passes * len(frauds) * (1 + CONFIG.negatives)
    assert set(drawn.tolist()) <= set(train.positions.tolist())
    assert drawn.tolist() == epoch_positions(train, CONFIG, 0).tolist()
    assert drawn.tolist() != epoch_positions(train, CONFIG, 1).tolist()


def test_a_long_history_gives_an_epoch_of_bounded_size_with_the_same_mix() -> None:
    train = Task(positions=np.arange(10_000), is_fraud=np.arange(10_000) < 1_000)
    config = GraphTraining(negatives=4, seeds_per_epoch=10, max_seeds_per_epoch=500)
    drawn = epoch_positions(train, config, 0)
    assert len(set(drawn.tolist())) == len(drawn) == 500
    assert (drawn < 1_000).sum() == 100
    assert set(drawn.tolist()) != set(epoch_positions(train, config, 1).tolist())


def test_the_share_of_negatives_that_is_kept(tasks) -> None:
    train = Task(positions=np.arange(100), is_fraud=np.arange(100) < 10)
    assert kept_share(train, CONFIG) == pytest.approx(20 / 90)
    assert kept_share(train, GraphTraining(negatives=50)) == 1.0


@pytest.mark.parametrize("loss", [Loss(), Loss(kind="focal", gamma=1), Loss(kind="logit_adjusted")])
def test_logits_meet_the_base_rate_though_negatives_were_left_out(context: GraphContext, loss: Loss) -> None:
    rng = np.random.default_rng(3)
    train = Task(positions=np.arange(20, 300), is_fraud=rng.random(280) < 0.1)
    config = GraphTraining(
        trainer=replace(TRAINER, epochs=5, learning_rate=5e-3),
        loss=loss,
        seeds_per_epoch=200,
        negatives=2,
        width=8,
        dropout=0.0,
    )
    row = fit_graph(context, train, None, config).row
    probability = 1 / (1 + np.exp(-row.logits(context, context.graph.seeds(train.positions))))
    assert probability.mean() == pytest.approx(train.is_fraud.mean(), abs=0.06)


def test_without_validation_the_last_epoch_is_kept(context: GraphContext, tasks) -> None:
    run = fit_graph(context, tasks[0], None, CONFIG)
    assert run.best_epoch == run.num_epochs == TRAINER.epochs


def test_it_stops_when_validation_does_not_get_better(
    context: GraphContext, tasks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_training, "MIN_FRAUDS_TO_STOP", 5)
    trainer = replace(TRAINER, epochs=50, patience=2, batch_size=64)
    run = fit_graph(context, *tasks, replace(CONFIG, trainer=trainer))
    assert run.num_epochs == run.best_epoch + 2 < 50
    judged = [entry["validation"] for entry in run.history]
    assert judged.index(max(judged)) + 1 == run.best_epoch


def test_too_few_frauds_cannot_choose_an_epoch(context: GraphContext, tasks) -> None:
    assert tasks[1].is_fraud.sum() < graph_training.MIN_FRAUDS_TO_STOP
    run = fit_graph(context, *tasks, CONFIG)
    last = fit_graph(context, tasks[0], None, CONFIG)
    assert len(run.history) == TRAINER.epochs
    assert weights(run) == weights(last)
