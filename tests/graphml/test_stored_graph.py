"""The graph at rest is the graph in memory, mapped, checked, and made again when damaged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from graphml.graph import TransactionGraph
from graphml.mapped_arrays import create_mapped, open_mapped
from graphml.sampling import RECENT, Uniform, sample_blocks, seed_nodes
from graphml.stored_graph import count_slots, fill_slots, open_graph, stored_graph
from ingestion.artifacts import publish, read_manifest, staging
from ingestion.errors import ArtifactError
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace
from tests.builders import build_snapshot, random_rows
from tests.graphml.cases import random_graph
from tests.graphml.sample_in_little_memory import sampled


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    rows, labels = random_rows(400, seed=3, fraud_rate=0.1)
    return build_snapshot(Workspace.open(tmp_path_factory.mktemp("stored")), rows, labels=labels, spec="handbook")


def test_every_array_is_the_same_as_in_memory(snapshot: Snapshot, tmp_path: Path) -> None:
    stored, memory = stored_graph(snapshot, tmp_path), TransactionGraph.from_snapshot(snapshot)
    for name, value in vars(memory).items():
        if isinstance(value, np.ndarray):
            assert getattr(stored, name).dtype == value.dtype
            np.testing.assert_array_equal(getattr(stored, name), value, err_msg=name)
        else:
            assert getattr(stored, name) == value


def test_it_is_mapped_and_samples_the_same(snapshot: Snapshot, tmp_path: Path) -> None:
    stored, memory = stored_graph(snapshot, tmp_path), TransactionGraph.from_snapshot(snapshot)
    base = stored.features.base
    assert isinstance(base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        stored.features[0, 0] = 1.0
    positions = np.asarray([100, 399, 250])
    for strategy in (Uniform(1), RECENT):
        found = []
        for graph in (stored, memory):
            nodes, _ = seed_nodes(graph.entity[positions])
            blocks = sample_blocks(graph, nodes, graph.cuts(positions), (5, 3), strategy)
            found.append([block.edge.tobytes() + block.transaction.tobytes() for block in blocks])
        assert found[0] == found[1]


def test_it_is_found_again_and_a_damaged_one_is_made_again(snapshot: Snapshot, tmp_path: Path) -> None:
    stored_graph(snapshot, tmp_path)
    (folder,) = tmp_path.glob("graph-*")
    file = folder / "graph.safetensors"
    made = file.stat().st_mtime_ns
    stored_graph(snapshot, tmp_path)
    assert file.stat().st_mtime_ns == made
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ArtifactError, match="differs"):
        open_graph(folder)
    assert len(stored_graph(snapshot, tmp_path)) == 400


def test_the_file_is_what_the_safetensors_library_reads(tmp_path: Path) -> None:
    path = tmp_path / "arrays.safetensors"
    made = create_mapped(path, {"a": ((3,), np.int8), "b": ((2, 2), np.float32), "none": ((0,), np.int64)})
    made["a"][:], made["b"][:] = [1, 2, 3], [[1.5, 2.5], [3.5, 4.5]]
    for found in (load_file(path), open_mapped(path)):
        assert found["a"].tolist() == [1, 2, 3]
        assert found["b"].tolist() == [[1.5, 2.5], [3.5, 4.5]]
        assert found["none"].shape == (0,)


def test_what_is_no_such_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "arrays.safetensors"
    path.write_bytes(b"\xff" * 40)
    with pytest.raises(ArtifactError, match=r"arrays\.safetensors"):
        open_mapped(path)


@pytest.mark.parametrize("seed", range(5))
def test_counted_slots_are_the_sorted_ones_compiled_or_not(seed: int) -> None:
    graph = random_graph(seed)
    for count, fill in ((count_slots, fill_slots), (count_slots.py_func, fill_slots.py_func)):
        bounds = count(graph.entity, graph.num_entities)
        assert bounds[:-1].tolist() == graph.starts.tolist()
        transaction, other = np.zeros((2, bounds[-1]), np.int64)
        role = np.zeros(bounds[-1], np.int8)
        fill(graph.entity, bounds[:-1].copy(), transaction, role, other)
        assert transaction.tolist() == graph.incident.tolist()
        assert role.tolist() == graph.incident_role.tolist()
        assert other.tolist() == graph.incident_other.tolist()


def test_the_two_newest_are_kept_and_a_mapped_one_stays_readable(tmp_path: Path) -> None:
    made = []
    for number in range(3):
        rows, labels = random_rows(20 + number, seed=number, fraud_rate=0.1)
        workspace = Workspace.open(tmp_path / str(number))
        made.append(build_snapshot(workspace, rows, labels=labels, spec="handbook"))
    folder = tmp_path / "graphs"
    (folder / "graph-half-removed").mkdir(parents=True)
    mapped = [stored_graph(snapshot, folder) for snapshot in made]
    kept = {read_manifest(path)["snapshot_id"] for path in folder.glob("graph-*")}
    assert kept == {snapshot.id for snapshot in made[1:]}
    np.testing.assert_array_equal(mapped[0].features, TransactionGraph.from_snapshot(made[0]).features)
    assert len(stored_graph(made[0], folder)) == 20  # made again


def test_a_graph_larger_than_the_memory_that_is_left_samples(tmp_path: Path) -> None:
    """A file of 179 MB, sampled all over with 48 MiB of private memory to spare."""
    num, entities, features = 1_000_000, 50_000, 24
    rng = np.random.default_rng(0)
    entity = rng.integers(0, entities, (num, 2))
    time = np.arange(num) * 1_000_000
    bounds = count_slots(entity, entities)
    shapes = dict.fromkeys(("event_time", "available_at", "label_starts", "label_stops"), ((num,), np.int64))
    shapes |= dict.fromkeys(("starts", "stops", "entity_type"), ((entities,), np.int64))
    shapes |= {name: ((int(bounds[-1]),), np.int64) for name in ("incident", "incident_other")}
    shapes |= {"incident_role": ((int(bounds[-1]),), np.int8), "label_state": ((0,), np.int8)}
    shapes |= {"entity": ((num, 2), np.int64), "label_known_at": ((0,), np.int64)}
    shapes |= {"features": ((num, features), np.float32)}
    with staging(tmp_path, prefix="graph") as staged:
        mapped = create_mapped(staged / "graph.safetensors", shapes)
        mapped["entity"][...], mapped["event_time"][...], mapped["available_at"][...] = entity, time, time
        mapped["starts"][...], mapped["stops"][...] = bounds[:-1], bounds[1:]
        fill_slots(entity, bounds[:-1].copy(), mapped["incident"], mapped["incident_role"], mapped["incident_other"])
        publish(staged, tmp_path / "graph-large", {"id": "graph-large", "roles": ["source", "target"], "types": ["a"]})
    assert (tmp_path / "graph-large" / "graph.safetensors").stat().st_size > 170e6
    command = [sys.executable, "-m", "tests.graphml.sample_in_little_memory", str(tmp_path / "graph-large"), "48"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert not found["features_fit"], "the limit holds: the features alone are 96 MB"
    assert found["edges"] == sampled(open_graph(tmp_path / "graph-large"), 20_000) > 1_000_000
