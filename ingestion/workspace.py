"""A workspace: the folder that holds one tenant's data, models, indexes, releases and state."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from filelock import FileLock, Timeout

from ingestion.artifacts import write_atomically
from ingestion.config import Settings, load_settings
from ingestion.errors import ArtifactError, RetryLater
from ingestion.failpoints import failpoint


@dataclass(frozen=True)
class Workspace:
    """Paths inside a workspace folder, its settings and its pointer to the release in force."""

    root: Path

    @classmethod
    def open(cls, root: Path | str) -> Workspace:
        """Open or make a workspace folder (mode 0700: it holds the vault and secrets)."""
        path = Path(root).absolute()
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        return cls(path)

    @property
    def snapshots(self) -> Path:
        return self.root / "snapshots"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def indexes(self) -> Path:
        return self.root / "indexes"

    @property
    def releases(self) -> Path:
        return self.root / "releases"

    @property
    def graph(self) -> Path:
        return self.root / "graph"

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    def emptied_works(self) -> Path:
        """The folder that ingests work in, without what a killed one has left: originals of personal values may be
        there. For who holds the lock."""
        works = self.cache / "ingest"
        shutil.rmtree(works, ignore_errors=True)
        return works

    @property
    def app_db(self) -> Path:
        return self.root / "app.db"

    @property
    def vault_db(self) -> Path:
        return self.root / "vault.db"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    def settings(self, **flags: dict[str, Any]) -> Settings:
        """See `ingestion.config.load_settings`."""
        return load_settings(self.root, **flags)

    def secret(self, name: str) -> str:
        """A random secret of this workspace, made on first use (folder 0700, file 0600)."""
        self.secrets.mkdir(exist_ok=True, mode=0o700)
        path = self.secrets / name
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return path.read_text(encoding="ascii").strip()
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(32))
            file.flush()
            os.fsync(file.fileno())
        return path.read_text(encoding="ascii").strip()

    @contextmanager
    def lock(self, *, doing: str) -> Iterator[None]:
        """The writers' lock: one job at a time writes artefacts; the job's own stages may take it again.

        Raises `RetryLater` when another job holds it.
        """
        lock = FileLock(self.root / "lock", is_singleton=True)
        try:
            with lock.acquire(timeout=0):
                yield
        except Timeout as error:
            raise RetryLater(
                f"Another job is writing to {self.root}, so {doing} did not start.",
                remedy="Wait for it to end and run the same command again.",
            ) from error

    def current_snapshot(self) -> str | None:
        """Id of the newest published snapshot (`snapshots/current.json`), None before the first ingest."""
        return self._pointer(self.snapshots / "current.json", "snapshot_id")

    def set_current_snapshot(self, snapshot_id: str) -> None:
        """Point at a snapshot; an ingest does so after it was published."""
        write_atomically(self.snapshots / "current.json", orjson.dumps({"snapshot_id": snapshot_id}))

    def current_release(self) -> dict[str, Any] | None:
        """The release in force, whole, or None before the first nightly run."""
        release_id = self._pointer(self.root / "current.json", "release_id")
        return None if release_id is None else self.release(release_id)

    def release(self, release_id: str) -> dict[str, Any]:
        """One release by id."""
        path = self.releases / f"{release_id}.json"
        try:
            release: dict[str, Any] = orjson.loads(path.read_bytes())
        except (FileNotFoundError, orjson.JSONDecodeError) as error:
            raise ArtifactError(
                f"Release {release_id} cannot be read: {error}.", remedy="Run `ringfence nightly`."
            ) from error
        return release

    def set_current_release(self, release: dict[str, Any]) -> None:
        """Write a release and flip the pointer to it; a reader sees the old or the new one."""
        failpoint("release.before_write")
        write_atomically(self.releases / f"{release['id']}.json", orjson.dumps(release, option=orjson.OPT_INDENT_2))
        failpoint("release.before_pointer")
        write_atomically(self.root / "current.json", orjson.dumps({"release_id": release["id"]}))
        failpoint("release.after_pointer")

    @staticmethod
    def _pointer(path: Path, key: str) -> str | None:
        if not path.exists():
            return None
        try:
            value: str = orjson.loads(path.read_bytes())[key]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise ArtifactError(
                f"The pointer {path} is damaged.", remedy="Restore it, or run `ringfence nightly`."
            ) from error
        return value
