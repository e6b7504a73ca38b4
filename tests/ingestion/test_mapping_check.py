"""What `data mapping check` tells of a table, exactly; and what it never shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ingestion.errors import DataContractError, MappingError
from ingestion.mapping import load_mapping
from ingestion.mapping_check import check_mapping
from ingestion.privacy import MASKED, is_token
from ingestion.simulator.config import SimulatorConfig
from ingestion.simulator.simulate import simulate, write
from serving import pipeline
from serving.cli import app
from tests.builders import DAY, START

MAPPING = """
name = "shop"
label_maturity_days = 7
decimal = ","
thousands = "."
delimiter = ";"
attributes = ["city"]
dropped = ["leak"]

[fields]
transaction_id = "id"
event_time = { columns = ["date", "time"], zone = "Europe/Paris", format = "%d.%m.%Y %H:%M" }
amount = { column = "sum", unit = "decimal", sign = "negative_is_refund" }
currency = { column = "cur", default = "EUR" }
memo = "note"

[source]
type = "account"
key = "iban"

[target]
type = "merchant"
key = "shop"

[[parties]]
type = "card"
key = "card"

[personal]
types = ["account"]

[[filters]]
keep = "shop != 'TEST'"
reason = "test rows"

[rates]
file = "rates.csv"
base = "EUR"

[[labels]]
kind = "column"
column = "fraud"
fraud = ["J"]
legitimate = ["N"]
delay_days = 3

