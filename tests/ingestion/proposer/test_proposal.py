"""Proposals for tables made here, apart from the golden ones: what is found, what is asked, what an answer changes."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import csv

from ingestion.contract_rows import transactions_of
from ingestion.errors import DataContractError, MappingError, UsageError
from ingestion.proposer.proposal import Proposal, name_of, propose, propose_mapping
from ingestion.proposer.render import render_toml
from ingestion.proposer.sample import Sample, Written, take_sample

DAYS = [f"2024-03-{day:02d}T{hour:02d}:15:00Z" for day in range(1, 29) for hour in (3, 9, 15, 21)]


def table(**changes: list[Any] | None) -> pa.Table:
    """A plain table of 112 payments; a change of None takes the column out."""
    rows = range(len(DAYS))
    columns: dict[str, list[Any] | None] = {
        "payment_id": [f"P{row:05d}" for row in rows],
        "created_at": list(DAYS),
        "amount": [f"{5 + (row * 37) % 900}.{row % 100:02d}" for row in rows],
        "currency": ["EUR", "USD"] * (len(DAYS) // 2),
        "customer_id": [f"c{row % 31}" for row in rows],
        "merchant_id": [f"m{row % 9}" for row in rows],
        "is_fraud": ["1" if row % 20 == 7 else "0" for row in rows],
    }
    columns.update(changes)
    return pa.table({name: values for name, values in columns.items() if values is not None})


def proposal_of(given_table: pa.Table, **answers: Any) -> Proposal:
    sample = Sample(name="made.csv", table=given_table, written=Written(), num_rows=given_table.num_rows)
    return propose(sample, answers={key.replace("__", "."): value for key, value in answers.items()})


def choice(proposal: Proposal, key: str) -> Any:
    return proposal.decisions[key].choice


def test_a_plain_table_needs_only_what_it_does_not_say() -> None:
    proposal = proposal_of(table())
    mapping = proposal.mapping()
    assert mapping.columns | {"label": "is_fraud"} == {
        "transaction_id": "payment_id",
        "event_time": "created_at",
        "amount_minor": "amount",
        "currency": "currency",
        "source_key": "customer_id",
        "target_key": "merchant_id",
        "label": "is_fraud",
    }
    assert {item.key for item in proposal.questions} == {"labels[0].origin", "labels[0].delay_days"}
    assert (mapping.source.type, mapping.target.type) == ("customer", "merchant")
    assert mapping.personal_types == {"customer"}


def test_days_and_months_that_could_be_swapped_are_asked_about() -> None:
    written = [f"{1 + row % 12:02d}/{1 + row // 12:02d}/2024 10:00" for row in range(len(DAYS))]
    asked = proposal_of(table(created_at=written)).decisions["fields.event_time.format"]
    assert asked.choice == "%d/%m/%Y %H:%M"
    assert asked.alternatives == ("%m/%d/%Y %H:%M",)
    assert asked.asks
    clear = [f"{1 + row // 12:02d}/{13 + row % 12:02d}/2024 10:00" for row in range(len(DAYS))]
    sure = proposal_of(table(created_at=clear)).decisions["fields.event_time.format"]
    assert (sure.choice, sure.asks) == ("%m/%d/%Y %H:%M", False)


def test_a_time_without_a_zone_is_asked_about() -> None:
    local = [value.removesuffix("Z") for value in DAYS]
    assert proposal_of(table(created_at=local)).decisions["fields.event_time.zone"].asks
    named = proposal_of(table(created_at=None, created_utc=local)).decisions["fields.event_time.zone"]
    assert (named.choice, named.asks) == ("UTC", False)


def test_what_is_filled_only_for_frauds_is_kept_out() -> None:
    frauds = table()["is_fraud"].to_pylist()
    codes = ["R1" if fraud == "1" else None for fraud in frauds]
    proposal = proposal_of(table(reason_code=codes))
    assert proposal.mapping().dropped == ("reason_code",)
    assert not proposal.decisions["dropped.reason_code"].asks


def test_a_verdict_of_another_system_is_no_label() -> None:
    flags = ["1" if row % 11 == 3 else "0" for row in range(len(DAYS))]
    proposal = proposal_of(table(rule_flagged_fraud=flags))
    assert [source.column for source in proposal.mapping().label_columns] == ["is_fraud"]
    assert proposal.asks_about("dropped.rule_flagged_fraud")


def test_a_label_of_three_values_is_asked_about() -> None:
    verdicts = [("fraud", "ok", "limbo")[min(row % 30, 2)] for row in range(len(DAYS))]
    proposal = proposal_of(table(is_fraud=None, verdict=verdicts))
    assert choice(proposal, "labels[0].fraud") == ["fraud"]
    assert proposal.decisions["labels[0].legitimate"].asks


def test_a_label_that_says_legitimate_is_turned_round() -> None:
    values = ["0" if row % 20 == 7 else "1" for row in range(len(DAYS))]
    proposal = proposal_of(table(is_fraud=None, is_legit=values))
    assert choice(proposal, "labels[0].fraud") == ["0"]
    assert choice(proposal, "labels[0].legitimate") == ["1"]


def test_whole_amounts_ask_for_their_unit_and_minus_for_its_sense() -> None:
    whole = [str(120 + row * 41) for row in range(len(DAYS))]
    assert proposal_of(table(amount=whole)).decisions["fields.amount.unit"].asks
    cents = proposal_of(table(amount=None, amount_cents=whole)).decisions["fields.amount.unit"]
    assert (cents.choice, cents.asks) == ("minor", False)
    minus = [f"-{value}.50" if int(value) % 9 == 0 else f"{value}.50" for value in whole]
    assert proposal_of(table(amount=minus)).decisions["fields.amount.sign"].asks


@pytest.mark.parametrize(
    ("written", "currency", "asks"),
    [("${}", "USD", True), ("{} €", "EUR", False), ("GBP {}", "GBP", False)],
)
def test_a_sign_of_currency_at_each_amount_is_taken_off_and_told(
    tmp_path: Path, written: str, currency: str, asks: bool
) -> None:
    """Groups of thousands and minus signs, `$-99.00` for one, as card processors write them."""
    cents = [(1 + row) * 123_457 % 900_000 * (-1 if row % 7 == 0 else 1) for row in range(len(DAYS))]
    made = table(amount=[written.format(f"{value / 100:,.2f}") for value in cents], currency=None)
    csv.write_csv(made, tmp_path / "t.csv")
    proposal = propose_mapping(tmp_path / "t.csv")
    assert choice(proposal, "fields.currency") == currency
    assert proposal.decisions["fields.currency"].asks == asks
    rows, faults = transactions_of(take_sample(tmp_path / "t.csv").table, proposal.mapping(), now=2**61)
    assert faults.problems == {}
    assert rows.column("amount_minor").to_pylist() == [abs(value) for value in cents]
    assert rows.column("currency").unique().to_pylist() == [currency]


@pytest.mark.parametrize(
    "written",
    [
        lambda row: f"{'$€'[row % 2]}{row}.50",
        lambda row: f"({row}.50)" if row % 20 == 0 else f"{row}.50",
        lambda row: f"{row}.50-" if row % 20 == 0 else f"{row}.50",
        lambda row: f"{row}€50" if row % 10 == 0 else f"{row}.50",
    ],
    ids=["two signs", "brackets", "minus behind", "sign in the middle"],
)
def test_amounts_that_cannot_be_read_are_a_guess_and_the_label_stays_one(written: Callable[[int], str]) -> None:
    proposal = proposal_of(table(amount=[written(row) for row in range(len(DAYS))]))
    amount = proposal.decisions["fields.amount"]
    assert (amount.choice, amount.is_guessed, amount.asks) == ("amount", True, True)
    assert "is named so, but holds" in amount.reason
    assert choice(proposal, "labels[0].column") == "is_fraud"


def test_a_stray_text_does_not_hide_the_sign_of_the_others() -> None:
    amounts = [f"${row}.50" if row != 40 else "$" for row in range(len(DAYS))]
    proposal = proposal_of(table(amount=amounts))
    assert choice(proposal, "fields.amount") == "amount"
    assert choice(proposal, "fields.amount.currency_sign") == "$"


@pytest.mark.parametrize("name", ["hour", "day"])
def test_what_starts_again_is_no_count_of_steps(name: str) -> None:
    made = table(created_at=None, **{name: [str(1 + row // 4 % 14) for row in range(len(DAYS))]})
    assert proposal_of(made).decisions["fields.event_time"].is_guessed


def test_columns_that_hold_no_single_value_are_left_out(tmp_path: Path) -> None:
    made = table().append_column("basket", pa.array([[1, 2]] * len(DAYS)))
    made = made.append_column("blob", pa.array([b"x"] * len(DAYS)))
    pq.write_table(made, tmp_path / "t.parquet")
    proposal = propose_mapping(tmp_path / "t.parquet")
    assert {"basket", "blob"} & set(proposal.columns) == set()
    proposal.mapping()
    pq.write_table(table().slice(0, 0), tmp_path / "empty.parquet")
    with pytest.raises(DataContractError, match="has no rows"):
        propose_mapping(tmp_path / "empty.parquet")


def test_steps_ask_for_their_start_and_length() -> None:
    proposal = proposal_of(table(created_at=None, step=[str(1 + row // 4) for row in range(len(DAYS))]))
    assert choice(proposal, "fields.event_time") == "step"
    assert {"fields.event_time.start", "fields.event_time.unit"} <= {item.key for item in proposal.questions}
    assert proposal.mapping().fields.event_time.start is not None


def test_without_ids_a_row_is_named_by_what_it_says_or_by_its_place() -> None:
    made = choice(proposal_of(table(payment_id=None)), "fields.transaction_id")
    assert made == {"expression": "hash(created_at, amount, currency, customer_id, merchant_id)"}
    twice = pa.concat_tables([table(payment_id=None)] * 2)
    assert choice(proposal_of(twice), "fields.transaction_id") == {
        "expression": "concat(file_name(), '-', row_number())"
    }


def test_names_of_things_that_could_be_words_are_asked_about() -> None:
    trades = [("transport", "food", "fashion")[row % 3] for row in range(len(DAYS))]
    assert proposal_of(table(branch=trades)).asks_about("parties.branch")


def test_groups_that_could_be_fractions_are_asked_about(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = [
        f'P{row},2024-03-01T{row % 24:02d}:00:00Z,"{1 + row},{(row * 37) % 1000:03d}",c{row % 9},m{row % 5}'
        for row in range(60)
    ]
    path.write_text("\n".join(["id,created_at,amount,customer_id,merchant_id", *rows]))
    asked = propose_mapping(path).decisions["thousands"]
    assert (asked.choice, asked.asks) == (",", True)


def test_what_speaks_of_the_outcome_or_of_a_person_is_asked_about() -> None:
    cases = ["C9" if row % 20 == 7 else None for row in range(len(DAYS))]
    names = [("Ada B.", "Cy D.")[row % 2] for row in range(len(DAYS))]
    proposal = proposal_of(table(is_fraud=None, fraud_case_ref=cases, insured_name=names))
    assert choice(proposal, "dropped.fraud_case_ref") is True
    assert choice(proposal, "attributes.insured_name") is False
    assert {"dropped.fraud_case_ref", "attributes.insured_name"} <= {item.key for item in proposal.questions}


def test_versions_are_no_times() -> None:
    versions = [("5.1.0", "5.1.2", "5.2.0")[row % 3] for row in range(len(DAYS))]
    assert choice(proposal_of(table(app=versions)), "attributes.app") is True


def test_an_answer_settles_its_question_and_what_follows_from_it() -> None:
    turned = propose(
        Sample(name="made.csv", table=table(), written=Written(), num_rows=112),
        answers={"source.key": "merchant_id", "labels[0].delay_days": 30},
    )
    assert choice(turned, "source.key") == "merchant_id"
    assert choice(turned, "source.type") == "merchant"
    assert choice(turned, "target.key") == "customer_id"
    assert turned.mapping().label_columns[0].delay_days == 30
    assert not turned.asks_about("labels.is_fraud.delay_days")


def test_an_answer_to_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match=r"Nothing was asked under 'fields\.colour'"):
        proposal_of(table(), fields__colour="red")


def test_an_answer_that_makes_no_mapping_says_so() -> None:
    with pytest.raises(MappingError, match="No mapping can be made of made"):
        proposal_of(table(), source__type="Not A Type").mapping()


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.csv"
    path.write_text("a,b\n")
    with pytest.raises(DataContractError, match="no rows"):
        propose_mapping(path)


def test_a_card_number_in_a_value_does_not_reach_the_file() -> None:
    odd = [("fraud", "ok", "4111111111111111")[row % 3] for row in range(len(DAYS))]
    text = render_toml(proposal_of(table(is_fraud=None, fraud_note=odd)))
    comments = [line.split("#", 1)[1] for line in text.splitlines() if "#" in line]
    assert all("4111111111111111" not in comment for comment in comments)


def test_odd_column_names_survive(tmp_path: Path) -> None:
    odd = 'cust "id"\n# no comment \\ = x'
    proposal = proposal_of(table(customer_id=None, **{odd: [f"c{row % 31}" for row in range(len(DAYS))]}))
    assert tomllib.loads(render_toml(proposal))["source"]["key"] == odd
    pq.write_table(table(), tmp_path / "Zahlungen März.parquet")
    assert propose_mapping(tmp_path / "Zahlungen März.parquet").name == "zahlungen-marz"


def test_the_name_of_a_mapping_fits() -> None:
    assert name_of("???.csv") == "table"
    assert name_of("_x y.csv") == "x-y"


VALUES = st.one_of(
    st.none(),
    st.sampled_from(["", "0", "1", "fraud", "ok", "2024-01-01", "12.5", "1,5", "a b c", "EUR", "00", "x@y.org"]),
    st.text(max_size=12),
)
NAMES = st.one_of(
    st.sampled_from(["id", "date", "amount", "from", "to", "is_fraud", "status", "type", "step", "card", "zone"]),
    st.text(min_size=1, max_size=8),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_table_gets_a_proposal_that_reads_back(data: st.DataObject) -> None:
    names = data.draw(st.lists(NAMES, min_size=2, max_size=7, unique=True))
    num_rows = data.draw(st.integers(1, 12))
    columns = {name: data.draw(st.lists(VALUES, min_size=num_rows, max_size=num_rows)) for name in names}
    given_table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    try:
        proposal = proposal_of(given_table)
    except DataContractError as error:
        assert "no column left" in error.what
        return
    tomllib.loads(render_toml(proposal))
    assert set(proposal.decisions) >= {"fields.event_time", "fields.amount", "source.key", "target.key"}
