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
    MAX_NODES,
    MAX_TRANSACTIONS,
    GraphContents,
    GraphNode,
    GraphTransaction,
    GraphUse,
    Neighborhood,
    check_limit,
    check_neighborhood,
)

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
        return GraphContents(
            lineage=self.marker.lineage,
            batch=self.batch,
            snapshot_id=self.marker.snapshot_id,
            entities={queries.type_of(label): count for label, count in entities},
            transactions=sum(count for _, count, _ in sums),
            uses=uses,
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
                GraphUse(user=PartyRef.parse(user), used=PartyRef.parse(used), first_known_at=first_known_at)
                for first_known_at, user, used in sorted(
                    ((first_known_at, *ends) for ends, first_known_at in uses.items()), reverse=True
                )
            ),
            capped=tuple(PartyRef.parse(key) for key in ordered if key in capped),
        )

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

        total = CanonicalHash()
        parts = ((queries.ALL_ENTITIES, entities), (queries.ALL_TRANSACTIONS, transactions), (queries.ALL_USES, uses))
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
