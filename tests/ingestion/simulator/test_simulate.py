from __future__ import annotations

import datetime as dt
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from ingestion.artifacts import file_sha256, read_parquet
from ingestion.simulator.config import SimulatorConfig
from ingestion.simulator.simulate import SimulatedTables, simulate, write
from tests.ingestion.simulator.conftest import Rows

SMALL = SimulatorConfig(num_transactions=5_000, days=30, fraud_rate=0.01, seed=3)
FILES = ("transactions.parquet", "labels.parquet", "truth.parquet", "simulation.json")
_WRITE = """
import sys
from pathlib import Path
from ingestion.simulator.config import SimulatorConfig
from ingestion.simulator.simulate import simulate, write
write(simulate(SimulatorConfig(num_transactions=5_000, days=30, fraud_rate=0.01, seed=3)), Path(sys.argv[1]))
"""
COLUMNS = {
    "transaction_id": "string",
    "event_time": "timestamp[us, tz=UTC]",
    "known_at": "timestamp[us, tz=UTC]",
    "source_type": "string",
    "source_id": "string",
    "target_type": "string",
    "target_id": "string",
    "holder_name": "string",
    "email": "string",
    "card_number": "string",
    "device_id": "string",
    "ip_address": "string",
    "amount_minor": "int64",
    "currency": "string",
    "kind": "string",
    "outcome": "string",
    "channel": "string",
    "merchant_category": "string",
    "country": "string",
    "memo": "string",
    "refers_to": "string",
}
NULLABLE = {"card_number", "device_id", "ip_address", "merchant_category", "memo", "refers_to"}


def hashes(folder: Path) -> dict[str, str]:
    return {name: file_sha256(folder / name) for name in FILES}


def test_columns_are_what_the_mapping_reads(tables: SimulatedTables) -> None:
    assert {field.name: str(field.type) for field in tables.transactions.schema} == COLUMNS
    assert tables.labels.column_names == ["transaction_id", "label", "known_at", "origin", "reviewer", "reason"]
    assert tables.truth.column_names == ["transaction_id", "is_fraud", "typology", "case_id", "role"]
    with_null = {name for name in COLUMNS if tables.transactions[name].null_count}
    assert with_null == NULLABLE


def test_same_config_same_bytes_in_every_process(tmp_path: Path) -> None:
    write(simulate(SMALL), tmp_path / "here")
    expected = hashes(tmp_path / "here")
    for hash_seed in ("1", "2"):
        folder = tmp_path / hash_seed
        subprocess.run([sys.executable, "-c", _WRITE, str(folder)], env={"PYTHONHASHSEED": hash_seed}, check=True)
        assert hashes(folder) == expected


def test_another_seed_gives_another_bank() -> None:
    one, other = simulate(SMALL), simulate(SimulatorConfig(num_transactions=5_000, days=30, fraud_rate=0.01, seed=4))
    for name in ("transaction_id", "source_id", "card_number", "ip_address", "email"):
        shared = set(one.transactions[name].to_pylist()) & set(other.transactions[name].to_pylist()) - {None}
        assert not shared, name
    assert one.transactions["amount_minor"] != other.transactions["amount_minor"]


@pytest.mark.parametrize(
    ("number", "days", "rate"), [(2_000, 14, 0.0), (2_000, 60, 0.003), (7_919, 49, 0.1), (30_001, 90, 0.0005)]
)
def test_counts_are_exact(number: int, days: int, rate: float) -> None:
    tables = simulate(SimulatorConfig(num_transactions=number, days=days, fraud_rate=rate))
    assert tables.transactions.num_rows == tables.truth.num_rows == number
    assert pc.sum(tables.truth["is_fraud"]).as_py() == round(number * rate)
    assert len(tables.transactions["transaction_id"].unique()) == number


def test_a_million_in_time(tmp_path: Path) -> None:
    begin = time.process_time()
    tables = simulate(SimulatorConfig(num_transactions=1_000_000))
    write(tables, tmp_path)
    assert time.process_time() - begin < 60  # seconds of one core; about 10 when this was written
    assert tables.transactions.num_rows == 1_000_000
    assert pc.sum(tables.truth["is_fraud"]).as_py() == 3_000


