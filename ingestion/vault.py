"""The vault: the one home of personal originals, a SQLite file of the workspace (mode 0600).

Tokens stand everywhere else. Erasing a party deletes its row here; its token stays and resolves to nothing.
"""

from __future__ import annotations

import datetime as dt
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from ingestion.errors import ArtifactError, RetryLater
from ingestion.workspace import Workspace

_TABLES = """
CREATE TABLE IF NOT EXISTS originals (
  token TEXT NOT NULL PRIMARY KEY, type TEXT NOT NULL, original TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS erased (
  token TEXT NOT NULL PRIMARY KEY, erased_at TEXT NOT NULL, reason TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS holds (
  token TEXT NOT NULL PRIMARY KEY, held_at TEXT NOT NULL, reason TEXT NOT NULL
) STRICT, WITHOUT ROWID;
"""
_ADD = """
INSERT OR IGNORE INTO originals SELECT ?1, ?2, ?3 WHERE NOT EXISTS (SELECT 1 FROM erased WHERE token = ?1)
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
        """Keep originals (`privacy.ORIGINALS`) of tokens that were not erased; one transaction, idempotent.

        Returns how many were new.
        """
        with self._connection() as connection, connection:
            before = connection.total_changes
            for batch in originals.to_batches(max_chunksize=_BATCH):
                columns = [column.to_pylist() for column in batch.columns]
                connection.executemany(_ADD, zip(*columns, strict=True))
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

    def erase(self, tokens: Sequence[str], *, reason: str) -> int:
        """Delete originals for good, and remember the tokens so that they never come back; returns how many went.

        Their bytes are overwritten, and gone from the write-ahead log too. Raises `RetryLater` while another process
        reads the vault: what was deleted is still in its log then; erasing again finishes the work.
        """
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        with self._connection() as connection:
            with connection:
                connection.executemany(
                    "INSERT OR IGNORE INTO erased VALUES (?, ?, ?)", [(token, now, reason) for token in tokens]
                )
                before = connection.total_changes
                connection.executemany("DELETE FROM originals WHERE token = ?", [(token,) for token in tokens])
                num_erased = connection.total_changes - before
            connection.execute("PRAGMA temp_store=MEMORY")
            connection.execute("VACUUM")
            busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            raise RetryLater(
                f"{self.path} is being read, so bytes of what was deleted are still in its write-ahead log.",
                remedy="Run the same command again when the reader is done.",
            )
        return num_erased

    def erased(self) -> dict[str, tuple[str, str]]:
        """Token -> when it was erased (RFC 3339) and why. Rows of these parties are not for training."""
        return self._dated("erased")

    def hold(self, token: str, *, reason: str) -> None:
        """Put a legal hold on a token: it cannot be erased."""
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        with self._connection() as connection, connection:
            connection.execute("INSERT OR REPLACE INTO holds VALUES (?, ?, ?)", (token, now, reason))

    def lift_hold(self, token: str) -> bool:
        """Lift a legal hold; False when there was none."""
        with self._connection() as connection, connection:
            return connection.execute("DELETE FROM holds WHERE token = ?", (token,)).rowcount > 0

    def hold_of(self, token: str) -> str | None:
        """Why a token is under a legal hold, None when it is not."""
        held = self.holds().get(token)
        return None if held is None else held[1]

    def holds(self) -> dict[str, tuple[str, str]]:
        """Token -> when it was put under a legal hold (RFC 3339) and why."""
        return self._dated("holds")

    def _dated(self, table: str) -> dict[str, tuple[str, str]]:
        if not self.path.exists():
            return {}
        with self._connection() as connection:
            rows = connection.execute(f"SELECT * FROM {table} ORDER BY token")  # noqa: S608  # a table of ours
            return {token: (moment, reason) for token, moment, reason in rows}

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
                connection.executescript(_TABLES)
                yield connection
        except sqlite3.DatabaseError as error:
            raise ArtifactError(
                f"The vault {self.path} cannot be used: {error}.", remedy="Restore it from a backup."
            ) from error
