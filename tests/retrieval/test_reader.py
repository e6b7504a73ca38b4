"""One view of the data as of a time, with what the store does not hold yet."""

import dataclasses
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.contracts import PartyRef
from ingestion.graph.store import GraphTransaction
from retrieval.measures import measure
from retrieval.reader import READ_LIMIT, History
from tests.builders import DAY, HOUR, START, transaction
from tests.retrieval.worlds import DARK, HIT_TIME, M1, SHOP, VICTIM, World


def graph_transaction(
    transaction_id: str,
    time: int,
    source: PartyRef = VICTIM,
    target: PartyRef = SHOP,
    amount_minor: int = 100,
    **more: object,
) -> GraphTransaction:
    fields: dict[str, object] = {
        "transaction_id": transaction_id,
        "source": source,
        "target": target,
        "event_time": time,
        "known_at": time,
        "available_at": time,
        "amount_minor": amount_minor,
        "currency": "EUR",
        "kind": "payment",
        "outcome": "approved",
        "refers_to": None,
        "parties": (),
    }
    return GraphTransaction(**(fields | more))  # type: ignore[arg-type]


def test_a_history_holds_what_was_available_by_then(world: World) -> None:
    ids = [item.transaction_id for item in world.reader(HIT_TIME).history(VICTIM).transactions]
    assert ids[:3] == ["hit", "c2", "p39"]
    assert "later" not in ids
    assert "hit" not in [item.transaction_id for item in world.reader(HIT_TIME - 1).history(VICTIM).transactions]


def test_windows_are_open_at_the_start_and_closed_at_the_end() -> None:
    times = {"at_start": START, "inside": START + 1, "at_end": START + DAY, "after": START + DAY + 1}
    items = tuple(graph_transaction(name, time) for name, time in reversed(times.items()))
    history = History(ref=VICTIM, transactions=items, is_complete=True)
    chosen = {item.transaction_id for item in history.select(end=START + DAY, width=DAY)}
    assert chosen == {"inside", "at_end"}


def test_roles_counterparties_and_one_left_out() -> None:
    items = (
        graph_transaction("sent", START + 2),
        graph_transaction("received", START + 1, source=M1, target=VICTIM),
        graph_transaction("device", START, source=M1, target=SHOP, parties=(VICTIM,)),
    )
    history = History(ref=VICTIM, transactions=items, is_complete=True)

    def ids(**how: object) -> list[str]:
        return [item.transaction_id for item in history.select(end=START + DAY, width=None, **how)]  # type: ignore[arg-type]

    assert ids(role="source") == ["sent"]
    assert ids(role="target") == ["received"]
    assert ids(role="any") == ["sent", "received", "device"]
    assert ids(counterparty=M1) == ["received", "device"]
    assert ids(without="sent") == ["received", "device"]


def test_a_history_cut_by_the_limit_says_what_it_covers(world: World) -> None:
    reader = world.reader(HIT_TIME)
    whole, cut = reader.history(VICTIM), reader.history(VICTIM, limit=5)
    assert whole.is_complete
    assert not cut.is_complete
    oldest = cut.transactions[-1].available_at
    assert cut.covers(oldest)
    assert not cut.covers(oldest - 1)
    assert not cut.covers(None)
    assert len(whole.transactions) < READ_LIMIT


@settings(max_examples=60, deadline=None)
@given(
    late=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 30)), min_size=1, max_size=25),
    limit=st.integers(1, 25),
    start=st.integers(-5, 80),
)
def test_a_covered_window_misses_nothing_even_with_late_events(
    late: list[tuple[int, int]], limit: int, start: int
) -> None:
    items = [
        graph_transaction(f"t{index:02d}", START + time, available_at=START + time + delay)
        for index, (time, delay) in enumerate(late)
    ]
    items.sort(key=lambda item: (item.available_at, item.event_time, item.transaction_id), reverse=True)
    read = History(ref=VICTIM, transactions=tuple(items[:limit]), is_complete=len(items) <= limit)
    whole = History(ref=VICTIM, transactions=tuple(items), is_complete=True)
    end = START + 100
    width = 100 - start
    if read.covers(end - width):
        assert read.select(end=end, width=width) == whole.select(end=end, width=width)


