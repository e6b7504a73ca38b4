"""A refund never erases history: the original stays, and nothing before the refund changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.contracts import TRANSACTION
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace
from tests.builders import DAY, HOUR, START, Row, build_snapshot, random_rows, transaction


def refund_of(row: Row, event_time: int) -> Row:
    """The whole amount back: the payee pays the payer."""
    return transaction(
        "refund",
        event_time,
        f"{row['target_type']}:{row['target_key']}",
        f"{row['source_type']}:{row['source_key']}",
        row["amount_minor"],
        currency=row["currency"],
        kind="refund",
        refers_to=row["transaction_id"],
    )


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 30), which=st.integers(0, 79), delay=st.integers(0, 20 * DAY))
def test_a_refund_changes_nothing_before_it(
    tmp_path_factory: pytest.TempPathFactory, seed: int, which: int, delay: int
) -> None:
    rows, labels = random_rows(80, seed=seed, days=30)
    original = rows[which]
    refund = refund_of(original, max(original["event_time"], original["known_at"]) + 1 + delay)
    plain, refunded = (
        build_snapshot(Workspace.open(tmp_path_factory.mktemp("w")), table, labels=labels)
        for table in (rows, [*rows, refund])
    )
    position = refunded.transaction_ids.to_pylist().index("refund")
    assert refunded.features()[:position].tobytes() == plain.features()[:position].tobytes()
    assert [row for row in logical(refunded) if row["transaction_id"] != "refund"] == logical(plain)


def logical(snapshot: Snapshot) -> list[Row]:
    rows: list[Row] = snapshot.transactions(TRANSACTION.names).to_pylist()
    return rows


def test_a_refund_leaves_the_original_in_every_count_and_amount(tmp_path: Path) -> None:
    """Three payments by one account, the second refunded: the fourth event counts all of them."""
    rows = [transaction(f"t{n}", START + n * HOUR, "account:a", "merchant:m", 1_000 * (n + 1)) for n in range(3)]
    refund = refund_of(rows[1], START + 3 * HOUR)
    last = transaction("last", START + 4 * HOUR, "account:a", "merchant:m", 4_000)
    plain = build_snapshot(Workspace.open(tmp_path / "plain"), [*rows, last])
    refunded = build_snapshot(Workspace.open(tmp_path / "refunded"), [*rows, refund, last])
    names = plain.spec.names
    own = [names.index(name) for name in ("source_count_1d", "source_amount_mean_1d", "target_count_7d")]
    assert np.array_equal(plain.features()[-1, own], refunded.features()[-1, own])
    assert plain.features()[-1, names.index("source_count_1d")] in (3, 4), "the three payments, and itself if it counts"
    assert refunded.features()[-2, names.index("is_refund")] == 1
