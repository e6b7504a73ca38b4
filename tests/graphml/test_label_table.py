"""Label tables taken from graphs, cut, dealt out anew; features under another one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphml.label_table import as_of, dealt_out, features_under, labels_of, rebuilt
from tests.graphml.cases import HOUR, graph_of, labels, random_graph
from tests.graphml.trained import Trained, shared_training


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return shared_training(tmp_path_factory)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_a_graph_is_the_same_after_its_labels_were_taken_and_given_back(seed: int) -> None:
    graph = random_graph(seed)
    back = rebuilt(graph, labels_of(graph))
    for name, values in vars(graph).items():
        assert np.array_equal(getattr(back, name), values, equal_nan=name == "features"), name


def test_as_of_leaves_what_was_there_and_known() -> None:
    known = labels((0, 2 * HOUR, True), (0, 5 * HOUR, False), (1, 3 * HOUR, False), (2, 2 * HOUR, True))
    graph = graph_of([[0, 1], [2, 1], [0, 2]], [0, HOUR, 2 * HOUR], known=known)
    cut = as_of(graph, 2, 3 * HOUR)
    assert len(cut) == 2 and cut.num_entities == 3
    assert cut.label_known_at.tolist() == [2 * HOUR, 3 * HOUR]  # closed; the third transaction's is gone
    assert cut.label_state.tolist() == [1, 0]
    assert cut.incident.tolist() == [0, 0, 1, 1]


def test_histories_of_labels_change_hands_with_their_delays() -> None:
    known = labels((0, 5, True), (0, 9, False), (1, 17, True), (2, 20, False))
    available = np.asarray([0, 10, 20, 1_000])
    changed = 0
    for seed in range(20):
        dealt = dealt_out(known, available, seed=seed)
        assert set(dealt.position.tolist()) == {0, 1, 2}, "only what has a label gets one"
        delays = sorted(
            zip((dealt.known_at - available[dealt.position]).tolist(), dealt.is_fraud.tolist(), strict=True)
        )
        assert delays == [(0, False), (5, True), (7, True), (9, False)]
        first, second = np.flatnonzero(dealt.known_at - available[dealt.position] == 5)[0], 9
        twice = dealt.position[first]
        assert second in (dealt.known_at - available[dealt.position])[dealt.position == twice], "a history stays whole"
        assert np.array_equal(dealt.known_at, np.sort(dealt.known_at))
        changed += twice != 0
    assert 8 <= changed <= 19


def test_features_under_the_true_labels_are_the_snapshot_s(trained: Trained) -> None:
    snapshot = trained.snapshot
    assert features_under(snapshot, snapshot.label_events).tobytes() == snapshot.features().tobytes()


def test_features_follow_the_label_table(trained: Trained) -> None:
    snapshot, names = trained.snapshot, trained.snapshot.spec.names
    other = features_under(snapshot, dealt_out(snapshot.label_events, snapshot.arrays.available_at, seed=0))
    true = snapshot.features()
    changed = {name for at, name in enumerate(names) if not np.array_equal(other[:, at], true[:, at], True)}
    labelled = {column.name for column in snapshot.spec.columns if column.kind.startswith("label")}
    assert changed & labelled
    assert all("fraud_rate" in name for name in changed - labelled), "two hops carry rates of fraud"
