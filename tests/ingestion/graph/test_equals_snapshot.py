"""Neo4j holds what the snapshot holds, read by two readers that share no code."""

from __future__ import annotations

import random
import re
from collections import Counter
from pathlib import Path

import pytest

from ingestion.contracts import PartyRef
from ingestion.graph.canonical import CanonicalHash
from ingestion.graph.snapshot_store import SnapshotStore
from ingestion.graph.store import GraphStore, Neighborhood
from ingestion.workspace import Workspace
from tests.builders import DAY, START, build_snapshot
from tests.contracts.graph_store_suite import cap_hubs
from tests.graph_server import FUTURE, LoadedGraph, hostile_values, loaded_graph

pytestmark = pytest.mark.neo4j


@pytest.fixture(scope="module")
def graph() -> LoadedGraph:
    return loaded_graph()


def parties_of(graph: LoadedGraph) -> list[PartyRef]:
    """Every party of the random and hand-made rows, and a few of the hostile ones."""
    refs = [PartyRef(type=row["type"], key=row["key"]) for row in graph.snapshots[2].entities().to_pylist()]
    return [ref for i, ref in enumerate(refs) if re.fullmatch(r"[a-z0-9.]+", ref.key) or i % 20 == 0]


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_counts_and_sums_equal_the_snapshot(graph: LoadedGraph, batch: int) -> None:
    held, snapshot = graph.neo4j[batch - 1].contents(), graph.snapshots[batch - 1]
    rows = [row for part in graph.rows[:batch] for row in part]
    assert held.entities == snapshot.manifest["num_entities"]
    assert held.transactions == snapshot.manifest["num_transactions"] == len(rows)
    amounts: Counter[str] = Counter()
    for row in rows:
        amounts[row["currency"]] += row["amount_minor"]
    assert held.amount_minor == dict(amounts)
    pairs = {
        (row["source_type"], row["source_key"], party["type"], party["key"]) for row in rows for party in row["parties"]
    }
    assert held.uses == len(pairs)
    assert held.links == (4, 4, 4)[batch - 1] == graph.snapshots[batch - 1].links().num_rows
    assert (held.lineage, held.batch) == ("lineage-test", batch)


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_the_canonical_hash_equals_the_snapshot(graph: LoadedGraph, batch: int) -> None:
    """Batch 1 came by the importer, batches 2 and 3 by upserts: a reader of each sees exactly that snapshot."""
    assert graph.neo4j[batch - 1].canonical_hash() == graph.oracle[batch - 1].canonical_hash()


def test_the_canonical_hash_sees_every_field() -> None:
    row = ("t", "account:a", "merchant:m", 1, 2, 2, 100, "EUR", "payment", "approved", None, ["device:d"])
    changed = ("u", "account:b", "merchant:n", 0, 1, 1, 101, "USD", "refund", "declined", "x", ["device:e"])
    hashes = set()
    for index in range(len(row) + 1):
        total = CanonicalHash()
        total.transaction(*row[:index], *changed[index : index + 1], *row[index + 1 :])
        hashes.add(total.hexdigest())
    assert len(hashes) == len(row) + 1


def test_500_random_neighborhoods_are_equal(graph: LoadedGraph) -> None:
    rng, parties = random.Random(7), parties_of(graph)
    sizes = []
    for _ in range(500):
        batch = rng.randrange(3)
        found, expected = (
            store.neighborhood(party, as_of=as_of, hops=hops, limit=limit)
            for party, as_of, hops, limit in [random_question(rng, parties)]
            for store in (graph.neo4j[batch], graph.oracle[batch])
        )
        assert found == expected
        sizes.append(len(found.nodes))
    assert sum(size == 0 for size in sizes) < 250, "most questions must find something"
    assert max(sizes) > 100


def random_question(rng: random.Random, parties: list[PartyRef]) -> tuple[PartyRef, int, int, int]:
    as_of = START + rng.randrange(60 * DAY)
    hops, limit = rng.choice([(1, 1), (1, 20), (1, 500), (2, 2), (2, 50), (3, 3), (3, 10)])
    return rng.choice(parties), as_of, hops, limit


