"""What a model is shown, and what it cannot ask for."""

from __future__ import annotations

import numpy as np
import pytest

from graphml.data_view import DataView, EvaluationData, SealedRow
from graphml.tasks import Task
from tests.graphml.cases import HOUR, graph_of, labels
from tests.graphml.trained import Trained, shared_training


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return shared_training(tmp_path_factory)


@pytest.fixture
def data() -> EvaluationData:
    """Six transactions of two payers, an hour apart; 0 and 2 are fraud, known two hours later."""
    known = labels((0, 2 * HOUR, True), (2, 4 * HOUR, True), (1, 3 * HOUR, False))
    graph = graph_of([[0, 2], [0, 2], [1, 2], [0, 2], [1, 2], [0, 2]], [i * HOUR for i in range(6)], known=known)
    return EvaluationData(graph=graph, feature_names=("number",), read=lambda name: None, rows=np.arange(6))


def view(data: EvaluationData, *positions: int) -> DataView:
    return data.to_score(np.asarray(positions))


def test_a_view_ends_with_its_last_row_and_what_was_known_then(data: EvaluationData) -> None:
    shown = view(data, 1, 3)
    assert shown.horizon == 4 and shown.is_fraud is None
    assert shown.features.tolist() == [[1.0], [3.0]]
    assert shown.graph.label_known_at.tolist() == [2 * HOUR, 3 * HOUR]  # that of 2 comes at 4


def test_a_view_to_fit_on_ends_at_the_deadline(data: EvaluationData) -> None:
    task = Task(positions=np.asarray([0, 1]), is_fraud=np.asarray([True, False]))
    shown = data.to_fit(task, deadline=2 * HOUR)
    assert shown.horizon == 2, "the deadline is open for transactions"
    assert shown.graph.label_known_at.tolist() == [2 * HOUR], "and closed for labels"
    assert shown.is_fraud is not None and shown.is_fraud.tolist() == [True, False]


def test_a_probe_holds_everything(data: EvaluationData) -> None:
    shown = data.to_probe(np.asarray([1]))
    assert (shown.horizon, len(shown.graph.label_known_at)) == (6, 3)


@pytest.mark.parametrize("position", [4, 5, -1, 99])
def test_rows_behind_the_horizon_are_sealed(data: EvaluationData, position: int) -> None:
    shown, asked = view(data, 1, 3), np.asarray([0, position])
    for ask in (
        lambda: shown.features_at(asked),
        lambda: shown.column("kind", asked),
        lambda: shown.known_labels(np.asarray([0, 1, 2]), asked),
    ):
        with pytest.raises(SealedRow, match=f"Position {position} was asked for, .* before position 4"):
            ask()


def test_recent_and_known_labels_look_back_only(data: EvaluationData) -> None:
    shown = view(data, 3, 4)
    offsets, positions = shown.recent("source", 2)
    assert (offsets.tolist(), positions.tolist()) == ([0, 2, 3], [0, 1, 2])
    # at hour 3 row 3 knows of 0 and 1; row 4 knows that 2 is fraud, as of just now
    assert shown.known_labels(offsets, positions).tolist() == [1, 0, 1]
    offsets, positions = view(data, 2, 3).recent("target", 1)
    assert positions.tolist() == [1, 2]
    assert view(data, 2, 3).known_labels(offsets, positions).tolist() == [-1, -1]


def test_columns_are_the_table_s(trained: Trained) -> None:
    data = EvaluationData.of(trained.snapshot, trained.graph)
    shown = data.to_score(np.asarray([10, 200]))
    table = trained.snapshot.transactions()
    for name in ("amount_minor", "channel", "source_key"):
        assert shown.column(name).to_pylist() == table.column(name).take([10, 200]).to_pylist()
    assert shown.features.tobytes() == trained.snapshot.features()[[10, 200]].tobytes()
    assert shown.feature_names == tuple(trained.snapshot.spec.names)
    with pytest.raises(ValueError, match="no column 'label'"):
        shown.column("label")


def test_a_model_that_works_in_place_changes_only_its_view(data: EvaluationData) -> None:
    task = Task(positions=np.asarray([0, 1]), is_fraud=np.asarray([True, False]))
    before = {name: value.copy() for name, value in vars(data.graph).items() if isinstance(value, np.ndarray)}
    for shown in (data.to_fit(task, deadline=9 * HOUR), view(data, 0, 5), data.to_probe(np.asarray([1, 4]))):
        arrays = [value for value in vars(shown.graph).values() if isinstance(value, np.ndarray)]
        for array in (*arrays, shown.positions, *([] if shown.is_fraud is None else [shown.is_fraud])):
            array[...] = 1
    assert all(np.array_equal(getattr(data.graph, name), value) for name, value in before.items())
    assert task.positions.tolist() == [0, 1] and task.is_fraud.tolist() == [True, False]


def test_nothing_leads_from_a_view_to_what_lies_behind(trained: Trained) -> None:
    data = EvaluationData.of(trained.snapshot, trained.graph)
    shown = data.to_score(np.asarray([10, 200]))
    for name, array in vars(shown.graph).items():
        if isinstance(array, np.ndarray) and len(array) and array.base is not None:
            assert array.base.shape[0] <= max(201, len(shown.graph.incident), data.graph.num_entities) + 1, name
    assert shown.graph.features.base is None
    column = shown.read("amount_minor")
    assert len(column) == shown.horizon == 201
    assert column.to_pylist() == trained.snapshot.transactions().column("amount_minor").to_pylist()[:201]
    assert max(buffer.size for buffer in column.buffers() if buffer is not None) < 8 * 201 + 64