[[labels]]
kind = "file"
file = "reviews.csv"
transaction_id = "tx"
delay_days = 10
origin = { constant = "analyst" }
"""
TABLE = """id;date;time;sum;cur;iban;shop;card;note;city;fraud;leak;extra
1;01.01.2025;10:00;1.234,50;;DE-A;s1;4111 1111 1111 1111;thanks;Ulm;N;x;y
2;01.01.2025;11:00;-5,00;USD;DE-A;s2;;card 4111111111111111;Ulm;J;x;y
3;01.01.2025;12:00;5;EUR;DE-B;TEST;;;;N;x;y
4;30.03.2025;02:30;5;EUR;DE-SECRET;s1;;;;N;x;y
5;01.01.2025;13:00;12.34;EUR;DE-B;s1;;;;N;x;y
6;01.01.2025;14:00;7;EUR;DE-B;s1;;;;;x;y
7;01.01.2025
"""
RATES = "date;currency;rate;known_at\n2024-12-31;USD;0.5;2024-12-31T18:00:00Z\n"
REVIEWS = "tx;label\n1;fraud\n2;legitimate\n99;fraud\n2;dubious\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "table.csv").write_text(TABLE)
    (folder / "rates.csv").write_text(RATES)
    (folder / "reviews.csv").write_text(REVIEWS)
    (tmp_path / "shop.toml").write_text(MAPPING)
    return folder


def checked(source: Path, **options: int) -> dict[str, Any]:
    now = START + 100 * DAY
    return check_mapping(source, load_mapping(source.parent / "shop.toml"), now=now, **options).as_dict()


def test_each_row_is_told(source: Path) -> None:
    rows = checked(source)["rows"]
    assert [row["line"] for row in rows] == [2, 3, 4, 5, 6, 7, 8]
    first, refund, test, skipped, grouped, unlabeled, short = rows
    assert first["becomes"]["event_time"] == "2025-01-01T09:00:00+00:00"
    assert (first["becomes"]["amount_minor"], first["becomes"]["currency"]) == (123_450, "EUR")
    assert (refund["becomes"]["amount_minor"], refund["becomes"]["kind"]) == (500, "refund")
    assert (test["left_out"], test["becomes"], test["problem"]) == ("test rows", None, None)
    assert (skipped["problem"]["reason"], skipped["problem"]["value"]) == ("time_skipped", "30.03.2025 02:30")
    assert (grouped["problem"]["reason"], grouped["problem"]["field"]) == ("amount_unreadable", "sum")
    assert "`decimal` and `thousands`" in grouped["problem"]["remedy"]
    assert unlabeled["becomes"]["transaction_id"] == "6"
    assert (short["problem"]["reason"], short["problem"]["value"]) == ("too_few_columns", "2 of 13 values")


def test_personal_values_are_masked_or_tokens(source: Path) -> None:
    found = checked(source)
    text = json.dumps(found)
    assert "DE-" not in text and "4111" not in text
    first, refund = found["rows"][:2]
    assert (first["raw"]["iban"], first["raw"]["card"], first["raw"]["sum"]) == (MASKED, MASKED, "1.234,50")
    assert is_token(first["becomes"]["source_key"], "account")
    assert first["becomes"]["source_key"] == refund["becomes"]["source_key"], "one account is one token"
    assert is_token(first["becomes"]["parties"]["card"], "card")
    assert refund["raw"]["note"] == "card [card number]"
    assert not {"leak", "extra"} & set(first["raw"]), "what is not read is not shown"


def test_the_sample_is_counted(source: Path) -> None:
    found = checked(source)
    sample = found["sample"]
    assert (sample["rows"], sample["enter"], sample["left_out"]) == (7, 3, {"test rows": 1})
    assert {reason: entry["rows"] for reason, entry in sample["bad"].items()} == {
        "time_skipped": 1,
        "amount_unreadable": 1,
        "too_few_columns": 1,
    }
    assert found["bad_share"] == 0.5
    assert (sample["kind"], sample["currency"]) == ({"payment": 2, "refund": 1}, {"EUR": 2, "USD": 1})
    assert sample["amounts"]["EUR"] == {"min": 700, "median": 62_075, "max": 123_450, "zero": 0}
    assert sample["time_span"] == ["2025-01-01T09:00:00+00:00", "2025-01-01T13:00:00+00:00"]
    assert sample["base_amounts"] == {"converted": 3, "without_a_rate": 0}
    assert found["unused_columns"] == ["extra"]
    column, reviews = found["labels"]
    assert (column["fraud"], column["legitimate"], column["rows_without"]) == (1, 1, 1)
    assert column["delay_days"] == {"min": 3.0, "median": 3.0, "max": 3.0}
    assert (reviews["fraud"], reviews["legitimate"], reviews["bad"]) == (2, 1, {"label_unknown": 1})
    assert (reviews["of_rows_in_sample"], reviews["without_own_time"]) == (2, 3)


def test_a_part_is_a_part(source: Path) -> None:
    found = checked(source, rows=2, sample_rows=3)
    assert [row["line"] for row in found["rows"]] == [2, 3]
    assert found["sample"]["enter"] == 2


def test_a_missing_column_is_told(source: Path) -> None:
    (source / "table.csv").write_text(TABLE.replace("iban", "account"))
    with pytest.raises(MappingError, match="names column iban"):
        checked(source)


def command(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["data", "mapping", *words])
    return result.exit_code, result.output


def test_the_command_says_when_an_ingest_would_stop(source: Path) -> None:
    shop = ["--mapping", str(source.parent / "shop.toml")]
    code, text = command("check", str(source), *shop, "--json")
    assert code == 3
    assert json.loads(text)["bad_share"] == 0.5
    code, text = command("check", str(source), *shop, "--rows", "3")
    assert code == 3 and "time_skipped" in text and "columns not used: extra" in text and "DE-A" not in text
    (source / "table.csv").write_text("\n".join(TABLE.splitlines()[:4]) + "\n")
    assert command("check", str(source), *shop)[0] == 0
    assert command("check", str(source / "nowhere.csv"), *shop)[0] != 0


def test_shipped_mappings_are_listed_and_shown() -> None:
    code, text = command("list", "--json")
    names = [entry["name"] for entry in json.loads(text)["mappings"]]
    assert code == 0 and names == ["amlsim", "amlworld", "bitcoin-otc", "fraud-handbook", "paysim", "ringfence"]
    assert all(entry["about"] for entry in json.loads(text)["mappings"])
    code, text = command("show", "paysim")
    assert code == 0 and text == Path("ingestion/mappings/paysim.toml").read_text()
    assert json.loads(command("show", "paysim", "--json")[1])["mapping"] == load_mapping("paysim").as_dict()


def test_the_simulators_table_is_all_good(tmp_path: Path) -> None:
    config = SimulatorConfig(num_transactions=2_000, seed=3, fraud_rate=0.02, days=30)
    write(simulate(config), tmp_path)
    found = check_mapping(tmp_path / "transactions.parquet", load_mapping("ringfence")).as_dict()
    assert (found["sample"]["rows"], found["sample"]["bad"]) == (found["sample"]["enter"], {})
    (labels,) = found["labels"]
    assert labels["fraud"] > 0 and labels["of_rows_in_sample"] == labels["fraud"] + labels["legitimate"]
    assert labels["delay_days"]["min"] > 0 and labels["bad"] == {}


def test_a_new_lineage_is_asked_for_by_a_flag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The flag reaches the ingest (what it does there: `test_ingest.py`)."""
    asked: list[bool] = []

    def remember(*_: object, new_lineage: bool, **__: object) -> None:
        asked.append(new_lineage)
        raise DataContractError("enough", remedy="none")

    monkeypatch.setattr(pipeline, "ingest", remember)
    (tmp_path / "t.csv").write_text("a\n1\n")
    words = ["data", "ingest", str(tmp_path / "t.csv"), "--mapping", "paysim", "--workspace", str(tmp_path / "w")]
    for more in ([], ["--new-lineage"]):
        assert CliRunner().invoke(app, [*words, *more]).exit_code != 0
    assert asked == [False, True]
