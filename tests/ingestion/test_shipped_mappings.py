"""The shipped mappings of public tables: hand-made rows exactly, and the real files where they are at hand."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ingestion.contract_rows import transactions_of
from ingestion.contracts import moment
from ingestion.expression_values import Rows
from ingestion.ingest import IngestResult, ingest
from ingestion.inspection.load import read_raw
from ingestion.label_rows import AT_THE_END, labels_of_file, of_source
from ingestion.labels import FRAUD, LEGITIMATE
from ingestion.mapping import SHIPPED, load_mapping
from ingestion.mapping_check import check_mapping
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace
from tests.builders import START

DATA = os.environ.get("RINGFENCE_DATA")
on_real_rows = pytest.mark.skipif(DATA is None, reason="RINGFENCE_DATA does not name the folder of public data")


def mapped(name: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    table, faults = transactions_of(pa.Table.from_pylist(rows), load_mapping(name), now=START)
    assert not faults.problems
    return list(table.to_pylist())


def test_paysim_rows() -> None:
    row = {"step": 25, "type": "PAYMENT", "amount": 9839.64, "nameOrig": "C12", "nameDest": "M19"}
    cash = row | {"step": 1, "type": "CASH_OUT", "nameDest": "C7", "amount": 0.1}
    first, second = mapped("paysim", [row, cash])
    assert first["event_time"].isoformat() == "2017-01-02T01:00:00+00:00"
    assert (first["kind"], first["amount_minor"], first["target_type"]) == ("payment", 983_964, "merchant")
    assert (second["kind"], second["amount_minor"], second["target_type"]) == ("transfer", 10, "customer")
    assert (second["channel"], second["attributes"]) == ("cash_out", [("type", "CASH_OUT")])
    assert len({first["transaction_id"], second["transaction_id"]}) == 2
    assert mapped("paysim", [row])[0]["transaction_id"] == first["transaction_id"], "wherever the row stands"


def test_paysims_columns_from_after_the_fact_do_not_enter() -> None:
    mapping = load_mapping("paysim")
    balances = {"oldbalanceOrg", "newbalanceOrig", "oldbalanceDest", "newbalanceDest", "isFlaggedFraud"}
    assert set(mapping.dropped) == balances
    assert not balances & set(mapping.read_columns)


def test_amlworld_rows() -> None:
    row = {
        "timestamp": "2022-09-01 00:06:00",
        "from_bank": "012",
        "from_account": "80011F990",
        "to_bank": "21174",
        "to_account": "80020C5B0",
        "amount_received": 14.5,
        "receiving_currency": "US Dollar",
        "amount_paid": 2848.96,
        "payment_currency": "Euro",
        "payment_format": "Cheque",
    }
    other_form = row | {"from_bank": "12"}
    yen = row | {"payment_currency": "Yen", "payment_format": "ACH", "amount_paid": 100.5}
    first, second, third = mapped("amlworld", [row, other_form, yen])
    assert first["source_key"] == second["source_key"] == "12:80011F990"
    assert (first["amount_minor"], first["currency"], first["kind"]) == (284_896, "EUR", "payment")
    assert (third["amount_minor"], third["currency"], third["kind"]) == (100, "JPY", "transfer"), "half to even"


def test_bitcoin_ratings_become_trust_given_and_taken() -> None:
    when = np.datetime64("2010-11-08T18:45:11.728359936")
    rows = [{"src": 6, "dst": 2, "rating": rating, "timestamp": when} for rating in (4, -10)]
    trust, distrust = mapped("bitcoin-otc", rows)
    assert (trust["amount_minor"], trust["kind"], trust["channel"]) == (4, "transfer", "trust")
    assert (distrust["amount_minor"], distrust["kind"], distrust["channel"]) == (10, "reversal", "distrust")
    assert trust["transaction_id"] == "6-2"
    assert trust["event_time"].isoformat() == "2010-11-08T18:45:11.728359+00:00"


def test_amlsims_accounts_have_three_kinds_of_label() -> None:
    mapping = load_mapping("amlsim")
    table = {"nodeid": [1, 2, 3], "isFraud": [1, 1, 0], "fraudStep": [3, -1, -1]}
    rows = Rows.of(pa.table(table))
    found = []
    for source in mapping.label_files["accounts.parquet"]:
        labels, faults = labels_of_file(rows.filter(of_source(rows, source)), source, mapping, now=START)
        assert not faults.problems
        (row,) = labels.to_pylist()
        found.append((row["entity_key"], row["label"], row["known_at"] and row["known_at"].isoformat(), row["delay"]))
        assert row["for_training"] is (False if row["entity_key"] == "2" else None)
    assert found == [
        ("1", "fraud", "2017-01-04T00:00:00+00:00", None),
        ("2", "fraud", None, AT_THE_END),
        ("3", "legitimate", None, AT_THE_END),
    ]


@pytest.mark.parametrize("name", sorted(path.stem for path in SHIPPED.glob("*.toml")))
def test_every_shipped_mapping_is_of_its_name(name: str) -> None:
    assert load_mapping(name).name == name


def real(folder: Path, name: str, source: str) -> tuple[IngestResult, Snapshot]:
    assert DATA is not None
    workspace = Workspace.open(folder)
    result = ingest(workspace, Path(DATA) / source, load_mapping(name))
    return result, Snapshot.open(workspace)


@on_real_rows
@pytest.mark.spark
def test_paysims_real_rows(tmp_path: Path, spark: object) -> None:
    result, snapshot = real(tmp_path, "paysim", "paysim-slice/transactions.parquet")
    assert (result.num_new, result.num_quarantined, result.num_duplicates) == (12_651, 0, 0)
    assert moment(snapshot.manifest["first_event_time"]).isoformat() == "2017-01-01T01:00:00+00:00"
    assert moment(snapshot.manifest["last_event_time"]).isoformat() == "2017-01-31T23:00:00+00:00"
    assert int(snapshot.label_events.is_fraud.sum()) == 325
    assert set(snapshot.manifest["num_entities"]) == {"customer", "merchant"}
    assert dict(zip(*np.unique(snapshot.arrays.kind.astype(str), return_counts=True), strict=True)) == {
        "payment": 4_575,
        "transfer": 8_076,
    }


@on_real_rows
@pytest.mark.spark
def test_amlsims_real_accounts(tmp_path: Path, spark: object) -> None:
    """20 of the 20,000 accounts move nothing; 906 launderers have no step: known at the end, not for training."""
    result, snapshot = real(tmp_path, "amlsim", "amlsim-20k")
    assert (result.num_new, result.num_quarantined) == (120_558, 20)
    quarantine = snapshot.quarantine()
    assert quarantine is not None
    assert set(quarantine.column("reason").to_pylist()) == {"label_without_entity"}
    assert len(snapshot.label_events.position) == 0, "no transaction is labelled, so none matures"
    labels = snapshot.entity_label_events
    horizon = snapshot.manifest["horizon"]
    assert len(labels.entity) == 19_980 == len(set(labels.entity.tolist()))
    assert (int(labels.is_fraud.sum()), int((~labels.for_training).sum())) == (1_804, 906)
    assert set(labels.known_at[~labels.for_training].tolist()) == {horizon}
    timed = labels.is_fraud & labels.for_training
    assert int(timed.sum()) == 898
    assert moment(int(labels.known_at[timed].min())).isoformat() == "2017-01-07T00:00:00+00:00"


@on_real_rows
@pytest.mark.spark
def test_amlworlds_real_rows_and_a_second_file_of_another_shape(tmp_path: Path, spark: object) -> None:
    result, snapshot = real(tmp_path / "w", "amlworld", "amlworld-hismall-patterns/laundering_patterns.parquet")
    assert (result.num_new, result.num_quarantined) == (3_208, 0)
    assert snapshot.manifest["left_out"] == {"paid in bitcoin, which has no ISO 4217 code": 1}
    assert int(snapshot.label_events.is_fraud.sum()) == 3_208
    assert len(snapshot.arrays.currencies) == 14
    text = (
        (SHIPPED / "amlworld.toml")
        .read_text()
        .replace('"timestamp", zone', '"timestamp", format = "%Y/%m/%d %H:%M", zone')
    )
    for end in ("from", "to"):
        text = text.replace(f"{end}_bank", f"{end}_bank_id").replace(f"{end}_account", f"{end}_account_id")
    (tmp_path / "background.toml").write_text(text)
    assert DATA is not None
    background = Path(DATA) / "amlworld-hismall-patterns" / "background_first_1000.parquet"
    workspace = Workspace.open(tmp_path / "w")
    more = ingest(workspace, background, load_mapping(tmp_path / "background.toml"))
    assert (more.num_new, more.batch, more.num_quarantined) == (1_000, 2, 0)
    assert Snapshot.open(workspace).manifest["num_transactions"] == 4_208


@on_real_rows
@pytest.mark.spark
def test_bitcoins_real_ratings(tmp_path: Path, spark: object) -> None:
    result, snapshot = real(tmp_path, "bitcoin-otc", "bitcoin-otc/ratings.parquet")
    assert (result.num_new, result.num_quarantined) == (35_592, 0)
    assert snapshot.manifest["num_entities"] == {"user": 5_881}
    labels = snapshot.entity_label_events
    assert (int(labels.is_fraud.sum()), len(labels.entity)) == (180, 316)
    assert not labels.for_training.any()
    assert len(snapshot.label_events.position) == 0
    state = snapshot.label_events.as_of(snapshot.manifest["horizon"], len(snapshot.arrays))
    assert not np.isin(state, [FRAUD, LEGITIMATE]).any()


@on_real_rows
@pytest.mark.parametrize(
    ("name", "source", "rows"),
    [
        ("paysim", "paysim-slice/transactions.parquet", 12_651),
        ("amlsim", "amlsim-20k", 100_000),
        ("amlworld", "amlworld-hismall-patterns/laundering_patterns.parquet", 3_209),
        ("bitcoin-otc", "bitcoin-otc/ratings.parquet", 35_592),
        ("fraud-handbook", "fraud-handbook/transactions.parquet", 100_000),
    ],
)
def test_a_check_of_real_rows_finds_nothing_bad(name: str, source: str, rows: int) -> None:
    assert DATA is not None
    found = check_mapping(Path(DATA) / source, load_mapping(name))
    assert (found.sample["rows"], found.sample["bad"], len(found.rows)) == (rows, {}, 20)
    assert found.unused_columns == []


def test_the_reader_of_whole_files_reads_what_is_written(tmp_path: Path) -> None:
    """`read_raw` and the check see the same rows."""
    path = tmp_path / "t.csv"
    path.write_text("src,dst,rating,timestamp\n1,2,3,2011-01-01 00:00:00\n")
    mapping = load_mapping("bitcoin-otc")
    assert read_raw([path], mapping).num_rows == check_mapping(path, mapping).sample["rows"]
