"""What every `GraphStore` must answer: a backend runs it with a subclass whose fixture `store` holds the rows
`HAND_MADE` (among others)."""

from __future__ import annotations

import pytest

from ingestion.contracts import PartyRef
from ingestion.graph.store import GraphNode, GraphStore, GraphTransaction, GraphUse
from tests.builders import START
from tests.graph_server import MINUTE

END = START + 9 * MINUTE


def ref(text: str) -> PartyRef:
    return PartyRef.parse(text)


def ids(transactions: tuple[GraphTransaction, ...]) -> list[str]:
    return [transaction.transaction_id for transaction in transactions]


class GraphStoreSuite:
    """Times of `HAND_MADE` are minutes after START; `late` is available at minute 6."""

    def test_a_transaction_has_all_its_fields(self, store: GraphStore) -> None:
        assert store.transaction("h1", as_of=START) == GraphTransaction(
            transaction_id="h1",
            source=ref("account:ha"),
            target=ref("merchant:hm"),
            event_time=START,
            known_at=START,
            available_at=START,
            amount_minor=100,
            currency="EUR",
            kind="payment",
            outcome="approved",
            refers_to=None,
            parties=(ref("device:hd"), ref("ip:hi")),
        )
        refund = store.transaction("h5", as_of=END)
        assert refund is not None and (refund.refers_to, refund.kind, refund.parties) == ("h1", "refund", ())

    def test_a_transaction_is_unknown_before_it_is_available(self, store: GraphStore) -> None:
        assert store.transaction("h1", as_of=START - 1) is None
        assert store.transaction("late", as_of=START + 6 * MINUTE - 1) is None
        late = store.transaction("late", as_of=START + 6 * MINUTE)
        assert late is not None and late.event_time == START - 5 * MINUTE
        assert store.transaction("never", as_of=END) is None

    def test_an_entity_is_known_from_its_first_transaction(self, store: GraphStore) -> None:
        assert store.entity(ref("merchant:hn"), as_of=START + 6 * MINUTE - 1) is None
        assert store.entity(ref("merchant:hn"), as_of=START + 6 * MINUTE) is not None
        assert store.entity(ref("account:nobody"), as_of=END) is None
        assert store.entity(ref("merchant:ha"), as_of=END) is None, "a key belongs to its type"

    @pytest.mark.parametrize(
        ("name", "minute", "links"),
        [
            ("account:ha", 0, 3),  # h1, device, ip
            ("account:ha", 9, 5),  # h1 h3 h5, device, ip
            ("account:hb", 9, 4),  # h2 h3 h4, device
            ("device:hd", 0, 2),  # h1, used by ha
            ("device:hd", 9, 4),  # h1 h2, used by ha and hb
            ("merchant:hm", 9, 3),  # h1 h2 h5
            ("account:hc", 5, 2),  # h4 h6: a transfer to oneself is one
            ("account:hc", 9, 3),
        ],
    )
    def test_links_are_counted_as_of_then(self, store: GraphStore, name: str, minute: int, links: int) -> None:
        expected = GraphNode(ref=ref(name), hops=0, num_links=links)
        assert store.entity(ref(name), as_of=START + minute * MINUTE) == expected

    def test_transactions_are_newest_first_in_any_role(self, store: GraphStore) -> None:
        assert ids(store.transactions(ref("account:ha"), as_of=END)) == ["h5", "h3", "h1"]
        assert ids(store.transactions(ref("account:ha"), as_of=START + 3 * MINUTE)) == ["h3", "h1"]
        assert ids(store.transactions(ref("device:hd"), as_of=END)) == ["h2", "h1"]
        assert ids(store.transactions(ref("account:hc"), as_of=END)) == ["late", "h6", "h4"]
        assert store.transactions(ref("account:ha"), as_of=START - 1) == ()
        assert store.transactions(ref("account:nobody"), as_of=END) == ()

    def test_ties_go_by_the_bytes_of_the_id(self, store: GraphStore) -> None:
        newest = ids(store.transactions(ref("account:ht"), as_of=END))
        assert newest == ["tie-😀", "tie-～", "tie-z"]
        assert ids(store.transactions(ref("account:ht"), as_of=END, limit=2)) == newest[:2]

    def test_one_hop(self, store: GraphStore) -> None:
        found = store.neighborhood(ref("account:ha"), as_of=END)
        assert [(str(node.ref), node.hops, node.num_links) for node in found.nodes] == [
            ("account:ha", 0, 5),
            ("account:hb", 1, 4),
            ("device:hd", 1, 4),
            ("ip:hi", 1, 2),
            ("merchant:hm", 1, 3),
        ]
        assert ids(found.transactions) == ["h5", "h3", "h1"]
        assert found.uses == (
            GraphUse(user=ref("account:ha"), used=ref("ip:hi"), first_known_at=START),
            GraphUse(user=ref("account:ha"), used=ref("device:hd"), first_known_at=START),
        )
        assert (found.center, found.as_of, found.capped) == (ref("account:ha"), END, ())

    def test_a_further_party_leads_to_both_ends(self, store: GraphStore) -> None:
        found = store.neighborhood(ref("device:hd"), as_of=END)
        near = [str(node.ref) for node in found.nodes if node.hops == 1]
        assert near == ["account:ha", "account:hb", "merchant:hm"]
        assert [use.first_known_at for use in found.uses] == [START + MINUTE, START]

    def test_two_and_three_hops(self, store: GraphStore) -> None:
        two = store.neighborhood(ref("ip:hi"), as_of=END, hops=2)
        distance = {str(node.ref): node.hops for node in two.nodes}
        assert distance == {"ip:hi": 0, "account:ha": 1, "merchant:hm": 1, "account:hb": 2, "device:hd": 2}
        three = store.neighborhood(ref("ip:hi"), as_of=END, hops=3)
        assert {str(node.ref): node.hops for node in three.nodes} == distance | {"account:hc": 3}
        assert ids(three.transactions) == ["h5", "h4", "h3", "h2", "h1"]

    def test_the_past_is_seen_as_it_was(self, store: GraphStore) -> None:
        found = store.neighborhood(ref("account:ha"), as_of=START, hops=2)
        assert [(str(node.ref), node.num_links) for node in found.nodes] == [
            ("account:ha", 3),
            ("device:hd", 2),
            ("ip:hi", 2),
            ("merchant:hm", 1),
        ]

    def test_a_limit_keeps_the_newest_and_names_what_it_cut(self, store: GraphStore) -> None:
        found = store.neighborhood(ref("account:ha"), as_of=END, hops=2, limit=1)
        # ha: h5 and the use of the ip are the newest; from merchant hm: h5 again; from the ip: h1.
        assert ids(found.transactions) == ["h5", "h1"]
        assert [str(use.used) for use in found.uses] == ["ip:hi"]
        assert found.capped == (ref("account:ha"), ref("merchant:hm"))
        assert {str(node.ref): node.num_links for node in found.nodes} == {
            "account:ha": 5,
            "ip:hi": 2,
            "merchant:hm": 3,
        }, "the count is the true one, whatever the limit"

    def test_nothing_is_around_an_unknown_center(self, store: GraphStore) -> None:
        found = store.neighborhood(ref("account:nobody"), as_of=END, hops=2)
        assert (found.nodes, found.transactions, found.uses, found.capped) == ((), (), (), ())

    @pytest.mark.parametrize("hops, limit", [(0, 50), (4, 50), (1, 0), (1, 501)])
    def test_a_neighborhood_out_of_range_is_refused(self, store: GraphStore, hops: int, limit: int) -> None:
        with pytest.raises(ValueError, match="is refused"):
            store.neighborhood(ref("account:ha"), as_of=END, hops=hops, limit=limit)

    @pytest.mark.parametrize("limit", [0, 10_001])
    def test_a_limit_out_of_range_is_refused(self, store: GraphStore, limit: int) -> None:
        with pytest.raises(ValueError, match="is refused"):
            store.transactions(ref("account:ha"), as_of=END, limit=limit)
