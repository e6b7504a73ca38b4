"""What transformers are taught: to tell a transaction from what was before it, without seeing it and without labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from graphml.context import GraphContext
from graphml.fused_row import FusedRow
from graphml.fused_training import FusedTraining, event_columns, fit_fused, fused_row, pretrain
from graphml.graph import TransactionGraph
from graphml.label_table import labels_of, rebuilt
from graphml.losses import Loss
from graphml.nn.fused import Told
from graphml.nn.next_event import NextEvent, next_event_loss
from graphml.tasks import Task
from graphml.torch_first import torch
from graphml.trainer_config import TrainerConfig
from ingestion.errors import UsageError
from ingestion.features.spec import FeatureSpec
from ingestion.labels import LabelEvents
from tests.graphml.cases import random_graph
from tests.graphml.graph_ranks import train_double_fused, train_graph_on_rank

GRAPH = random_graph(3, num=200, entities=9)
POSITIONS = np.arange(60, 200)
TRAINER = TrainerConfig(epochs=2, batch_size=32, precision="fp32")  # auto is a timed probe, which load can sway
FUSED = FusedTraining(
    columns=(0, 1, 2, 3), width=16, window=4, num_heads=2, next_event=0.1, surprise=True, trainer=TRAINER
)
DECODER = replace(FUSED, network="decoder", fanouts=(0, 0))
ENCODER = replace(DECODER, network="encoder")
KINDS = {"fused": FUSED, "decoder": DECODER, "encoder": ENCODER}


def task(graph: TransactionGraph = GRAPH) -> Task:
    is_fraud = np.random.default_rng(0).random(len(POSITIONS)) < 0.3
    return Task(positions=POSITIONS, is_fraud=is_fraud)


def fresh(config: FusedTraining, graph: TransactionGraph = GRAPH) -> FusedRow:
    return fused_row(GraphContext(graph), task(), config)


def told(row: FusedRow, graph: TransactionGraph, positions: np.ndarray) -> Told:
    row.network.eval()
    with torch.inference_mode():
        return row.network.told(*row.inputs(GraphContext(graph), graph.seeds(positions)))


def of_seeds(row: FusedRow, graph: TransactionGraph, position: int) -> tuple[np.ndarray, np.ndarray]:
    """Expected and actual bins of one transaction, by party."""
    found = told(row, graph, np.asarray([position]))
    inputs = row.inputs(GraphContext(graph), graph.seeds(np.asarray([position])))[0]
    is_last = torch.isin(found.row_M, inputs.last_D)
    return found.expected_MB[is_last].numpy(), found.filled_MB[is_last].numpy()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("moved", ["features", "time"])
def test_a_transaction_is_told_without_seeing_it(kind: str, moved: str) -> None:
    row, position = fresh(KINDS[kind]), 150
    features, time = GRAPH.features.copy(), GRAPH.event_time.copy()
    if moved == "features":
        features[position] = features[position] * 0.5 + 0.2
    else:
        time[position] -= 40 * 3_600_000_000
    if (kind, moved) == ("encoder", "time"):  # it sees when the transaction was, and is not asked for the gap
        assert row.network.teller.num_bins == sum(row.config.reader.bins)
        return
    other = replace(rebuilt(GRAPH, labels_of(GRAPH), features=features), event_time=time)
    (expected, filled), (again, changed) = (of_seeds(row, graph, position) for graph in (GRAPH, other))
    assert len(expected) > 1
    assert np.array_equal(expected, again)
    assert not np.array_equal(filled, changed)


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_before_it_tells(kind: str) -> None:
    row, position = fresh(KINDS[kind]), 150
    features = GRAPH.features.copy()
    features[:position] = features[:position] * 0.5 + 0.2
    other = rebuilt(GRAPH, labels_of(GRAPH), features=features)
    assert not np.array_equal(of_seeds(row, GRAPH, position)[0], of_seeds(row, other, position)[0])


@pytest.mark.parametrize("kind", KINDS)
def test_past_only_a_logit_hangs_on_nothing_that_comes_later_and_not_on_its_batch(kind: str) -> None:
    row, position = fit_fused(GraphContext(GRAPH), task(), KINDS[kind]).row, 150
    features = GRAPH.features.copy()
    features[position + 1 :] += 3
    other = rebuilt(GRAPH, labels_of(GRAPH), features=features)
    everything = row.logits(GraphContext(GRAPH), GRAPH.seeds(POSITIONS))
    upto = np.arange(60, position + 1)
    assert np.allclose(row.logits(GraphContext(other), other.seeds(upto)), everything[: len(upto)], atol=1e-5)
    alone = row.logits(GraphContext(GRAPH), GRAPH.seeds(np.asarray([position])))
    assert np.allclose(alone, everything[position - 60], atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_pretraining_tells_better_than_a_fresh_network_and_than_shares_of_the_bins(kind: str) -> None:
    graph = habits()
    pretraining = TrainerConfig(epochs=20, batch_size=64, learning_rate=1e-2)
    config = replace(KINDS[kind], pretraining=pretraining, seeds_per_epoch=300)
    row = fresh(config, graph)
    later = np.arange(300, 400)
    before, filled = (told(row, graph, later).__getattribute__(name) for name in ("expected_MB", "filled_MB"))
    pretrain(row, GraphContext(graph), config, end=300)
    after = told(row, graph, later).expected_MB
    shares = filled.mean(dim=0).clamp(1e-4, 1 - 1e-4).logit().expand_as(filled)
    assert next_event_loss(after, filled) < next_event_loss(before, filled) - 0.1
    assert next_event_loss(after, filled) < next_event_loss(shares, filled) - 0.03


def test_pretraining_reads_no_label_that_was_not_known() -> None:
    labels = labels_of(GRAPH)
    end = 150
    late = labels.known_at > GRAPH.available_at[end - 1]
    other = rebuilt(GRAPH, replace(labels, is_fraud=labels.is_fraud ^ late))
    config = replace(FUSED, pretraining=TRAINER, seeds_per_epoch=64)
    weights = []
    for graph in (GRAPH, other):
        row = fresh(config, graph)
        pretrain(row, GraphContext(graph), config, end=end)
        weights.append(row.network.state_dict())
    assert late.any()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_fitting_begins_with_pretraining_and_both_report_how_far_they_are() -> None:
    config = replace(FUSED, pretraining=TRAINER, seeds_per_epoch=64)
    heard: list[str] = []
    context = GraphContext(GRAPH)
    row = fit_fused(context, task(), config, progress=lambda name, share: heard.append(name)).row
    plain = fit_fused(context, task(), FUSED).row
    assert list(dict.fromkeys(heard)) == ["fused, pretraining", "fused"]
    seeds = GRAPH.seeds(POSITIONS)
    assert not np.allclose(row.logits(context, seeds), plain.logits(context, seeds), atol=1e-3)


class Killed(Exception):
    """Stands for the process's end."""


