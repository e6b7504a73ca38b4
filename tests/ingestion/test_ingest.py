"""Ingest end to end by Spark: what enters, what is quarantined, what a second run does."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from ingestion.artifacts import read_parquet
from ingestion.contracts import TRANSACTION
from ingestion.errors import DataContractError, MappingError
from ingestion.ingest import IngestResult, ingest
from ingestion.mapping import Mapping, load_mapping
from ingestion.mapping_fields import TimeField
from ingestion.pieces import DamagedFile
from ingestion.privacy import Tokenizer, is_token
from ingestion.snapshot import Snapshot
from ingestion.vault import Vault
from ingestion.workspace import Workspace
from tests.builders import DAY, START, Row, build_snapshot, label, random_rows, transaction
from tests.ingestion.tables import COLUMNS, handed_over, transactions_table, write_source

pytestmark = [pytest.mark.spark, pytest.mark.usefixtures("spark")]

MAPPING = load_mapping("ringfence")
STRICT = MAPPING.model_copy(update={"rules": MAPPING.rules.model_copy(update={"allow_zero_amount": False})})
NOW = START + 200 * DAY


def run(workspace: Workspace, source: Path, mapping: Mapping = MAPPING, **options: Any) -> IngestResult:
    return ingest(workspace, source, mapping, **({"now": NOW} | options))


def same_but_for_dense_ids(ours: Snapshot, theirs: Snapshot) -> None:
    """Transactions, labels, features equal; entities equal up to a renaming of ids."""
    names = TRANSACTION.names
    assert ours.transactions(names).to_pylist() == theirs.transactions(names).to_pylist()
    assert ours.labels().to_pylist() == theirs.labels().to_pylist()
    assert ours.spec == theirs.spec
    assert ours.features().tobytes() == theirs.features().tobytes()
    renamed = dict(zip(ours.arrays.entity.ravel().tolist(), theirs.arrays.entity.ravel().tolist(), strict=True))
    assert np.array_equal(np.vectorize(renamed.get)(ours.arrays.entity), theirs.arrays.entity)
    assert len(set(renamed.values())) == len(renamed)


def rebuilt(folder: Path, snapshot: Snapshot) -> Snapshot:
    """The same logical rows through the array path, without Spark."""
    labels = snapshot.labels()
    explicit = labels.filter(pc.not_equal(labels.column("origin"), "matured"))
    rows = snapshot.transactions(TRANSACTION.names)
    return build_snapshot(Workspace.open(folder), rows, labels=explicit, roles=snapshot.roles)


@pytest.fixture(scope="module")
def table() -> tuple[list[Row], list[Row]]:
    rows, labels = random_rows(1_600, seed=5)
    rows = [row for row in rows if row["source_key"] != row["target_key"]][:1_500]
    ids = {row["transaction_id"] for row in rows}
    return rows, [entry for entry in labels if entry["transaction_id"] in ids]


@pytest.fixture(scope="module")
def ingested(
    tmp_path_factory: pytest.TempPathFactory, table: tuple[list[Row], list[Row]], spark: object
) -> tuple[Workspace, Path, IngestResult]:
    """A workspace with one ingest of `table`, its source and the result."""
    folder = tmp_path_factory.mktemp("ingested")
    workspace = Workspace.open(folder / "workspace")
    source = write_source(folder / "source", *table)
    return workspace, source, run(workspace, source)


def copy_of(ingested: tuple[Workspace, Path, IngestResult], folder: Path) -> Workspace:
    """An own copy of the ingested workspace, secrets and all."""
    shutil.copytree(ingested[0].root, folder / "workspace")
    return Workspace.open(folder / "workspace")


def test_the_snapshot_is_that_of_the_array_path(
    ingested: tuple[Workspace, Path, IngestResult], table: tuple[list[Row], list[Row]], tmp_path: Path
) -> None:
    """Order, labels, entities and features (late rows, two currencies, five roles) bit for bit."""
    workspace, _, result = ingested
    snapshot = Snapshot.open(workspace)
    assert (result.num_new, result.num_quarantined, result.num_duplicates, result.batch) == (1_500, 0, 0, 1)
    assert snapshot.manifest["num_transactions"] == 1_500
    assert snapshot.manifest["num_labels"] == snapshot.labels().num_rows > len(table[1])
    assert snapshot.roles == ("source", "target", "card", "device", "ip")
    same_but_for_dense_ids(snapshot, rebuilt(tmp_path, snapshot))


def test_entities_are_dense_and_first_known_when_first_seen(ingested: tuple[Workspace, Path, IngestResult]) -> None:
    snapshot = Snapshot.open(ingested[0])
    entities = snapshot.entities()
    assert entities.column("entity_id").to_pylist() == list(range(entities.num_rows))
    arrays = snapshot.arrays
    first = np.full(entities.num_rows, np.iinfo(np.int64).max)
    for role in range(len(arrays.roles)):
        present = arrays.entity[:, role] >= 0
        np.minimum.at(first, arrays.entity[present, role], arrays.available_at[present])
    assert entities.column("first_known_at").cast("int64").to_pylist() == first.tolist()


def test_originals_are_in_the_vault_alone(
    ingested: tuple[Workspace, Path, IngestResult], table: tuple[list[Row], list[Row]], tmp_path: Path
) -> None:
    """Every personal value has a token that resolves; no file but the vault holds one."""
    rows = [
        transaction(f"t{index}", START + index, f"account:DE-IBAN-{index}-XYZ", "merchant:m", parties=parties)
        | {"attributes": {"email": f"ada{index}@example.org", "holder_name": f"Ada Lovelace {index}"}}
        | {"memo": "card 4111 1111-1111 1111" if index % 7 == 0 else "thanks"}
        for index in range(60)
        for parties in [[f"card:41111111111{10000 + index}", f"ip:203.0.113.{index}", "device:d"]]
    ]
    source = write_source(tmp_path / "source", rows)
    workspace = Workspace.open(tmp_path / "workspace")
    run(workspace, source)
    originals = {f"DE-IBAN-{index}-XYZ" for index in range(60)} | {f"41111111111{10000 + index}" for index in range(60)}
    originals |= {f"203.0.113.{index}" for index in range(60)} | {f"ada{index}@example.org" for index in range(60)}
    originals |= {f"Ada Lovelace {index}" for index in range(60)}
    assert len(Vault.of(workspace)) == 300
    tokens = Tokenizer.of(workspace, MAPPING)
    assert Vault.of(workspace).original(tokens.token("account", "DE-IBAN-7-XYZ")) == "DE-IBAN-7-XYZ"
    snapshot = Snapshot.open(workspace)
    everything = str(snapshot.transactions().to_pylist()) + str(snapshot.entities().to_pylist())
    assert not [original for original in originals if original in everything]
    assert "4111" not in "".join(memo for memo in snapshot.transactions(["memo"]).column("memo").to_pylist())
    assert is_token(snapshot.transactions(["source_key"]).column(0)[0].as_py(), "account")
    for path in workspace.root.rglob("*"):
        if path.is_file() and not path.name.startswith("vault.db"):
            data = path.read_bytes()
            assert not [original for original in originals if original.encode() in data], path
    assert not (workspace.cache / "ingest").exists(), "what was written on the way is gone"


def test_the_same_file_again_is_nothing_to_do(
    ingested: tuple[Workspace, Path, IngestResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By file hash, without Spark; by ids, when the same rows come in another file."""
    workspace, source, first = copy_of(ingested, tmp_path), ingested[1], ingested[2]
    left = workspace.cache / "ingest" / "1f" / "originals"
    left.mkdir(parents=True)
    with monkeypatch.context() as patch:
        patch.setattr("ingestion.ingest.spark_session", None)  # calling it would fail
        again = run(workspace, source)
    assert not left.exists(), "what a killed ingest left goes, also when there is nothing to do"
    assert (again.reused, again.snapshot_id, again.num_new) == (True, first.snapshot_id, 0)
    other = tmp_path / "other" / "transactions.csv"
    other.parent.mkdir()
    rows = pq.read_table(source)
    pq.write_table(rows.take(np.arange(rows.num_rows)[::-1]), tmp_path / "other" / "again.parquet")
    shuffled = run(workspace, tmp_path / "other" / "again.parquet")
    assert (shuffled.reused, shuffled.snapshot_id, shuffled.num_duplicates) == (True, first.snapshot_id, 1_500)
    assert len(list(workspace.snapshots.glob("snap-*"))) == 1


