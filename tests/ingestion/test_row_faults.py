"""Over forty kinds of bad row, each caught with its exact reason, column and value (TRUST DAT2)."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from ingestion.artifacts import read_parquet
from ingestion.contracts import micros
from ingestion.jobs.read import PARTS, Reader
from ingestion.mapping import Mapping
from ingestion.privacy import MASKED, Tokenizer
from ingestion.quality import REMEDIES
from ingestion.sources import open_file, pieces_of
from tests.builders import DAY, HOUR, START

NOW = START + 10 * DAY
LONG = "x" * 257
MAPPING = Mapping.model_validate(
    {
        "name": "faulty",
        "fields": {
            "transaction_id": "id",
            "event_time": {"column": "when", "zone_column": "zone"},
            "known_at": "arrived",
            "amount": {"column": "amount", "unit": "decimal"},
            "currency": "cur",
            "kind": "kind",
            "outcome": "outcome",
            "refers_to": "original",
            "memo": "memo",
        },
        "source": {"type": {"column": "stype", "allowed": ["account"]}, "key": "src"},
        "target": {"type": {"column": "ttype", "allowed": ["account", "merchant"]}, "key": "tgt"},
        "parties": [{"type": "device", "key": "device"}],
        "personal": {"types": ["account"]},
        "rules": {"allow_zero_amount": False, "allow_self_transfer": False, "max_amount_minor": 1_000_000},
        "labels": [
            {"kind": "column", "column": "fraud", "known_at": "decided"},
            {"kind": "file", "file": "labels.csv", "transaction_id": "tx"},
            {
                "kind": "file",
                "file": "accounts.csv",
                "entity": {"type": "account", "key": "acc"},
                "origin": {"constant": "analyst"},
                "known_at": {"column": "step", "start": "2025-01-01T00:00:00Z", "unit": "hours"},
            },
        ],
    }
)
GOOD = {
    "id": "good",
    "when": "2025-01-10 10:00:00",
    "zone": "Europe/Paris",
    "arrived": "2025-01-10T09:00:01Z",
    "amount": "12.50",
    "cur": "EUR",
    "kind": "payment",
    "outcome": "approved",
    "original": "",
    "memo": "",
    "stype": "account",
    "src": "DE-GOOD",
    "ttype": "merchant",
    "tgt": "m",
    "device": "d",
    "fraud": "",
    "decided": "",
}
#: How the row differs, reason, column, value told.
FAULTS: list[tuple[dict[str, str], str, str, str | None]] = [
    ({"id": ""}, "id_missing", "id", None),
    ({"id": LONG}, "key_too_long", "id", None),
    ({"when": ""}, "time_missing", "when", None),
    ({"when": "yesterday"}, "time_unreadable", "when", "yesterday Europe/Paris"),
    ({"when": "2025-02-30 10:00:00"}, "time_unreadable", "when", "2025-02-30 10:00:00 Europe/Paris"),
    ({"when": "2016-12-31 23:59:60"}, "time_leap_second", "when", "2016-12-31 23:59:60 Europe/Paris"),
    ({"when": "2024-03-31 02:30:00"}, "time_skipped", "when", "2024-03-31 02:30:00 Europe/Paris"),
    ({"when": "2024-10-27 02:30:00"}, "time_ambiguous", "when", "2024-10-27 02:30:00 Europe/Paris"),
    ({"zone": "Mars/Base"}, "zone_unknown", "when", "2025-01-10 10:00:00 Mars/Base"),
    ({"zone": ""}, "time_without_zone", "when", "2025-01-10 10:00:00"),
    ({"when": "2095-01-01 01:00:00"}, "time_in_future", "when", "2095-01-01 00:00:00.000000Z"),
    ({"when": "1969-12-31 23:00:00"}, "time_too_old", "when", "1969-12-31 22:00:00.000000Z"),
    ({"arrived": "2095-01-01T00:00:00Z"}, "time_in_future", "arrived", "2095-01-01 00:00:00.000000Z"),
    ({"arrived": "1960-01-01T00:00:00Z"}, "time_too_old", "arrived", "1960-01-01 00:00:00.000000Z"),
    ({"arrived": "soon"}, "time_unreadable", "arrived", "soon"),
    ({"arrived": "2025-01-10 09:00:01"}, "time_without_zone", "arrived", "2025-01-10 09:00:01"),
    ({"amount": ""}, "amount_missing", "amount", None),
    ({"amount": "-5"}, "amount_negative", "amount", "-500"),
    ({"amount": "NaN"}, "amount_not_a_number", "amount", "NaN"),
    ({"amount": "-Infinity"}, "amount_not_a_number", "amount", "-Infinity"),
    ({"amount": "1e30"}, "amount_too_large", "amount", "1e30"),
    ({"amount": "10000.01"}, "amount_too_large", "amount", "1000001"),
    ({"amount": "1.005"}, "amount_too_precise", "amount", "1.005"),
    ({"amount": "500.5", "cur": "JPY"}, "amount_too_precise", "amount", "500.5"),
    ({"amount": "12 EUR"}, "amount_unreadable", "amount", "12 EUR"),
    ({"amount": "1,000.00"}, "amount_unreadable", "amount", "1,000.00"),
    ({"amount": "0x10"}, "amount_unreadable", "amount", "0x10"),
    ({"amount": "0.00"}, "amount_zero", "amount", "0"),
    ({"cur": ""}, "currency_missing", "cur", None),
    ({"cur": "EURO"}, "currency_unknown", "cur", "EURO"),
    ({"kind": "gift"}, "kind_unknown", "kind", "gift"),
    ({"kind": ""}, "kind_unknown", "kind", None),
    ({"outcome": "maybe"}, "outcome_unknown", "outcome", "maybe"),
    ({"stype": "planet"}, "party_type_unknown", "stype", "planet"),
    ({"ttype": ""}, "party_type_unknown", "ttype", None),
    ({"src": " "}, "party_missing", "src", None),
    ({"src": LONG}, "key_too_long", "src", None),
    ({"tgt": ""}, "party_missing", "tgt", None),
    ({"tgt": LONG}, "key_too_long", "tgt", None),
    ({"device": LONG}, "key_too_long", "device", None),
    ({"original": LONG}, "key_too_long", "original", None),
    ({"ttype": "account", "tgt": "DE-GOOD"}, "self_transfer", "tgt", MASKED),
    ({"fraud": "perhaps"}, "label_unknown", "fraud", "perhaps"),
    ({"fraud": "1"}, "time_missing", "decided", None),
    ({"fraud": "1", "decided": "later"}, "time_unreadable", "decided", "later"),
    (
        {"fraud": "1", "decided": "2025-01-10T09:00:01Z"},
        "label_before_transaction",
        "decided",
        "2025-01-10 09:00:01.000000Z",
    ),
    ({"memo": "caf\udcff"}, "broken_utf8", "memo", "caf\ufffd"),
]
#: Whole lines.
LINES = [
    (b"short,2025-01-10 10:00:00", "too_few_columns", "zone", "2 of 17 values"),
    (b"a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r", "too_many_columns", "decided", "18 of 17 values"),
    (b'"open,2025-01-10 10:00:00', "broken_quotes", None, "2 values"),
]
LABEL_FAULTS: dict[str, list[tuple[str, str, str, str | None]]] = {
    "labels.csv": [
        (",fraud,2025-01-15T00:00:00Z,analyst", "id_missing", "tx", None),
        (f"{LONG},fraud,2025-01-15T00:00:00Z,analyst", "key_too_long", "tx", "x" * 200),
        ("t,dubious,2025-01-15T00:00:00Z,analyst", "label_unknown", "label", "dubious"),
        ("t,,2025-01-15T00:00:00Z,analyst", "label_unknown", "label", None),
        ("t,fraud,2025-01-15T00:00:00Z,oracle", "origin_unknown", "origin", "oracle"),
        ("t,fraud,,analyst", "time_missing", "known_at", None),
        ("t,fraud,2025-02-15T00:00:00Z,analyst", "time_in_future", "known_at", "2025-02-15 00:00:00.000000Z"),
        ("t,fraud,2025-01-15,analyst", "time_without_zone", "known_at", "2025-01-15"),
    ],
    "accounts.csv": [
        (",fraud,5", "party_missing", "acc", None),
        ("DE-GOOD,fraud,5.5", "step_unreadable", "step", "5.5"),
    ],
}
HEADERS = {"labels.csv": "tx,label,known_at,origin", "accounts.csv": "acc,label,step"}


def line(values: dict[str, str]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerow(values.values())
    return out.getvalue().encode("utf-8", errors="surrogateescape").rstrip(b"\n")


def quarantined(folder: Path, name: str, lines: list[bytes]) -> dict[int, dict[str, Any]]:
    """Bad rows by line, as the worker of an ingest writes them."""
    path = folder / name
    path.write_bytes(b"\n".join(lines) + b"\n")
    file = open_file(path)
    out = folder / f"read-{path.stem}"
    for part in PARTS:
        (out / part).mkdir(parents=True)
    sources = MAPPING.label_files.get(name)
    reader = Reader(
        mapping=MAPPING,
        tokenizer=Tokenizer(key="k", types=MAPPING.personal_types, attributes=frozenset()),
        now=NOW,
        folder=str(out),
        label_files={0: sources} if sources else {},
    )
    for number, piece in enumerate(pieces_of(file, 0, workers=1)):
        list(reader.read(number, piece))
    found = read_parquet(out / "quarantine").to_pylist()
    assert len({row["line"] for row in found}) == len(found), "a row has one reason"
    return {row["line"]: row for row in found}


def test_there_are_over_forty_kinds() -> None:
    kinds = {(tuple(change), reason, column, value) for change, reason, column, value in FAULTS}
    label_kinds = [fault[1:] for faults in LABEL_FAULTS.values() for fault in faults]
    assert len(kinds) >= 40 and len(kinds) + len(LINES) + len(label_kinds) >= 55
    reasons = {reason for _, reason, _, _ in [*FAULTS, *LINES]} | {fault[0] for fault in label_kinds}
    of_several_rows = {"id_conflict", "label_conflict", "label_without_entity", "label_without_transaction"}
    elsewhere = {"damaged_row_group", "party_repeated"}  # no row of a CSV file can have it
    assert reasons == set(REMEDIES) - of_several_rows - elsewhere


def test_each_bad_row_is_caught_among_good_ones(tmp_path: Path) -> None:
    lines, expected, number = [",".join(GOOD).encode()], {}, 2
    rows = [(line(GOOD | {"id": f"bad-{index}"} | change), *told) for index, (change, *told) in enumerate(FAULTS)]
    for text, reason, column, value in [*rows, *LINES]:
        lines += [line(GOOD | {"id": f"good-{number}"}), text]
        expected[number + 1] = (reason, column, value)
        number += 2
    found = quarantined(tmp_path, "table.csv", lines)
    assert {row: (bad["reason"], bad["field"], bad["value"]) for row, bad in found.items()} == expected
    assert all(bad["remedy"] == REMEDIES[bad["reason"]] for bad in found.values())
    assert "DE-GOOD" not in str(found), "personal values are masked"
    good = read_parquet(tmp_path / "read-table" / "rows")
    assert good.num_rows == len(expected)
    assert {micros(row["event_time"]) for row in good.to_pylist()} == {START + 4 * DAY + 9 * HOUR}


@pytest.mark.parametrize("name", sorted(LABEL_FAULTS))
def test_each_bad_label_is_caught(tmp_path: Path, name: str) -> None:
    faults = LABEL_FAULTS[name]
    found = quarantined(tmp_path, name, [HEADERS[name].encode(), *(text.encode() for text, *_ in faults)])
    told = {row: (bad["reason"], bad["field"], bad["value"]) for row, bad in found.items()}
    assert told == {number: tuple(fault) for number, (_, *fault) in enumerate(faults, start=2)}
    assert "DE-GOOD" not in str(found)
