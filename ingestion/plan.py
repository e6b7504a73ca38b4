"""What an ingest is to read: the files of a source that the workspace's lineage has not seen yet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingestion.artifacts import file_sha256
from ingestion.errors import DataContractError, MappingError
from ingestion.label_rows import label_columns
from ingestion.label_sources import LabelFile
from ingestion.mapping import Mapping, require_columns
from ingestion.pieces import SourceFile
from ingestion.snapshot import Snapshot
from ingestion.sources import find_files, open_file
from ingestion.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class IngestPlan:
    """New files of transactions, after them new files of labels, and the parent snapshot.

    `label_files` gives the sources of each file of labels by the file's number; `rates_path` is the file of rates.
    A replay reads only the lines of `lines` (file number -> lines); it is `partial` when it leaves quarantined rows
    of these files unread.
    """

    mapping: Mapping
    files: tuple[SourceFile, ...]
    label_files: dict[int, tuple[LabelFile, ...]]
    rates_path: Path | None
    parent: Snapshot | None
    lines: dict[int, tuple[int, ...]] | None = None
    partial: bool = False

    @property
    def all_files(self) -> tuple[SourceFile, ...]:
        """The files in the order of their numbers."""
        return self.files

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
    paths = source_paths(source, mapping)
    files = [file for path in paths.transactions if (file := _unseen(path, mapping, seen)) is not None]
    for file in files:
        mapping.check_columns(file.columns, table=file.name)
    label_files: dict[int, tuple[LabelFile, ...]] = {}
    for name, path in paths.labels.items():
        labels = _unseen(path, mapping, seen)
        if labels is not None:
            wanted = [column for label in mapping.label_files[name] for column in label_columns(label)]
            require_columns(mapping.name, wanted, labels.columns, table=labels.name)
            label_files[len(files)] = mapping.label_files[name]
            files.append(labels)
    return IngestPlan(
        mapping=mapping, files=tuple(files), label_files=label_files, rates_path=paths.rates, parent=parent
    )


@dataclass(frozen=True, kw_only=True)
class SourcePaths:
    """The files of a source: of transactions, of labels by the name in the mapping, of rates."""

    transactions: tuple[Path, ...]
    labels: dict[str, Path]
    rates: Path | None


def source_paths(source: Path, mapping: Mapping) -> SourcePaths:
    """Which file of a source is what. Raises `DataContractError` when one that is needed is missing."""
    rates, labels = _rates_path(source, mapping), _label_paths(source, mapping)
    transactions = tuple(path for path in find_files(source) if path not in {rates, *labels.values()})
    if not transactions:
        raise DataContractError(f"{source} holds labels, but no transactions.", remedy="Name the transactions too.")
    return SourcePaths(transactions=transactions, labels=labels, rates=rates)


def beside(source: Path, name: str) -> Path:
    """Where a file that a mapping names lies: in the folder of the transactions."""
    return (source if source.is_dir() else source.parent) / name


def _label_paths(source: Path, mapping: Mapping) -> dict[str, Path]:
    """The files of labels beside the transactions. Raises `DataContractError` when one is needed and missing."""
    found: dict[str, Path] = {}
    for name, sources in mapping.label_files.items():
        path = beside(source, name)
        if path.exists():
            found[name] = path
        elif not all(labels.optional for labels in sources):
            raise DataContractError(
                f"Mapping {mapping.name!r} wants labels in {name}, which is not beside the transactions.",
                remedy="Put it there; or set `optional = true` under [[labels]].",
            )
    return found


def _rates_path(source: Path, mapping: Mapping) -> Path | None:
    """The file of rates. Raises `DataContractError` when it is missing: sums would silently be others."""
    if mapping.rates is None:
        return None
    path = beside(source, mapping.rates.file)
    if path.exists():
        return path
    raise DataContractError(
        f"Mapping {mapping.name!r} wants rates in {mapping.rates.file}, which is not beside the transactions.",
        remedy="Put it there; or leave [rates] out of the mapping: then nothing is summed across currencies.",
    )


def _unseen(path: Path, mapping: Mapping, seen: set[str]) -> SourceFile | None:
    """The file when its bytes are new; from then on they are seen."""
    sha256 = file_sha256(path)
    if sha256 in seen:
        return None
    seen.add(sha256)
    return open_file(path, delimiter=mapping.delimiter, encoding=mapping.encoding, sha256=sha256)


def _check_lineage(parent: Snapshot, mapping: Mapping) -> None:
    """A lineage keeps its roles and what is personal: otherwise old and new rows would not speak of one thing."""
    before = Mapping.model_validate(parent.manifest["mapping"])
    base, new_base = (None if m.rates is None else m.rates.base for m in (before, mapping))
    for what, old, new in (
        ("base currency", [base or "none"], [new_base or "none"]),
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
