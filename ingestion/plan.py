"""What an ingest is to read: the files of a source that the workspace's lineage has not seen yet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingestion.artifacts import file_sha256
from ingestion.contract_rows import label_columns
from ingestion.errors import DataContractError, MappingError
from ingestion.mapping import LabelFile, Mapping, require_columns
from ingestion.pieces import SourceFile
from ingestion.snapshot import Snapshot
from ingestion.sources import find_files, open_file
from ingestion.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class IngestPlan:
    """New files of transactions (`files` also holds a new file of labels, as the last), and the parent snapshot.

    A replay reads only the lines of `lines` (file number -> lines); it is `partial` when it leaves quarantined rows
    of these files unread.
    """

    mapping: Mapping
    files: tuple[SourceFile, ...]
    has_label_file: bool
    parent: Snapshot | None
    lines: dict[int, tuple[int, ...]] | None = None
    partial: bool = False

    @property
    def all_files(self) -> tuple[SourceFile, ...]:
        """The files in the order of their numbers."""
        return self.files

    @property
    def label_file_index(self) -> int | None:
        """Number of the file of labels, None when there is none to read."""
        return len(self.files) - 1 if self.has_label_file else None

    @property
    def num_rows(self) -> int:
        """About how many rows the job will handle, the parent's with them."""
        before = 0 if self.parent is None else int(self.parent.manifest["num_transactions"])
        return before + sum(file.num_rows for file in self.files)

    @property
    def new_sources(self) -> list[dict[str, Any]]:
        """Entries for the manifest: files that need not be read by this mapping again."""
        digest = self.mapping.digest
        known = (
            {} if self.parent is None else {(e["sha256"], e.get("mapping")) for e in self.parent.manifest["sources"]}
        )
        return [
            {"name": file.name, "sha256": file.sha256, "mapping": digest, "verified_by": file.verified_by}
            for file in self.files
            if not self.partial and (file.sha256, digest) not in known
        ]


def plan_ingest(
    workspace: Workspace, source: Path, mapping: Mapping, *, new_lineage: bool = False, again: bool = False
) -> IngestPlan:
    """Look at the source and at what the workspace holds.

    A file counts as seen when the same bytes were read by the same mapping, unless it is to be read `again`.
    Raises `MappingError` when a column is missing, or when the mapping does not fit what the lineage holds.
    """
    parent = None
    if not new_lineage and workspace.current_snapshot() is not None:
        parent = Snapshot.open(workspace)
        _check_lineage(parent, mapping)
    seen = set()
    if parent is not None and not again:
        seen = {entry["sha256"] for entry in parent.manifest["sources"] if entry.get("mapping") == mapping.digest}
    label_path = _label_path(source, mapping)
    transactions = [path for path in find_files(source) if path != label_path]
    if not transactions:
        raise DataContractError(f"{source} holds labels, but no transactions.", remedy="Name the transactions too.")
    files = [file for path in transactions if (file := _unseen(path, mapping, seen)) is not None]
    for file in files:
        mapping.check_columns(file.columns, table=file.name)
    labels = _unseen(label_path, mapping, seen) if label_path is not None else None
    if labels is not None:
        assert isinstance(mapping.labels, LabelFile)
        require_columns(mapping.name, label_columns(mapping.labels).values(), labels.columns, table=labels.name)
        files.append(labels)
    return IngestPlan(mapping=mapping, files=tuple(files), has_label_file=labels is not None, parent=parent)


def _label_path(source: Path, mapping: Mapping) -> Path | None:
    """The file of labels beside the transactions. Raises `DataContractError` when one is needed and missing."""
    if not isinstance(mapping.labels, LabelFile):
        return None
    folder = source if source.is_dir() else source.parent
    path = folder / mapping.labels.file
    if path.exists():
        return path
    if mapping.labels.optional:
        return None
    raise DataContractError(
        f"Mapping {mapping.name!r} wants labels in {mapping.labels.file}, which is not beside the transactions.",
        remedy="Put it there; or set `optional = true` under [labels].",
    )


def _unseen(path: Path, mapping: Mapping, seen: set[str]) -> SourceFile | None:
    """The file when its bytes are new; from then on they are seen."""
    sha256 = file_sha256(path)
    if sha256 in seen:
        return None
    seen.add(sha256)
    return open_file(path, delimiter=mapping.delimiter, sha256=sha256)


def _check_lineage(parent: Snapshot, mapping: Mapping) -> None:
    """A lineage keeps its roles and what is personal: otherwise old and new rows would not speak of one thing."""
    before = Mapping.model_validate(parent.manifest["mapping"])
    for what, old, new in (
        ("roles", before.roles, mapping.roles),
        ("personal types", sorted(before.personal_types), sorted(mapping.personal_types)),
        ("personal attributes", sorted(before.personal.attributes), sorted(mapping.personal.attributes)),
        ("identifiers of links", _told(before.resolution.reading()), _told(mapping.resolution.reading())),
    ):
        if list(old) != list(new):
            raise MappingError(
                f"Mapping {mapping.name!r} has other {what} ({', '.join(new)}) than the lineage of this workspace"
                f" ({', '.join(old)}), made with {before.name!r}.",
                remedy="Use another workspace, or begin a new lineage here (`--new-lineage`).",
            )


def _told(items: list[Any]) -> list[str]:
    return [str(item) for item in items]
