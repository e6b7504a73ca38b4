"""Identifiers made where originals are visible: tokens for what is normalized or combined, a word for placeholders."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from ingestion.contracts import TRANSACTION
from ingestion.mapping import Mapping, load_mapping
from ingestion.privacy import Tokenizer, is_token
from ingestion.resolution.holdings import COLUMNS, holdings
from ingestion.resolution.rules import LinkRule, Resolution
from tests.builders import transaction

RULES = Resolution(
    rules=(
        LinkRule(name="same_email", entity="account", by=("email",), normalize="email"),
        LinkRule(name="same_ip", entity="account", by=("ip",)),
        LinkRule(
            name="same_person",
            entity="account",
            by=("holder", "born"),
            normalize={"holder": "name", "born": "text"},
        ),
    )
)
TOKENIZER = Tokenizer(
    key="secret", types=frozenset({"account", "ip"}), attributes=frozenset({"email", "holder"}), resolution=RULES
)


def protected(*attributes: dict[str, str], ip: str = "203.0.113.7", **more: Any) -> pa.Table:
    rows = []
    for index, item in enumerate(attributes):
        row = transaction(f"t{index}", index, f"account:A{index}", "merchant:m", parties=[f"ip:{ip}"])
        rows.append(row | {"attributes": sorted(item.items())} | more)
    return TOKENIZER.protect(pa.Table.from_pylist(rows, schema=TRANSACTION)).table


def attributes(table: pa.Table) -> list[dict[str, str]]:
    return [dict(item) for item in table.column("attributes").to_pylist()]


def test_spellings_of_one_person_give_one_token_and_no_original_stays() -> None:
    table = protected(
        {"email": "Ada.L+x@gmail.com", "holder": "Lovelace, Ada", "born": "1815-12-10"},
        {"email": "adal@googlemail.com", "holder": "ada lovelace", "born": "18151210"},
        {"holder": "Ada Lovelace", "born": "1815-10-12"},
    )
    one, two, three = attributes(table)
    assert one["link:same_email"] == two["link:same_email"] and is_token(one["link:same_email"], "link_same_email")
    assert one["link:same_person"] == two["link:same_person"] != three["link:same_person"]
    assert one["email"] != two["email"], "the attribute itself is the token of what was written"
    assert "link:same_email" not in three and "link:same_ip" not in one
    assert list(one) == sorted(one)
    assert "lovelace" not in str(table.to_pylist()).lower()


def test_placeholders_are_marked_also_where_a_token_hides_them() -> None:
    (row,) = attributes(protected({"email": "unknown@example.org", "holder": "N/A", "born": "1815"}, ip="0.0.0.0"))
    assert {row[f"link:{name}"] for name in ("same_email", "same_person", "same_ip")} == {"placeholder"}


def test_another_workspace_has_other_tokens() -> None:
    other = Tokenizer(key="other", types=frozenset(), attributes=frozenset(), resolution=RULES)
    assert other.token("link_same_email", "x") != TOKENIZER.token("link_same_email", "x")


@pytest.mark.parametrize(("role", "holder"), [(None, ["A1"]), ("source", ["A1"]), ("target", ["A2"])])
def test_whose_identifier_it_is(role: Any, holder: list[str]) -> None:
    """Of a transfer between two accounts; a refund from a merchant speaks of the account that gets it."""
    rule = LinkRule(name="same_ip", entity="account", by=("ip",), role=role)
    ends = {"source_type": "account", "source_key": "A1", "target_type": "account", "target_key": "A2"}
    found = holdings(at_rest(ends), (rule,)).to_pylist()
    assert [(row["identifier"], row["key"], row["num_rows"]) for row in found] == [("ip:203.0.113.7", holder[0], 1)]
    refund = ends | {"source_type": "merchant", "source_key": "m"}
    expected = [] if role == "source" else ["A2"]
    assert [row["key"] for row in holdings(at_rest(refund), (rule,)).to_pylist()] == expected


def at_rest(ends: dict[str, str]) -> pa.Table:
    row = transaction("t", 5, "account:A", "merchant:m", parties=["ip:203.0.113.7"]) | ends
    table = pa.Table.from_pylist([row | {"attributes": []}], schema=TRANSACTION)
    more = {"available_at": table.column("event_time"), "entity_source": pa.array([1]), "entity_target": pa.array([2])}
    for name, column in more.items():
        table = table.append_column(name, column)
    return table.select(COLUMNS)


BASE = load_mapping("ringfence").as_dict()


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"name": "r", "entity": "device", "by": ["device"]}, "no type of source or target"),
        ({"name": "r", "entity": "account", "by": ["passport"]}, "no further party and no attribute"),
        ({"name": "r", "entity": "account", "by": ["device", "device"]}, "twice"),
        ({"name": "r", "entity": "account", "by": ["device"], "normalize": {"ip": "text"}}, "not in its `by`"),
        ({"name": "Same Device", "entity": "account", "by": ["device"]}, "name"),
        ({"name": "r", "entity": "account", "by": ["device"], "max_entities": 1}, "max_entities"),
        ({"name": "r", "entity": "account", "by": ["device"], "norm": "text"}, "norm"),
    ],
)
def test_a_rule_that_does_not_fit_is_refused(rule: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Mapping.model_validate(BASE | {"resolution": {"rules": [rule]}})


def test_two_rules_of_one_name_are_refused() -> None:
    rule = {"name": "r", "entity": "account", "by": ["device"]}
    with pytest.raises(ValidationError, match="name of its own"):
        Mapping.model_validate(BASE | {"resolution": {"rules": [rule, rule]}})