def test_extra_transactions_are_merged_as_of_then(world: World) -> None:
    new = graph_transaction("new", HIT_TIME + HOUR, target=M1, parties=(DARK, PartyRef.parse("ip:1.2.3.4")))
    future = graph_transaction("future", HIT_TIME + 3 * HOUR)
    reader = world.reader(HIT_TIME + 2 * HOUR, extra=[new, future])
    assert [item.transaction_id for item in reader.history(VICTIM).transactions][:2] == ["new", "hit"]
    assert reader.transaction("new") == new
    assert reader.transaction("future") is None
    uses, _ = reader.uses(PartyRef.parse("ip:1.2.3.4"))
    assert [(use.user, use.first_known_at) for use in uses] == [(VICTIM, HIT_TIME + HOUR)]
    assert next(use for use in reader.uses(DARK)[0] if use.user == VICTIM).first_known_at == HIT_TIME
    around = reader.neighborhood(VICTIM, hops=1, limit=50)
    stored = world.reader(HIT_TIME + 2 * HOUR).neighborhood(VICTIM, hops=1, limit=50)
    assert around.transactions[0] == new
    links = {node.ref: node.num_links for node in around.nodes}
    before = {node.ref: node.num_links for node in stored.nodes}
    assert links == before | {VICTIM: before[VICTIM] + 1, M1: before[M1] + 1}


def test_a_party_known_by_extra_alone_has_a_neighborhood(world: World) -> None:
    fresh = PartyRef.parse("account:fresh")
    reader = world.reader(HIT_TIME + DAY, extra=[graph_transaction("new", HIT_TIME + HOUR, source=fresh)])
    assert reader.is_known(fresh)
    around = reader.neighborhood(fresh, hops=1, limit=10)
    assert [(node.ref, node.hops, node.num_links) for node in around.nodes] == [(fresh, 0, 1), (SHOP, 1, 1)]


def test_reads_are_remembered_and_a_fresh_reader_reads_again(world: World) -> None:
    class Counting:
        def __init__(self) -> None:
            self.calls = 0

        def transactions(self, *args: object, **how: object) -> tuple[GraphTransaction, ...]:
            self.calls += 1
            return world.store.transactions(*args, **how)  # type: ignore[arg-type]

    reader = world.reader(HIT_TIME)
    reader.store = counting = Counting()  # type: ignore[assignment]
    reader.history(VICTIM)
    reader.history(VICTIM)
    assert counting.calls == 1
    reader.fresh().history(VICTIM)
    assert counting.calls == 2


def measured(world: World, name: str, ref: PartyRef = VICTIM, **how: object) -> tuple[int, int, bool]:
    fields: dict[str, object] = {
        "role": "source",
        "counterparty": None,
        "currency": "EUR",
        "without": "hit",
        "end": HIT_TIME,
        "width": 30 * DAY,
    }
    return measure(world.reader(HIT_TIME), ref, name, **(fields | how))  # type: ignore[arg-type]


def test_measures_on_the_story(world: World) -> None:
    # p12 (day 12, 10:00) lies inside (day 10 12:00, day 40 12:00]; p12 … p39 are ten payments of 10.00 EUR.
    assert measured(world, "count") == (10, 10, True)
    assert measured(world, "count", without=None) == (11, 11, True)
    assert measured(world, "amount_sum") == (10_000, 10, True)
    assert measured(world, "amount_mean") == (1_000, 10, True)
    assert measured(world, "amount_max", without=None) == (50_000, 11, True)
    assert measured(world, "amount_mean", currency="USD") == (0, 0, True)
    assert measured(world, "distinct_counterparties", without=None) == (2, 11, True)
    assert measured(world, "distinct_counterparties", role="any", without=None) == (3, 12, True)
    assert measured(world, "count", counterparty=M1, role="any", width=None) == (0, 0, True)
    assert measured(world, "known_frauds", ref=SHOP, width=None) == (1, 1, True)
    assert measured(world, "known_frauds", ref=SHOP, width=10 * DAY) == (0, 0, True)  # known on day 30, 00:00
    assert measured(world, "known_frauds", ref=SHOP, width=11 * DAY) == (1, 1, True)


def test_declines_zero_amounts_and_refunds(tmp_path: Path) -> None:
    rows = [
        transaction("d", START, "account:a", "merchant:m", 5, outcome="declined"),
        transaction("z", START + 1, "account:a", "merchant:m", 0, kind="authorisation", outcome="declined"),
        transaction("r", START + 2, "merchant:m", "account:a", 5, kind="refund", refers_to="d"),
    ]
    world = World(tmp_path, rows, [])
    reader = world.reader(START + DAY)
    how = {"counterparty": None, "currency": None, "without": None, "end": START + DAY, "width": 2 * DAY}
    account = PartyRef.parse("account:a")
    assert measure(reader, account, "declined", role="any", **how) == (2, 3, True)  # type: ignore[arg-type]
    assert measure(reader, account, "zero_amount", role="any", **how) == (1, 3, True)  # type: ignore[arg-type]
    assert measure(reader, account, "refunds", role="target", **how) == (1, 1, True)  # type: ignore[arg-type]


def test_transactions_compare_by_their_place_in_the_sequence(world: World) -> None:
    items = world.reader(HIT_TIME).history(SHOP).transactions
    assert list(items) == sorted(items, key=lambda item: (item.available_at, item.event_time), reverse=True)
    assert dataclasses.is_dataclass(items[0])
