"""The release in force: which snapshot, model, index and graph batch an answer comes from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingestion.artifacts import verify
from ingestion.errors import ArtifactError, DataContractError
from ingestion.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class Release:
    """One release, as the nightly job wrote it. `digests` are those of the manifests of the three artefacts."""

    id: str
    snapshot_id: str
    model_id: str
    index_id: str | None
    graph_lineage: str
    graph_batch: int
    digests: dict[str, str]
    approval: str
    created_at: str

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Release:
        """Read `releases/<id>.json`. Raises `ArtifactError` when a part is missing."""
        try:
            return cls(
                id=data["id"],
                snapshot_id=data["snapshot_id"],
                model_id=data["model_id"],
                index_id=data.get("index_id"),
                graph_lineage=data["graph"]["lineage"],
                graph_batch=data["graph"]["batch"],
                digests=dict(data["digests"]),
                approval=data.get("approval", "auto"),
                created_at=data.get("created_at", ""),
            )
        except (KeyError, TypeError) as error:
            raise ArtifactError(
                f"Release {data.get('id')!r} lacks {error}.", remedy="Run `ringfence nightly` to publish a whole one."
            ) from error

    @classmethod
    def in_force(cls, workspace: Workspace) -> Release:
        """The release that the workspace points at. Raises `DataContractError` before the first nightly run."""
        data = workspace.current_release()
        if data is None:
            raise DataContractError(
                f"{workspace.root} has no release, so there is nothing to serve.",
                remedy="Run `ringfence nightly FILE --mapping NAME` (or `ringfence demo`) first.",
            )
        return cls.from_dict(data)

    def folders(self, workspace: Workspace) -> dict[str, Path]:
        """Where the artefacts of the release lie, by kind."""
        folders = {
            "snapshot": workspace.snapshots / self.snapshot_id,
            "model": workspace.models / self.model_id,
        }
        if self.index_id is not None:
            folders["index"] = workspace.indexes / self.index_id
        return folders

    def verify(self, workspace: Workspace) -> None:
        """Check every file of every artefact against the digests of the release (TRUST ART). Raises `ArtifactError`."""
        for kind, folder in self.folders(workspace).items():
            if kind not in self.digests:
                raise ArtifactError(
                    f"Release {self.id} has no digest of its {kind}.", remedy="Run `ringfence nightly` again."
                )
            verify(folder, expected_digest=self.digests[kind])
