"""Hashes handed over beside a file: what they say holds, and one that cannot be read is no reason to go on."""

from pathlib import Path

import pytest

from ingestion.artifacts import file_sha256
from ingestion.errors import DataContractError
from ingestion.pieces import DamagedFile
from ingestion.sidecar import stated_sha256
from ingestion.sources import find_files, open_file

OTHER = "0" * 64


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    path.write_text("id,amount\n1,2\n")
    return path


@pytest.mark.parametrize("form", ["{hash}\n", "{hash}  table.csv\n", "{upper} *table.csv\n"])
def test_one_file_of_its_own(table: Path, form: str) -> None:
    digest = file_sha256(table)
    table.with_name("table.csv.sha256").write_text(form.format(hash=digest, upper=digest.upper()))
    assert stated_sha256(table) == digest
    assert open_file(table).verified_by == "sha256 sidecar"
    assert find_files(table.parent) == [table], "a sidecar is no source"
    table.write_text("id,amount\n1,3\n")
    with pytest.raises(DamagedFile, match="is stated beside it"):
        open_file(table)


def test_sums_of_a_folder(table: Path) -> None:
    digest = file_sha256(table)
    (table.parent / "SHA256SUMS").write_text(f"{OTHER}  other.csv\n\n{digest}  ./table.csv\n")
    assert open_file(table).verified_by == "sha256 sidecar"
    (table.parent / "SHA256SUMS").write_text(f"{OTHER}  other.csv\n")
    assert open_file(table).verified_by is None


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("table.csv.sha256", "abc table.csv", "is no SHA-256"),
        ("table.csv.sha256", f"{OTHER}  another.csv", "does not hold the one hash"),
        ("table.csv.sha256", f"{OTHER}\n{OTHER}", "does not hold the one hash"),
        ("SHA256SUMS", f"{OTHER}  table.csv\n{'1' * 64}  table.csv", "two hashes"),
    ],
)
def test_a_sidecar_that_cannot_be_read_is_refused(table: Path, name: str, text: str, told: str) -> None:
    (table.parent / name).write_text(text)
    with pytest.raises(DataContractError, match=told):
        open_file(table)
