"""The canonical hash: blind to order and batches, and to nothing else."""

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.canonical import MODULUS, as_hex, hash_sum, label_hashes, transaction_hashes
from ingestion.contracts import LABEL, TRANSACTION
from tests.builders import START, _table, label, random_rows, transaction

TABLE = _table(random_rows(200, seed=3)[0], TRANSACTION)
ROW = transaction("t1", START, "account:A", "merchant:B", parties=["card:c", "device:d"]) | {"attributes": {"a": "b"}}


def total(table: pa.Table) -> int:
    return hash_sum(transaction_hashes(table))


@settings(max_examples=25, deadline=None)
@given(st.randoms(use_true_random=False), st.lists(st.integers(0, 200), max_size=4))
def test_any_order_and_split_gives_the_same(random: Any, cuts: list[int]) -> None:
    order = list(range(TABLE.num_rows))
    random.shuffle(order)
    bounds = [0, *sorted(cuts), TABLE.num_rows]
    parts = [TABLE.take(pa.array(order[low:high], pa.int64())) for low, high in pairwise(bounds)]
    assert sum(total(part) for part in parts) % MODULUS == total(TABLE)
    assert total(TABLE.slice(50, 100)) == total(TABLE.take(list(range(50, 150))))


@pytest.mark.parametrize(
    "change",
    [
        {"transaction_id": "t2"},
        {"amount_minor": 1_001},
        {"known_at": START + 1},
        {"source_type": "accoun", "source_key": "tA"},
        {"memo": ""},
        {"parties": [{"type": "card", "key": "c"}]},
        {"parties": [{"type": "card", "key": "c"}, {"type": "devic", "key": "ed"}]},
        {"attributes": {"ab": ""}},
        {"attributes": {}},
        {"refers_to": "-"},
    ],
)
def test_any_change_changes_it(change: dict[str, Any]) -> None:
    assert total(_table([ROW], TRANSACTION)) != total(_table([ROW | change], TRANSACTION))


def test_labels_are_hashed_apart_from_transactions() -> None:
    labels = _table([label("t1", START), label("t1", START + 1)], LABEL)
    hashes = label_hashes(labels)
    assert len({*hashes.to_pylist(), *transaction_hashes(TABLE).to_pylist()}) == 2 + TABLE.num_rows


def test_sums_carry_and_wrap() -> None:
    ones = pa.array([b"\xff" * 32, b"\x00" * 31 + b"\x02"], pa.binary(32))
    assert hash_sum(ones) == 1
    many = np.random.default_rng(0).bytes(32 * 1_000)
    hashes = pa.array([many[start : start + 32] for start in range(0, len(many), 32)], pa.binary(32))
    assert hash_sum(hashes) == sum(int.from_bytes(value, "big") for value in hashes.to_pylist()) % MODULUS
    assert hash_sum(pa.array([], pa.binary(32))) == 0
    assert as_hex(255) == "0" * 62 + "ff"
