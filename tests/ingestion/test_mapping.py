"""Mappings: what is shipped, what is refused, and what the message says."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from ingestion.errors import MappingError
from ingestion.mapping import SHIPPED, Mapping, load_mapping

BASE = tomllib.loads((SHIPPED / "fraud-handbook.toml").read_text())


def written(folder: Path, change: str, *, old: str = "", shipped: str = "fraud-handbook") -> Path:
    text = (SHIPPED / f"{shipped}.toml").read_text()
    assert old in text
    path = folder / "mine.toml"
    path.write_text(text.replace(old, change, 1) if old else change + "\n" + text)
    return path


@pytest.mark.parametrize("name", ["ringfence", "fraud-handbook"])
def test_shipped_mappings_survive_a_manifest(name: str) -> None:
    mapping = load_mapping(name)
    assert mapping.name == name
    assert Mapping.model_validate(mapping.as_dict()) == mapping


def test_the_simulators_roles_and_what_is_personal() -> None:
    mapping = load_mapping("ringfence")
    assert mapping.roles == ("source", "target", "card", "device", "ip")
    assert mapping.personal_types == {"account", "card", "ip"}
    assert mapping.personal_columns >= {"source_id", "target_id", "card_number", "ip_address", "holder_name", "email"}


def test_the_handbooks_scenario_does_not_enter() -> None:
    mapping = load_mapping("fraud-handbook")
    assert "TX_FRAUD_SCENARIO" in mapping.dropped
    assert "TX_FRAUD_SCENARIO" not in mapping.columns.values()


def test_cards_are_personal_without_being_named() -> None:
    mapping = Mapping.model_validate(BASE | {"parties": [{"type": "card", "key": "PAN"}]})
    assert mapping.personal_types == {"card"}


def test_missing_columns_are_named_beside_those_that_exist() -> None:
    mapping = load_mapping("fraud-handbook")
    with pytest.raises(MappingError) as caught:
        mapping.check_columns(["TRANSACTION_ID", "WHEN", "CUSTOMER_ID", "TX_AMOUNT", "TX_FRAUD"], table="cards.csv")
    assert "TERMINAL_ID, TX_DATETIME" in str(caught.value)
    assert "cards.csv" in str(caught.value)
    assert "Columns that exist: TRANSACTION_ID, WHEN, CUSTOMER_ID, TX_AMOUNT, TX_FRAUD" in str(caught.value)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"colums": {}}, "colums"),
        ({"dropped": ["TX_FRAUD"]}, "column 'TX_FRAUD' is `dropped`"),
        ({"alert_party": "device"}, "alert_party 'device'"),
        ({"personal": {"types": ["merchant"]}}, "'merchant' is no party type"),
        ({"personal": {"attributes": ["email"]}}, "'email' is no attribute"),
        ({"source": {"type": "Customer", "key": "CUSTOMER_ID"}}, "'Customer' is no party type"),
        ({"parties": [{"type": "source", "key": "X"}]}, "type of its own"),
    ],
)
def test_a_wrong_mapping_is_refused_with_its_key(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told.replace("'", ".")):
        Mapping.model_validate(BASE | change)


@pytest.mark.parametrize(
    ("old", "change", "told"),
    [
        ('zone = "UTC"', 'zone = "Mars/Base"', "fields.event_time.zone"),
        ('unit = "decimal"', 'unit = "cents"', "fields.amount.unit"),
        ('{ constant = "XXX" }', '{ constant = "EUR", column = "C" }', "either `column`, `constant` or `expression`"),
        ("delay_days = 7", "delay_days = -1", "labels.0.column.delay_days"),
        ('features = "handbook"', 'features = "hanbook"', "no feature spec 'hanbook'"),
        ("[fields]", "[fields", "not valid TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_a_remedy(tmp_path: Path, old: str, change: str, told: str) -> None:
    with pytest.raises(MappingError) as caught:
        load_mapping(written(tmp_path, change, old=old))
    assert told in str(caught.value)
    assert caught.value.remedy


def test_an_unknown_name_lists_what_is_shipped() -> None:
    with pytest.raises(MappingError, match="fraud-handbook, paysim, ringfence"):
        load_mapping("handbok")
