"""The entity index: one L2-normalized vector a party with an event by T, in FAISS, bound to model and snapshot.

indexes/index-<12 hex>/
  vectors.faiss       exact inner product; row i belongs to row i of entities.parquet
  entities.parquet    entity_id, type, key; by entity_id
  tombstones.parquet  entity_id of parties that must not be found any more
  manifest.json       identity (snapshot, model, data as_of, tombstones, format), shape, files with SHA-256

The id is the hash of the identity, so a changed manifest no longer fits its folder's name, and the same inputs
find the index that was published before. Everything is verified before faiss opens a byte (TRUST ART).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from graphml.context import GraphContext
from ingestion.artifacts import SEAL, publish, read_parquet, short_hash, staging, verify, write_parquet
from ingestion.contracts import PartyRef
from ingestion.errors import ArtifactError, DataContractError
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace
from retrieval.embedding import EntityEmbedder, Ids, Vectors, embed_normalized
from retrieval.errors import IndexRefused
from retrieval.faiss_runtime import faiss

FORMAT = 1
BATCH = 4_096
_VECTORS, _ENTITIES, _TOMBSTONES = "vectors.faiss", "entities.parquet", "tombstones.parquet"
_MANIFEST_KEYS = {"id", "kind", "identity", "rows", "dimension", "files", SEAL}
#: faiss writes a header of some tens of bytes before a flat index's vectors.
_MAX_HEADER_BYTES = 1_024
_DECIMALS = 6
ProgressCallback = Callable[[str, float], None]


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A party found by a search; `similarity` is the cosine to six decimals, -1 … 1."""

    entity_id: int
    ref: PartyRef
    similarity: float


def build_index(
    workspace: Workspace,
    snapshot: Snapshot,
    model: EntityEmbedder,
    *,
    as_of: int | None = None,
    context: Any = None,
    tombstones: Iterable[int] = (),
    progress: ProgressCallback | None = None,
) -> str:
    """Embed every party with an event by `as_of` and publish the index; return its id.

    The same inputs give the same id, and an index that is there and whole is kept.

    Args:
        as_of: data as of this time, µs, closed. Default: just before the start of the model's tail, so that
            every alert of the tail may use the index.
        context: what the model reads; default the snapshot's `GraphContext`.
        tombstones: dense ids of parties that must not be found.

    Raises:
        DataContractError: no party has an event by then.
        EmbeddingError: the model gives vectors that cannot be compared.
    """
    time = _tail_start(model) - 1 if as_of is None else int(as_of)
    dead = sorted(set(map(int, tombstones)))
    identity = {
        "format": FORMAT,
        "snapshot_id": snapshot.id,
        "model_id": model.id,
        "as_of": time,
        "tombstones": dead,
    }
    index_id = f"index-{short_hash(identity)}"
    target = workspace.indexes / index_id
    if _is_whole(target):
        return index_id
    cut = int(np.searchsorted(snapshot.arrays.available_at, time, side="right"))
    entity_ids = np.unique(snapshot.arrays.entity[:cut])
    entity_ids = entity_ids[entity_ids >= 0]
    if len(entity_ids) == 0:
        raise DataContractError(
            f"Snapshot {snapshot.id} has no transaction by the index's time ({time} µs).",
            remedy="Choose a later time, or ingest more data.",
        )
    vectors = _embed(model, context or GraphContext(snapshot), entity_ids, cut, progress)
    with staging(workspace.indexes, prefix="index") as folder:
        _write(folder, snapshot, entity_ids, vectors, dead)
        manifest = {
            "id": index_id,
            "kind": "flat",
            "identity": identity,
            "rows": len(entity_ids),
            "dimension": vectors.shape[1],
        }
        publish(folder, target, manifest, fail_point="index")
    return index_id


