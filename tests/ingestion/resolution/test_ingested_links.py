"""From a table to links through an ingest, and the commands over them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from ingestion.contracts import LINK
from ingestion.errors import MappingError, UsageError
from ingestion.ingest import ingest
from ingestion.mapping import Mapping, load_mapping
from ingestion.resolution.decisions import DecisionLog
from ingestion.resolution.reading import current_links
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace
from serving.cli import app
from tests.builders import DAY, START, Row, transaction
from tests.ingestion.tables import write_source

pytestmark = [pytest.mark.spark, pytest.mark.usefixtures("spark")]

MAPPING = load_mapping("ringfence")
NOW = START + 200 * DAY


def row(number: int, account: str, device: str, email: str) -> Row:
    made = transaction(f"t{number:03d}", START + number * DAY, f"account:{account}", "merchant:m", parties=[device])
    return made | {"attributes": {"email": email}}


ROWS = [
    row(0, "DE-ONE", "device:dev-a", "ada@example.org"),
    row(1, "DE-TWO", "device:dev-a", "bob@example.org"),
    row(2, "DE-TRE", "device:dev-b", "ADA+new@example.org"),
    row(3, "DE-FOR", "device:unknown", "carl@example.org"),
    row(4, "DE-FIV", "device:unknown", "dora@example.org"),
]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, spark: object) -> Workspace:
    folder = tmp_path_factory.mktemp("links")
    opened = Workspace.open(folder / "workspace")
    ingest(opened, write_source(folder / "source", ROWS), MAPPING, now=NOW)
    return opened


def run(workspace: Workspace, *words: str) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["data", "links", *words, "--workspace", str(workspace.root), "--json"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_the_snapshot_holds_links_by_device_and_by_mailbox(workspace: Workspace) -> None:
    snapshot = Snapshot.open(workspace)
    links = snapshot.links()
    assert links.schema == LINK
    assert sorted(links.column("rule").to_pylist()) == ["same_device", "same_email"]
    assert snapshot.components().num_rows == 3 and len(set(snapshot.components().column(1).to_pylist())) == 1
    assert snapshot.links(START + DAY // 2).num_rows == 0
    assert snapshot.components(START + DAY).num_rows == 2
    told = snapshot.manifest["links"]
    assert told["rules"]["same_device"] == {"pairs": 1, "identifiers": 1, "placeholder_rows": 2}
    assert told["components"] == {"number": 1, "entities": 3, "largest": 3}


def test_explained_by_the_first_transactions_of_both(workspace: Workspace) -> None:
    (link,) = run(workspace, "explain", "account:DE-TRE", "account:DE-ONE")["links"]
    assert (link["rule"], link["by"], link["decisions"]) == ("same_email", ["email"], [])
    assert sorted(item["transaction_id"] for item in link["first_transactions"]) == ["t000", "t002"]
    assert link["periods"] == [{"known_at": "2025-01-08T00:00:00Z", "revoked_at": None, "reason": None}]


def test_linked_through_another_says_through_whom(workspace: Workspace) -> None:
    with pytest.raises(UsageError, match=r"through others alone: .*by same_(device|email) .*by same_(device|email) "):
        run(workspace, "explain", "account:DE-TWO", "account:DE-TRE")
    with pytest.raises(UsageError, match="No rule links"):
        run(workspace, "explain", "account:DE-FOR", "account:DE-FIV")


def test_list_filters(workspace: Workspace) -> None:
    assert run(workspace, "list")["total"] == 2
    assert run(workspace, "list", "--rule", "same_device")["total"] == 1
    assert run(workspace, "list", "--entity", "account:DE-TWO")["total"] == 1
    assert run(workspace, "list", "--as-of", "2025-01-07T12:00:00Z")["total"] == 1
    assert run(workspace, "list", "--hubs") | {"snapshot_id": ""} == {"snapshot_id": "", "total": 0, "hubs": []}
    assert [item["size"] for item in run(workspace, "components", "--entity", "account:DE-ONE")["components"]] == [3]
    with pytest.raises(UsageError, match="no rule 'same_shoe'"):
        run(workspace, "list", "--rule", "same_shoe")


def test_revoked_at_once_kept_by_the_next_ingest_and_restored(workspace: Workspace, tmp_path: Path) -> None:
    """A decision is an event: reads see it at once, the past stays, the next snapshot has it and another id."""
    pair = ("account:DE-ONE", "account:DE-TWO", "--rule", "same_device")
    said = run(workspace, "revoke", *pair, "--reason", "siblings", "--by", "ada", "--at", "2025-03-01T00:00:00Z")
    assert (said["decision"]["who"], said["decision"]["number"]) == ("ada", 1)
    assert run(workspace, "list")["total"] == 1
    assert run(workspace, "list", "--revoked")["total"] == 1
    assert run(workspace, "list", "--as-of", "2025-02-28T00:00:00Z")["total"] == 2
    assert [item["size"] for item in run(workspace, "components")["components"]] == [2]
    with pytest.raises(UsageError, match="revoked already"):
        run(workspace, "revoke", *pair, "--reason", "again")

    before = Snapshot.open(workspace)
    ingest(
        workspace,
        write_source(tmp_path / "more", [row(90, "DE-SIX", "device:dev-z", "eve@example.org")]),
        MAPPING,
        now=NOW,
    )
    after = Snapshot.open(workspace)
    assert after.manifest["parent"] == before.id
    revoked = [item for item in after.links().to_pylist() if item["revoked_at"]]
    assert [(item["rule"], item["reason"]) for item in revoked] == [("same_device", "siblings")]
    assert after.manifest["links"]["decisions"] == 1
    assert current_links(after, DecisionLog.of(workspace).read()).equals(after.links())

    run(workspace, "restore", *pair, "--reason", "one person", "--at", "2025-04-10T00:00:00Z")
    (link,) = run(workspace, "explain", *pair[:2])["links"]
    assert [(item["known_at"], item["reason"]) for item in link["periods"]] == [
        ("2025-01-07T00:00:00Z", "siblings"),
        ("2025-04-10T00:00:00Z", None),
    ]
    assert [item["action"] for item in link["decisions"]] == ["revoke", "restore"]

    relinked = ingest(workspace, tmp_path / "more" / "transactions.parquet", MAPPING, now=NOW)
    last = Snapshot.open(workspace)
    assert (relinked.reused, relinked.num_rows, last.id) == (False, 0, relinked.snapshot_id)
    assert (last.manifest["parent"], last.manifest["batch"]) == (after.id, after.manifest["batch"] + 1)
    assert last.links().num_rows == 3, "two periods of one link, and the other link"
    assert last.transactions().equals(after.transactions())
    assert ingest(workspace, tmp_path / "more" / "transactions.parquet", MAPPING, now=NOW).reused


def test_a_lineage_keeps_its_identifiers(workspace: Workspace, tmp_path: Path) -> None:
    """Rows at rest are not read again, so a rule that reads otherwise needs a new lineage; a limit does not."""
    plain = MAPPING.as_dict()
    rules = [rule for rule in plain["resolution"]["rules"] if rule["name"] != "same_email"]
    other = Mapping.model_validate(plain | {"resolution": plain["resolution"] | {"rules": rules}})
    with pytest.raises(MappingError, match="identifiers of links"):
        ingest(workspace, write_source(tmp_path / "source", ROWS), other, now=NOW)


def test_originals_stand_nowhere_in_links(workspace: Workspace) -> None:
    snapshot = Snapshot.open(workspace)
    told = str(snapshot.links().to_pylist()) + str(snapshot.manifest["links"])
    log = DecisionLog.of(workspace).path
    told += log.read_text() if log.exists() else ""
    assert not [word for word in ("DE-ONE", "DE-TWO", "ada@", "bob@") if word in told]


def test_without_rules_there_are_no_links(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "workspace")
    plain = Mapping.model_validate(MAPPING.as_dict() | {"resolution": {}})
    ingest(workspace, write_source(tmp_path / "source", ROWS[:2]), plain, now=NOW)
    snapshot = Snapshot.open(workspace)
    assert (snapshot.manifest["links"], snapshot.links().num_rows, snapshot.hubs().num_rows) == ({}, 0, 0)
    assert isinstance(snapshot.components(), pa.Table)
    with pytest.raises(UsageError, match="no rules"):
        run(workspace, "list")
