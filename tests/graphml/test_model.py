"""The bundle: verified before it is opened, the same scores from disk, and what it refuses."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from graphml.context import GraphContext
from graphml.errors import ModelMismatch
from graphml.model import Model
from graphml.training import shuffled_name
from ingestion.artifacts import MANIFEST
from ingestion.errors import ArtifactError
from tests.graphml.trained import NETWORKS, ROWS, Trained


def test_a_batch_of_any_size_gives_the_same_logits(trained: Trained) -> None:
    context = GraphContext(trained.graph)
    positions = np.arange(3_000, 3_050)
    for row in ROWS:
        together = trained.model.score_positions(context, positions, row)
        alone = [trained.model.score_positions(context, positions[i : i + 1], row)[0] for i in range(50)]
        assert together.dtype == np.float64
        assert np.abs(together - alone).max() < 1e-5


def test_the_served_row_is_the_default(trained: Trained) -> None:
    context, positions = GraphContext(trained.graph), np.arange(3_000, 3_020)
    served = trained.model.score_positions(context, positions, trained.model.served_row)
    assert trained.model.score_positions(context, positions).tolist() == served.tolist()
    probability = trained.model.probability(served)
    assert (np.diff(probability[np.argsort(served)]) >= 0).all()
    assert ((probability > 0) & (probability < 1)).all()


def test_entities_have_vectors_of_length_one_that_only_the_past_moves(trained: Trained) -> None:
    context = GraphContext(trained.graph)
    ids = np.asarray([3, 0, 3])
    vectors = trained.model.embed_entities(context, ids, 2_000)
    assert vectors.dtype == np.float32
    assert vectors.shape == (3, 64)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(3), abs=1e-5)
    assert vectors[0].tobytes() == vectors[2].tobytes()
    assert not np.allclose(vectors[0], trained.model.embed_entities(context, ids, 4_000)[0])


def test_a_bit_flipped_anywhere_is_refused_and_the_original_still_opens(trained: Trained, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    copy = tmp_path / trained.model.id
    shutil.copytree(trained.model.path, copy)
    files = sorted(path for path in copy.iterdir() if path.name != MANIFEST)
    assert len(files) >= 9
    for trial in range(100):
        path = files[trial % len(files)]
        intact = path.read_bytes()
        damaged = bytearray(intact)
        damaged[rng.integers(len(damaged))] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(ArtifactError, match="differs from its manifest"):
            Model.open(copy)
        path.write_bytes(intact)
    assert Model.open(copy).id == trained.model.id


def test_a_missing_file_and_another_manifest_are_refused(trained: Trained, tmp_path: Path) -> None:
    copy = tmp_path / trained.model.id
    shutil.copytree(trained.model.path, copy)
    with pytest.raises(ArtifactError, match="bound to"):
        Model.open(copy, expected_digest="0" * 64)
    (copy / "graphsage.safetensors").unlink()
    with pytest.raises(ArtifactError, match="missing or extra"):
        Model.open(copy)


def test_nothing_in_a_bundle_is_pickle(trained: Trained) -> None:
    assert {path.suffix for path in trained.model.path.iterdir()} == {
        ".json",
        ".safetensors",
        ".onnx",
        ".md",
        ".parquet",
    }
    for path in trained.model.path.glob("*.json"):
        assert path.read_bytes()[:1] in (b"{", b"[")


def test_a_graph_with_other_roles_types_or_features_is_refused(trained: Trained) -> None:
    graph = trained.graph
    for other, what in (
        (replace(graph, roles=("source", "target")), "roles"),
        (replace(graph, types=("account",)), "entity types"),
        (replace(graph, features=graph.features[:, 1:]), "number of features"),
    ):
        with pytest.raises(ModelMismatch, match=f"{trained.model.id} was trained on {what}"):
            trained.model.score_positions(GraphContext(other), np.arange(3))


def test_an_unknown_row_names_the_known_ones(trained: Trained) -> None:
    with pytest.raises(ValueError, match=r"'transformer' is not a row of .* it has logistic, xgboost"):
        trained.model.score_positions(GraphContext(trained.graph), np.arange(3), "transformer")


def test_the_card_says_what_a_reader_must_know(trained: Trained) -> None:
    card = (trained.model.path / "card.md").read_text()
    for needed in (trained.snapshot.id, trained.model.served_row, "EU AI Act", "card P@100", "train", "Platt"):
        assert needed in card
    assert "graphsage_shuffled" in card


def test_the_metrics_hold_what_the_report_draws(trained: Trained) -> None:
    metrics = trained.model.metrics
    assert set(metrics["curves"]) == {*ROWS, *(shuffled_name(network) for network in NETWORKS)}
    assert all(len(curve["recall"]) == len(curve["precision"]) > 1 for curve in metrics["curves"].values())
    assert sum(metrics["calibration"]["count"]) == trained.result.ladder.num_transactions
    assert metrics["base_rate"] == trained.result.ladder.base_rate