def test_two_halves_hold_what_one_go_holds(
    ingested: tuple[Workspace, Path, IngestResult], table: tuple[list[Row], list[Row]], tmp_path: Path
) -> None:
    """An increment appends: parent and batch, ids kept, late rows at their place, features as in one go."""
    rows, labels = table
    halves = [rows[0::2], rows[1::2]]  # interleaved in time: half of the second is late for the first
    whole = Snapshot.open(ingested[0])
    workspace = Workspace.open(tmp_path / "workspace")
    shutil.copytree(ingested[0].secrets, workspace.secrets)  # the same tokens
    snapshots = []
    for number, half in enumerate(halves):
        ids = {row["transaction_id"] for row in half}
        its_labels = [entry for entry in labels if entry["transaction_id"] in ids]
        result = run(workspace, write_source(tmp_path / str(number), half, its_labels))
        snapshots.append(Snapshot.open(workspace))
        assert (result.num_new, result.batch) == (len(half), number + 1)
    first, second = snapshots
    assert second.manifest["parent"] == first.id
    assert second.manifest["lineage"] == first.manifest["lineage"]
    assert second.manifest["rows_hash"] == whole.manifest["rows_hash"]
    assert second.id != whole.id, "the parent is part of the id"
    same_but_for_dense_ids(second, whole)
    kept = first.entities()
    assert (
        second.entities()
        .slice(0, kept.num_rows)
        .select(["entity_id", "type", "key"])
        .equals(kept.select(["entity_id", "type", "key"]))
    )
    assert [entry["name"] for entry in second.manifest["sources"]] == ["transactions.parquet", "labels.parquet"] * 2


