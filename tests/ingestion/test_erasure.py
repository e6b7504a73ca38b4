"""Erasure (TRUST GDPR): no original is left in any file, none comes back, a legal hold wins."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from ingestion.contracts import TRANSACTION, PartyRef
from ingestion.erasure import ErasureRefused, erase, token_of
from ingestion.errors import UsageError
from ingestion.mapping import load_mapping
from ingestion.privacy import Tokenizer
from ingestion.vault import Vault
from ingestion.workspace import Workspace
from tests.builders import START, _table, build_snapshot, transaction

MAPPING = load_mapping("ringfence")
ADA = PartyRef(type="account", key="DE-ADA")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Ada pays with her own card from her own address and from one that Bob uses too; Bob pays Ada."""
    opened = Workspace.open(tmp_path / "workspace")
    rows = [
        transaction("t1", START, "account:DE-ADA", "merchant:m", parties=["card:4111111111111111", "ip:198.51.100.7"]),
        transaction("t2", START + 1, "account:DE-ADA", "merchant:m", parties=["ip:203.0.113.9"]),
        transaction("t3", START + 2, "account:DE-BOB", "merchant:m", parties=["ip:203.0.113.9"]),
        transaction("t4", START + 3, "account:DE-BOB", "account:DE-ADA", parties=["ip:192.0.2.44"]),
    ]
    rows[0]["attributes"] = {"email": "ada@example.org", "country": "DE"}
    rows[3]["attributes"] = {"email": "bob@example.org"}
    protected = Tokenizer.of(opened, MAPPING).protect(_table(rows, TRANSACTION))
    build_snapshot(opened, protected.table, mapping=MAPPING.as_dict())
    Vault.of(opened).add(protected.originals)
    return opened


def originals_left(workspace: Workspace) -> set[str]:
    tokens = Tokenizer.of(workspace, MAPPING)
    values = [("account", "DE-ADA"), ("account", "DE-BOB"), ("card", "4111111111111111"), ("email", "ada@example.org")]
    values += [("email", "bob@example.org")] + [("ip", ip) for ip in ("198.51.100.7", "203.0.113.9", "192.0.2.44")]
    return set(Vault.of(workspace).originals([tokens.token(kind, value) for kind, value in values]).values())


def test_the_party_and_what_is_its_own_are_gone_for_good(workspace: Workspace) -> None:
    token = token_of(workspace, ADA)
    left = workspace.cache / "ingest" / "1f" / "originals" / "part-00000.parquet"  # by an ingest that was killed
    left.parent.mkdir(parents=True)
    left.write_bytes(b"DE-ADA")
    done = erase(workspace, ADA, reason="article 17, request 12")
    assert (done.token, done.num_originals) == (token, 4)
    assert originals_left(workspace) == {"DE-BOB", "bob@example.org", "203.0.113.9", "192.0.2.44"}
    gone = (b"DE-ADA", b"4111111111111111", b"198.51.100.7", b"ada@example.org")
    for path in workspace.root.rglob("*"):
        if path.is_file():
            assert not [value for value in gone if value in path.read_bytes()], path
    assert set(Vault.of(workspace).erased()) == {token, *done.tied}
    again = erase(workspace, PartyRef(type="account", key=token), reason="again")
    assert (again.num_originals, again.tied) == (0, done.tied)


def test_the_same_table_again_brings_nothing_back(workspace: Workspace) -> None:
    erase(workspace, ADA, reason="asked")
    row = transaction("t9", START, "account:DE-ADA", "merchant:m")
    protected = Tokenizer.of(workspace, MAPPING).protect(_table([row], TRANSACTION))
    assert isinstance(protected.originals, pa.Table) and protected.originals.num_rows == 1
    assert Vault.of(workspace).add(protected.originals) == 0
    assert "DE-ADA" not in originals_left(workspace)


def test_a_legal_hold_wins(workspace: Workspace) -> None:
    vault, token = Vault.of(workspace), token_of(workspace, ADA)
    vault.hold(token, reason="case 7")
    with pytest.raises(ErasureRefused, match=r"case 7") as caught:
        erase(workspace, ADA, reason="asked")
    assert caught.value.exit_code == 4
    assert "DE-ADA" in originals_left(workspace)
    assert vault.lift_hold(token) and not vault.lift_hold(token)
    assert erase(workspace, ADA, reason="asked").num_originals == 4


@pytest.mark.parametrize("reason", ["", "  ", "account DE-ADA asked"])
def test_the_log_holds_no_original(workspace: Workspace, reason: str) -> None:
    with pytest.raises(UsageError):
        erase(workspace, ADA, reason=reason)
    assert "DE-ADA" in originals_left(workspace)


def test_what_is_not_personal_is_not_in_the_vault(workspace: Workspace) -> None:
    with pytest.raises(UsageError, match="merchant is not personal"):
        erase(workspace, PartyRef(type="merchant", key="m"), reason="asked")
