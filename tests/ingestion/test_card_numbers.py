"""A card number reaches none of the places where rows end, whatever key of the mapping brings it (TRUST PCI).

The numbers stand in a table in every column and with every usual separator, in labels of transactions and entities,
in rates, in names of files, columns and mappings; each place is looked at with the separators taken out.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from ingestion.errors import RingfenceError
from ingestion.graph.rows import batches_of, graph_rows
from ingestion.ingest import ingest
from ingestion.inspection.inspection import inspect_table
from ingestion.mapping import Mapping, load_mapping
from ingestion.mapping_check import check_mapping
from ingestion.privacy import Tokenizer
from ingestion.rates import Rates
from ingestion.snapshot import Snapshot
from ingestion.vault import Vault
from ingestion.workspace import Workspace
from serving.cli import app
from serving.progress import StageLog
from tests.builders import DAY, START

PANS = ["4111111111111111", "5555555555554444", "378282246310005", "6011111111111117", "3530111333300000"]
NOW = START + 100 * DAY
MAPPING_TOML = """
name = "cards"
label_maturity_days = 7
attributes = ["note"]

[fields]
transaction_id = { expression = "concat('t-', row_number(), '-', hash(card, when))" }
event_time = { column = "when", zone_column = "zone", zone = "UTC" }
amount = { column = "amount", unit = "decimal" }
currency = { column = "cur", default = "EUR" }
kind = { column = "kind", default = "payment" }
outcome = { column = "outcome", default = "approved" }
channel = { expression = "concat('by ', lower(channel))" }
refers_to = { expression = "if_else(original == '', '', concat('t-', hash(original, card)))" }
memo = { expression = "concat(memo, ' ', note)" }

[source]
type = "account"
key = { expression = "concat('acc ', card)" }

[target]
type = { column = "ttype", default = "merchant", allowed = ["merchant", "shop"] }
key = "shop"

[[parties]]
type = "card"
key = "card"

[[parties]]
type = "device"
key = { expression = "strip(device)" }

[personal]
types = ["account"]

[rates]
file = "rates.csv"
base = "EUR"

[[filters]]
keep = "slice(card, 0, 4) != '9999'"
reason = "test cards"

[[labels]]
kind = "column"
column = "fraud"
delay_days = 7

[[labels]]
kind = "file"
file = "reviews.csv"
transaction_id = "tx"
reviewer = "who"
reason = "why"

[[labels]]
kind = "file"
file = "shops.csv"
entity = { type = "merchant", key = "shop" }
known_at = "end_of_data"
for_training = false
origin = { constant = "analyst" }

