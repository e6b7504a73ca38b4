"""docs/mappings.md: its examples are mappings, and every key of the language is among them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from ingestion.expressions import FUNCTIONS
from ingestion.label_sources import LabelColumn, LabeledEntity, LabelFile
from ingestion.mapping import SHIPPED, Fields, Mapping, Personal, RateFile, Rules
from ingestion.mapping_fields import AmountField, Filter, FurtherParty, PartySource, TextField, TimeField, TypeColumn
from ingestion.quality import REMEDIES

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "mappings.md").read_text(encoding="utf-8")
BLOCKS = [tomllib.loads(block) for block in re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)]
PARTS: list[type[BaseModel]] = [Mapping, Fields, Personal, Rules, RateFile, TextField, TimeField, AmountField]
PARTS += [TypeColumn, Filter, PartySource, FurtherParty, LabelColumn, LabelFile, LabeledEntity]


def merged(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    both = base | change
    if "fields" in change:
        both["fields"] = base["fields"] | change["fields"]
    return both


def test_there_are_examples() -> None:
    assert len(BLOCKS) >= 10


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_each_example_is_a_mapping_with_the_first(number: int) -> None:
    Mapping.model_validate(merged(BLOCKS[0], BLOCKS[number]))


def keys_of(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value) | {key for item in value.values() for key in keys_of(item)}
    return {key for item in value for key in keys_of(item)} if isinstance(value, list) else set()


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_every_key_has_an_example(part: type[BaseModel]) -> None:
    shown = {key for block in BLOCKS for key in keys_of(block)}
    told_elsewhere = {"resolution"}
    assert set(part.model_fields) - told_elsewhere <= shown


def test_functions_reasons_and_shipped_mappings_are_told() -> None:
    assert all(f"{name}(" in TEXT for name in FUNCTIONS)
    assert set(re.findall(r"`((?:time|label|amount)_[a-z_]+)`", TEXT)) - {"label_maturity_days"} <= {
        *REMEDIES,
        "amount_base_minor",
    }
    assert all(f"| `{path.stem}` |" in TEXT for path in SHIPPED.glob("*.toml"))
