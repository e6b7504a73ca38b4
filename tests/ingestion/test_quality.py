"""Each reason for which a row is bad, one row at a time and in a table."""

from typing import Any

import pyarrow as pa
import pytest

from ingestion.contract_rows import LOOSE
from ingestion.mapping import Mapping, load_mapping
from ingestion.privacy import MASKED
from ingestion.quality import REMEDIES, Faults, check_row, find_faults
from tests.builders import DAY, START, _table, transaction

NOW = START + DAY
MAPPING = load_mapping("ringfence")
STRICT = MAPPING.model_copy(update={"rules": MAPPING.rules.model_copy(update={"allow_zero_amount": False})})
GOOD = transaction("t1", START, "account:DE1", "merchant:m1", parties=["card:4111111111111111", "device:d", "ip:1.1"])

BAD: list[tuple[str, str, dict[str, Any]]] = [
    ("id_missing", "transaction_id", {"transaction_id": None}),
    ("key_too_long", "transaction_id", {"transaction_id": "x" * 257}),
    ("key_too_long", "source_key", {"source_key": "x" * 257}),
    ("key_too_long", "parties.device", {"parties": [{"type": "device", "key": "x" * 257}]}),
    ("time_missing", "event_time", {"event_time": None}),
    ("time_in_future", "event_time", {"event_time": NOW + 6 * 60_000_000}),
    ("time_in_future", "known_at", {"known_at": NOW + 6 * 60_000_000}),
    ("time_too_old", "event_time", {"event_time": -1}),
    ("party_missing", "source_key", {"source_key": None}),
    ("party_type_unknown", "target_type", {"target_type": "shop"}),
    ("party_type_unknown", "parties", {"parties": [{"type": "planet", "key": "x"}]}),
    ("party_repeated", "parties", {"parties": [{"type": "ip", "key": "1"}, {"type": "ip", "key": "2"}]}),
    ("currency_missing", "currency", {"currency": None}),
    ("currency_unknown", "currency", {"currency": "EURO"}),
    ("amount_missing", "amount_minor", {"amount_minor": None}),
    ("amount_negative", "amount_minor", {"amount_minor": -1}),
    ("amount_too_large", "amount_minor", {"amount_minor": 10**12}),
    ("amount_too_large", "amount_minor", {"amount_minor": 2**70}),
    ("amount_zero", "amount_minor", {"amount_minor": 0}),
    ("kind_unknown", "kind", {"kind": "gift"}),
    ("outcome_unknown", "outcome", {"outcome": "maybe"}),
    ("self_transfer", "target_key", {"target_type": "account", "target_key": "DE1"}),
]


def test_a_good_row_has_no_problem() -> None:
    assert check_row(GOOD, STRICT, now=NOW) is None
    assert check_row(GOOD | {"amount_minor": 0}, MAPPING, now=NOW) is None
    assert check_row(GOOD | {"event_time": NOW + 4 * 60_000_000}, STRICT, now=NOW) is None


@pytest.mark.parametrize(("reason", "field", "change"), BAD)
def test_a_bad_row_is_told_with_field_and_remedy(reason: str, field: str, change: dict[str, Any]) -> None:
    problem = check_row(GOOD | change, STRICT, now=NOW)
    assert problem is not None
    assert (problem.reason, problem.field) == (reason, field)
    assert problem.remedy == REMEDIES[reason]


def test_values_are_told_but_never_personal_ones() -> None:
    told = check_row(GOOD | {"currency": "EURO"}, MAPPING, now=NOW)
    assert told is not None and told.value == "EURO"
    hidden = check_row(GOOD | {"target_type": "account", "target_key": "DE1"}, MAPPING, now=NOW)
    assert hidden is not None and hidden.value == MASKED
    card = check_row(GOOD | {"kind": "card 4111 1111 1111 1111"}, MAPPING, now=NOW)
    assert card is not None and card.value == "card [card number]"


def test_tables_and_rows_agree() -> None:
    changes = [change for _, _, change in BAD if change.get("amount_minor") != 2**70]
    table = _table([GOOD, *[GOOD | change for change in changes], GOOD], LOOSE)
    faults = Faults(table.num_rows)
    find_faults(pa.table(table), faults, STRICT, now=NOW)
    expected = [None, *[check_row(GOOD | change, STRICT, now=NOW) for change in changes], None]
    found = [faults.problems.get(row) for row in range(table.num_rows)]
    assert [problem and problem.reason for problem in found] == [problem and problem.reason for problem in expected]
    assert faults.bad.tolist() == [problem is not None for problem in expected]


def test_the_handbooks_rules_allow_what_its_table_has() -> None:
    handbook: Mapping = load_mapping("fraud-handbook")
    row = transaction("1", START, "customer:5", "terminal:5", 0) | {"currency": "XXX"}
    assert check_row(row, handbook, now=NOW) is None
