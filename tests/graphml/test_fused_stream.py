"""One event at a time: the logits of the batch, from any start, with late events and corrections, by torch and ONNX."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import onnx
import pytest

from graphml.context import GraphContext
from graphml.errors import ModelMismatch
from graphml.event_code import EventCode
from graphml.fused_onnx import OnnxSteps, export_steps
from graphml.fused_row import FusedRow
from graphml.fused_stream import FusedStream, Steps
from graphml.fused_training import FusedTraining, fit_fused, fused_row
from graphml.graph import TransactionGraph
from graphml.growing import GrowingContext
from graphml.label_table import labels_of, rebuilt
from graphml.tasks import Task
from graphml.trainer_config import TrainerConfig
from ingestion.labels import LabelEvents
from tests.graphml.cases import random_graph

GRAPH = random_graph(3, num=200, entities=9)
POSITIONS = np.arange(60, 200)
FUSED = FusedTraining(
    columns=(0, 1, 2, 3),
    width=16,
    window=4,
    num_heads=2,
    next_event=0.1,
    surprise=True,
    trainer=TrainerConfig(epochs=2, batch_size=32),
)
KINDS = {
    "fused": FUSED,
    "decoder": replace(FUSED, network="decoder", fanouts=(0, 0)),
    "one event": replace(FUSED, window=1),
    "no surprise": replace(FUSED, surprise=False),
    "tabular": replace(FUSED, tabular=(1, 2, 3)),
    "three blocks": replace(FUSED, num_blocks=3, window=3),
}


@lru_cache
def fitted(kind: str) -> FusedRow:
    is_fraud = np.random.default_rng(0).random(len(POSITIONS)) < 0.3
    task = Task(positions=POSITIONS, is_fraud=is_fraud)
    return fit_fused(GraphContext(GRAPH), task, KINDS[kind]).row


def stream_of(row: FusedRow, begin: int, steps: Steps | None = None, graph: TransactionGraph = GRAPH) -> FusedStream:
    labels = labels_of(graph)
    known = labels.known_at <= (graph.available_at[begin - 1] if begin else -1)
    before = LabelEvents(**{name: column[known] for name, column in vars(labels).items()})
    return FusedStream.begin(row, GrowingContext(graph, before, up_to=begin, depth=64), steps=steps)


def replay(
    stream: FusedStream, begin: int, end: int, graph: TransactionGraph = GRAPH, *, backwards: bool = False
) -> np.ndarray:
    """Logits of transactions that are fed in order, labels when they are due (those due together `backwards`)."""
    labels, logits = labels_of(graph), []
    known = labels.known_at <= (graph.available_at[begin - 1] if begin else -1)
    waiting = np.flatnonzero(~known)
    for position in range(begin, end):
        now = int(graph.available_at[position])
        is_due = (labels.known_at[waiting] <= now) & (labels.position[waiting] < position)
        for at in waiting[is_due][:: -1 if backwards else 1]:
            label = {"known_at": int(labels.known_at[at]), "is_fraud": bool(labels.is_fraud[at])}
            label |= {"origin": int(labels.origin[at])}
            stream.observe_label(int(labels.position[at]), **label)
            stream.context.set_label(int(labels.position[at]), **label)
        waiting = waiting[~is_due]
        logits.append(stream.score(graph.seeds(np.asarray([position]))))
        stream.context.add_transaction(
            entity=graph.entity[position],
            event_time=int(graph.event_time[position]),
            available_at=now,
            features=graph.features[position],
        )
        stream.add(position)
    return np.asarray(logits)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("begin", [0, 60, 150])
def test_a_replay_gives_the_logits_of_the_batch(kind: str, begin: int) -> None:
    row = fitted(kind)
    batch = row.logits(GraphContext(GRAPH), GRAPH.seeds(np.arange(begin, 200)))
    assert np.abs(replay(stream_of(row, begin), begin, 200) - batch).max() < 1e-4
    assert batch.std() > 0.1


@pytest.mark.parametrize("backwards", [False, True])
def test_labels_of_one_time_count_in_the_order_of_the_log_however_they_are_fed(backwards: bool) -> None:
    labels = labels_of(GRAPH)
    # a chargeback and an analyst who disagree about it at the same moment, of every other labelled transaction
    at = np.flatnonzero(np.bincount(labels.position, minlength=200) == 1)[::2]
    chosen = np.flatnonzero(np.isin(labels.position, at))
    doubled = {name: np.concatenate([column, column[chosen]]) for name, column in vars(labels).items()}
    doubled["is_fraud"][len(labels.position) :] ^= True
    doubled["origin"][len(labels.position) :] = (doubled["origin"][chosen] + 1) % 3
    order = np.lexsort((doubled["origin"], doubled["position"], doubled["known_at"]))
    graph = rebuilt(GRAPH, LabelEvents(**{name: column[order] for name, column in doubled.items()}))
    row = fitted("fused")
    batch = row.logits(GraphContext(graph), graph.seeds(np.arange(60, 200)))
    found = replay(stream_of(row, 60, graph=graph), 60, 200, graph, backwards=backwards)
    assert np.abs(found - batch).max() < 1e-4
    assert np.abs(batch - row.logits(GraphContext(GRAPH), GRAPH.seeds(np.arange(60, 200)))).max() > 0.1


def test_the_graph_has_late_events_and_corrected_labels() -> None:
    labels = labels_of(GRAPH)
    assert (np.diff(GRAPH.event_time) < 0).any()
    assert (np.bincount(labels.position) > 1).any()
    assert len(GRAPH.roles) == 3
    assert (GRAPH.entity < 0).any()


def test_memory_that_is_built_again_is_the_memory_that_went_on() -> None:
    row = fitted("fused")
    went_on = stream_of(row, 60)
    replay(went_on, 60, 150)
    again = stream_of(row, 150)
    for stream in (went_on, again):
        stream._flush()
    num = GRAPH.num_entities
    assert np.allclose(went_on.memory.state[:num], again.memory.state[:num], atol=1e-5)
    assert np.array_equal(went_on.memory.last_time[:num], again.memory.last_time[:num])
    for name in ("keys", "values"):
        sums = [
            np.where(stream.memory.filled[:num, None, :, None], getattr(stream.memory, name)[:num], 0).sum(axis=2)
            for stream in (went_on, again)
        ]
        assert np.allclose(*sums, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_onnx_gives_the_numbers_of_torch(kind: str, tmp_path: Path) -> None:
    row = fitted(kind)
    export_steps(row.network, tmp_path, row.name)
    onnx, eager = (replay(stream_of(row, 60, steps), 60, 120) for steps in (OnnxSteps(tmp_path, row.name), None))
    assert np.allclose(onnx, eager, atol=1e-5)


def test_a_new_party_has_nothing_to_remember_until_it_has() -> None:
    row = fitted("fused")
    stream = stream_of(row, 200)
    new = stream.context.add_entity(0)
    seed = GRAPH.seeds(np.asarray([199]))
    cuts = replace(seed.cuts, position=np.asarray([200]))
    found = stream.score(replace(seed, entity=np.asarray([[new, GRAPH.entity[199, 1], -1]]), cuts=cuts))
    assert np.isfinite(found)
    assert not stream.memory.has_event[new]


def test_an_encoder_cannot_be_streamed() -> None:
    encoder = replace(FUSED, network="encoder", fanouts=(0, 0))
    task = Task(positions=POSITIONS, is_fraud=POSITIONS % 3 == 0)
    row = fused_row(GraphContext(GRAPH), task, encoder)
    with pytest.raises(ValueError, match="no memory"):
        FusedStream.begin(row, GrowingContext(GRAPH, labels_of(GRAPH), up_to=0, depth=64))


def test_a_growing_graph_keeps_no_log() -> None:
    context = GrowingContext(GRAPH, labels_of(GRAPH), up_to=200, depth=64)
    with pytest.raises(NotImplementedError, match="stream"):
        context.events()
    assert context.past().graph is GRAPH


def test_labels_of_many_parties_are_told_in_steps_of_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = replay(stream_of(fitted("fused"), 80), 80, 130)
    monkeypatch.setattr("graphml.fused_stream.MOST_PARTIES", 3)
    assert np.abs(replay(stream_of(fitted("fused"), 80), 80, 130) - whole).max() < 1e-5


def test_past_labels_code_their_transaction_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, rows = stream_of(fitted("fused"), 120), []
    counted = EventCode.__call__

    def count(code: EventCode, features: np.ndarray) -> np.ndarray:
        rows.append(len(features))
        return counted(code, features)

    monkeypatch.setattr(EventCode, "__call__", count)
    known_at = int(GRAPH.available_at[120])
    for position in range(100, 105):
        stream.observe_label(position, known_at=known_at, is_fraud=True, origin=0)
    stream.score(GRAPH.seeds(np.asarray([120])))
    assert rows == [1] * 6


def test_a_context_that_keeps_too_little_or_has_grown_is_refused() -> None:
    nothing = LabelEvents(**{name: column[:0] for name, column in vars(labels_of(GRAPH)).items()})
    with pytest.raises(ValueError, match="keeps 4 a party"):
        FusedStream.begin(fitted("fused"), GrowingContext(GRAPH, nothing, up_to=100, depth=4))
    grown = GrowingContext(GRAPH, nothing, up_to=100, depth=64)
    grown.add_transaction(
        entity=GRAPH.entity[100],
        event_time=int(GRAPH.event_time[100]),
        available_at=int(GRAPH.available_at[100]),
        features=GRAPH.features[100],
    )
    with pytest.raises(ValueError, match="after 1 new ones"):
        FusedStream.begin(fitted("fused"), grown)


def test_steps_of_an_earlier_version_are_refused(tmp_path: Path) -> None:
    export_steps(fitted("fused").network, tmp_path, "fused")
    model = onnx.load(tmp_path / "fused.transaction.onnx")
    for item in model.graph.input:
        item.name = "near_DMT" if item.name == "told_DMX" else item.name
    for node in model.graph.node:
        node.input[:] = ["near_DMT" if name == "told_DMX" else name for name in node.input]
    onnx.save(model, tmp_path / "fused.transaction.onnx")
    with pytest.raises(ModelMismatch, match="earlier version"):
        OnnxSteps(tmp_path, "fused")
