"""Neo4j as a graph store: the reads of `GraphStore` by the templates of `queries`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import neo4j

from ingestion.contracts import PartyRef
from ingestion.errors import GraphUnavailable
from ingestion.graph import queries
from ingestion.graph.canonical import CanonicalHash
from ingestion.graph.driver import connect, graph_errors
from ingestion.graph.endpoint import Endpoint
from ingestion.graph.queries import Marker
from ingestion.graph.store import (
    HUB_LINKS,
    MAX_LIMIT,
    MAX_NODES,
    MAX_TRANSACTIONS,
    GraphContents,
    GraphLink,
    GraphNode,
    GraphPath,
    GraphTransaction,
    GraphUse,
    Neighborhood,
    Rings,
    SharedIdentifier,
    SharedIdentifiers,
    check_limit,
    check_neighborhood,
    check_path,
    check_rings,
)
from ingestion.graph.walks import Step, find_path, find_rings

_KEYS_A_READ = 100


class Neo4jStore:
    """Implements `GraphStore`. Safe to share between threads; reads fail in 3 s when the server is gone.

    Args:
        batch: reads see nothing of a later batch; None reads up to the batch that the store's marker names.
    """

    def __init__(self, endpoint: Endpoint, *, batch: int | None = None) -> None:
        self._endpoint = endpoint
        self._wanted_batch = batch
        self._driver = connect(endpoint)

    @cached_property
    def marker(self) -> Marker:
        """What the store holds. Raises `GraphUnavailable` for a store that was never loaded."""
        with graph_errors(self._endpoint):
            marker = queries.read_marker(self._driver, self._endpoint.database)
        if marker is None or marker.batch == 0:
            raise GraphUnavailable(
                f"The graph store at {self._endpoint.uri} holds no graph yet.",
                remedy="Run `ringfence data ingest` or `ringfence nightly`: it loads the graph.",
            )
        return marker

    @property
    def batch(self) -> int:
        """Reads see batches up to this one."""
        return self.marker.batch if self._wanted_batch is None else self._wanted_batch

    def contents(self) -> GraphContents:
        """See `GraphStore`."""
        parameters = {"batch": self.batch}
        entities = self._scan(queries.COUNT_ENTITIES, parameters)
        sums = self._scan(queries.SUM_TRANSACTIONS, parameters)
        ((uses,),) = self._scan(queries.COUNT_USES, parameters)
        ((links,),) = self._scan(queries.COUNT_LINKS, parameters)
        return GraphContents(
            lineage=self.marker.lineage,
            batch=self.batch,
            snapshot_id=self.marker.snapshot_id,
            entities={queries.type_of(label): count for label, count in entities},
            transactions=sum(count for _, count, _ in sums),
            uses=uses,
            links=links,
            amount_minor={currency: total for currency, _, total in sums},
        )

    def entity(self, ref: PartyRef, *, as_of: int) -> GraphNode | None:
        """See `GraphStore`."""
        links = self._num_links([str(ref)], as_of)
        return GraphNode(ref=ref, hops=0, num_links=links[str(ref)]) if links else None

    def transaction(self, transaction_id: str, *, as_of: int) -> GraphTransaction | None:
        """See `GraphStore`."""
        rows = self._read(queries.TRANSACTION, {"tx": transaction_id, "as_of": as_of, "batch": self.batch})
        return _transaction(rows[0][0]) if rows else None

    def transactions(self, ref: PartyRef, *, as_of: int, limit: int = 50) -> tuple[GraphTransaction, ...]:
        """See `GraphStore`."""
        check_limit(limit, MAX_TRANSACTIONS)
        parameters = {"key": str(ref), "as_of": as_of, "batch": self.batch, "limit": limit}
        rows = self._read(queries.TRANSACTIONS_OF, parameters)
        return tuple(_transaction(row) for row in rows[0][0]) if rows else ()

    def neighborhood(self, ref: PartyRef, *, as_of: int, hops: int = 1, limit: int = 50) -> Neighborhood:
        """See `GraphStore`."""
        check_neighborhood(hops, limit)
        distance = {} if self.entity(ref, as_of=as_of) is None else {str(ref): 0}
        transactions: dict[str, list[Any]] = {}
        uses: dict[tuple[str, str], int] = {}
        capped: set[str] = set()
        frontier = sorted(distance)
        for hop in range(1, hops + 1):
            for key, newest, newest_uses in self._expand(frontier, as_of, limit + 1):
                if len(distance) >= MAX_NODES:
                    capped.update(frontier[frontier.index(key) :])
                    break
                if len(newest) > limit or len(newest_uses) > limit:
                    capped.add(key)
                for row in newest[:limit]:
                    transactions[row[0]] = row
                    distance.setdefault(row[1], hop)
                    distance.setdefault(row[2], hop)
                for user, used, first_known_at in newest_uses[:limit]:
                    uses[user, used] = first_known_at
                    distance.setdefault(user, hop)
                    distance.setdefault(used, hop)
            frontier = sorted(key for key, hops_away in distance.items() if hops_away == hop)
        ordered = sorted(distance, key=lambda key: (distance[key], key))
        links = self._num_links(ordered, as_of)
        return Neighborhood(
            center=ref,
            as_of=as_of,
            nodes=tuple(_node(key, distance[key], links[key]) for key in ordered),
            transactions=tuple(
                _transaction(row)
                for row in sorted(transactions.values(), key=lambda row: (row[5], row[3], row[0]), reverse=True)
            ),
            uses=tuple(
                _use(user, used, first_known_at)
                for first_known_at, user, used in sorted(
                    ((first_known_at, *ends) for ends, first_known_at in uses.items()), reverse=True
                )
            ),
            capped=tuple(PartyRef.parse(key) for key in ordered if key in capped),
        )

    def shortest_path(self, a: PartyRef, b: PartyRef, *, as_of: int, max_hops: int = 4) -> GraphPath:
        """See `GraphStore`."""
        check_path(max_hops)
        found = find_path(
            str(a),
            str(b),
            max_hops,
            steps=lambda keys: self._steps(keys, as_of),
            num_links=lambda keys: self._num_links(keys, as_of),
        )
        return found.answer(a, b, as_of=as_of)

    def shared_identifiers(self, ref: PartyRef, *, as_of: int, limit: int = 50) -> SharedIdentifiers:
        """See `GraphStore`."""
        check_limit(limit, MAX_LIMIT)
        parameters = {"key": str(ref), "as_of": as_of, "batch": self.batch, "limit": limit}
        ((shared, num_identifiers),) = self._read(queries.SHARED_IDENTIFIERS, parameters)
        holders = dict(self._read(queries.HOLDERS, parameters | {"keys": [key for key, _, _ in shared]}))
        links, num_links = self._links([str(ref)], as_of, limit).get(str(ref), ([], 0))
        return SharedIdentifiers(
            center=ref,
            as_of=as_of,
            identifiers=tuple(
                SharedIdentifier(
                    identifier=PartyRef.parse(key),
                    first_known_at=first_known_at,
                    num_holders=num_holders,
                    holders=tuple(_use(user, key, known_at) for user, known_at in holders[key]),
                )
                for key, first_known_at, num_holders in shared
            ),
            num_identifiers=num_identifiers,
            links=tuple(links),
            num_links=num_links,
        )

    def rings(
        self, ref: PartyRef, *, as_of: int, max_length: int = 4, limit: int = 50, in_time_order: bool = False
    ) -> Rings:
        """See `GraphStore`."""
        check_rings(max_length, limit)
        found = find_rings(
            str(ref),
            max_length,
            limit,
            moves=lambda keys, outward: self._moves(keys, as_of, outward),
            in_time_order=in_time_order,
        )
        return found.answer(ref, as_of=as_of)

    def warm_up(self) -> None:
        """Have every read planned, so that the first one that somebody waits for is as fast as the next."""
        nobody = PartyRef(type="account", key="-")
        self.transaction("-", as_of=0)
        self.transactions(nobody, as_of=0)
        self.shared_identifiers(nobody, as_of=0)
        self.rings(nobody, as_of=0)
        for _ in self._expand([str(nobody)], 0, 1):
            pass
        self._steps([str(nobody)], 0)

    def canonical_hash(self) -> str:
        """See `GraphStore`."""

        def entities(records: Iterable[neo4j.Record]) -> CanonicalHash:
            total = CanonicalHash()
            for (key,) in records:
                total.entity(key)
            return total

        def transactions(records: Iterable[neo4j.Record]) -> CanonicalHash:
            total = CanonicalHash()
            for (row,) in records:
                total.transaction(*row)
            return total

        def uses(records: Iterable[neo4j.Record]) -> CanonicalHash:
            total = CanonicalHash()
            for user, used, first_known_at in records:
                total.use(user, used, first_known_at)
            return total

        def links(records: Iterable[neo4j.Record]) -> CanonicalHash:
            total = CanonicalHash()
            for record in records:
                total.link(*record)
            return total

        total = CanonicalHash()
        parts = (
            (queries.ALL_ENTITIES, entities),
            (queries.ALL_TRANSACTIONS, transactions),
            (queries.ALL_USES, uses),
            (queries.ALL_LINKS, links),
        )
        for text, fold in parts:
            with graph_errors(self._endpoint):
                part = queries.fold_read(self._driver, self._endpoint.database, text, {"batch": self.batch}, fold)
            total.merge(part)
        return total.hexdigest()

    def close(self) -> None:
        """See `GraphStore`."""
        self._driver.close()

    def _expand(self, keys: Sequence[str], as_of: int, limit: int) -> Iterable[tuple[Any, ...]]:
        """`(key, newest transactions, newest uses)` in the order of `keys`, read as far as it is asked for."""
        for start in range(0, len(keys), _KEYS_A_READ):
            part = keys[start : start + _KEYS_A_READ]
            parameters = {"keys": part, "as_of": as_of, "batch": self.batch, "limit": limit}
            yield from sorted(self._read(queries.EXPAND, parameters), key=lambda row: part.index(row[0]))

    def _steps(self, keys: Sequence[str], as_of: int) -> dict[str, list[Step]]:
        """What leads on from each entity, the newest `HUB_LINKS` of each kind."""
        links = self._links(keys, as_of, HUB_LINKS)
        return {
            key: [
                *map(_transaction, newest),
                *(_use(*row) for row in newest_uses),
                *links.get(key, ([], 0))[0],
            ]
            for key, newest, newest_uses in self._expand(keys, as_of, HUB_LINKS)
        }

    def _links(self, keys: Sequence[str], as_of: int, limit: int) -> dict[str, tuple[list[GraphLink], int]]:
        """The newest links that hold of each entity, and how many do."""
        return {
            key: ([_link(row) for row in newest], total)
            for key, newest, total in self._read_by_key(queries.LINKS_OF, keys, as_of, limit)
        }

    def _moves(self, keys: Sequence[str], as_of: int, outward: bool) -> dict[str, tuple[list[GraphTransaction], int]]:
        """The newest moves of money out of or into each entity, and how many there are."""
        text = queries.MOVES_OUT if outward else queries.MOVES_IN
        return {
            key: ([_transaction(row) for row in newest], total)
            for key, newest, total in self._read_by_key(text, keys, as_of, HUB_LINKS)
        }

    def _read_by_key(self, text: str, keys: Sequence[str], as_of: int, limit: int) -> Iterable[tuple[Any, ...]]:
        for start in range(0, len(keys), _KEYS_A_READ):
            part = keys[start : start + _KEYS_A_READ]
            yield from self._read(text, {"keys": part, "as_of": as_of, "batch": self.batch, "limit": limit})

    def _num_links(self, keys: Sequence[str], as_of: int) -> dict[str, int]:
        """Transactions and uses of each entity that was known by then."""
        links: dict[str, int] = {}
        for start in range(0, len(keys), _KEYS_A_READ):
            parameters = {"keys": keys[start : start + _KEYS_A_READ], "as_of": as_of, "batch": self.batch}
            rows = self._read(queries.NUM_LINKS, parameters)
            links |= {key: num_transactions + num_uses for key, num_transactions, num_uses in rows if num_transactions}
        return links

    def _read(self, text: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        with graph_errors(self._endpoint):
            return queries.run_read(self._driver, self._endpoint.database, text, parameters)

    def _scan(self, text: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
        with graph_errors(self._endpoint):
            return queries.run_read(
                self._driver, self._endpoint.database, text, parameters, timeout=queries.SCAN_SECONDS
            )


def _node(key: str, hops: int, num_links: int) -> GraphNode:
    return GraphNode(ref=PartyRef.parse(key), hops=hops, num_links=num_links)


def _use(user: str, used: str, first_known_at: int) -> GraphUse:
    return GraphUse(user=PartyRef.parse(user), used=PartyRef.parse(used), first_known_at=first_known_at)


def _link(row: Sequence[Any]) -> GraphLink:
    a, b, rule, identifier, known_at = row
    return GraphLink(a=PartyRef.parse(a), b=PartyRef.parse(b), rule=rule, identifier=identifier, known_at=known_at)


def _transaction(row: Sequence[Any]) -> GraphTransaction:
    return GraphTransaction(
        transaction_id=row[0],
        source=PartyRef.parse(row[1]),
        target=PartyRef.parse(row[2]),
        event_time=row[3],
        known_at=row[4],
        available_at=row[5],
        amount_minor=row[6],
        currency=row[7],
        kind=row[8],
        outcome=row[9],
        refers_to=row[10],
        parties=tuple(PartyRef.parse(party) for party in row[11]),
    )