class EntityIndex:
    """A verified index in memory. Open it with `EntityIndex.open`; it never changes afterwards."""

    def __init__(self, manifest: dict[str, Any], vectors: Any, entities: pa.Table, tombstones: Ids) -> None:
        self.manifest = manifest
        self._vectors = vectors
        self._ids: Ids = entities.column("entity_id").to_numpy()
        self._keys = entities.column("key")
        self._types: NDArray[np.object_] = entities.column("type").to_numpy()
        self._alive = ~np.isin(self._ids, tombstones)
        self._rows = {
            kind: np.flatnonzero(self._alive & (self._types == kind)).astype(np.int64) for kind in set(self._types)
        }
        self._rows[None] = np.flatnonzero(self._alive).astype(np.int64)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        snapshot_id: str | None = None,
        model_id: str | None = None,
        expected_digest: str | None = None,
    ) -> EntityIndex:
        """Verify an index folder, then load it.

        Raises `IndexRefused` for a damaged file or manifest, or when the index is bound to another snapshot or
        model than asked, or is not the one whose manifest has `expected_digest` (as a release records it).
        """
        try:
            manifest = verify(path, expected_digest=expected_digest)
        except ArtifactError as error:
            raise IndexRefused(error.what, remedy=_REBUILD) from error
        except (KeyError, TypeError, AttributeError) as error:
            raise IndexRefused(f"The manifest of {path} is damaged: {error!r}.", remedy=_REBUILD) from error
        _check_manifest(path, manifest)
        for name, wanted in (("snapshot_id", snapshot_id), ("model_id", model_id)):
            if wanted is not None and manifest["identity"][name] != wanted:
                raise IndexRefused(
                    f"Index {path.name} is bound to {name} {manifest['identity'][name]}, not to {wanted}.",
                    remedy="Build the index of this release: `ringfence index build`.",
                )
        entities = read_parquet(path / _ENTITIES)
        tombstones = read_parquet(path / _TOMBSTONES).column("entity_id").to_numpy()
        return cls(manifest, _read_vectors(path, manifest, entities), entities, tombstones)

    @property
    def id(self) -> str:
        return str(self.manifest["id"])

    @property
    def as_of(self) -> int:
        """The vectors hold data available by this time (µs, closed)."""
        return int(self.manifest["identity"]["as_of"])

    @property
    def dimension(self) -> int:
        return int(self.manifest["dimension"])

    def __len__(self) -> int:
        """Parties that can be found."""
        return int(self._alive.sum())

    def vector(self, entity_id: int) -> Vectors | None:
        """The stored vector (D,) of a party, None when it is not in the index."""
        row = int(np.searchsorted(self._ids, entity_id))
        if row == len(self._ids) or self._ids[row] != entity_id or not self._alive[row]:
            return None
        vector: Vectors = self._vectors.reconstruct(row)
        return vector

    def search(self, vector: Vectors, k: int, *, kind: str | None = None, exclude: Collection[int] = ()) -> list[Hit]:
        """The k most similar parties to a vector (D,) of any length, best first, ties by entity id.

        Filters apply before the ranking: only parties of type `kind`, never those in `exclude` (entity ids).
        """
        if vector.shape != (self.dimension,):
            raise ValueError(f"index {self.id} holds vectors of {self.dimension} numbers, the query has {vector.shape}")
        norm = float(np.linalg.norm(vector.astype(np.float64)))
        if not 0 < norm < np.inf:
            raise ValueError(f"the query of length {norm} has no direction to compare")
        rows = self._rows.get(kind, np.empty(0, np.int64))
        if exclude:
            rows = rows[~np.isin(self._ids[rows], np.asarray(list(exclude), np.int64))]
        if k < 1 or len(rows) == 0:
            return []
        similarity, found = self._at_least_as_near(np.ascontiguousarray(vector[None, :] / norm, np.float32), k, rows)
        hits = [
            Hit(entity_id=int(self._ids[row]), ref=self._ref(row), similarity=_rounded(value))
            for value, row in zip(similarity, found, strict=True)
        ]
        return sorted(hits, key=_rank)[:k]

    def _at_least_as_near(self, query: Vectors, k: int, rows: Ids) -> tuple[Vectors, Ids]:
        """Similarities and rows of the k nearest among `rows`, and of all that tie with the last of them: faiss
        cuts a tie anywhere, we cut it by entity id."""
        selected = faiss.SearchParameters(sel=faiss.IDSelectorBatch(rows))  # type: ignore[call-arg]  # stub lacks it
        similarity, found = self._vectors.search(query, min(k, len(rows)), params=selected)
        if k >= len(rows):
            return similarity[0], found[0]
        just_below = float(similarity[0, -1]) - 2 * 10.0**-_DECIMALS
        _, similarity, found = self._vectors.range_search(query, just_below, params=selected)
        return similarity, found

    def _ref(self, row: int) -> PartyRef:
        return PartyRef(type=str(self._types[row]), key=self._keys[int(row)].as_py())