@pytest.mark.parametrize(("stage", "share"), [("fused, pretraining", 0.6), ("fused", 0.6)])
def test_killed_in_either_stage_it_goes_on_to_the_same_weights(tmp_path: Path, stage: str, share: float) -> None:
    trainer = replace(TRAINER, checkpoint_steps=1)
    config = replace(FUSED, pretraining=trainer, trainer=trainer, seeds_per_epoch=96, dropout=0.2)
    context, file = GraphContext(GRAPH), tmp_path / "fused.safetensors"

    def killing(name: str, done: float) -> None:
        if name == stage and done > share:
            raise Killed

    with pytest.raises(Killed):
        fit_fused(context, task(), config, checkpoint=file, progress=killing)
    went_on = fit_fused(context, task(), config, checkpoint=file).row
    whole = fit_fused(context, task(), config).row
    weights = whole.network.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in went_on.network.state_dict().items())
    assert all(path.suffix == ".safetensors" for path in tmp_path.iterdir())  # what a finished training removes


def test_a_student_learns_what_its_teacher_says_and_no_outcome() -> None:
    graph = habits()
    context, positions = GraphContext(graph), np.arange(300)
    high = graph.features[positions, 0] > 0.5
    other = Task(positions=positions, is_fraud=positions % 5 == 0)  # has nothing to do with what the teacher says
    config = replace(FUSED, negatives=2, trainer=TrainerConfig(epochs=12, batch_size=32, learning_rate=5e-3))
    teacher = np.where(high, 3.0, -3.0)
    student = fit_fused(context, other, config, teacher=teacher).row
    logits = student.logits(context, graph.seeds(np.arange(300, 400)))
    is_high = graph.features[300:400, 0] > 0.5
    assert abs(logits[is_high].mean() - 3.0) < 0.7
    assert abs(logits[~is_high].mean() + 3.0) < 0.7
    with pytest.raises(ValueError, match="299 logits"):
        fit_fused(context, other, config, teacher=teacher[1:])
    with pytest.raises(ValueError, match="cross_entropy alone"):
        fit_fused(context, other, replace(config, loss=Loss(kind="focal")), teacher=teacher)