def test_new_labels_beside_known_rows_make_a_new_snapshot(
    ingested: tuple[Workspace, Path, IngestResult], table: tuple[list[Row], list[Row]], tmp_path: Path
) -> None:
    workspace = copy_of(ingested, tmp_path)
    rows, labels = table
    labelled = {entry["transaction_id"] for entry in labels}
    free = next(row for row in rows if row["transaction_id"] not in labelled and row["outcome"] == "approved")
    more = label(free["transaction_id"], free["known_at"] + DAY, "fraud")
    source = write_source(tmp_path / "source", rows, [*labels, more])
    result = run(workspace, source)
    assert (result.reused, result.num_new, result.batch) == (False, 0, 2)
    events = [
        row for row in Snapshot.open(workspace).labels().to_pylist() if row["transaction_id"] == free["transaction_id"]
    ]
    assert [(row["label"], row["origin"]) for row in events] == [("fraud", "chargeback")], "it matures no more"


GOOD = [
    transaction(f"good-{index:04d}", START + index * 60_000_000, f"account:DE{index % 40}", f"merchant:m{index % 9}")
    for index in range(1_500)
]


SELF = {"target_type": "account", "target_id": "DE-BAD", "kind": "transfer"}


def bad_lines() -> list[tuple[str, str, str, Any]]:
    """Reason, column at fault, value told, and how the row of the table differs (or the raw line)."""
    return [
        ("id_missing", "transaction_id", None, {"transaction_id": ""}),
        ("time_unreadable", "event_time", "yesterday", {"event_time": "yesterday"}),
        ("time_in_future", "event_time", "2095-01-01 00:00:00.000000Z", {"event_time": "2095-01-01T00:00:00Z"}),
        ("amount_negative", "amount_minor", "-5", {"amount_minor": "-5"}),
        ("amount_not_a_number", "amount_minor", "NaN", {"amount_minor": "NaN"}),
        ("amount_too_large", "amount_minor", "999999999999999", {"amount_minor": "999999999999999"}),
        ("amount_zero", "amount_minor", "0", {"amount_minor": "0"}),
        ("currency_unknown", "currency", "EURO", {"currency": "euro"}),
        (
            "self_transfer",
            "target_id",
            "[personal]",
            {"target_type": "account", "target_id": "DE-BAD", "kind": "transfer"},
        ),
        ("id_conflict", "transaction_id", "good-0007", {"transaction_id": "good-0007", "amount_minor": "777"}),
        ("broken_utf8", "memo", "caf\ufffd", {"memo": "caf\udcff"}),
        ("too_few_columns", "holder_name", "7 of 21 values", b"bad-short,2025-01-06T00:00:00Z,,account,A,merchant,M"),
    ]


