"""Several sources of labels in one ingest: columns and files, of transactions and entities, each with its own clock."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest

from ingestion.canonical import MODULUS, as_hex, hash_sum, label_hashes, transaction_hashes
from ingestion.contracts import TRANSACTION, moment
from ingestion.ingest import IngestResult, ingest
from ingestion.mapping import Mapping
from ingestion.replay import Replay
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace
from tests.builders import DAY, START

pytestmark = [pytest.mark.spark, pytest.mark.usefixtures("spark")]

NOW = START + 100 * DAY
FILE = {"kind": "file", "origin": {"constant": "analyst"}, "fraud": ["bad"], "legitimate": ["good"]}
ENTITY = FILE | {"file": "accounts.csv", "entity": {"type": "account", "key": "account"}, "label": "state"}
MAPPING = Mapping.model_validate(
    {
        "name": "several",
        "label_maturity_days": 40,
        "fields": {
            "transaction_id": "id",
            "event_time": "at",
            "known_at": "arrived",
            "amount": {"column": "cents", "unit": "minor"},
        },
        "source": {"type": "account", "key": "account"},
        "target": {"type": "merchant", "key": "shop"},
        "personal": {"types": ["account"]},
        "filters": [{"keep": "shop != 'test'", "reason": "test rows"}],
        "labels": [
            {"kind": "column", "column": "chargeback", "fraud": ["J"], "legitimate": ["N"], "known_at": "decided"},
            {"kind": "column", "column": "flag", "delay_days": 0, "origin": "rule", "for_training": False},
            FILE | {"file": "reviews.csv", "transaction_id": "tx", "label": "state", "delay_days": 5},
            ENTITY | {"keep": "since != ''", "known_at": "since"},
            ENTITY | {"keep": "since == ''", "known_at": "end_of_data", "for_training": False},
        ],
    }
)


def at(days: float) -> str:
    return moment(START + round(days * DAY)).isoformat()


def table(*rows: tuple[Any, ...], first: int = 0) -> str:
    """Rows of (day, days late, account, shop, chargeback, decided on day, flag)."""
    lines = ["id,at,arrived,cents,account,shop,chargeback,decided,flag"]
    for number, (day, late, account, shop, chargeback, decided, flag) in enumerate(rows, start=first):
        decision = "" if decided is None else at(decided)
        lines.append(
            f"t{number},{at(day)},{at(day + late)},{number + 1}00,{account},{shop},{chargeback},{decision},{flag}"
        )
    return "\n".join(lines) + "\n"


ROWS = [
    (0, 0, "DE-A", "m", "J", 3, "1"),
    (1, 2, "DE-B", "m", "N", 20, "0"),
    (2, 0, "DE-A", "m", "", None, ""),
    (3, 0, "DE-C", "test", "J", 4, "1"),
    (4, 1, "DE-C", "m", "J", 4.5, ""),  # decided before it arrived
    (5, 0, "DE-C", "m", "J", None, ""),  # decided nobody knows when
    (6, 0, "DE-B", "m", "maybe", 9, ""),
    (7, 0, "DE-C", "m", "", None, ""),
]
REVIEWS = "tx,state\nt0,good\nt2,bad\nt1,bad\nt99,bad\n"
ACCOUNTS = f"account,state,since\nDE-A,bad,{at(5)}\nDE-B,good,\nDE-Z,bad,{at(5)}\nDE-C,odd,\n"


@dataclass(frozen=True)
class Ingested:
    workspace: Workspace
    source: Path
    result: IngestResult
    snapshot: Snapshot


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Ingested:
    folder = tmp_path_factory.mktemp("labels")
    source = folder / "source"
    source.mkdir()
    (source / "table.csv").write_text(table(*ROWS))
    (source / "reviews.csv").write_text(REVIEWS)
    (source / "accounts.csv").write_text(ACCOUNTS)
    workspace = Workspace.open(folder / "workspace")
    result = ingest(workspace, source, MAPPING, now=NOW, max_bad_share=1.0)
    return Ingested(workspace, source, result, Snapshot.open(workspace))


def test_what_is_no_label_is_quarantined_with_its_line(ingested: Ingested) -> None:
    quarantine = ingested.snapshot.quarantine()
    assert quarantine is not None
    found = {(row["source_file"], row["line"], row["reason"], row["field"]) for row in quarantine.to_pylist()}
    assert found == {
        ("table.csv", 6, "label_before_transaction", "decided"),
        ("table.csv", 7, "time_missing", "decided"),
        ("table.csv", 8, "label_unknown", "chargeback"),
        ("reviews.csv", 5, "label_without_transaction", "transaction_id"),
        ("accounts.csv", 4, "label_without_entity", "entity_key"),
        ("accounts.csv", 5, "label_unknown", "state"),
    }
    assert ingested.result.num_quarantined == 6
    assert "DE-" not in str(quarantine.to_pylist())
    assert ingested.snapshot.manifest["left_out"] == {"test rows": 1}


def test_each_label_has_the_clock_of_its_source(ingested: Ingested) -> None:
    """t1 arrived on day 3, so that what is known with its event (day 1) is known just after it arrived."""
    found = {
        (row["transaction_id"], row["origin"]): (row["label"], (row["known_at"].timestamp() * 1e6 - START) / DAY)
        for row in ingested.snapshot.labels().to_pylist()
        if row["transaction_id"]
    }
    a_moment = 1 / DAY
    expected = {
        ("t0", "chargeback"): ("fraud", 3),
        ("t1", "chargeback"): ("legitimate", 20),
        ("t0", "rule"): ("fraud", a_moment),
        ("t1", "rule"): ("legitimate", 3 + a_moment),
        ("t0", "analyst"): ("legitimate", 5),
        ("t1", "analyst"): ("fraud", 6),
        ("t2", "analyst"): ("fraud", 7),
    }
    assert {key: label for key, (label, _) in found.items()} == {key: label for key, (label, _) in expected.items()}
    assert all(abs(found[key][1] - days) < 2e-11 for key, (_, days) in expected.items())
    training = {row["transaction_id"]: row["for_training"] for row in ingested.snapshot.labels().to_pylist()}
    rules = [row for row in ingested.snapshot.labels().to_pylist() if row["origin"] == "rule"]
    assert {row["for_training"] for row in rules} == {False} and None in training.values()
    ids = ingested.snapshot.transaction_ids.to_pylist()
    assert [ids[position] for position in ingested.snapshot.not_for_training] == ["t0", "t1"]


def test_labels_of_entities_are_events_of_their_own(ingested: Ingested) -> None:
    """They are in the snapshot under tokens, not among the labels of transactions, and in no feature."""
    snapshot = ingested.snapshot
    labels = [row for row in snapshot.labels().to_pylist() if row["entity_key"]]
    assert len(labels) == 2 and all(row["entity_key"].startswith("account_") for row in labels)
    events = snapshot.entity_label_events
    horizon = snapshot.manifest["horizon"]
    assert horizon == START + 7 * DAY
    assert events.known_at.tolist() == [START + 5 * DAY, horizon], "the other is known when the data ends"
    assert events.is_fraud.tolist() == [True, False]
    assert events.for_training.tolist() == [True, False]
    keys = snapshot.entities().column("key").to_pylist()
    first = snapshot.transactions(["transaction_id", "source_key"]).to_pylist()
    owner = {row["transaction_id"]: row["source_key"] for row in first}
    assert [keys[entity] for entity in events.entity] == [owner["t0"], owner["t1"]]
    assert len(snapshot.label_events.position) == snapshot.labels().num_rows - 2
    assert (snapshot.label_events.position >= 0).all()


def test_two_files_in_turn_give_what_one_gives(ingested: Ingested, tmp_path: Path) -> None:
    """Labels of transactions and entities of an earlier batch come with a later one."""
    both = [row for row in ROWS if row[3] != "test"][:3]
    timed = f"account,state,since\nDE-A,bad,{at(5)}\n"
    parts = {
        "one": [(table(*both), "tx,state\nt0,good\nt2,bad\n", timed)],
        "two": [
            (table(*both[:1]), "tx,state\nt0,good\n", "account,state,since\n"),
            (table(*both[1:], first=1), "tx,state\nt2,bad\n", timed),
        ],
    }
    hashes = {}
    secret = ingested.workspace.secret("token.key")
    for name, batches in parts.items():
        workspace = Workspace.open(tmp_path / name)
        workspace.secrets.mkdir(exist_ok=True)
        (workspace.secrets / "token.key").write_text(secret)
        (workspace.secrets / "token.key").chmod(0o600)
        for number, (rows, reviews, accounts) in enumerate(batches):
            source = tmp_path / f"{name}-{number}"
            source.mkdir()
            (source / "table.csv").write_text(rows)
            (source / "reviews.csv").write_text(reviews)
            (source / "accounts.csv").write_text(accounts)
            ingest(workspace, source, MAPPING, now=NOW)
        snapshot = Snapshot.open(workspace)
        hashes[name] = snapshot.manifest["rows_hash"]
        assert snapshot.entity_label_events.is_fraud.tolist() == [True]
    assert hashes["one"] == hashes["two"]
    labels = snapshot.labels().filter(pc.field("origin") != "matured")
    rows = hash_sum(transaction_hashes(snapshot.transactions(TRANSACTION.names)))
    of_labels = hash_sum(label_hashes(labels))
    assert labels.column("entity_key").null_count == labels.num_rows - 1
    assert hashes["one"] == as_hex((rows + of_labels) % MODULUS), "the label of the entity is in the hash"


def test_the_same_source_again_and_a_replay(ingested: Ingested, tmp_path: Path) -> None:
    """A mended mapping reads its quarantined rows again, label files and columns alike."""
    assert ingest(ingested.workspace, ingested.source, MAPPING, now=NOW).reused
    mended = MAPPING.as_dict()
    mended["labels"][0]["fraud"] = ["J", "maybe"]
    mended["labels"][4]["fraud"] = ["bad", "odd"]
    result = ingest(
        ingested.workspace,
        ingested.source,
        Mapping.model_validate(mended),
        now=NOW,
        max_bad_share=1.0,
        replay=Replay(reason="label_unknown"),
    )
    snapshot = Snapshot.open(ingested.workspace)
    assert (result.num_new, result.batch) == (1, 2)
    assert "t6" in snapshot.transaction_ids.to_pylist()
    events = snapshot.entity_label_events
    assert sorted(events.is_fraud.tolist()) == [False, True, True]
    quarantine = snapshot.quarantine()
    assert quarantine is not None
    assert "label_unknown" not in quarantine.column("reason").to_pylist()
    assert np.all(np.diff(events.known_at) >= 0)
