"""Look-ups over a snapshot: labels as of a time, memos, dense ids; equal to a plain loop on random data."""

from pathlib import Path

import numpy as np
import pytest

from ingestion.contracts import LABEL_ORIGINS, PartyRef
from retrieval.records import KnownLabel, SnapshotRecords
from tests.builders import DAY, HOUR, START, build_snapshot, label, random_rows, transaction
from tests.retrieval.worlds import HIT_TIME, MEMO, MULE, SHOP, Workspace, World


def test_a_label_is_known_from_its_known_at_on(world: World) -> None:
    known = START + 30 * DAY
    assert world.records.label("b2", as_of=known - 1) is None or (
        world.records.label("b2", as_of=known - 1).label != "fraud"  # type: ignore[union-attr]
    )
    assert world.records.label("b2", as_of=known) == KnownLabel(
        transaction_id="b2", label="fraud", known_at=known, origin="chargeback"
    )
    assert world.records.label("nobody", as_of=known) is None


def test_known_frauds_of_a_party_in_any_role(world: World) -> None:
    known = START + 30 * DAY
    for ref in (MULE, SHOP, PartyRef.parse("device:dark")):
        assert [item.transaction_id for item in world.records.known_frauds(ref, as_of=known)] == ["b2"], ref
        assert world.records.known_frauds(ref, as_of=known - 1) == (), ref
    assert world.records.known_frauds(PartyRef.parse("account:nobody"), as_of=known) == ()


def test_the_latest_label_wins_and_ties_go_to_the_stronger_origin(tmp_path: Path) -> None:
    rows = [transaction("t", START, "account:a", "merchant:m")]
    labels = [
        label("t", START + DAY, "fraud"),
        label("t", START + 2 * DAY, "legitimate", origin="analyst"),
        label("t", START + 2 * DAY, "fraud", origin="rule"),
    ]
    records = SnapshotRecords(build_snapshot(Workspace.open(tmp_path), rows, labels=labels))
    first, second = (records.label("t", as_of=START + days * DAY) for days in (1, 2))
    assert first is not None and (first.label, first.origin) == ("fraud", "chargeback")
    assert second is not None and (second.label, second.origin) == ("legitimate", "analyst")
    party = PartyRef.parse("account:a")
    assert len(records.known_frauds(party, as_of=START + DAY)) == 1
    assert records.known_frauds(party, as_of=START + 2 * DAY) == ()  # overruled


def test_labels_of_a_party_itself(tmp_path: Path) -> None:
    own = label("t", START + DAY) | {"transaction_id": None, "entity_type": "account", "entity_key": "a"}
    # The builder makes transaction labels only, so the table is given an entity's row by hand.
    snapshot = build_snapshot(Workspace.open(tmp_path), [transaction("t", START, "account:a", "merchant:m")])
    import pyarrow as pa

    from ingestion.contracts import LABEL

    table = pa.Table.from_pylist([own], schema=LABEL)
    object.__setattr__(snapshot, "labels", lambda: table)
    records = SnapshotRecords(snapshot)
    ref = PartyRef.parse("account:a")
    assert records.entity_label(ref, as_of=START + DAY - 1) is None
    found = records.entity_label(ref, as_of=START + DAY)
    assert found is not None and found.label == "fraud"


def test_memos_and_ids(world: World) -> None:
    assert world.records.memo("hit") == MEMO
    assert world.records.memo("p00") is None
    assert world.records.memo("nobody") is None
    for entity_id in range(world.snapshot.entities().num_rows):
        assert world.records.entity_id(world.records.ref(entity_id)) == entity_id
    assert world.records.is_known(PartyRef.parse("account:m1"), as_of=HIT_TIME - 2 * HOUR)
    assert not world.records.is_known(PartyRef.parse("account:m1"), as_of=HIT_TIME - 2 * HOUR - 1)


@pytest.fixture(scope="module")
def random_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    rows, labels = random_rows(800, seed=3)
    return World(tmp_path_factory.mktemp("random"), rows, labels)


def test_labels_equal_a_plain_loop(random_world: World) -> None:
    snapshot, records = random_world.snapshot, random_world.records
    table = snapshot.labels()
    rows = [
        (row["transaction_id"], time, LABEL_ORIGINS.index(row["origin"]), row["label"])
        for row, time in zip(table.to_pylist(), table.column("known_at").cast("int64").to_pylist(), strict=True)
    ]
    ids = snapshot.transaction_ids.to_pylist()
    rng = np.random.default_rng(0)
    frauds = 0
    for as_of in rng.choice(snapshot.arrays.available_at, 12):
        for transaction_id in rng.choice(ids, 60):
            known = [row for row in rows if row[0] == transaction_id and row[1] <= as_of]
            expected = max(known, key=lambda row: (row[1], -row[2]), default=None)
            found = records.label(str(transaction_id), as_of=int(as_of))
            assert (found and found.label) == (expected and expected[3])
            frauds += bool(found and found.label == "fraud")
    assert frauds > 0


def test_known_frauds_equal_a_plain_loop(random_world: World) -> None:
    snapshot, records = random_world.snapshot, random_world.records
    as_of = int(snapshot.arrays.available_at[-1])
    ids = snapshot.transaction_ids.to_pylist()
    fraud = {one for one in ids if (found := records.label(one, as_of=as_of)) and found.label == "fraud"}
    total = 0
    for entity_id in range(snapshot.entities().num_rows):
        rows = np.flatnonzero((snapshot.arrays.entity == entity_id).any(axis=1))
        found = records.known_frauds(records.ref(entity_id), as_of=as_of)
        assert {item.transaction_id for item in found} == {ids[row] for row in rows} & fraud
        total += len(found)
    assert total > 0
    assert records.cut(as_of) == len(ids)
