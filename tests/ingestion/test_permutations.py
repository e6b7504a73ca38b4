"""Any order, duplication or split into batches of the same rows gives the same canonical hash of rows and graph."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingestion.canonical import MODULUS, hash_sum, transaction_hashes
from ingestion.contracts import TRANSACTION
from ingestion.graph.snapshot_store import SnapshotStore
from ingestion.ingest import ingest
from ingestion.mapping import load_mapping
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace
from tests.builders import DAY, START, Row, _table, build_snapshot, random_rows
from tests.ingestion.tables import write_source

ROLES = ("source", "target", "card", "device", "ip")
NOW = START + 200 * DAY


def batches_of(rows: list[Row], cuts: list[int]) -> list[list[Row]]:
    """The rows cut at some places; no batch is empty."""
    bounds = sorted({0, len(rows), *(cut for cut in cuts if 0 < cut < len(rows))})
    return [rows[low:high] for low, high in pairwise(bounds)]


def graph_hash(snapshot: Snapshot) -> str:
    """The canonical hash of the snapshot's graph: without dense ids and batches."""
    return SnapshotStore(snapshot).canonical_hash()


@settings(max_examples=500, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    number=st.integers(2, 40),
    shuffler=st.randoms(use_true_random=False),
    cuts=st.lists(st.integers(1, 39), max_size=4),
)
def test_the_hash_of_rows_knows_no_order_or_batches(
    seed: int, number: int, shuffler: random.Random, cuts: list[int]
) -> None:
    rows, _ = random_rows(number, seed=seed, days=3)
    other = list(rows)
    shuffler.shuffle(other)
    sums = [hash_sum(transaction_hashes(_table(batch, TRANSACTION))) for batch in batches_of(other, cuts)]
    assert sum(sums) % MODULUS == hash_sum(transaction_hashes(_table(rows, TRANSACTION)))
    if number > 2:
        assert sum(sums[:-1]) % MODULUS != hash_sum(transaction_hashes(_table(rows, TRANSACTION)))


@pytest.fixture(scope="module", autouse=True)
def unsynced() -> Iterator[None]:
    """Hundreds of small snapshots need not outlive a power cut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        yield


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 10_000),
    number=st.integers(2, 14),
    shuffler=st.randoms(use_true_random=False),
    cuts=st.lists(st.integers(1, 13), max_size=2),
)
def test_the_hash_of_the_graph_knows_no_order_or_batches(
    seed: int, number: int, shuffler: random.Random, cuts: list[int]
) -> None:
    rows, _ = random_rows(number, seed=seed, days=3, late_share=0.3, num_accounts=3, num_merchants=2)
    other = list(rows)
    shuffler.shuffle(other)
    with tempfile.TemporaryDirectory() as folder:
        whole = build_snapshot(Workspace.open(Path(folder) / "one"), rows, roles=ROLES)
        parent: Snapshot | None = None
        for batch in batches_of(other, cuts):
            parent = build_snapshot(Workspace.open(Path(folder) / "many"), batch, roles=ROLES, parent=parent)
        assert parent is not None
        assert graph_hash(parent) == graph_hash(whole)


@pytest.mark.spark
@pytest.mark.slow
@pytest.mark.usefixtures("spark")
@pytest.mark.parametrize("seed", [11])
def test_through_the_ingest_with_rows_handed_over_twice(tmp_path: Path, seed: int) -> None:
    shuffler = random.Random(seed)
    rows, labels = random_rows(240, seed=seed, late_share=0.1, self_transfers=0)
    rows = [row for row in rows if row["source_key"] != row["target_key"]]
    ids = {row["transaction_id"] for row in rows}
    labels = [entry for entry in labels if entry["transaction_id"] in ids]
    mapping = load_mapping("ringfence")
    one = Workspace.open(tmp_path / "one")
    ingest(one, write_source(tmp_path / "whole", rows, labels), mapping, now=NOW)
    many = Workspace.open(tmp_path / "many")
    (many.root / "secrets").mkdir(mode=0o700)
    for path in (one.root / "secrets").iterdir():  # the same tokens
        (many.root / "secrets" / path.name).write_bytes(path.read_bytes())
        (many.root / "secrets" / path.name).chmod(0o600)
    twice = [*rows, *shuffler.sample(rows, 60)]
    shuffler.shuffle(twice)
    results = []
    for number, batch in enumerate(batches_of(twice, [shuffler.randrange(40, 160)])):
        told = labels if number else []
        results.append(ingest(many, write_source(tmp_path / str(number), batch, told), mapping, now=NOW))
    assert [sum(values) for values in zip(*((r.num_new, r.num_duplicates) for r in results), strict=True)] == [
        len(rows),
        60,
    ]
    ours, theirs = Snapshot.open(many), Snapshot.open(one)
    assert ours.manifest["rows_hash"] == theirs.manifest["rows_hash"]
    assert graph_hash(ours) == graph_hash(theirs)
    assert ours.transactions(TRANSACTION.names).equals(theirs.transactions(TRANSACTION.names))
    assert ours.features().tobytes() == theirs.features().tobytes()
