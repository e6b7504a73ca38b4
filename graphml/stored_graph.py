"""The graph at rest: memory-mapped arrays in a verified folder, so that a graph larger than memory still samples and
the ranks of a training share one copy.

cache/graphs/graph-<12 hex>/
  manifest.json        id, snapshot id, roles, types, files with SHA-256
  graph.safetensors    the arrays of `TransactionGraph`

Made from a snapshot in bounded memory: features, nine tenths of the bytes, go through part by part, and slots are
counted into their places.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from graphml.graph import SOURCE, TARGET, Ints, SmallInts, TransactionGraph, entity_types, label_columns
from graphml.mapped_arrays import Array, create_mapped, open_mapped
from ingestion.artifacts import MANIFEST, publish, short_hash, staging, verify
from ingestion.compiled import jit
from ingestion.errors import ArtifactError
from ingestion.snapshot import Snapshot

_FILE = "graph.safetensors"
_VERSION = 1
#: The newest graphs of a folder that are kept: each is about as large as its snapshot, and can be made again.
_NUM_KEPT = 2


def stored_graph(snapshot: Snapshot, folder: Path) -> TransactionGraph:
    """The graph of a snapshot from `folder`, made there first when it is not there yet or damaged.

    Making one removes all but the newest few; who has mapped one of those keeps it until it is closed.
    """
    path = folder / f"graph-{short_hash([snapshot.id, _VERSION])}"
    try:
        return open_graph(path)
    except ArtifactError:  # not there, or damaged: a cache is made again
        with staging(folder, prefix="graph") as staged:
            roles, types = _write(snapshot, staged)
            manifest = {"id": path.name, "kind": "graph", "snapshot_id": snapshot.id, "roles": roles, "types": types}
            publish(staged, path, manifest)
        _drop_old(folder)
    return open_graph(path)


def open_graph(path: Path) -> TransactionGraph:
    """Open a stored graph; every file is checked first. Raises `ArtifactError` when one differs."""
    manifest = verify(path)
    arrays = open_mapped(path / _FILE)
    return TransactionGraph(roles=tuple(manifest["roles"]), types=tuple(manifest["types"]), **arrays)


def _drop_old(folder: Path) -> None:
    for path in sorted(folder.glob("graph-*"), key=_made_at)[:-_NUM_KEPT]:
        shutil.rmtree(path, ignore_errors=True)  # half removed, it fails its check and goes the next time


def _made_at(path: Path) -> int:
    try:
        return (path / MANIFEST).stat().st_mtime_ns
    except FileNotFoundError:  # half removed
        return 0


def _write(snapshot: Snapshot, folder: Path) -> tuple[list[str], list[str]]:
    """Write all arrays; roles and types."""
    arrays = snapshot.arrays
    types, entity_type = entity_types(snapshot)
    labels = label_columns(snapshot.label_events, len(arrays))
    slots = count_slots(arrays.entity, len(entity_type))
    columns: dict[str, Array] = {
        "entity": arrays.entity,
        "entity_type": entity_type,
        "event_time": arrays.event_time,
        "available_at": arrays.available_at,
        "starts": slots[:-1],
        "stops": slots[1:],
        **labels,
    }
    shapes: dict[str, tuple[tuple[int, ...], type]] = {
        name: (column.shape, column.dtype.type) for name, column in columns.items()
    }
    num_slots, num_features = int(slots[-1]), len(snapshot.spec.names)
    shapes |= {"incident": ((num_slots,), np.int64), "incident_other": ((num_slots,), np.int64)}
    shapes |= {"incident_role": ((num_slots,), np.int8), "features": ((len(arrays), num_features), np.float32)}
    mapped = create_mapped(folder / _FILE, shapes)
    for name, column in columns.items():
        mapped[name][...] = column
    fill_slots(arrays.entity, slots[:-1].copy(), mapped["incident"], mapped["incident_role"], mapped["incident_other"])
    _stream_features(snapshot, mapped["features"])
    return list(arrays.roles), list(types)


def _stream_features(snapshot: Snapshot, features: Array) -> None:
    """Copy the feature table, a row group at a time."""
    row = 0
    for path in sorted((snapshot.path / "features").glob("*.parquet")):
        file = pq.ParquetFile(path, page_checksum_verification=True)
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=snapshot.spec.names)
            for index, name in enumerate(snapshot.spec.names):
                features[row : row + table.num_rows, index] = table.column(name).to_numpy()
            row += table.num_rows


@jit
def count_slots(entity_NR: Ints, num_entities: int) -> Ints:
    """Bounds (V + 1,) of every entity's slots; an entity with two roles in a transaction has one slot there."""
    bounds = np.zeros(num_entities + 1, np.int64)
    for row in range(entity_NR.shape[0]):
        for role in range(entity_NR.shape[1]):
            owner = entity_NR[row, role]
            if owner >= 0 and not _earlier(entity_NR, row, role):
                bounds[owner + 1] += 1
    for owner in range(num_entities):
        bounds[owner + 1] += bounds[owner]
    return bounds


@jit
def fill_slots(entity_NR: Ints, free: Ints, transaction: Ints, role_of: SmallInts, other: Ints) -> None:
    """Put each transaction into the next free slot (`free` (V,), used up) of its parties, in the sequence's order."""
    for row in range(entity_NR.shape[0]):
        for role in range(entity_NR.shape[1]):
            owner = entity_NR[row, role]
            if owner >= 0 and not _earlier(entity_NR, row, role):
                slot = free[owner]
                transaction[slot] = row
                role_of[slot] = role
                other[slot] = entity_NR[row, TARGET if role == SOURCE else SOURCE]
                free[owner] = slot + 1


@jit
def _earlier(entity_NR: Ints, row: int, role: int) -> bool:
    """Whether the entity has an earlier role in the transaction."""
    found = False
    for earlier in range(role):
        found = found or entity_NR[row, earlier] == entity_NR[row, role]
    return found
