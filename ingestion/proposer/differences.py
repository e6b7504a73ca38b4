"""What a person would have to change in one mapping so that it says the same of a table as another one."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from ingestion.contract_rows import transactions_of
from ingestion.expression_values import Rows
from ingestion.label_rows import labels_of_column
from ingestion.mapping import Mapping

#: Keys that say nothing about the rows of the contract.
_WITHOUT_EFFECT = ("name", "dropped", "rules", "resolution", "features", "alert_party")


def differing_keys(mapping: Mapping, wanted: Mapping, table: pa.Table) -> list[str]:
    """Keys whose values differ and matter: left as they are, the rows of the contract would differ.

    `table` (N,) is read as both mappings say. Each entry of a list counts by itself: an attribute too many is one
    key, so is one value of `values`. Parties and labels are told apart by their columns.
    """
    mine, theirs = _flat(mapping), _flat(wanted)
    keys = sorted(key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key))
    if _says(mapping, table) == _says(wanted, table):
        return [key for key in keys if key.startswith(("label_maturity_days", "personal", "delimiter", "encoding"))]
    return [key for key in keys if _matters(key, mapping, wanted, table)]


def _matters(key: str, mapping: Mapping, wanted: Mapping, table: pa.Table) -> bool:
    """A default that no value needs, and a value that never comes, are differences without effect."""
    if ".values." in key and (column := _column_of(key, wanted) or _column_of(key, mapping)) is not None:
        return bool(
            pa.compute.any(pa.compute.equal(table.column(column).cast(pa.string()), key.split(".values.")[1])).as_py()
        )
    if key.endswith(".default"):
        trial = _with_default(mapping, wanted, key)
        return trial is None or _says(trial, table) != _says(mapping, table)
    return True


def _with_default(mapping: Mapping, wanted: Mapping, key: str) -> Mapping | None:
    name = key.split(".")[1]
    values = mapping.as_dict()
    if not isinstance(values["fields"].get(name), dict):
        return None
    values["fields"][name]["default"] = (wanted.as_dict()["fields"].get(name) or {}).get("default")
    return Mapping.model_validate(values)


def _column_of(key: str, mapping: Mapping) -> str | None:
    field = getattr(mapping.fields, key.split(".")[1], None)
    return getattr(field, "column", None)


def _says(mapping: Mapping, table: pa.Table) -> Any:
    """The contract rows and labels of a table, comparable."""
    rows = Rows.of(table, numbers=mapping.numbers)
    transactions, faults = transactions_of(rows, mapping, now=2**61)
    labels = [labels_of_column(rows, transactions, source, faults).to_pylist() for source in mapping.label_columns]
    parts = transactions.to_pylist()
    for part in parts:
        part["parties"] = sorted((party["type"], party["key"]) for party in part["parties"] or [])
        part["attributes"] = sorted(part["attributes"] or [])
    return parts, sorted(map(str, labels)), sorted(faults.problems)


def _flat(mapping: Mapping) -> dict[str, Any]:
    values = {key: value for key, value in mapping.as_dict().items() if key not in _WITHOUT_EFFECT}
    for party in values.pop("parties"):
        values[f"parties.{party['key']['column']}"] = party["type"]
    for name in values.pop("attributes"):
        values[f"attributes.{name}"] = True
    values["personal"] = dict.fromkeys(values["personal"]["types"], True)
    for label in values.pop("labels"):
        values[f"labels.{label.get('column') or label.get('file')}"] = label
    flat: dict[str, Any] = {}
    _flatten("", values, flat)
    return flat


def _flatten(key: str, value: Any, into: dict[str, Any]) -> None:
    if isinstance(value, dict):
        for name, item in value.items():
            _flatten(f"{key}.{name}" if key else name, item, into)
    elif key.endswith((".fraud", ".legitimate")):
        into[key] = sorted(value)
    elif value not in (None, [], ""):
        into[key] = value
