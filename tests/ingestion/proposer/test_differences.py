"""The measure of edits: each change that matters counts, one that has no effect does not."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from ingestion.mapping import Mapping
from ingestion.proposer.differences import differing_keys

TABLE = pa.table(
    {
        "id": ["a", "b", "c"],
        "at": ["2024-01-01T00:00:00", "2024-01-02T00:00:00", "2024-01-03T00:00:00"],
        "sum": ["1.00", "2.00", "3.00"],
        "type": ["buy", "buy", "back"],
        "payer": ["p", "q", "p"],
        "shop": ["s", "s", "t"],
        "gear": ["g", "h", "g"],
        "city": ["x", "y", "x"],
        "bad": ["1", "0", "0"],
    }
)


def base() -> dict[str, Any]:
    return {
        "name": "base",
        "attributes": ["city"],
        "fields": {
            "transaction_id": "id",
            "event_time": {"column": "at", "zone": "UTC"},
            "amount": {"column": "sum", "unit": "decimal"},
            "kind": {"column": "type", "values": {"buy": "payment", "back": "refund"}},
        },
        "source": {"type": "customer", "key": "payer"},
        "target": {"type": "merchant", "key": "shop"},
        "parties": [{"type": "device", "key": "gear"}],
        "personal": {"types": ["customer"]},
        "labels": [{"kind": "column", "column": "bad", "delay_days": 7}],
    }


def changed(path: str, value: Any) -> Mapping:
    values = base()
    if path == "source/type":
        values["personal"] = {"types": [value]}
    *parents, last = path.split("/")
    place: Any = values
    for part in parents:
        place = place[int(part)] if part.isdigit() else place[part]
    place[last] = value
    return Mapping.model_validate(values)


@pytest.mark.parametrize(
    ("path", "value", "keys"),
    [
        ("fields/event_time/zone", "Europe/Paris", ["fields.event_time.zone"]),
        ("fields/amount/unit", "minor", ["fields.amount.unit"]),
        ("fields/kind/values", {"buy": "payment", "back": "reversal"}, ["fields.kind.values.back"]),
        ("fields/channel", "city", ["fields.channel.column", "fields.channel.constant"]),
        ("source/type", "account", ["personal.account", "personal.customer", "source.type"]),
        ("parties/0/type", "wallet", ["parties.gear"]),
        ("attributes", ["city", "type"], ["attributes.type"]),
        ("labels/0/delay_days", 30, ["labels.bad.delay_days"]),
        ("labels/0/origin", "analyst", ["labels.bad.origin"]),
        ("label_maturity_days", 30, ["label_maturity_days"]),
        ("personal/types", ["customer", "device"], ["personal.device"]),
    ],
)
def test_what_matters_is_counted(path: str, value: Any, keys: list[str]) -> None:
    assert differing_keys(changed(path, value), Mapping.model_validate(base()), TABLE) == keys


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("name", "other"),
        ("fields/kind/default", "transfer"),
        ("fields/kind/values", {"buy": "payment", "back": "refund", "never": "transfer"}),
        ("fields/event_time/format", "%Y-%m-%dT%H:%M:%S"),
    ],
)
def test_what_has_no_effect_is_not(path: str, value: Any) -> None:
    assert differing_keys(changed(path, value), Mapping.model_validate(base()), TABLE) == []
