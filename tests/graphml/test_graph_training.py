"""Training of the graph row: resumes to the same weights, corrects the prior, draws as it says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from graphml import graph_training
from graphml.context import GraphContext
from graphml.distributed import Ranks
from graphml.evaluation import average_precision
from graphml.graph import Cuts
from graphml.graph_training import GraphLearner, GraphTraining, epoch_rows, fit_graph, graph_row, kept_share
from graphml.losses import Loss
from graphml.networks import NETWORKS
from graphml.node_tasks import NodeTask
from graphml.tasks import Task
from graphml.torch_first import torch
from graphml.trainer_config import TrainerConfig
from tests.graphml.cases import random_graph
from tests.graphml.graph_ranks import train_double, train_graph_on_rank

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
    frauds = set(np.flatnonzero(train.is_fraud).tolist())
    drawn = epoch_rows(train, CONFIG, 0)
    passes = round(CONFIG.seeds_per_epoch / (len(frauds) * (1 + CONFIG.negatives)))
    counted = np.bincount(drawn, minlength=300)
    assert {int(counted[row]) for row in frauds} == {passes}
    assert len(drawn) == passes * len(frauds) * (1 + CONFIG.negatives)
    assert drawn.max() < len(train)
    assert drawn.tolist() == epoch_rows(train, CONFIG, 0).tolist()
    assert drawn.tolist() != epoch_rows(train, CONFIG, 1).tolist()


def test_a_long_history_gives_an_epoch_of_bounded_size_with_the_same_mix() -> None:
    train = Task(positions=np.arange(10_000), is_fraud=np.arange(10_000) < 1_000)
    config = GraphTraining(negatives=4, seeds_per_epoch=10, max_seeds_per_epoch=500)
    drawn = epoch_rows(train, config, 0)
    assert len(set(drawn.tolist())) == len(drawn) == 500
    assert (drawn < 1_000).sum() == 100
    assert set(drawn.tolist()) != set(epoch_rows(train, config, 1).tolist())


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


@pytest.mark.parametrize("network", sorted(NETWORKS))
@pytest.mark.parametrize("kind", ["entity", "pair"])
def test_every_network_learns_entities_and_pairs_with_the_same_trainer(
    context: GraphContext, network: str, kind: str
) -> None:
    """The outcome is whether an entity (or the first of a pair) has many transactions: its neighbors show it."""
    graph = context.graph
    busy = np.bincount(graph.entity[:200, 0], minlength=30) > 6
    rng = np.random.default_rng(0)
    entity = rng.integers(0, 30, (240, 1 if kind == "entity" else 2))
    position, moment = np.full(240, 200), np.full(240, graph.available_at[199])
    cuts = Cuts(position=position, label_time=moment, event_time=moment)
    task = NodeTask(entity=entity, cuts=cuts, is_fraud=busy[entity[:, 0]])
    trainer = replace(TRAINER, epochs=6, learning_rate=1e-2)
    config = GraphTraining(network=network, trainer=trainer, fanouts=(16, 4), width=16, dropout=0.0, negatives=9)
    run = fit_graph(context, task, None, replace(config, seeds_per_epoch=480))
    assert run.history[-1]["loss"] < 0.6 * run.history[0]["loss"]
    logits = run.row.logits(context, task.seeds(graph, np.arange(240)))
    assert average_precision(task.is_fraud, logits) > 0.9


def test_two_processes_train_a_graph_network_as_one_does(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(train_graph_on_rank, (2, tmp_path), nprocs=2)
    alone = train_double()
    assert alone.state.steps_done >= 50
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for name, tensor in alone.learner.network.state_dict().items():
            assert (tensor - found[name]).abs().max() <= 1e-5


@pytest.mark.parametrize("network", sorted(NETWORKS))
def test_a_rank_without_a_seed_takes_part_in_the_step(context: GraphContext, tasks, network: str) -> None:
    row = graph_row(context, tasks[0], replace(CONFIG, network=network))
    learner = GraphLearner(
        context=context, train=tasks[0], validation=None, config=CONFIG, row=row, ranks=Ranks(rank=1, world=2)
    )
    loss = learner.loss(row.network, np.zeros(0, np.int64))
    loss.backward()
    assert loss.item() == 0.0
    assert all(parameter.grad is not None for parameter in row.network.parameters())


def test_the_table_of_transactions_goes_to_a_device_once(context: GraphContext, tasks) -> None:
    row = graph_row(context, tasks[0], CONFIG)
    device = torch.device("meta")
    assert context.table(row.edge_scaler, device) is context.table(row.edge_scaler, device)
    here = context.table(row.edge_scaler, torch.device("cpu"))
    assert here.data_ptr() == context.inputs(row.edge_scaler).ctypes.data
