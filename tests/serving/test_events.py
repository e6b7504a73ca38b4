"""Events: rows in and out, their hash, and their place in the sequence."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from serving.events import TransactionEvent
from tests.builders import START, transaction


def event(identifier: str = "t-1", time: int = START, known_at: int | None = None) -> TransactionEvent:
    row = transaction(identifier, time, "account:a", "merchant:m", parties=["ip:1", "device:d"])
    return TransactionEvent.from_row(row | {"known_at": known_at})


def test_a_row_is_read_back() -> None:
    there = event(known_at=START + 5)
    assert TransactionEvent.from_row(there.as_row()) == there
    assert [party.type for party in there.parties] == ["device", "ip"]
    assert list(there.roles()) == ["source", "target", "device", "ip"]


def test_the_hash_is_of_the_content_alone() -> None:
    row = transaction("t", START, "account:a", "merchant:m", parties=["ip:1", "device:d"])
    turned = row | {"parties": list(reversed(row["parties"]))}
    assert TransactionEvent.from_row(row).content_hash == TransactionEvent.from_row(turned).content_hash
    assert event().content_hash != event(known_at=START).content_hash


times = st.integers(START, START + 50)


@given(times, st.none() | times, st.tuples(times, st.just(1), times, st.binary(max_size=2)))
def test_a_placed_event_comes_after_the_last_one_and_moves_only_when_it_must(
    time: int, known_at: int | None, last: tuple[int, int, int, bytes]
) -> None:
    there = event("t", time, known_at)
    placed = there.placed_after(last)
    assert placed.sequence > last
    assert placed.event_time == time
    if there.sequence > last:
        assert placed.available_at == there.available_at
    else:
        assert placed.available_at == last[0] + 1
    assert placed.placed_after(last) == placed
