"""Columns that hold no single value a row, or a NaN where nothing is: a clear word, never a traceback."""

from __future__ import annotations

import pyarrow as pa
import pytest

from ingestion.contract_rows import transactions_of
from ingestion.errors import MappingError
from ingestion.expression_values import Rows
from ingestion.mapping import Mapping

MAPPING = {
    "name": "odd",
    "fields": {
        "transaction_id": "id",
        "event_time": "time",
        "amount": {"column": "amount", "unit": "decimal", "currency_sign": "€"},
    },
    "source": {"type": "account", "key": "payer"},
    "target": {"type": "merchant", "key": "payee"},
}
ROW = {"id": "t1", "time": "2024-03-01T10:00:00Z", "amount": "5.50", "payer": "a", "payee": "m"}


def read(**changes: object) -> tuple[pa.Table, dict[str, object]]:
    columns = {name: pa.array([value]) for name, value in (ROW | changes).items() if not isinstance(value, pa.Array)}
    columns |= {name: value for name, value in changes.items() if isinstance(value, pa.Array)}
    table, faults = transactions_of(pa.table(columns), Mapping.model_validate(MAPPING), now=2**61)
    return table, faults.problems


@pytest.mark.parametrize(
    "values",
    [pa.array([["a"]]), pa.array([{"x": 1}]), pa.array([b"\xff"]), pa.array([b"\xff"], pa.large_binary())],
    ids=["list", "struct", "binary", "large binary"],
)
@pytest.mark.parametrize("name", ["payer", "amount", "time", "id"])
def test_a_column_without_one_value_a_row_is_refused_by_name(name: str, values: pa.Array) -> None:
    with pytest.raises(MappingError, match=f"Column {name} holds .*, not one value a row") as caught:
        read(**{name: values})
    assert caught.value.remedy


def test_a_view_of_texts_is_text() -> None:
    table, problems = read(payer=pa.array(["a"], pa.string_view()))
    assert (table.column("source_key").to_pylist(), problems) == (["a"], {})


def test_nan_is_no_party() -> None:
    table, problems = read(payer=pa.array([float("nan")]))
    assert table.column("source_key").to_pylist() == [None]
    assert problems


@pytest.mark.parametrize("amount", ["12€50", "5 € 50", "€5€", "5€50 €", "EUR 5"])
def test_a_sign_among_the_digits_is_never_read_over(amount: str) -> None:
    table, problems = read(amount=amount)
    assert table.column("amount_minor").to_pylist() == [None]
    assert problems


@pytest.mark.parametrize("amount", ["5.50€", "€5.50", "€ 5.50", "5.50 €", " 5.50\u00a0€ ", "+€5.50", "5.50"])
def test_a_sign_before_or_behind_the_digits_is_taken_off(amount: str) -> None:
    table, problems = read(amount=amount)
    assert (table.column("amount_minor").to_pylist(), problems) == ([550], {})


def test_rows_filter_keeps_working_on_plain_columns() -> None:
    rows = Rows.of(pa.table({"a": pa.array(["x", "y"]), "b": pa.array([[1], [2]])}))
    assert rows.filter(pa.array([True, False])).column("a").to_pylist() == ["x"]
