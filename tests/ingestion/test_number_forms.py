"""Numbers and texts as tables of other countries write them: encodings, decimal commas, groups, signs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion import csv_source
from ingestion.contract_rows import transactions_of
from ingestion.mapping import Mapping
from ingestion.numbers import NumberFormat, plain_numbers
from ingestion.sources import open_file, pieces_of, read_piece
from tests.builders import DAY, START


def mapping(amount: dict[str, str], **more: Any) -> Mapping:
    fields = {"transaction_id": {"expression": "concat(row_number())"}, "event_time": "at", "amount": amount}
    fields |= {"currency": {"column": "cur", "default": "EUR"}}
    parties = {"source": {"type": "account", "key": "a"}, "target": {"type": "merchant", "key": "a"}}
    return Mapping.model_validate({"name": "forms", "fields": fields} | parties | more)


def amounts(rows: list[dict[str, str]], wanted: Mapping) -> list[tuple[int | None, str, str | None]]:
    """Amount, kind and reason of each row."""
    plain = {"at": "2025-01-06T00:00:00Z", "a": "x", "cur": ""}
    table, faults = transactions_of(pa.Table.from_pylist([plain | row for row in rows]), wanted, now=START + DAY)
    reasons = [problem.reason if (problem := faults.problems.get(row)) else None for row in range(len(rows))]
    columns = [table.column(name).to_pylist() for name in ("amount_minor", "kind")]
    return list(zip(*columns, reasons, strict=True))


@pytest.mark.parametrize(
    ("decimal", "thousands", "good", "bad"),
    [
        (",", ".", {"1.234,50": 123_450, "12,5": 1_250, "-0,01": -1, "1234": 123_400}, ["1.5", "1,234.50", "1.23,4"]),
        (",", " ", {"1 234,50": 123_450, "1\u00a0234": 123_400, "1\u202f234,5": 123_450}, ["1 23,4", "1.5"]),
        (".", ",", {"1,234.50": 123_450, "1234.5": 123_450, "1,234,567": 123_456_700}, ["1,23", "1.234,5"]),
        (".", "'", {"1'234.50": 123_450}, ["1,234.50"]),
        (",", "", {"1234,5": 123_450}, ["1.234,5", "1234.5"]),
        (".", "", {"1234.5": 123_450, "1e2": 10_000}, ["1,5"]),
    ],
)
def test_a_number_is_read_in_the_form_that_is_said_or_not_at_all(
    decimal: str, thousands: str, good: dict[str, int], bad: list[str]
) -> None:
    wanted = mapping({"column": "sum", "unit": "decimal"}, decimal=decimal, thousands=thousands)
    found = amounts([{"sum": text} for text in [*good, *bad]], wanted)
    assert [amount for amount, _, _ in found] == [*good.values(), *[None] * len(bad)]
    assert {reason for _, _, reason in found[len(good) :]} == {"amount_unreadable"}


@given(st.integers(-(10**13), 10**13), st.sampled_from([(",", "."), (".", ","), (",", " "), (".", "'"), (",", "")]))
def test_any_amount_comes_back_from_its_form(minor: int, form: tuple[str, str]) -> None:
    decimal, thousands = form
    whole = f"{abs(minor) // 100:,}".replace(",", thousands)
    text = f"{'-' if minor < 0 else ''}{whole}{decimal}{abs(minor) % 100:02d}"
    (plain,) = plain_numbers(pa.array([text]), NumberFormat(decimal=decimal, thousands=thousands)).to_pylist()
    assert plain == f"{'-' if minor < 0 else ''}{abs(minor) // 100}.{abs(minor) % 100:02d}"


@pytest.mark.parametrize(
    ("sign", "expected"),
    [
        ("refuse", [(500, "payment", None), (-500, "payment", "amount_negative")]),
        ("absolute", [(500, "payment", None), (500, "payment", None)]),
        ("negative_is_refund", [(500, "payment", None), (500, "refund", None)]),
    ],
)
def test_what_a_minus_means_is_said(sign: str, expected: list[Any]) -> None:
    wanted = mapping({"column": "sum", "unit": "minor", "sign": sign})
    assert amounts([{"sum": "500"}, {"sum": "-500"}], wanted) == expected


def test_amounts_of_two_columns_and_of_other_currencies() -> None:
    wanted = mapping({"expression": "credit - debit", "unit": "decimal", "sign": "absolute", "rounding": "half_even"})
    rows = [
        {"credit": "10.10", "debit": "0.25", "cur": "EUR"},
        {"credit": "0", "debit": "1000.5", "cur": "JPY"},
        {"credit": "1.2345", "debit": "0", "cur": "KWD"},
        {"credit": "x", "debit": "1", "cur": ""},
        {"credit": "", "debit": "1", "cur": ""},
    ]
    assert amounts(rows, wanted) == [
        (985, "payment", None),
        (1_000, "payment", None),
        (1_234, "payment", None),
        (None, "payment", "amount_unreadable"),
        (None, "payment", "amount_missing"),
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "iso-8859-15", "gb18030", "shift_jis"])
def test_a_file_is_read_in_its_encoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    """Also in pieces, with the separator and line ends inside quotation marks."""
    monkeypatch.setattr(csv_source, "PIECE_BYTES", 4_096)
    name = {"utf-8": "Zoë ☕", "gb18030": "中文账户", "shift_jis": "口座ソ表"}.get(encoding, "Zoë Müller")
    path = tmp_path / "t.csv"
    lines = [f'{number};"{name};\n{number}"' for number in range(2_000)]
    path.write_bytes("\n".join(["id;who", *lines]).encode(encoding))
    file = open_file(path, delimiter=";", encoding=encoding)
    pieces = pieces_of(file, 0, workers=2, delimiter=";")
    assert len(pieces) > 1
    read = [raw for piece in pieces for raw in read_piece(piece, ["id", "who"])]
    assert not [broken for raw in read for broken in raw.broken]
    rows = [row for raw in read for row in raw.table.to_pylist()]
    assert rows == [{"id": str(number), "who": f"{name};\n{number}"} for number in range(2_000)]


def test_a_file_in_another_encoding_than_said_has_broken_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("id,who\n1,plain\n2,Zoë\n".encode("cp1252"))
    (piece,) = pieces_of(open_file(path), 0, workers=1)
    (raw,) = read_piece(piece, ["id", "who"])
    assert raw.table.to_pylist() == [{"id": "1", "who": "plain"}]
    assert [(broken.line, broken.reason) for broken in raw.broken] == [(3, "broken_utf8")]