def test_surprise_tells_too_high_from_too_low_and_the_expected_from_the_odd() -> None:
    teller = NextEvent(4, (3, 1))
    expected = torch.tensor([[9.0, 0.0, -9.0, 9.0]] * 4)  # one and a half of three bins, and the flag is set
    filled = torch.tensor([[1, 0.5, 0, 1], [1, 1, 1, 1], [0, 0, 0, 1], [1, 0.5, 0, 0]])
    found = teller.surprise(expected, filled)
    assert found.shape == (4, 4)
    assert torch.allclose(found[:, 0], torch.tensor([0.0, 1.5, -1.5, 0.0]), atol=1e-3)
    assert torch.allclose(found[:, 1], torch.tensor([0.0, 0.0, 0.0, -1.0]), atol=1e-3)
    assert found[1, 2] > 2 > 1 > found[0, 2]
    assert found[3, 3] > 2 > 0.01 > found[0, 3]


def test_without_learning_to_tell_there_is_no_surprise() -> None:
    with pytest.raises(ValueError, match="would not know what to expect"):
        replace(FUSED, next_event=0.0)
    row = fresh(replace(FUSED, surprise=False))
    seeds = GRAPH.seeds(POSITIONS)
    before = row.logits(GraphContext(GRAPH), seeds)
    with torch.no_grad():
        for weight in row.network.teller.parameters():
            weight += 1.0
    assert np.array_equal(row.logits(GraphContext(GRAPH), seeds), before)


def test_a_spec_without_features_of_the_event_is_refused() -> None:
    with pytest.raises(UsageError, match="no features of the event itself"):
        event_columns(FeatureSpec.from_dict({"name": "bare", "event": []}))


def test_settings_that_contradict_each_other_are_named() -> None:
    for wrong in ({"network": "encoder"}, {"fanouts": (0, 16)}, {"fanouts": (10, 0)}, {"fanouts": (0, 0)}):
        with pytest.raises(ValueError, match="give away"):
            replace(FUSED, **wrong)
    with pytest.raises(ValueError, match="weight is 0 or more"):
        replace(FUSED, next_event=-1.0)
    with pytest.raises(ValueError, match="say how to pretrain"):
        pretrain(fresh(FUSED), GraphContext(GRAPH), FUSED, end=10)


def habits() -> TransactionGraph:
    """Each payer has an amount of its own that it always pays, to one of many payees."""
    rng = np.random.default_rng(0)
    num, none = 400, np.zeros(0, np.int64)
    payer = rng.integers(0, 10, num)
    time = np.arange(num) * 3_600_000_000
    amount = np.linspace(0, 1, 10)[payer] + 0.01 * rng.random(num)
    return TransactionGraph.build(
        roles=("source", "target"),
        types=("account",),
        entity=np.stack([payer, 10 + rng.integers(0, 150, num)], axis=1),
        entity_type=np.zeros(160, np.int64),
        event_time=time,
        available_at=time,
        features=np.stack([amount, rng.random(num), rng.random(num), rng.random(num)], axis=1).astype(np.float32),
        labels=LabelEvents(position=none, known_at=none, is_fraud=none.astype(bool), origin=none),
    )


def test_two_ranks_train_to_the_weights_of_one(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(train_graph_on_rank, (2, tmp_path, train_double_fused), nprocs=2)
    alone = train_double_fused().learner.network.state_dict()
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in alone)
    assert all(torch.allclose(first[name], alone[name], atol=1e-5) for name in alone)


def test_telling_the_other_end_is_part_of_the_loss_and_not_for_an_encoder() -> None:
    context, task = GraphContext(GRAPH), Task(positions=np.arange(60, 160), is_fraud=np.arange(100) % 5 == 0)
    without = fit_fused(context, task, replace(FUSED, counterparty=0.0))
    told = fit_fused(context, task, replace(FUSED, counterparty=0.5))
    again = fit_fused(context, task, replace(FUSED, counterparty=0.5))
    assert told.history[0]["loss"] > without.history[0]["loss"]
    assert told.history == again.history
    with pytest.raises(ValueError, match="counterparty with an encoder"):
        replace(ENCODER, counterparty=0.5)