def test_what_is_written_is_what_was_simulated(tmp_path: Path) -> None:
    tables = simulate(SMALL)
    write(tables, tmp_path)
    for name in ("transactions", "labels", "truth"):
        assert read_parquet(tmp_path / f"{name}.parquet").equals(getattr(tables, name))
    summary = orjson.loads((tmp_path / "simulation.json").read_bytes())
    assert summary["config"]["seed"] == 3
    assert summary["counts"]["frauds"] == 50
    assert summary["counts"]["transactions"] == 5_000


def test_times_lie_in_the_span_and_some_arrive_late(tables: SimulatedTables) -> None:
    config, data = tables.config, tables.transactions
    end = config.start + dt.timedelta(days=config.days)
    assert data["event_time"].to_pylist() == sorted(data["event_time"].to_pylist())
    assert pc.min(data["event_time"]).as_py() >= config.start
    assert pc.max(data["known_at"]).as_py() < end
    delay = pc.subtract(data["known_at"].cast(pa.int64()), data["event_time"].cast(pa.int64())).to_numpy()
    assert delay.min() == 0
    assert 0.008 < (delay > 0).mean() < 0.012
    assert 2.5 < delay.max() / 86_400_000_000 <= 3


def test_parties_and_identifiers_fit_the_kind(rows: Rows) -> None:
    for row in rows:
        back, transfer = row["kind"] in ("refund", "reversal"), row["kind"] == "transfer"
        assert row["source_type"] == ("merchant" if back else "account")
        assert row["target_type"] == ("account" if back or transfer else "merchant")
        assert (row["card_number"] is None) == (row["merchant_category"] is None) == transfer
        assert (row["channel"] == "transfer") == transfer
        assert (row["device_id"] is None) == (row["ip_address"] is None)
        assert row["source_id"] != row["target_id"]
        if row["channel"] in ("card_present", "recurring") or back or row["kind"] == "capture":
            assert row["device_id"] is None
        elif row["channel"] == "online":
            assert row["device_id"] is not None


def test_amounts_are_positive_but_for_card_checks(rows: Rows) -> None:
    zeros = [row for row in rows if row["amount_minor"] == 0]
    assert min(row["amount_minor"] for row in rows) == 0
    assert {row["kind"] for row in zeros} == {"authorisation"}
    assert sum(not row["is_fraud"] for row in zeros) > len(zeros) / 2


def test_what_refers_to_an_earlier_transaction(rows: Rows) -> None:
    by_id = {row["transaction_id"]: row for row in rows}
    kinds: Counter[str] = Counter()
    for row in rows:
        if row["refers_to"] is None:
            assert row["kind"] not in ("refund", "reversal", "capture")
            continue
        original = by_id[row["refers_to"]]
        kinds[row["kind"]] += 1
        assert original["event_time"] < row["event_time"]
        assert 0 < row["amount_minor"] <= original["amount_minor"]
        assert row["currency"] == original["currency"]
        assert original["kind"] == ("payment" if row["kind"] == "refund" else "authorisation")
        parties = {original["source_id"], original["target_id"]}
        assert {row["source_id"], row["target_id"]} == parties
        assert (row["source_id"] == original["source_id"]) == (row["kind"] == "capture")
    assert set(kinds) == {"refund", "reversal", "capture"}
    assert kinds["refund"] == int(0.012 * len(rows))


def test_the_holder_belongs_to_the_acting_account(rows: Rows) -> None:
    holders: dict[str, tuple[str, str]] = {}
    for row in rows:
        account = row["source_id"] if row["source_type"] == "account" else row["target_id"]
        holder = (row["holder_name"], row["email"])
        assert holders.setdefault(account, holder) == holder
    assert len(set(holders.values())) == len(holders)


def test_truth_agrees_with_itself(rows: Rows) -> None:
    for row in rows:
        assert row["is_fraud"] == (row["typology"] is not None) == (row["case_id"] is not None)
        if row["is_fraud"]:
            assert row["role"] is not None and not row["role"].startswith("lookalike_")
        else:
            assert row["role"] is None or row["role"].startswith("lookalike_")
    of_case = {(row["case_id"], row["typology"]) for row in rows if row["is_fraud"]}
    assert len(of_case) == len({case for case, _ in of_case})


def test_no_fraud_and_no_lookalike_when_none_is_asked_for() -> None:
    tables = simulate(SimulatorConfig(num_transactions=3_000, days=30, fraud_rate=0))
    assert tables.truth["typology"].null_count == tables.truth["role"].null_count == 3_000
    assert "rule" not in tables.labels["origin"].to_pylist()
