"""What people decided about links: an append-only file of the workspace, one JSON object a line, fsynced.

`links/decisions.jsonl`. Each line carries the SHA-256 of the line before it, so a line that was changed or taken
out is noticed. Nothing is ever rewritten: a `restore` is one more line. Keys are as the snapshot has them (tokens).
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from filelock import FileLock

from ingestion.artifacts import canonical_json
from ingestion.errors import ArtifactError
from ingestion.resolution.periods import Decision
from ingestion.workspace import Workspace

_FIRST = "0" * 64


@dataclass(frozen=True)
class DecisionLog:
    """The decisions of one workspace."""

    path: Path

    @classmethod
    def of(cls, workspace: Workspace) -> DecisionLog:
        """The log of a workspace; it may have no entry yet."""
        return cls(workspace.root / "links" / "decisions.jsonl")

    def read(self) -> list[Decision]:
        """All decisions in the order in which they were written.

        Raises `ArtifactError` for a line that is damaged or not the one that was written there. A last line without
        its end was never acknowledged: it does not count.
        """
        return [Decision(**entry) for entry in self._entries()[0]]

    def append(self, **fields: Any) -> Decision:
        """Write one decision (the fields of `Decision` but its number) and make it durable."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with FileLock(self.path.with_suffix(".lock")):
            entries, last, whole = self._entries()
            decision = Decision(number=len(entries) + 1, **fields)
            line = canonical_json(vars(decision) | {"previous": last}) + b"\n"
            descriptor = os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o600)
            try:
                os.ftruncate(descriptor, whole)  # what a crash left of a line
                os.pwrite(descriptor, line, whole)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            _fsync_folder(self.path.parent)
        return decision

    def _entries(self) -> tuple[list[dict[str, Any]], str, int]:
        """Entries, the hash of the last line, and the number of bytes up to its end."""
        data = self.path.read_bytes() if self.path.exists() else b""
        whole = data[: data.rfind(b"\n") + 1]
        last, entries = _FIRST, []
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                entry: dict[str, Any] = orjson.loads(line)
                previous = entry.pop("previous")
            except (orjson.JSONDecodeError, KeyError, AttributeError, TypeError) as error:
                raise _damaged(self.path, number, "is damaged") from error
            if previous != last or entry.get("number") != number:
                raise _damaged(self.path, number, "does not follow the line before it")
            last = hashlib.sha256(line).hexdigest()
            entries.append(entry)
        return entries, last, len(whole)


def by_link(decisions: Sequence[Decision]) -> dict[tuple[str, str, str, str], list[Decision]]:
    """Decisions by what they speak of, as `periods.decided` takes them."""
    found: dict[tuple[str, str, str, str], list[Decision]] = defaultdict(list)
    for decision in decisions:
        found[decision.link].append(decision)
    return dict(found)


def _damaged(path: Path, number: int, what: str) -> ArtifactError:
    return ArtifactError(
        f"Line {number} of {path} {what}, so what was decided about links is not known.",
        remedy="Restore the file from a backup; do not edit it.",
    )


def _fsync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
