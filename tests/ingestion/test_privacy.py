"""Tokens: the same for the same value, nothing of it in them, and the vault alone knows it."""

import stat
from pathlib import Path

import pyarrow as pa
import pytest

from ingestion.contracts import TRANSACTION, PartyRef
from ingestion.errors import ArtifactError
from ingestion.privacy import ORIGINALS, Tokenizer, is_token
from ingestion.vault import Vault
from tests.builders import START, Row, _table, transaction

TOKENS = Tokenizer(key="secret", types=frozenset({"account", "card", "ip"}), attributes=frozenset({"email"}))


def rows() -> list[Row]:
    first = transaction("t1", START, "account:DE1", "merchant:m1", parties=["card:4111 1111 1111 1111", "ip:10.0.0.9"])
    second = transaction("t2", START, "merchant:5555555555554444", "account:DE1", parties=["card:4111-1111-1111-1111"])
    attributes = {"country": "DE", "email": "ada@example.org"}
    return [first | {"attributes": attributes, "memo": "from 4111111111111111"}, second | {"attributes": {}}]


def test_tokens_depend_on_key_type_and_value_alone() -> None:
    token = TOKENS.token("account", "DE1")
    assert is_token(token, "account") and not is_token(token, "card")
    assert token == TOKENS.token("account", "DE1")
    other = Tokenizer(key="another", types=TOKENS.types, attributes=TOKENS.attributes)
    assert len({token, TOKENS.token("account", "DE2"), TOKENS.token("ip", "DE1"), other.token("account", "DE1")}) == 4
    assert "secret" not in repr(TOKENS)


def test_separators_do_not_make_two_cards_of_one() -> None:
    assert TOKENS.token("card", "4111 1111 1111 1111") == TOKENS.token("card", "4111111111111111")


def test_rows_keep_no_personal_value() -> None:
    protected = TOKENS.protect(_table(rows(), TRANSACTION))
    text = str(protected.table.to_pylist())
    for original in ("DE1", "4111", "5555", "10.0.0.9", "ada@example.org"):
        assert original not in text
    first, second = protected.table.to_pylist()
    assert first["source_key"] == second["target_key"] == TOKENS.token("account", "DE1")
    assert first["parties"][0]["key"] == second["parties"][0]["key"]
    assert first["target_key"] == "m1"
    assert dict(first["attributes"])["country"] == "DE"
    assert is_token(second["source_key"], "merchant"), "a card number is a token whatever its type"
    assert first["memo"] == "from [card number]"


def test_originals_are_those_that_were_replaced_each_once() -> None:
    table = _table(rows() + rows(), TRANSACTION)
    originals = TOKENS.protect(table).originals.to_pylist()
    assert {row["original"].replace("-", " ") for row in originals} == {
        "DE1",
        "4111 1111 1111 1111",
        "10.0.0.9",
        "ada@example.org",
        "5555555555554444",
    }
    assert len(originals) == 6  # the one card was written in two ways


def test_slices_of_tables_are_protected_alike() -> None:
    table = _table(rows(), TRANSACTION)
    sliced = TOKENS.protect(table.slice(1, 1)).table
    assert sliced.to_pylist() == TOKENS.protect(table).table.slice(1, 1).to_pylist()


def test_what_people_ask_for_may_be_an_original_or_a_token() -> None:
    token = PartyRef(type="account", key=TOKENS.token("account", "DE1"))
    assert TOKENS.resolve(PartyRef(type="account", key="DE1")) == token
    assert TOKENS.resolve(token) == token
    assert TOKENS.resolve(PartyRef(type="merchant", key="m1")) == PartyRef(type="merchant", key="m1")


def test_data_that_looks_like_a_token_is_an_original() -> None:
    forged = TOKENS.token("account", "DE1")
    protected = TOKENS.protect(_table([transaction("t", START, f"account:{forged}", "merchant:m")], TRANSACTION))
    assert protected.table.column("source_key").to_pylist() != [forged]


def originals(*values: str) -> pa.Table:
    tokens = [TOKENS.token("account", value) for value in values]
    return pa.Table.from_pydict(
        {"token": tokens, "type": ["account"] * len(values), "original": list(values)}, schema=ORIGINALS
    )


def test_the_vault_keeps_and_erases(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "vault.db")
    assert (len(vault), vault.original("account_x")) == (0, None)
    assert vault.add(originals("DE-SECRET-1", "DE-SECRET-2")) == 2
    assert vault.add(originals("DE-SECRET-1", "DE-SECRET-2", "DE3")) == 1
    token = TOKENS.token("account", "DE-SECRET-1")
    assert vault.original(token) == "DE-SECRET-1"
    assert stat.S_IMODE(vault.path.stat().st_mode) == 0o600
    assert (vault.erase([token], reason="asked"), vault.erase([token], reason="again")) == (1, 0)
    assert vault.erased()[token][1] == "asked"
    assert vault.add(originals("DE-SECRET-1")) == 0, "what was erased does not come back"
    assert vault.original(token) is None
    assert len(vault) == 2
    for file in tmp_path.iterdir():
        assert b"DE-SECRET-1" not in file.read_bytes(), "erased bytes are overwritten"


def test_a_damaged_vault_is_named(tmp_path: Path) -> None:
    (tmp_path / "vault.db").write_bytes(b"not a database, but long enough to look at" * 100)
    with pytest.raises(ArtifactError, match="vault"):
        Vault(tmp_path / "vault.db").add(originals("DE1"))