def csv_source(folder: Path, *, copies: int = 1) -> tuple[Path, dict[int, tuple[str, str, str]]]:
    """A CSV of good rows with the bad ones spread among them, and what is expected at each bad line."""
    template = transaction("bad", START, "account:DE-BAD", "merchant:m")
    expected: dict[int, tuple[str, str, str]] = {}
    lines: list[bytes] = [as_line(list(COLUMNS.names))]
    line = 2
    for index, row in enumerate(GOOD):
        lines.append(as_line(values_of(row)))
        line += 1
        which, here = divmod(index, 100)
        if here == 50 and which < 12:
            reason, column, value, change = bad_lines()[which]
            for copy in range(copies):
                mine = values_of(template | {"transaction_id": f"bad-{which}-{copy}"})
                named = dict(zip(COLUMNS.names, mine, strict=True)) | ({} if isinstance(change, bytes) else change)
                lines.append(change + b"\n" if isinstance(change, bytes) else as_line(list(named.values())))
                expected[line] = (reason, column, value)
                line += 1
        if here in (20, 21):  # an exact duplicate of an earlier row
            lines.append(as_line(values_of(GOOD[index - 20])))
            line += 1
    folder.mkdir(parents=True)
    path = folder / "transactions.csv"
    path.write_bytes(b"".join(lines))
    return path, expected


def values_of(row: Row) -> list[str]:
    table = handed_over(row)
    times = {name: f"{np.datetime64(table[name], 'us')}Z" for name in ("event_time", "known_at")}
    return ["" if value is None else str(value) for value in (table | times).values()]


