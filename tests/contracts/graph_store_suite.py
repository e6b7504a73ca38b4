"""What every `GraphStore` must answer: a backend runs it with a subclass whose fixture `store` holds the rows
`HAND_MADE` (among others)."""

from __future__ import annotations

import pytest

from ingestion.contracts import PartyRef
from ingestion.graph.store import (
    Capped,
    GraphLink,
    GraphNode,
    GraphPath,
    GraphStore,
    GraphTransaction,
    GraphUse,
    Ring,
)
from tests.builders import START
from tests.graph_server import LINKED_AT, MINUTE, REVOKED_AT

END = START + 9 * MINUTE


def ref(text: str) -> PartyRef:
    return PartyRef.parse(text)


def ids(transactions: tuple[GraphTransaction, ...]) -> list[str]:
    return [transaction.transaction_id for transaction in transactions]


def names(refs: tuple[PartyRef, ...]) -> list[str]:
    return [str(one) for one in refs]


def shown(path: GraphPath) -> list[str]:
    """Entities and steps of a path, one after another."""
    steps = [step.transaction_id if isinstance(step, GraphTransaction) else type(step).__name__ for step in path.steps]
    found = [text for pair in zip(names(path.nodes), steps, strict=False) for text in pair]
    return [*found, *names(path.nodes[-1:])]