def test_the_cap_on_nodes_is_the_same(graph: LoadedGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("neo4j_store", "snapshot_store"):
        monkeypatch.setattr(f"ingestion.graph.{module}.MAX_NODES", 12)
    rng, parties = random.Random(8), parties_of(graph)
    cut = 0
    for _ in range(40):
        party, as_of, _, _ = random_question(rng, parties)
        found, expected = (
            store.neighborhood(party, as_of=as_of, hops=3, limit=3) for store in (graph.neo4j[2], graph.oracle[2])
        )
        assert found == expected
        cut += len(found.nodes) >= 12
    assert cut > 5


def test_entities_and_transactions_are_equal(graph: LoadedGraph) -> None:
    rng, parties = random.Random(9), parties_of(graph)
    ids = graph.snapshots[2].transaction_ids.to_pylist()
    for _ in range(60):
        party, as_of, _, limit = random_question(rng, parties)
        assert graph.neo4j[2].entity(party, as_of=as_of) == graph.oracle[2].entity(party, as_of=as_of)
        read = {"as_of": as_of, "limit": limit}
        assert graph.neo4j[2].transactions(party, **read) == graph.oracle[2].transactions(party, **read)
        chosen = rng.choice(ids)
        assert graph.neo4j[2].transaction(chosen, as_of=as_of) == graph.oracle[2].transaction(chosen, as_of=as_of)


def test_random_paths_are_equal(graph: LoadedGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, parties = random.Random(11), parties_of(graph)
    lengths = Counter[int]()
    skipped = 0
    for hub in (1_000, 25):
        cap_hubs(monkeypatch, hub)
        for _ in range(40):
            batch, as_of = rng.randrange(3), START + rng.randrange(60 * DAY)
            a, b, max_hops = rng.choice(parties), rng.choice(parties), rng.randrange(1, 7)
            found, expected = (
                store.shortest_path(a, b, as_of=as_of, max_hops=max_hops)
                for store in (graph.neo4j[batch], graph.oracle[batch])
            )
            assert found == expected
            lengths[len(found.steps)] += 1
            skipped += len(found.skipped) > 0
    assert skipped > 3 and sum(lengths[length] > 0 for length in range(1, 7)) >= 3, lengths


def test_random_shared_identifiers_are_equal(graph: LoadedGraph) -> None:
    rng, parties = random.Random(12), parties_of(graph)
    num_shared = 0
    for _ in range(80):
        batch, as_of, limit = rng.randrange(3), START + rng.randrange(60 * DAY), rng.choice([1, 2, 50])
        ref = rng.choice(parties)
        found, expected = (
            store.shared_identifiers(ref, as_of=as_of, limit=limit)
            for store in (graph.neo4j[batch], graph.oracle[batch])
        )
        assert found == expected
        num_shared += found.num_identifiers
    assert num_shared > 20


@pytest.mark.parametrize("in_time_order", [False, True])
def test_random_rings_are_equal(graph: LoadedGraph, monkeypatch: pytest.MonkeyPatch, in_time_order: bool) -> None:
    rng = random.Random(13)
    accounts = [ref for ref in parties_of(graph) if ref.type == "account"]
    num_rings = num_capped = 0
    for hub in (1_000, 2):
        cap_hubs(monkeypatch, hub)
        for _ in range(30):
            batch, as_of = rng.randrange(3), START + (20 + rng.randrange(40)) * DAY
            ref, max_length = rng.choice(accounts), rng.randrange(2, 7)
            found, expected = (
                store.rings(ref, as_of=as_of, max_length=max_length, limit=20, in_time_order=in_time_order)
                for store in (graph.neo4j[batch], graph.oracle[batch])
            )
            assert found == expected
            num_rings += len(found.rings)
            num_capped += len(found.capped) > 0
    assert num_rings > (3 if in_time_order else 10) and num_capped > 10


def test_300_hostile_values_are_data(graph: LoadedGraph) -> None:
    """TRUST CYP: half came by CSV and the importer, half as parameters; all are read back as they were."""
    end = START + 90 * DAY
    values = hostile_values(300)
    assert len(set(values)) == 300
    for value in values:
        found = graph.neo4j[2].transaction(f"tx{value}", as_of=end)
        assert found is not None
        assert found.refers_to == value
        assert (found.source.key, found.target.key) == (value, value)
        assert found.parties == (PartyRef(type="device", key=value),)
        around = graph.neo4j[2].neighborhood(PartyRef(type="device", key=value), as_of=end)
        assert [node.ref.key for node in around.nodes] == [value] * 3


def test_what_comes_later_changes_no_earlier_read(graph: LoadedGraph) -> None:
    """Future perturbation of reads: the same questions with and without all that arrived after `FUTURE`."""
    assert answers(graph, graph.neo4j[2], FUTURE) == answers(graph, graph.neo4j[1], FUTURE)
    later = FUTURE + 10 * DAY
    assert answers(graph, graph.neo4j[2], later) != answers(graph, graph.neo4j[1], later), "the check can fail"


@pytest.mark.parametrize("change", ["alter", "delete"])
def test_an_altered_future_changes_no_earlier_read(graph: LoadedGraph, tmp_path: Path, change: str) -> None:
    """The same by the snapshot's reader, which the server's reads equal: alter or delete whatever is available
    from t on."""
    as_of = START + 20 * DAY
    rows = graph.rows[0] + graph.rows[1]
    changed = []
    for row in rows:
        if max(row["event_time"], row["known_at"]) <= as_of:
            changed.append(row)
        elif change == "alter":
            changed.append(row | {"amount_minor": 7, "source_key": "a1", "target_type": "account", "target_key": "a2"})
    altered = SnapshotStore(build_snapshot(Workspace.open(tmp_path), changed))
    assert answers(graph, altered, as_of) == answers(graph, graph.oracle[1], as_of)
    later = as_of + 5 * DAY
    assert answers(graph, altered, later) != answers(graph, graph.oracle[1], later), "the check can fail"


def answers(graph: LoadedGraph, store: GraphStore, as_of: int) -> list[Neighborhood]:
    asked = random.Random(10).sample(parties_of(graph), 30)
    found = [store.neighborhood(party, as_of=as_of, hops=2) for party in asked]
    assert sum(len(around.nodes) for around in found) > 100
    return found