_REBUILD = "Nothing was opened and an index in use stays in use; rebuild with `ringfence index build`."


def _rounded(similarity: float) -> float:
    """Kernels differ in the last bits of equal vectors: what is equal to six decimals is a tie."""
    return round(min(1.0, max(-1.0, float(similarity))), _DECIMALS)


def _rank(hit: Hit) -> tuple[float, int]:
    return -hit.similarity, hit.entity_id


def _tail_start(model: EntityEmbedder) -> int:
    windows = getattr(model, "windows", None)
    if windows is None:
        raise ValueError("the model names no tail: say as_of (µs), the time up to which the index holds data")
    return int(windows.tail_start)


def _is_whole(target: Path) -> bool:
    if not target.exists():
        return False
    try:
        _check_manifest(target, verify(target))
    except ArtifactError:
        return False
    return True


def _embed(
    model: EntityEmbedder, context: Any, entity_ids: Ids, cut: int, progress: ProgressCallback | None
) -> Vectors:
    parts = []
    for start in range(0, len(entity_ids), BATCH):
        parts.append(embed_normalized(model, context, entity_ids[start : start + BATCH], cut))
        if progress is not None:
            progress("embedding parties", min(1.0, (start + BATCH) / len(entity_ids)))
    return np.concatenate(parts)


def _write(folder: Path, snapshot: Snapshot, entity_ids: Ids, vectors: Vectors, tombstones: list[int]) -> None:
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    faiss.write_index(index, str(folder / _VECTORS))
    entities = snapshot.entities().select(["entity_id", "type", "key"]).take(pa.array(entity_ids))
    assert np.array_equal(entities.column("entity_id").to_numpy(), entity_ids), "entities lie by dense id"
    write_parquet(entities, folder / _ENTITIES)
    write_parquet(pa.table({"entity_id": pa.array(tombstones, pa.int64())}), folder / _TOMBSTONES)


def _check_manifest(path: Path, manifest: dict[str, Any]) -> None:
    """The manifest must have exactly our fields, and an identity that hashes to the folder's name."""
    is_ours = (
        set(manifest) == _MANIFEST_KEYS
        and manifest["kind"] == "flat"
        and isinstance(manifest["identity"], dict)
        and path.name == f"index-{short_hash(manifest['identity'])}"
        and set(manifest["files"]) == {_VECTORS, _ENTITIES, _TOMBSTONES}
        and all(isinstance(manifest[name], int) and manifest[name] > 0 for name in ("rows", "dimension"))
        and 0 <= manifest["files"][_VECTORS]["bytes"] - manifest["rows"] * manifest["dimension"] * 4 < _MAX_HEADER_BYTES
    )
    if not is_ours or manifest["identity"].get("format") != FORMAT:
        raise IndexRefused(f"The manifest of {path} does not describe an index of this version.", remedy=_REBUILD)


def _read_vectors(path: Path, manifest: dict[str, Any], entities: pa.Table) -> Any:
    index = faiss.read_index(str(path / _VECTORS))
    shape = (index.ntotal, index.d, index.metric_type, entities.num_rows)
    if shape != (manifest["rows"], manifest["dimension"], faiss.METRIC_INNER_PRODUCT, manifest["rows"]):
        raise IndexRefused(f"{path / _VECTORS} does not have the shape of its manifest.", remedy=_REBUILD)
    return index
