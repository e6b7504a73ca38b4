"""The entity index: exact, bound, deterministic, and refused when a bit of it differs."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ingestion.artifacts import digest
from ingestion.contracts import PartyRef
from ingestion.errors import DataContractError
from retrieval import index as index_module
from retrieval.errors import EmbeddingError, IndexRefused
from retrieval.index import EntityIndex, build_index
from tests.builders import DAY, START
from tests.retrieval.worlds import INDEX_TIME, FakeModel, World, story


@pytest.fixture
def own(tmp_path: Path) -> World:
    return World(tmp_path, *story())


def path_of(world: World, **more: object) -> Path:
    index_id = build_index(world.workspace, world.snapshot, world.model, as_of=INDEX_TIME, **more)  # type: ignore[arg-type]
    return world.workspace.indexes / index_id


def test_a_party_is_in_when_it_had_an_event_by_then(world: World) -> None:
    index = world.index()
    assert index.as_of == INDEX_TIME
    for name in ("account:victim", "account:mule", "account:good", "merchant:shop", "device:dark", "card:c1"):
        assert index.vector(world.records.entity_id(PartyRef.parse(name)) or 0) is not None, name
    assert index.vector(world.records.entity_id(PartyRef.parse("account:m1")) or 0) is None  # comes on day 40


def test_vectors_are_the_models_normalized_as_of_then(world: World) -> None:
    index = world.index()
    entity_id = world.records.entity_id(PartyRef.parse("account:mule"))
    assert entity_id is not None
    cut = world.records.cut(INDEX_TIME)
    raw = world.model.embed_entities(None, np.asarray([entity_id]), cut)[0]  # two events as source: (3, 1, 1, 1)
    assert raw.tolist() == [3, 1, 1, 1]
    np.testing.assert_allclose(index.vector(entity_id), raw / np.sqrt(12), rtol=1e-6)


def test_a_search_equals_brute_force_within_the_type(world: World) -> None:
    index, records = world.index(), world.records
    query = np.asarray([0.9, 0.1, 0.3, 0.2], np.float32)
    accounts = [PartyRef.parse(name) for name in ("account:victim", "account:mule", "account:good")]
    ids = [records.entity_id(ref) for ref in accounts]
    expected = {
        ref: float(query @ index.vector(entity)) / np.linalg.norm(query)
        for ref, entity in zip(accounts, ids, strict=True)
    }  # type: ignore[arg-type]
    hits = index.search(query, 10, kind="account")
    assert [hit.ref for hit in hits] == sorted(expected, key=lambda ref: -expected[ref])
    assert [hit.similarity for hit in hits] == pytest.approx(sorted(expected.values(), reverse=True), rel=1e-6)
    assert [hit.ref for hit in index.search(query, 1, kind="account")] == [hits[0].ref]


def test_filters_apply_before_the_ranking(world: World) -> None:
    index = world.index()
    query = np.ones(4, np.float32)
    everyone = index.search(query, len(index))
    assert len(everyone) == len(index)
    excluded = [hit.entity_id for hit in everyone[:3]]
    assert [hit.entity_id for hit in index.search(query, 3, exclude=excluded)] == [
        hit.entity_id for hit in everyone[3:6]
    ]
    assert index.search(query, 3, kind="ship") == []


def test_equal_vectors_rank_by_entity_id(world: World) -> None:
    hits = world.index().search(np.ones(4, np.float32), 50)
    assert hits == sorted(hits, key=lambda hit: (-hit.similarity, hit.entity_id))


def test_a_query_of_another_dimension_or_no_direction_is_refused(world: World) -> None:
    with pytest.raises(ValueError, match="4 numbers"):
        world.index().search(np.ones(5, np.float32), 1)
    for value in (0.0, np.nan):
        with pytest.raises(ValueError, match="no direction"):
            world.index().search(np.full(4, value, np.float32), 1)


def test_the_same_inputs_give_the_same_index_and_files(own: World, tmp_path: Path) -> None:
    first = path_of(own)
    written = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in first.iterdir()}
    assert path_of(own) == first
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in first.iterdir()} == written
    again = path_of(World(tmp_path / "again", *story()))
    assert again.name == first.name
    assert {path.name: path.read_bytes() for path in again.iterdir()} == {
        name: data for name, (data, _) in written.items()
    }


def test_a_published_index_is_not_embedded_again(own: World, monkeypatch: pytest.MonkeyPatch) -> None:
    path_of(own)
    monkeypatch.setattr(own.model, "embed_entities", None)
    path_of(own)


def test_a_damaged_index_is_built_anew(own: World) -> None:
    path = path_of(own)
    before = (path / "vectors.faiss").read_bytes()
    (path / "vectors.faiss").write_bytes(before[:-1])
    assert path_of(own) == path
    assert (path / "vectors.faiss").read_bytes() == before


def test_tombstones_are_not_found(own: World) -> None:
    dead = own.records.entity_id(PartyRef.parse("account:mule"))
    assert dead is not None
    with_dead, without = EntityIndex.open(path_of(own)), EntityIndex.open(path_of(own, tombstones=[dead]))
    assert without.id != with_dead.id
    assert len(without) == len(with_dead) - 1
    assert without.vector(dead) is None
    assert dead not in {hit.entity_id for hit in without.search(np.ones(4, np.float32), 50)}
    assert dead in {hit.entity_id for hit in with_dead.search(np.ones(4, np.float32), 50)}


def test_an_index_is_bound_to_model_snapshot_and_digest(own: World) -> None:
    path = path_of(own)
    index = EntityIndex.open(path, snapshot_id=own.snapshot.id, model_id=own.model.id, expected_digest=digest(path))
    assert index.manifest["identity"]["model_id"] == own.model.id
    for wrong in ({"snapshot_id": "snap-other"}, {"model_id": "model-other"}, {"expected_digest": "0" * 64}):
        with pytest.raises(IndexRefused):
            EntityIndex.open(path, **wrong)  # type: ignore[arg-type]


def test_no_data_by_then_says_so(own: World) -> None:
    with pytest.raises(DataContractError, match="no transaction by"):
        build_index(own.workspace, own.snapshot, own.model, as_of=START - DAY)


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_vectors_without_a_direction_are_refused(own: World, bad: float, monkeypatch: pytest.MonkeyPatch) -> None:
    def embed(context: object, ids: np.ndarray, cut: int) -> np.ndarray:
        vectors = np.ones((len(ids), 4), np.float32)
        vectors[1] = bad
        return vectors

    monkeypatch.setattr(own.model, "embed_entities", embed)
    with pytest.raises(EmbeddingError, match="1 zero or non-finite"):
        path_of(own)
    assert not own.workspace.indexes.exists()


def test_500_single_bit_flips_are_refused_before_faiss_opens_anything(
    own: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = path_of(own)
    in_force = EntityIndex.open(path)
    query = np.asarray([1, 2, 3, 4], np.float32)
    before = in_force.search(query, 5)
    files = sorted(path.iterdir())
    sizes = np.asarray([file.stat().st_size for file in files])
    originals = [file.read_bytes() for file in files]
    opened: list[str] = []
    monkeypatch.setattr(index_module.faiss, "read_index", opened.append)
    rng = np.random.default_rng(0)
    touched = set()
    for trial in range(500):
        which = trial % len(files)  # each file as often, whatever its size
        at, bit = int(rng.integers(sizes[which])), int(rng.integers(8))
        damaged = bytearray(originals[which])
        damaged[at] ^= 1 << bit
        files[which].write_bytes(damaged)
        with pytest.raises(IndexRefused):
            EntityIndex.open(path)
        files[which].write_bytes(originals[which])
        touched.add(files[which].name)
    assert opened == []
    assert touched == {"manifest.json", "vectors.faiss", "entities.parquet", "tombstones.parquet"}
    assert in_force.search(query, 5) == before


@pytest.mark.parametrize("damage", ["missing", "extra", "longer"])
def test_missing_extra_and_longer_files_are_refused(own: World, damage: str) -> None:
    path = path_of(own)
    if damage == "missing":
        (path / "tombstones.parquet").unlink()
    elif damage == "extra":
        (path / "more.bin").write_bytes(b"x")
    else:
        with (path / "vectors.faiss").open("ab") as file:
            file.write(b"\0")
    with pytest.raises(IndexRefused):
        EntityIndex.open(path)


def test_torch_is_loaded_before_faiss() -> None:
    code = (
        "import sys; import retrieval.index; names = list(sys.modules); "
        "assert names.index('torch') < names.index('faiss'); import faiss; assert faiss.omp_get_max_threads() == 1"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize("point", ["index.before_publish", "index.after_publish"])
def test_killed_while_publishing_the_next_run_ends_as_a_clean_one(own: World, point: str, tmp_path: Path) -> None:
    clean = path_of(World(tmp_path / "clean", *story()))
    log = tmp_path / "points"
    code = (
        "import sys; from pathlib import Path; from tests.retrieval.worlds import *; from tests.builders import *\n"
        f"workspace = Workspace.open({str(own.workspace.root)!r}); snapshot = Snapshot.open(workspace)\n"
        "build_index(workspace, snapshot, FakeModel(snapshot), as_of=INDEX_TIME)"
    )
    environment = os.environ | {"RINGFENCE_FAILPOINT": f"{point}:kill", "RINGFENCE_FAILPOINT_LOG": str(log)}
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=Path(__file__).resolve().parents[2], timeout=120, check=False
    )
    assert ended.returncode == -signal.SIGKILL
    assert point in log.read_text().split()
    visible = [path.name for path in own.workspace.indexes.iterdir() if not path.name.startswith(".")]
    assert visible == ([clean.name] if point == "index.after_publish" else [])
    path = path_of(own)
    assert [entry.name for entry in own.workspace.indexes.iterdir()] == [path.name]  # nothing half-done is left
    assert {file.name: file.read_bytes() for file in path.iterdir()} == {
        file.name: file.read_bytes() for file in clean.iterdir()
    }


def test_the_default_time_is_just_before_the_tail(own: World) -> None:
    class Windows:
        tail_start = INDEX_TIME + 1

    class WithWindows(FakeModel):
        windows = Windows()

    index_id = build_index(own.workspace, own.snapshot, WithWindows(own.snapshot))
    assert index_id == path_of(own).name


def test_a_model_without_windows_needs_a_time(own: World) -> None:
    with pytest.raises(ValueError, match="say as_of"):
        build_index(own.workspace, own.snapshot, own.model)
