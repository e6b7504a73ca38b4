"""A release is whole and its artefacts are those that it was bound to, or it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingestion.errors import ArtifactError, DataContractError
from ingestion.workspace import Workspace
from serving.context import ReleaseParts
from serving.release import Release
from tests.serving.served import Served


def test_a_workspace_without_a_release_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(DataContractError, match="ringfence nightly"):
        Release.in_force(Workspace.open(tmp_path))


@pytest.mark.parametrize("part", ["snapshot_id", "model_id", "graph", "digests"])
def test_a_release_that_lacks_a_part_is_refused(served: Served, part: str) -> None:
    data = {key: value for key, value in served.release.items() if key != part}
    with pytest.raises(ArtifactError, match=part):
        Release.from_dict(data)


@pytest.mark.parametrize("kind", ["snapshot", "model", "index"])
def test_a_changed_byte_in_any_artefact_is_refused_before_it_is_opened(served: Served, kind: str) -> None:
    release = Release.in_force(served.workspace)
    folder = release.folders(served.workspace)[kind]
    file = max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(ArtifactError, match="differs"):
        ReleaseParts.open(served.workspace, release)


@pytest.mark.parametrize("kind", ["snapshot", "model", "index"])
def test_a_digest_of_another_artefact_is_refused(served: Served, kind: str) -> None:
    data = served.release | {"digests": served.release["digests"] | {kind: "0" * 64}}
    with pytest.raises(ArtifactError, match="bound to"):
        Release.from_dict(data).verify(served.workspace)
    missing = {name: digest for name, digest in served.release["digests"].items() if name != kind}
    with pytest.raises(ArtifactError, match="no digest"):
        Release.from_dict(served.release | {"digests": missing}).verify(served.workspace)
