"""How an artefact is written and read: hash first, open second; a half-written one is never visible.

Write into a hidden temporary folder beside the target, list every file with size and SHA-256 in
`manifest.json`, seal the manifest by a hash of itself, fsync files and folder, rename the folder (TRUST PUB).
Reading verifies the seal and the whole list first (TRUST ART). Parquet is written and read with page checksums
(TRUST 2.2).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from ingestion.errors import ArtifactError
from ingestion.failpoints import failpoint

MANIFEST = "manifest.json"
#: Key of the manifest that holds the hash of all its others: one flipped bit anywhere in it is found.
SEAL = "seal"
_TEMPORARY = ".tmp-"


def canonical_json(value: Any) -> bytes:
    """Bytes that are the same for equal values: sorted keys, no spaces, UTF-8."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def short_hash(value: Any, *, length: int = 12) -> str:
    """First hex digits of the SHA-256 of the canonical JSON."""
    return hashlib.sha256(canonical_json(value)).hexdigest()[:length]


def file_sha256(path: Path) -> str:
    """SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_parquet(table: pa.Table, path: Path) -> None:
    """Write one Parquet file with page checksums and zstd."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, write_page_checksum=True, compression="zstd", compression_level=1)


def read_parquet(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Read a Parquet file, or a folder's `*.parquet` in name order, verifying page checksums."""
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise ArtifactError(f"{path} holds no Parquet file.", remedy="Rebuild the artefact that it belongs to.")
    try:
        tables = [pq.ParquetFile(file, page_checksum_verification=True).read(columns=columns) for file in files]
        return pa.concat_tables(tables)
    except (OSError, pa.ArrowInvalid) as error:
        raise ArtifactError(f"{path} is damaged: {error}", remedy="Rebuild the artefact that it belongs to.") from error


def write_atomically(path: Path, data: bytes) -> None:
    """Replace one small file so that a reader sees the old or the new content, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{_TEMPORARY}{path.name}-{uuid.uuid4().hex[:8]}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _fsync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def staging(parent: Path, *, prefix: str) -> Iterator[Path]:
    """A hidden folder in `parent` to build an artefact in; removed again if it was not published.

    Left-overs of a killed process with the same prefix are removed first.
    """
    parent.mkdir(parents=True, exist_ok=True)
    for left_over in parent.glob(f"{_TEMPORARY}{prefix}-*"):
        shutil.rmtree(left_over, ignore_errors=True)
    folder = parent / f"{_TEMPORARY}{prefix}-{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(folder: Path, target: Path, manifest: dict[str, Any], *, fail_point: str | None = None) -> Path:
    """Seal a staged folder with its manifest and rename it to `target`; an existing equal id is kept.

    `manifest` must hold `id` (the name of `target`); `files` is filled in here. `fail_point` is the prefix of
    the two fail points around the rename, e.g. `snapshot`; a cache that can be made again needs none.
    """
    assert manifest["id"] == target.name, "an artefact's folder is named by its id"
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    listing = {
        str(path.relative_to(folder)): {"bytes": path.stat().st_size, "sha256": file_sha256(path)} for path in files
    }
    sealed = manifest | {"files": listing}
    sealed[SEAL] = _seal_of(sealed)
    (folder / MANIFEST).write_bytes(orjson.dumps(sealed, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2))
    for path in [*files, folder / MANIFEST]:
        with path.open("rb") as file:
            os.fsync(file.fileno())
    for path in folder.rglob("*"):
        if path.is_dir():
            _fsync_folder(path)
    _fsync_folder(folder)
    if fail_point is not None:
        failpoint(f"{fail_point}.before_publish")
    if target.exists():
        try:
            verify(target)
        except ArtifactError:  # damaged: the fresh copy takes its place
            damaged = target.with_name(f"{_TEMPORARY}damaged-{target.name}-{uuid.uuid4().hex[:8]}")
            target.rename(damaged)
            shutil.rmtree(damaged, ignore_errors=True)
    if not target.exists():
        folder.rename(target)
    _fsync_folder(target.parent)
    if fail_point is not None:
        failpoint(f"{fail_point}.after_publish")
    return target


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of an artefact, its seal verified but not its files. Raises `ArtifactError`."""
    path = folder / MANIFEST
    try:
        manifest: dict[str, Any] = orjson.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ArtifactError(
            f"{folder} has no {MANIFEST}.", remedy="Name a complete artefact, or rebuild it."
        ) from error
    except orjson.JSONDecodeError as error:
        raise ArtifactError(f"{path} is damaged: {error}.", remedy="Rebuild the artefact.") from error
    if not isinstance(manifest, dict) or manifest.get("id") != folder.name or "files" not in manifest:
        raise ArtifactError(f"{path} does not describe {folder.name}.", remedy="Rebuild the artefact.")
    if manifest.get(SEAL) != _seal_of(manifest):
        raise ArtifactError(f"{path} was changed after it was sealed.", remedy="Rebuild the artefact; do not open it.")
    return manifest


def verify(folder: Path, *, expected_digest: str | None = None) -> dict[str, Any]:
    """Check every file of an artefact against its manifest, before anything is opened; return the manifest.

    Raises `ArtifactError` for a missing, extra, shorter, longer or changed file, or when `expected_digest`
    (the SHA-256 of the manifest that a release recorded) differs.
    """
    manifest = read_manifest(folder)
    if expected_digest is not None and digest(folder) != expected_digest:
        raise ArtifactError(f"{folder / MANIFEST} is not the one that the release was bound to.", remedy="Rebuild it.")
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {MANIFEST}
    if found != set(manifest["files"]):
        odd = ", ".join(sorted(found ^ set(manifest["files"]))[:3])
        raise ArtifactError(f"{folder} has missing or extra files: {odd}.", remedy="Rebuild the artefact.")
    for name, entry in manifest["files"].items():
        path = folder / name
        if path.stat().st_size != entry["bytes"] or file_sha256(path) != entry["sha256"]:
            raise ArtifactError(f"{path} differs from its manifest.", remedy="Rebuild the artefact; do not open it.")
    return manifest


def digest(folder: Path) -> str:
    """SHA-256 of an artefact's manifest: binds the artefact, as the manifest binds its files."""
    return file_sha256(folder / MANIFEST)


def _seal_of(manifest: dict[str, Any]) -> str:
    """SHA-256 of a manifest without its seal; the same before it was written as JSON and after."""
    plain = orjson.loads(orjson.dumps({key: value for key, value in manifest.items() if key != SEAL}))
    return hashlib.sha256(canonical_json(plain)).hexdigest()


def _fsync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
