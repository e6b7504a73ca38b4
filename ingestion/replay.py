"""Quarantine replay: rows that were bad are read again from their file and line, after a mapping was mended.

The quarantine holds masked values, so it cannot be the source: the file must be there with the bytes it had. What
is good now enters by the ordinary ingest as a new batch, with its own event time, and leaves the quarantine of the
new snapshot; the rest stays, with the reason that it has now.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame

from ingestion.errors import DataContractError
from ingestion.pieces import SourceFile
from ingestion.plan import IngestPlan
from ingestion.snapshot import Snapshot


@dataclass(frozen=True, kw_only=True)
class Replay:
    """Which quarantined rows to read again: those with this `reason`, or all."""

    reason: str | None = None

    def restrict(self, plan: IngestPlan) -> IngestPlan:
        """The plan for these rows of the plan's files alone.

        Raises `DataContractError` when nothing of these files is in quarantine for the reason, or a file is not the
        one that the rows came from.
        """
        quarantine = None if plan.parent is None else plan.parent.quarantine()
        if plan.parent is None or quarantine is None:
            raise DataContractError("No row is in quarantine.", remedy="There is nothing to replay.")
        chosen = quarantine
        if self.reason is not None:
            chosen = quarantine.filter(pc.equal(quarantine.column("reason"), self.reason))
        files: list[SourceFile] = []
        lines: dict[int, tuple[int, ...]] = {}
        label_files = {}
        for index, file in enumerate(plan.files):
            rows = chosen.filter(pc.equal(chosen.column("source_file"), file.name))
            if rows.num_rows == 0:
                continue
            _check_bytes(plan.parent, file.name, file.sha256)
            if index in plan.label_files:
                label_files[len(files)] = plan.label_files[index]
            lines[len(files)] = tuple(sorted(set(rows.column("line").to_pylist())))
            files.append(file)
        if not files:
            raise DataContractError(
                f"None of these files has a row in quarantine{f' for {self.reason}' if self.reason else ''}.",
                remedy="See `ringfence data quarantine list` for files and reasons.",
            )
        names = pa.array([file.name for file in files])
        all_rows = quarantine.filter(pc.is_in(quarantine.column("source_file"), value_set=names)).num_rows
        partial = self.reason is not None and sum(map(len, lines.values())) < all_rows
        return replace(plan, files=tuple(files), label_files=label_files, lines=lines, partial=partial)


def same_quarantine(parent: Snapshot, plan: IngestPlan, bad: DataFrame) -> bool:
    """Whether the rows that were replayed are all as bad as before, for the same reasons."""
    assert plan.lines is not None, "only a replay has lines"
    wanted = {(plan.files[index].name, line) for index, lines in plan.lines.items() for line in lines}
    quarantine = parent.quarantine()
    assert quarantine is not None, "a replay has rows to replay"
    keys = ("source_file", "line", "reason")
    before = sorted(tuple(row.values()) for row in quarantine.select(keys).to_pylist())
    after = sorted(tuple(row) for row in bad.select(*keys).collect())
    return [row for row in before if row[:2] in wanted] == after


def _check_bytes(parent: Snapshot, name: str, sha256: str) -> None:
    """The rows came from this file: one file of the name was read, with these bytes."""
    known = {entry["sha256"] for entry in parent.manifest["sources"] if entry["name"] == name}
    if len(known) > 1:
        raise DataContractError(
            f"{len(known)} different files named {name} were read, so a quarantined line does not say which is meant.",
            remedy="Mend the rows and hand them over in a file of another name.",
        )
    if sha256 not in known:
        raise DataContractError(
            f"{name} is not the file that the quarantined rows came from: its SHA-256 is {sha256[:12]}….",
            remedy="Name the file as it was; a corrected file is new data: `ringfence data ingest`.",
        )
