"""TRUST ART and PUB at the level of the mechanism: what is damaged is refused, what is half-written is not seen."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from ingestion import artifacts
from ingestion.errors import ArtifactError


def publish_one(parent: Path, name: str = "snap-0000", content: bytes = b"payload" * 40) -> Path:
    with artifacts.staging(parent, prefix="snap") as folder:
        (folder / "part").mkdir()
        (folder / "part" / "a.bin").write_bytes(content)
        (folder / "b.bin").write_bytes(content[::-1])
        return artifacts.publish(folder, parent / name, {"id": name}, fail_point="snapshot")


def test_every_single_bit_flip_is_refused(tmp_path: Path) -> None:
    target = publish_one(tmp_path)
    digest = artifacts.digest(target)
    chance = random.Random(0)
    files = sorted(path for path in target.rglob("*") if path.is_file())
    for _ in range(500):
        file = chance.choice(files)
        original = file.read_bytes()
        damaged = bytearray(original)
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        file.write_bytes(bytes(damaged))
        with pytest.raises(ArtifactError):
            artifacts.verify(target, expected_digest=digest)
        file.write_bytes(original)
    assert artifacts.verify(target, expected_digest=digest)["id"] == "snap-0000"


def test_every_flip_of_a_manifest_is_refused_without_a_release(tmp_path: Path) -> None:
    """Nothing but the manifest itself says what it was: each of its bits is tried."""
    target = publish_one(tmp_path)
    manifest = target / artifacts.MANIFEST
    original = manifest.read_bytes()
    for bit in range(8 * len(original)):
        damaged = bytearray(original)
        damaged[bit // 8] ^= 1 << bit % 8
        manifest.write_bytes(bytes(damaged))
        with pytest.raises(ArtifactError):
            artifacts.verify(target)


@pytest.mark.parametrize("change", ["extra", "missing", "shorter"])
def test_other_files_are_refused(tmp_path: Path, change: str) -> None:
    target = publish_one(tmp_path)
    if change == "extra":
        (target / "c.bin").write_bytes(b"")
    elif change == "missing":
        (target / "b.bin").unlink()
    else:
        os.truncate(target / "b.bin", 3)
    with pytest.raises(ArtifactError):
        artifacts.verify(target)


def test_publishing_again_keeps_the_good_one_and_replaces_a_damaged_one(tmp_path: Path) -> None:
    target = publish_one(tmp_path)
    inode = (target / "b.bin").stat().st_ino
    publish_one(tmp_path)
    assert (target / "b.bin").stat().st_ino == inode
    (target / "b.bin").write_bytes(b"damaged")
    publish_one(tmp_path)
    artifacts.verify(target)


@pytest.mark.parametrize(("point", "visible"), [("before", False), ("after", True)])
def test_a_killed_publish_leaves_all_or_nothing(tmp_path: Path, point: str, visible: bool) -> None:
    log = tmp_path / "reached"
    environment = os.environ | {
        "RINGFENCE_FAILPOINT": f"snapshot.{point}_publish:kill",
        "RINGFENCE_FAILPOINT_LOG": str(log),
    }
    script = (
        "from pathlib import Path; from tests.ingestion.test_artifacts import publish_one; "
        f"publish_one(Path({str(tmp_path / 'store')!r}))"
    )
    run = subprocess.run([sys.executable, "-c", script], env=environment, check=False)
    assert run.returncode == -9
    assert f"snapshot.{point}_publish" in log.read_text()
    target = tmp_path / "store" / "snap-0000"
    assert target.exists() == visible
    publish_one(tmp_path / "store")
    artifacts.verify(target)
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["snap-0000"]


def test_damaged_parquet_pages_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "t.parquet"
    artifacts.write_parquet(pa.table({"x": list(range(5000))}), file)
    whole = file.read_bytes()
    chance = random.Random(1)
    wrong = 0
    for _ in range(100):
        damaged = bytearray(whole)
        damaged[chance.randrange(4, len(whole) // 2)] ^= 1 << chance.randrange(8)
        file.write_bytes(bytes(damaged))
        try:
            wrong += artifacts.read_parquet(file).column("x").to_pylist() != list(range(5000))
        except ArtifactError:
            continue
    assert wrong == 0


def test_small_files_are_replaced_whole(tmp_path: Path) -> None:
    file = tmp_path / "pointer.json"
    artifacts.write_atomically(file, b"old")
    artifacts.write_atomically(file, b"new")
    assert file.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [file]
