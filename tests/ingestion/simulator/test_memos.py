from __future__ import annotations

import re

import numpy as np

from ingestion.simulator.memos import INSTRUCTIONS, ODD_TEXTS
from ingestion.simulator.simulate import SimulatedTables
from tests.ingestion.simulator.conftest import Rows

CARD = re.compile(r"(?:\d{4}[ -]?){3}\d{4}")


def test_people_type_card_numbers_with_and_without_separators(tables: SimulatedTables) -> None:
    pans = set(tables.transactions["card_number"].to_pylist())
    typed = [match.group() for memo in tables.transactions["memo"].to_pylist() if (match := CARD.search(memo or ""))]
    assert len(typed) > 20
    assert {len(number) for number in typed} == {16, 19}
    assert sum(re.sub("[ -]", "", number) in pans for number in typed) > 0.9 * len(typed)


def test_odd_texts_and_instructions_occur_and_are_honest_too(rows: Rows) -> None:
    memos = {row["memo"] for row in rows if not row["is_fraud"]}
    assert set(ODD_TEXTS) <= memos
    assert set(INSTRUCTIONS) & memos


def test_no_memo_names_a_person_or_an_account(tables: SimulatedTables) -> None:
    data = tables.transactions
    text = "\n".join(sorted({memo for memo in data["memo"].to_pylist() if memo}))
    for column in ("holder_name", "email", "source_id", "target_id", "device_id", "ip_address"):
        for value in set(data[column].to_pylist()) - {None}:
            assert value not in text


def test_memos_are_as_frequent_for_fraud_as_for_honest_transfers(rows: Rows) -> None:
    transfers = [row for row in rows if row["kind"] == "transfer" and row["device_id"]]
    shares = [
        np.mean([row["memo"] is not None for row in transfers if row["is_fraud"] == is_fraud])
        for is_fraud in (False, True)
    ]
    assert abs(shares[0] - shares[1]) < 0.12