[[resolution.rules]]
name = "same_device"
entity = "account"
by = ["device"]
"""
COLUMNS = ["when", "zone", "amount", "cur", "kind", "outcome", "channel", "original", "memo", "note", "ttype", "shop"]
COLUMNS += ["card", "device", "fraud"]


def written(pan: str, form: int) -> str:
    """A card number as people write it."""
    groups = [pan[at : at + 4] for at in range(0, len(pan), 4)]
    return ("", " ", "-", ".", "\u00a0", " - ")[form % 6].join(groups)


def good(number: int) -> dict[str, str]:
    pan = written(PANS[number % len(PANS)], number)
    when = f"2025-01-{6 + number // 20:02d} {number % 20:02d}:00:00"
    return dict.fromkeys(COLUMNS, "") | {
        "when": when,
        "amount": "12.50",
        "cur": "USD" if number % 3 else "EUR",
        "channel": f"pos {pan}" if number % 4 == 0 else "online",
        "original": pan if number % 7 == 0 else "",
        "memo": f"card {pan} thanks",
        "note": pan,
        "shop": pan if number % 5 == 0 else "shop",
        "card": pan,
        "device": pan if number % 6 == 0 else f"device {number % 3}",
        "fraud": "1" if number % 9 == 0 else "0",
    }


#: Why the bad rows of the table and of the two files of labels are bad.
REASONS = ["time_unreadable", "zone_unknown", "amount_unreadable", "currency_unknown", "kind_unknown"]
REASONS += ["outcome_unknown", "party_type_unknown", "label_unknown", "key_too_long", "too_few_columns"]
REASONS += ["too_many_columns", "broken_quotes", "label_without_transaction", "label_unknown", "time_unreadable"]
REASONS += ["origin_unknown", "label_without_entity", "label_unknown"]
#: Columns that hold a card number where something else is wanted; the row is bad for it.
WRONG = ["when", "zone", "amount", "cur", "kind", "outcome", "ttype", "fraud"]


def table() -> bytes:
    out = io.StringIO(newline="")
    rows = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    rows.writeheader()
    for number in range(60):
        rows.writerow(good(number))
    for number, column in enumerate(WRONG):
        rows.writerow(good(number) | {column: written(PANS[number % 5], number + 1)})
    rows.writerow(good(1) | {"device": f"{PANS[0]} {'x' * 300}"})
    rows.writerow(good(1) | {"card": "9999000011112222"})
    pan = written(PANS[0], 1)
    broken = [f"{pan},{pan}", ",".join([pan] * 18), f'"{pan},2025']
    return (out.getvalue() + "\n".join(broken) + "\n").encode()


def reviews() -> str:
    pan = [written(pan, number) for number, pan in enumerate(PANS)]
    lines = ["tx,label,known_at,origin,who,why"]
    lines += [f"{pan[0]},fraud,2025-01-20T00:00:00Z,analyst,{pan[1]},saw {pan[2]}"]
    lines += [f"t,{pan[0]},2025-01-20T00:00:00Z,analyst,a,b", f"t,fraud,{pan[3]},analyst,a,b"]
    lines += [f"t,fraud,2025-01-20T00:00:00Z,{pan[4]},a,b"]
    return "\n".join(lines) + "\n"


def shops() -> str:
    known, unknown = written(PANS[0], 0), written(PANS[1], 2)
    return f"shop,label\n{known},fraud\nshop,legitimate\n{unknown},fraud\n{known},{unknown}\n"


def leaks(text: str) -> list[str]:
    """The card numbers in a text, separators between digits left out."""
    plain = re.sub(r"(?<=\d)[\s\-._,/·\u00a0\\]{1,3}(?=\d)", "", text)
    return [pan for pan in PANS if pan in text or pan in plain]


def texts_of(table: pa.Table) -> Iterator[str]:
    yield str(table.schema)
    for row in table.to_pylist():
        yield from strings_in(row)


def strings_in(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list | tuple):
        for item in value:
            yield from strings_in(item)
    elif value is not None:
        yield str(value)


@dataclass(frozen=True)
class Done:
    folder: Path
    source: Path
    workspace: Workspace
    mapping: Mapping
    printed: str


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, spark: object) -> Done:
    """An ingest of all that, its output and log caught."""
    folder = tmp_path_factory.mktemp("cards")
    source = folder / "source"
    source.mkdir()
    (source / f"export {written(PANS[0], 2)}.csv").write_bytes(table())
    (source / "reviews.csv").write_text(reviews())
    (source / "shops.csv").write_text(shops())
    (source / "rates.csv").write_text("date,currency,rate,known_at\n2025-01-01,USD,0.9,2025-01-01T00:00:00Z\n")
    (folder / "cards.toml").write_text(MAPPING_TOML)
    mapping = load_mapping(folder / "cards.toml")
    workspace = Workspace.open(folder / "workspace")
    caught = io.StringIO()
    handler = logging.StreamHandler(caught)
    logging.getLogger().addHandler(handler)
    try:
        stdout, stderr = contextlib.redirect_stdout(caught), contextlib.redirect_stderr(caught)
        with stdout, stderr, StageLog().stage("ingest") as stage:
            ingest(workspace, source, mapping, now=NOW, max_bad_share=1.0, progress=stage)
    finally:
        logging.getLogger().removeHandler(handler)
    return Done(folder, source, workspace, mapping, caught.getvalue())


pytestmark = pytest.mark.spark


def test_the_leak_check_finds_what_is_there() -> None:
    for number in range(6):
        assert leaks(f"paid by {written(PANS[0], number)} today") == [PANS[0]]
    assert leaks("order 4111111111111112") == []


def test_the_rows_are_in_and_the_bad_ones_told(done: Done) -> None:
    snapshot = Snapshot.open(done.workspace)
    assert snapshot.manifest["num_transactions"] == 60
    assert snapshot.manifest["left_out"] == {"test cards": 1}
    quarantine = snapshot.quarantine()
    assert quarantine is not None
    reasons = sorted(quarantine.column("reason").to_pylist())
    assert reasons == sorted(REASONS)
    cards = [Tokenizer.of(done.workspace, done.mapping).token("card", pan) for pan in PANS]
    vault = Vault.of(done.workspace).originals(cards)
    assert {re.sub(r"\D", "", original) for original in vault.values()} == set(PANS), "the vault alone has them"


PLACES: dict[str, Callable[[Snapshot], pa.Table | None]] = {
    "transactions": lambda snapshot: snapshot.transactions(),
    "entities": lambda snapshot: snapshot.entities(),
    "labels": lambda snapshot: snapshot.labels(),
    "quarantine": lambda snapshot: snapshot.quarantine(),
    "links": lambda snapshot: snapshot.links(),
    "hubs": lambda snapshot: snapshot.hubs(),
    "rates": lambda snapshot: snapshot.rates and snapshot.rates.table,
    "graph entities": lambda snapshot: graph_rows(snapshot, batches_of(snapshot, []), []).entities,
    "graph transactions": lambda snapshot: graph_rows(snapshot, batches_of(snapshot, []), []).transactions,
}


@pytest.mark.parametrize("place", PLACES)
def test_no_table_holds_one(done: Done, place: str) -> None:
    found = PLACES[place](Snapshot.open(done.workspace))
    assert found is not None
    assert [text for text in texts_of(found) if leaks(text)] == []


def test_no_file_of_the_workspace_holds_one_but_the_vault(done: Done) -> None:
    """Names, bytes, and what Parquet says when it is decoded; features and manifest are among them."""
    seen = set()
    for path in done.workspace.root.rglob("*"):
        assert leaks(path.name) == []
        if not path.is_file() or path.name.startswith("vault.db"):
            continue
        seen.add(path.parent.name)
        assert leaks(path.read_bytes().decode("latin-1")) == [], path
        if path.suffix == ".parquet" and path.parent.name != "features":
            assert not [text for text in texts_of(pq.read_table(path)) if leaks(text)], path
    assert {"transactions", "features", "labels", "quarantine", "rates", "entities"} <= seen
    manifest = Snapshot.open(done.workspace).manifest
    assert [text for text in strings_in(manifest) if leaks(text)] == []


def test_nothing_printed_or_logged_holds_one(done: Done) -> None:
    assert leaks(done.printed) == [] and done.printed


@pytest.mark.parametrize("words", [["list"], ["show"], ["list", "--json"], ["show", "--json"]], ids=" ".join)
def test_the_quarantine_commands_show_none(done: Done, words: list[str]) -> None:
    result = CliRunner().invoke(app, ["data", "quarantine", *words, "--workspace", str(done.workspace.root)])
    assert result.exit_code == 0 and leaks(result.output) == []


@pytest.mark.parametrize("as_json", [True, False])
def test_the_check_of_a_mapping_shows_none(done: Done, as_json: bool) -> None:
    words = ["data", "mapping", "check", str(done.source), "--mapping", str(done.folder / "cards.toml"), "--rows", "80"]
    result = CliRunner().invoke(app, [*words, *(["--json"] if as_json else [])])
    assert result.exit_code == 3 and leaks(result.output) == []
    whole = json.dumps(check_mapping(done.source, done.mapping, rows=80, now=NOW).as_dict())
    assert leaks(whole) == [] and "[card number]" in whole


def test_the_inspection_shows_none(done: Done) -> None:
    assert leaks(repr(inspect_table(done.source, done.mapping))) == []


def test_hashes_in_ids_are_keyed(done: Done) -> None:
    """Who knows the row, and tries all numbers of an issuer against its id, must not find the card."""
    mine = set(Snapshot.open(done.workspace).transaction_ids.to_pylist())
    whole = check_mapping(done.source, done.mapping, rows=60, now=NOW)
    others = {row.becomes["transaction_id"] for row in whole.rows if row.becomes}
    assert len(mine) == len(others) == 60 and not mine & others, "another key, other hashes"


def refused(do: Callable[[], object]) -> str:
    with pytest.raises(RingfenceError) as caught:
        do()
    chain, error = [], caught.value
    told: BaseException | None = error
    while told is not None:
        chain.append(f"{told!s} {told!r}")
        told = told.__cause__ or (None if told.__suppress_context__ else told.__context__)
    return " ".join(chain) + str(error.remedy)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("slice(card, 0, 4) != '9999'", "card != '4111 1111 1111 1111'"),
        ('reason = "test cards"', 'reason = "4111-1111-1111-1111"'),
        ('file = "shops.csv"', 'file = "shops 4111111111111111.csv"'),
        ('default = "payment"', 'default = "4111111111111111"'),
        ('column = "fraud"', 'column = "4111111111111111"'),
        ("memo = { expression = \"concat(memo, ' ', note)\" }", 'memo = "card"'),
        ("memo = { expression = \"concat(memo, ' ', note)\" }", "memo = { expression = \"concat(card, 'x')\" }"),
        ('key = { expression = "strip(device)" }', 'key = { expression = "concat(card, device)" }'),
        ('key = { expression = "strip(device)" }', 'key = { expression = "slice(card, 0, 15)" }'),
        ('attributes = ["note"]', 'attributes = ["note", "card"]'),
        (
            "channel = { expression = \"concat('by ', lower(channel))\" }",
            'channel = { column = "card" }',
        ),
        ('name = "cards"', 'name = "4111111111111111 x"'),
    ],
)
def test_a_mapping_that_holds_or_shows_one_is_refused(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / f"mine {PANS[0]}.toml"
    assert old in MAPPING_TOML
    path.write_text(MAPPING_TOML.replace(old, new, 1))
    assert leaks(refused(lambda: load_mapping(path))) == []


def test_errors_about_files_hold_none(done: Done, tmp_path: Path) -> None:
    pan = written(PANS[0], 1)
    rates = tmp_path / f"rates {PANS[0]}.csv"
    for lines in (f"date,currency,rate,known_at\n2025-01-01,USD,{pan},x\n", f"date\n{pan},{pan},1\n", f"{pan}\n1\n"):
        rates.write_text(lines)
        assert leaks(refused(lambda: Rates.read(rates, "EUR"))) == []
    headless = tmp_path / f"no header {PANS[0]}.csv"
    for lines in (f"{pan},2025,{PANS[1]}\n", f"{pan},{pan}\n"):
        headless.write_text(lines)
        assert leaks(refused(lambda: check_mapping(headless, load_mapping("paysim")))) == []
    workspace = Workspace.open(tmp_path / "workspace")
    assert leaks(refused(lambda: ingest(workspace, done.source, done.mapping, now=NOW))) == [], "too many bad rows"
    assert leaks(refused(lambda: ingest(workspace, tmp_path / f"{PANS[0]}.csv", done.mapping, now=NOW))) == []
    for path in (workspace.root / "quarantine").rglob("*.parquet"):
        assert not [text for text in texts_of(pq.read_table(path)) if leaks(text)]