def ways(rings: tuple[Ring, ...]) -> list[str]:
    return [" ".join([*(one.key for one in ring.entities), *ids(ring.transactions)]) for ring in rings]


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

    def test_a_shortest_path(self, store: GraphStore) -> None:
        end = START + 60 * MINUTE
        path = store.shortest_path(ref("ip:hi"), ref("account:hc"), as_of=end)
        assert shown(path) == ["ip:hi", "GraphUse", "account:ha", "h3", "account:hb", "h4", "account:hc"]
        assert (path.skipped, path.is_complete, path.stale) == ((), True, False)
        back = store.shortest_path(ref("account:hc"), ref("ip:hi"), as_of=end)
        assert (back.nodes, back.steps) == (path.nodes[::-1], path.steps[::-1])
        assert shown(store.shortest_path(ref("ip:hi"), ref("account:hc"), as_of=end, max_hops=2)) == []
        assert shown(store.shortest_path(ref("ip:hi"), ref("account:hc"), as_of=START + 2 * MINUTE)) == []
        # ha and hb: the newest transaction between them, though they share a merchant and a device too.
        assert shown(store.shortest_path(ref("account:ha"), ref("account:hb"), as_of=end)) == [
            "account:ha",
            "h3",
            "account:hb",
        ]
        # Before the transfer over the device or the merchant: the smaller of the two.
        before = store.shortest_path(ref("account:ha"), ref("account:hb"), as_of=START + MINUTE)
        assert shown(before) == ["account:ha", "GraphUse", "device:hd", "GraphUse", "account:hb"]

    def test_a_path_from_somebody_to_himself_or_to_nobody(self, store: GraphStore) -> None:
        itself = store.shortest_path(ref("account:ha"), ref("account:ha"), as_of=END)
        assert (names(itself.nodes), itself.steps) == (["account:ha"], ())
        for a, b in (("account:ha", "account:nobody"), ("account:nobody", "account:ha"), ("account:ha", "merchant:ho")):
            assert store.shortest_path(ref(a), ref(b), as_of=END).nodes == ()

    def test_a_path_over_a_link_while_it_holds(self, store: GraphStore) -> None:
        def path(as_of: int) -> list[str]:
            return shown(store.shortest_path(ref("account:rx"), ref("account:rb"), as_of=as_of))

        assert path(LINKED_AT - 1) == [] == path(REVOKED_AT)
        assert path(LINKED_AT) == ["account:rx", "GraphLink", "account:ra", "r1", "account:rb"] == path(REVOKED_AT - 1)

    def test_a_path_does_not_go_through_a_hub(self, store: GraphStore, monkeypatch: pytest.MonkeyPatch) -> None:
        cap_hubs(monkeypatch, 3)
        # Over account:hb (4 links) there is a way, but it is a hub; so are ha (5) and hd (4).
        path = store.shortest_path(ref("ip:hi"), ref("account:hc"), as_of=END)
        assert path.nodes == () and path.skipped == (Capped(ref=ref("account:ha"), total=5),)
        # The ends may be hubs; of a the newest 3 of each kind are followed.
        path = store.shortest_path(ref("account:ha"), ref("merchant:hm"), as_of=END)
        assert shown(path) == ["account:ha", "h5", "merchant:hm"]
        assert path.skipped == (Capped(ref=ref("account:ha"), total=5),)

    def test_who_shares_what(self, store: GraphStore) -> None:
        found = store.shared_identifiers(ref("account:ha"), as_of=END)
        assert [(str(one.identifier), one.num_holders) for one in found.identifiers] == [("device:hd", 1)]
        assert found.identifiers[0].first_known_at == START
        assert found.identifiers[0].holders == (
            GraphUse(user=ref("account:hb"), used=ref("device:hd"), first_known_at=START + MINUTE),
        )
        assert found.num_identifiers == 1, "the ip is nobody else's"
        assert store.shared_identifiers(ref("account:ha"), as_of=START).identifiers == ()
        cut = store.shared_identifiers(ref("account:rb"), as_of=START + 40 * MINUTE, limit=1)
        (device,) = cut.identifiers
        assert device.num_holders == 2 and names(tuple(use.user for use in device.holders)) == ["account:rc"]
        nobody = store.shared_identifiers(ref("account:nobody"), as_of=END)
        assert (nobody.identifiers, nobody.num_identifiers, nobody.links, nobody.num_links) == ((), 0, (), 0)

    def test_links_as_of_then(self, store: GraphStore) -> None:
        def links(as_of: int, limit: int = 50) -> tuple[list[str], int]:
            found = store.shared_identifiers(ref("account:ra"), as_of=as_of, limit=limit)
            return [str(one.b) for one in found.links], found.num_links

        assert links(START + 12 * MINUTE - 1) == ([], 0)
        assert links(START + 12 * MINUTE) == (["account:rb"], 1)
        assert links(LINKED_AT) == (["account:rx", "account:rc", "account:rb"], 3)
        assert links(LINKED_AT, limit=1) == (["account:rx"], 3)
        assert links(REVOKED_AT) == (["account:rc", "account:rb"], 2)
        (link, *_) = store.shared_identifiers(ref("account:ra"), as_of=LINKED_AT).links
        assert link == GraphLink(
            a=ref("account:ra"), b=ref("account:rx"), rule="same-mail", identifier="email:e", known_at=LINKED_AT
        )

    def test_rings(self, store: GraphStore) -> None:
        end = START + 18 * MINUTE
        found = store.rings(ref("account:ra"), as_of=end)
        assert ways(found.rings) == ["ra rb r1 r4", "ra rb rc r1 r2 r3"]
        assert (found.capped, found.is_complete) == ((), True)
        in_order = store.rings(ref("account:ra"), as_of=end, in_time_order=True)
        assert ways(in_order.rings) == ["ra rb rc r1 r2 r3"]
        assert ways(store.rings(ref("account:rb"), as_of=end, in_time_order=True).rings) == ["rb ra r4 r1"]
        assert ways(store.rings(ref("account:ra"), as_of=end, max_length=2).rings) == ["ra rb r1 r4"]
        assert ways(store.rings(ref("account:ra"), as_of=START + 12 * MINUTE).rings) == ["ra rb r1 r4"]
        cut = store.rings(ref("account:ra"), as_of=end, limit=1)
        assert (ways(cut.rings), cut.is_complete) == (["ra rb r1 r4"], False)
        assert store.rings(ref("account:nobody"), as_of=end).rings == ()

    def test_rings_name_the_hubs(self, store: GraphStore, monkeypatch: pytest.MonkeyPatch) -> None:
        cap_hubs(monkeypatch, 1)
        found = store.rings(ref("account:ra"), as_of=START + 18 * MINUTE)
        # Of rb the newest move out is r2, of ra the newest in is r3; r4 is found from neither.
        assert ways(found.rings) == ["ra rb rc r1 r2 r3"]
        assert found.capped == (Capped(ref=ref("account:ra"), total=2), Capped(ref=ref("account:rb"), total=2))

    @pytest.mark.parametrize("max_hops", [0, 7])
    def test_a_path_out_of_range_is_refused(self, store: GraphStore, max_hops: int) -> None:
        with pytest.raises(ValueError, match="is refused"):
            store.shortest_path(ref("account:ha"), ref("account:hb"), as_of=END, max_hops=max_hops)

    @pytest.mark.parametrize("max_length, limit", [(1, 50), (7, 50), (4, 0), (4, 501)])
    def test_rings_out_of_range_are_refused(self, store: GraphStore, max_length: int, limit: int) -> None:
        with pytest.raises(ValueError, match="is refused"):
            store.rings(ref("account:ra"), as_of=END, max_length=max_length, limit=limit)

    def test_a_limit_of_identifiers_is_refused(self, store: GraphStore) -> None:
        with pytest.raises(ValueError, match="is refused"):
            store.shared_identifiers(ref("account:ra"), as_of=END, limit=501)


def cap_hubs(monkeypatch: pytest.MonkeyPatch, links: int) -> None:
    """Make an entity with more links a hub, for every store."""
    for module in ("store", "neo4j_store", "snapshot_store"):
        monkeypatch.setattr(f"ingestion.graph.{module}.HUB_LINKS", links)
