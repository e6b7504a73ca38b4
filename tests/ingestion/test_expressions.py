"""Expressions: what they give, and what nobody gets to say in one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ingestion.expression_values import Rows, evaluate
from ingestion.expressions import FUNCTIONS, hashed_away, parse_expression
from ingestion.numbers import NumberFormat

TABLE = pa.table(
    {
        "EMAIL": ["Ann@X.org ", " bob@y.org", None],
        "ID": ["12345", "7", ""],
        "n": pa.array([3, -4, None], pa.int64()),
        "amount": ["1.5", "x", "-2"],
        "status": ["TEST", "ok", None],
        "odd name": ["a", "b", "c"],
    }
)
ROWS = Rows(table=TABLE, lines=np.asarray([2, 5, 9]), name="cards.csv")

GOOD: list[tuple[str, list[Any]]] = [
    ("concat(lower(EMAIL), '-', slice(ID, 0, 4))", ["ann@x.org-1234", "bob@y.org-7", "-"]),
    ('upper(column("odd name"))', ["A", "B", "C"]),
    ("strip(EMAIL)", ["Ann@X.org", "bob@y.org", None]),
    ("replace(ID, '3', '-')", ["12-45", "7", None]),
    ("coalesce(status, ID, 'none')", ["TEST", "ok", "none"]),
    ("concat(file_name(), '-', row_number())", ["cards.csv-2", "cards.csv-5", "cards.csv-9"]),
    ("n + 1", [4, -3, None]),
    ("-n * 2", [-6, 8, None]),
    ("n / 2", [1.5, -2.0, None]),
    ("n / 0", [None, None, None]),
    ("abs(n)", [3, 4, None]),
    ("round(n / 4, 1)", [0.8, -1.0, None]),
    ("amount * 2", [3.0, None, -4.0]),
    ("n * 9007199254740991 * 9007199254740991", [None, None, None]),
    ("if_else(n > 0, 'in', 'out')", ["in", "out", "out"]),
    ("is_empty(ID)", [False, False, True]),
    ("status != 'TEST'", [False, True, True]),
    ("status == 'TEST' or n < 0", [True, True, False]),
    ("not status in ('TEST', 'ok')", [False, False, True]),
    ("status not in ('TEST',)", [False, True, True]),
    ("status == ''", [False, False, True]),
    ("'' != status", [True, True, False]),
    ("status in ('', 'ok')", [False, True, True]),
    ("status not in ('', 'ok')", [True, False, False]),
    ("n in (3, 4)", [True, False, False]),
    ("amount >= -2 and amount < 1.6", [True, False, True]),
    ("true", [True, True, True]),
]

HOSTILE = [
    *("__import__('os')", "EMAIL.upper()", "''.__class__", "().__class__.__bases__", "EMAIL[0]", "EMAIL[0:2]"),
    *("lambda: 1", "[x for x in EMAIL]", "{x for x in ID}", "{x: 1 for x in ID}", "(x for x in ID)", "{}", "{1: 2}"),
    *("exec('1')", "eval('1')", "open('f')", "compile('1', '', 'eval')", "getattr(EMAIL, 'x')", "globals()"),
    *("locals()", "vars()", "dir()", "input()", "print(1)", "breakpoint()", "type(ID)", "object()", "super()"),
    *("setattr(ID, 'a', 1)", "delattr(ID, 'a')", "memoryview(ID)", "bytes(1)", "str(1)", "int('1')", "float('1')"),
    *("list(ID)", "range(10)", "map(lower, ID)", "filter(lower, ID)", "sorted(ID)", "sum(ID)", "max(ID)", "len(ID)"),
    *("2 ** 99", "n ** 2", "9 ** 9 ** 9", "n % 2", "n // 2", "n << 99", "n >> 1", "n | 1", "n & 1", "n ^ 1", "~n"),
    *("+n", "n @ n", "x := 1", "(x := 1)", "a = 1", "a; b", "import os", "del n", "assert n", "raise n", "pass"),
    *("yield n", "await n", "n if n else n", "f'{n}'", "f'{n.__class__}'", "b'x'", "1j", "None", "...", "*n", "**n"),
    *("lower(*ID)", "lower(**ID)", "lower(x=ID)", "lower()", "lower(ID, ID)", "abs('a')", "abs(status == 'a')"),
    *("lower(lower)(ID)", "(lower)(ID)(ID)", "lower.x(ID)", "column(ID)", "column()", "column('a', 'b')", "column(1)"),
    *("'a' + 'b'", "'a' * 9", "n + 'a'", "n == 'a' == 'b'", "1 < n < 3", "n is 3", "n is not 3", "n in ID", "n in ()"),
    *("n in (1, 'a')", "n in (ID, 1)", "'a' in 'abc'", "n in {1}", "n and n", "not n", "status or n", "'a' or 'b'"),
    *("1 == 'a'", "true == true", "(n > 1) == true", "slice(ID, 0)", "slice(ID, n, 2)", "slice(ID, -1, 2)"),
    *("slice(ID, 0, 99999999)", "slice(ID, 0, 1.5)", "round(n, 99)", "round(n)", "replace(ID, ID, 'a')"),
    *("if_else(n, 1, 2)", "if_else(true, 1, 'a')", "coalesce(1, 'a')", "row_number(1)", "file_name(ID)"),
    *("99999999999999999999", "1e400", "'" + "a" * 300 + "'", "(" * 500 + "n" + ")" * 500, "n" + " + n" * 150),
    *("'" + "a" * 1200 + "'", "", "   ", "n n", "n +", "'open", "\0", "n\nn", "__builtins__", "__name__", "#"),
]


@pytest.mark.parametrize(("text", "values"), GOOD)
def test_an_expression_has_these_values(text: str, values: list[Any]) -> None:
    assert evaluate(text, ROWS).to_pylist() == values


def test_at_least_a_hundred_hostile_expressions_are_here() -> None:
    assert len(set(HOSTILE)) >= 100


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_expression_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_expression(text)


def test_hashes_tell_lists_of_values_apart() -> None:
    rows = Rows.of(pa.table({"a": ["x", "xy", None], "b": ["yz", "z", "xyz"]}))
    values = evaluate("hash(a, b)", rows).to_pylist()
    assert len(set(values)) == 3 and all(len(value) == 32 for value in values)
    assert hashed_away("concat('a', hash(ID, EMAIL))", "EMAIL")
    assert not hashed_away("concat(hash(EMAIL), EMAIL)", "EMAIL")


def test_numbers_of_other_forms_are_read_in_that_form_alone() -> None:
    rows = Rows.of(
        pa.table({"a": ["1.234,5", "1,5", "1.5", "12.34,5"]}), numbers=NumberFormat(decimal=",", thousands=".")
    )
    assert evaluate("a * 2", rows).to_pylist() == [2469.0, 3.0, None, None]


def test_every_function_is_tried() -> None:
    texts = " ".join(text for text, _ in GOOD) + "hash("
    assert all(f"{name}(" in texts for name in FUNCTIONS)
