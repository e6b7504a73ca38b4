"""The vault: the one home of personal originals, a SQLite file of the workspace (mode 0600).

Tokens stand everywhere else. Erasing a party deletes its row here; its token stays and resolves to nothing.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from ingestion.errors import ArtifactError
from ingestion.workspace import Workspace

_TABLE = """
CREATE TABLE IF NOT EXISTS originals (
  token TEXT NOT NULL PRIMARY KEY, type TEXT NOT NULL, original TEXT NOT NULL
) STRICT, WITHOUT ROWID
"""
_BATCH = 50_000


@dataclass(frozen=True)
class Vault:
    """Token -> original. Adding what is there already changes nothing."""

    path: Path

    @classmethod
    def of(cls, workspace: Workspace) -> Vault:
        """The vault of a workspace."""
        return cls(workspace.vault_db)

    def add(self, originals: pa.Table) -> int:
        """Keep originals (`privacy.ORIGINALS`); one transaction, idempotent. Returns how many were new."""
        with self._connection() as connection, connection:
            before = connection.total_changes
            for batch in originals.to_batches(max_chunksize=_BATCH):
                columns = [column.to_pylist() for column in batch.columns]
                connection.executemany("INSERT OR IGNORE INTO originals VALUES (?, ?, ?)", zip(*columns, strict=True))
            return connection.total_changes - before

    def original(self, token: str) -> str | None:
        """The value that a token stands for; None when it was erased or never there."""
        return self.originals([token]).get(token)

    def originals(self, tokens: list[str]) -> dict[str, str]:
        """The values that tokens stand for, where they are still there."""
        if not self.path.exists():
            return {}
        query = "SELECT original FROM originals WHERE token = ?"
        with self._connection() as connection:
            rows = [(token, connection.execute(query, (token,)).fetchone()) for token in tokens]
        return {token: row[0] for token, row in rows if row is not None}

    def erase(self, token: str) -> bool:
        """Delete one original for good (its bytes are overwritten); False when there was none."""
        with self._connection() as connection, connection:
            erased = connection.execute("DELETE FROM originals WHERE token = ?", (token,)).rowcount > 0
        with self._connection() as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return erased

    def __len__(self) -> int:
        if not self.path.exists():
            return 0
        with self._connection() as connection:
            return int(connection.execute("SELECT count(*) FROM originals").fetchone()[0])

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        try:
            with closing(sqlite3.connect(self.path, timeout=30)) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=FULL")
                connection.execute("PRAGMA secure_delete=ON")
                connection.execute(_TABLE)
                yield connection
        except sqlite3.DatabaseError as error:
            raise ArtifactError(
                f"The vault {self.path} cannot be used: {error}.", remedy="Restore it from a backup."
            ) from error