def as_line(values: list[str]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerow(values)
    return out.getvalue().encode("utf-8", errors="surrogateescape")


def test_bad_rows_are_quarantined_and_the_rest_enters(tmp_path: Path) -> None:
    source, expected = csv_source(tmp_path / "source")
    workspace = Workspace.open(tmp_path / "workspace")
    result = run(workspace, source, STRICT)
    assert len(expected) == 12
    assert (result.num_new, result.num_quarantined, result.num_duplicates) == (1_500, 12, 30)
    snapshot = Snapshot.open(workspace)
    quarantine = snapshot.quarantine()
    assert quarantine is not None
    found = {row["line"]: (row["reason"], row["field"], row["value"]) for row in quarantine.to_pylist()}
    assert found == expected
    assert all(row["source_file"] == "transactions.csv" and row["remedy"] for row in quarantine.to_pylist())
    assert "DE-BAD" not in str(quarantine.to_pylist()), "personal values are masked"
    ids = snapshot.transaction_ids.to_pylist()
    assert sorted(ids) == [row["transaction_id"] for row in GOOD]
    kept = snapshot.transactions(["transaction_id", "amount_minor"]).to_pylist()
    assert {"transaction_id": "good-0007", "amount_minor": 1_000} in kept, "the first of an id stays"
    assert (snapshot.manifest["num_quarantined"], snapshot.manifest["num_duplicates"]) == (12, 30)


def test_csv_and_parquet_of_the_same_rows_have_one_hash(tmp_path: Path) -> None:
    workspaces = [Workspace.open(tmp_path / name) for name in ("csv", "parquet")]
    (workspaces[0].root / "secrets").mkdir()
    workspaces[0].secret("token.key")
    shutil.copytree(workspaces[0].secrets, workspaces[1].secrets)
    names = ("transactions.csv", "transactions.parquet")
    hashes = []
    for workspace, name in zip(workspaces, names, strict=True):
        run(workspace, write_source(tmp_path / f"source-{name}", GOOD[:200], name=name))
        hashes.append(Snapshot.open(workspace).id)
    assert hashes[0] == hashes[1]


def test_too_many_bad_rows_stop_the_ingest_and_are_kept(
    ingested: tuple[Workspace, Path, IngestResult], tmp_path: Path
) -> None:
    workspace = copy_of(ingested, tmp_path)
    in_force = workspace.current_snapshot()
    source, expected = csv_source(tmp_path / "source", copies=2)
    with pytest.raises(DataContractError) as caught:
        run(workspace, source, STRICT)
    assert caught.value.exit_code == 3
    assert "24 of 1524 rows are bad (1.6%, at most 1.0% may be)" in str(caught.value)
    (kept,) = (workspace.root / "quarantine").iterdir()
    assert str(kept) in caught.value.remedy
    lines = {row["line"]: row["reason"] for row in read_parquet(kept).to_pylist()}
    assert lines == {line: reason for line, (reason, _, _) in expected.items()}
    assert workspace.current_snapshot() == in_force
    assert len(list(workspace.snapshots.glob("*"))) == 2, "one snapshot and the pointer"
    vault = str(Vault.of(workspace).originals([Tokenizer.of(workspace, STRICT).token("account", "DE39")]))
    assert vault == "{}", "originals of rows that did not enter are not kept"
    assert run(workspace, source, STRICT, max_bad_share=0.02).num_quarantined == 24


def test_a_missing_column_says_which_exist(tmp_path: Path) -> None:
    source = tmp_path / "cards.csv"
    source.write_text("id,when\n1,2\n")
    with pytest.raises(MappingError, match=r"cards.csv.*Columns that exist: id, when"):
        run(Workspace.open(tmp_path / "workspace"), source)


def test_a_column_that_no_time_can_come_from_is_a_mapping_error(tmp_path: Path) -> None:
    """It is found by a worker, and reaches the user as what it is."""
    naive = MAPPING.model_copy(
        update={"fields": MAPPING.fields.model_copy(update={"known_at": TimeField(column="when")})}
    )
    source = write_source(tmp_path, GOOD[:20])
    table = pq.read_table(source)
    pq.write_table(table.append_column("when", table["event_time"].cast(pa.timestamp("ms"))), source)
    with pytest.raises(MappingError, match="says no time zone"):
        run(Workspace.open(tmp_path / "workspace"), source, naive)


def test_labels_without_a_transaction_and_contrary_ones_are_told(tmp_path: Path) -> None:
    rows = GOOD[:400]
    labels = [
        label("good-0001", START + 30 * DAY),
        label("good-0001", START + 30 * DAY),
        label("good-0002", START + 30 * DAY),
        label("good-0002", START + 30 * DAY, "legitimate"),
        label("nowhere", START + 30 * DAY),
        label("good-0003", START + 30 * DAY, "dubious"),
        label("good-0004", GOOD[4]["known_at"]),
        label("good-0005", GOOD[5]["known_at"] + 1),
    ]
    workspace = Workspace.open(tmp_path / "workspace")
    result = run(workspace, write_source(tmp_path / "source", rows, labels))
    assert (result.num_new, result.num_duplicates, result.num_quarantined) == (400, 0, 4)
    quarantine = Snapshot.open(workspace).quarantine()
    assert quarantine is not None
    found = {(row["reason"], row["transaction_id"], row["line"]) for row in quarantine.to_pylist()}
    assert found == {
        ("label_conflict", "good-0002", 4),
        ("label_without_transaction", "nowhere", 5),
        ("label_unknown", "good-0003", 6),
        ("label_before_transaction", "good-0004", 7),
    }
    explicit = [row for row in Snapshot.open(workspace).labels().to_pylist() if row["origin"] != "matured"]
    assert sorted(row["transaction_id"] for row in explicit) == ["good-0001", "good-0002", "good-0005"]


def test_labels_of_a_column_come_late_for_both_classes(tmp_path: Path) -> None:
    handbook = load_mapping("fraud-handbook")
    text = "TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_FRAUD,TX_FRAUD_SCENARIO\n"
    text += "".join(f"{i},2018-04-01 {i:02d}:00:00,c{i % 3},t{i % 2},{i}.50,{int(i == 5)},9\n" for i in range(20))
    text += "5,2018-04-01 05:00:00,c2,t1,9.99,0,0\n"  # a conflict: its label must not be taken either
    source = tmp_path / "cards.csv"
    source.write_text(text)
    workspace = Workspace.open(tmp_path / "workspace")
    run(workspace, source, handbook, max_bad_share=0.1)
    snapshot = Snapshot.open(workspace)
    labels = snapshot.labels().to_pylist()
    assert [row["label"] for row in labels].count("fraud") == 1
    assert len(labels) == 20 and {row["origin"] for row in labels} == {"chargeback"}
    delays = snapshot.label_events.known_at - snapshot.arrays.event_time[snapshot.label_events.position]
    assert set(delays.tolist()) == {7 * DAY}
    assert snapshot.spec.name == "handbook"
    assert snapshot.arrays.amount_minor.tolist() == [index * 100 + 50 for index in range(20)]
    assert "9" not in {value for row in snapshot.transactions().to_pylist() for _, value in row["attributes"]}


def test_a_damaged_file_is_refused_whole(ingested: tuple[Workspace, Path, IngestResult], tmp_path: Path) -> None:
    workspace = copy_of(ingested, tmp_path)
    in_force = workspace.current_snapshot()
    source = write_source(tmp_path / "source", GOOD)
    data = bytearray(source.read_bytes())
    data[len(data) // 3] ^= 0x10
    source.write_bytes(data)
    with pytest.raises(DamagedFile, match=r"transactions.parquet is damaged"):
        run(workspace, source)
    assert workspace.current_snapshot() == in_force


def test_card_numbers_in_file_names_stay_there(tmp_path: Path) -> None:
    source = write_source(tmp_path / "source", GOOD[:50], name="export 4111-1111-1111-1111.parquet")
    workspace = Workspace.open(tmp_path / "workspace")
    run(workspace, source)
    assert Snapshot.open(workspace).manifest["sources"][0]["name"] == "export [card number].parquet"


def test_another_mapping_of_personal_data_needs_a_new_lineage(
    ingested: tuple[Workspace, Path, IngestResult], tmp_path: Path
) -> None:
    workspace = copy_of(ingested, tmp_path)
    open_ips = MAPPING.model_copy(update={"personal": MAPPING.personal.model_copy(update={"types": ("account",)})})
    source = write_source(tmp_path / "source", GOOD[:100])
    with pytest.raises(MappingError, match="new lineage"):
        run(workspace, source, open_ips)
    result = run(workspace, source, open_ips, new_lineage=True)
    snapshot = Snapshot.open(workspace)
    assert (result.batch, snapshot.manifest["parent"], snapshot.manifest["num_transactions"]) == (1, None, 100)
    assert transactions_table(GOOD[:100]).num_rows == 100


def test_an_alert_that_nobody_reviewed_never_matures(
    ingested: tuple[Workspace, Path, IngestResult], table: tuple[list[Row], list[Row]], tmp_path: Path
) -> None:
    matured = Snapshot.open(ingested[0]).labels().filter(pc.field("origin") == "matured")
    alerts = matured.column("transaction_id").to_pylist()[:20]
    workspace = Workspace.open(tmp_path / "alerts")
    shutil.copytree(ingested[0].secrets, workspace.secrets)
    result = run(workspace, write_source(tmp_path / "source", *table), unreviewed_alerts=alerts)
    assert result.snapshot_id != ingested[2].snapshot_id
    ours, theirs = Snapshot.open(workspace), Snapshot.open(ingested[0])
    left = set(theirs.labels().column("transaction_id").to_pylist()) - set(
        ours.labels().column("transaction_id").to_pylist()
    )
    assert left == set(alerts)
    assert ours.manifest["rows_hash"] == theirs.manifest["rows_hash"]
    names = TRANSACTION.names
    assert ours.labels().num_rows == theirs.labels().num_rows - len(alerts)
    direct = build_snapshot(
        Workspace.open(tmp_path / "direct"),
        theirs.transactions(names),
        labels=theirs.labels().filter(pc.field("origin") != "matured"),
        roles=theirs.roles,
        unreviewed_alerts=alerts,
    )
    same_but_for_dense_ids(ours, direct)
