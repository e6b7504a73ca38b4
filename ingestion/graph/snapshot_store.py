"""The snapshot as a graph store, read-only: time-sorted arrays, no server.

It is what serving falls back to while Neo4j is away (its answers are then marked `stale`) and the oracle that
the Neo4j queries are tested against, so it shares no code with them but the walks of `ingestion.graph.walks`,
which have an oracle of their own in the tests.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ingestion.contracts import PartyRef
from ingestion.graph.canonical import CanonicalHash
from ingestion.graph.incidence import Incidence, Uses
from ingestion.graph.snapshot_links import SnapshotLinks
from ingestion.graph.store import (
    HUB_LINKS,
    MAX_LIMIT,
    MAX_NODES,
    MAX_TRANSACTIONS,
    GraphContents,
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
from ingestion.snapshot import Snapshot

_TEXTS = ["transaction_id", "currency", "kind", "outcome", "refers_to"]


class SnapshotStore:
    """Implements `GraphStore` over one snapshot; opening it reads the columns that it needs once.

    Args:
        stale: marks neighborhoods as served in place of a graph server that is away.
    """

    def __init__(self, snapshot: Snapshot, *, stale: bool = False) -> None:
        self._snapshot = snapshot
        self._stale = stale
        self._arrays = snapshot.arrays
        entities = snapshot.entities()
        self._type = entities.column("type").to_pylist()
        self._key = entities.column("key").to_pylist()
        self._id_of = {pair: index for index, pair in enumerate(zip(self._type, self._key, strict=True))}
        self._incidence = Incidence.of(self._arrays.entity, len(self._type))
        self._uses = Uses.of(self._arrays.entity, self._arrays.available_at, self._texts_of_entities, len(self._type))
        self._links = SnapshotLinks(snapshot)
        table = snapshot.transactions([*_TEXTS, "known_at"])
        self._text = {name: _one_chunk(table.column(name)) for name in _TEXTS}
        self._known_at: NDArray[np.int64] = table.column("known_at").cast(pa.int64()).to_numpy()

    def contents(self) -> GraphContents:
        """See `GraphStore`."""
        manifest = self._snapshot.manifest
        amounts = np.zeros(len(self._arrays.currencies), np.int64)
        np.add.at(amounts, self._arrays.currency, self._arrays.amount_minor)
        return GraphContents(
            lineage=manifest["lineage"],
            batch=manifest["batch"],
            snapshot_id=self._snapshot.id,
            entities=dict(Counter(self._type)),
            transactions=len(self._arrays),
            uses=len(self._uses),
            links=len(self._links),
            amount_minor={code: int(total) for code, total in zip(self._arrays.currencies, amounts, strict=True)},
        )

    def entity(self, ref: PartyRef, *, as_of: int) -> GraphNode | None:
        """See `GraphStore`."""
        dense = self._known(ref, as_of)
        return None if dense is None else self._node(dense, 0, as_of)

    def transaction(self, transaction_id: str, *, as_of: int) -> GraphTransaction | None:
        """See `GraphStore`."""
        ids, positions = self._by_id
        wanted = np.bytes_(transaction_id.encode())
        # Fixed-width bytes lose trailing NULs, so several may look equal: only the text itself proves a match.
        for at in range(np.searchsorted(ids, wanted), np.searchsorted(ids, wanted, side="right")):
            found = self._transaction(int(positions[at]))
            if found.transaction_id == transaction_id:
                return found if found.available_at <= as_of else None
        return None

    def transactions(self, ref: PartyRef, *, as_of: int, limit: int = 50) -> tuple[GraphTransaction, ...]:
        """See `GraphStore`."""
        check_limit(limit, MAX_TRANSACTIONS)
        dense = self._known(ref, as_of)
        if dense is None:
            return ()
        newest = self._incidence.before(dense, self._cut(as_of))[-limit:][::-1]
        return tuple(self._transaction(int(position)) for position in newest)

    def neighborhood(self, ref: PartyRef, *, as_of: int, hops: int = 1, limit: int = 50) -> Neighborhood:
        """See `GraphStore`."""
        check_neighborhood(hops, limit)
        center = self._known(ref, as_of)
        distance = {} if center is None else {center: 0}
        positions: set[int] = set()
        uses: set[int] = set()
        capped: set[int] = set()
        frontier = list(distance)
        for hop in range(1, hops + 1):
            for dense in sorted(frontier, key=self._order):
                if len(distance) >= MAX_NODES:
                    capped.add(dense)
                    continue
                followed, followed_uses, left_out = self._expand(dense, as_of, limit)
                positions.update(followed)
                uses.update(followed_uses)
                capped.update([dense] if left_out else [])
                ends = [*self._arrays.entity[followed, :2].ravel(), *self._uses.ends(followed_uses)]
                for end in ends:
                    distance.setdefault(int(end), hop)
            frontier = [dense for dense, hops_away in distance.items() if hops_away == hop]
        ordered = sorted(distance, key=lambda dense: (distance[dense], self._order(dense)))
        return Neighborhood(
            center=ref,
            as_of=as_of,
            nodes=tuple(self._node(dense, distance[dense], as_of) for dense in ordered),
            transactions=tuple(self._transaction(position) for position in sorted(positions, reverse=True)),
            uses=tuple(self._use(index) for index in sorted(uses, reverse=True)),
            capped=tuple(self._ref(dense) for dense in ordered if dense in capped),
            stale=self._stale,
        )

    def shortest_path(self, a: PartyRef, b: PartyRef, *, as_of: int, max_hops: int = 4) -> GraphPath:
        """See `GraphStore`."""
        check_path(max_hops)
        found = find_path(
            str(a),
            str(b),
            max_hops,
            steps=lambda keys: {key: self._steps(key, as_of) for key in keys},
            num_links=lambda keys: self._num_links(keys, as_of),
        )
        return found.answer(a, b, as_of=as_of, stale=self._stale)

    def shared_identifiers(self, ref: PartyRef, *, as_of: int, limit: int = 50) -> SharedIdentifiers:
        """See `GraphStore`."""
        check_limit(limit, MAX_LIMIT)
        dense = self._known(ref, as_of)
        own = self._uses.known_by(dense, as_of)[::-1].tolist() if dense is not None else []
        shared = [
            found
            for index in own
            if self._uses.user[index] == dense != self._uses.used[index]
            and (found := self._shared(int(index), as_of, limit)).num_holders
        ]
        links = self._links.holding(ref, as_of)
        return SharedIdentifiers(
            center=ref,
            as_of=as_of,
            identifiers=tuple(shared[:limit]),
            num_identifiers=len(shared),
            links=tuple(links[:limit]),
            num_links=len(links),
            stale=self._stale,
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
            moves=lambda keys, outward: {key: self._moves(key, as_of, outward) for key in keys},
            in_time_order=in_time_order,
        )
        return found.answer(ref, as_of=as_of, stale=self._stale)

    def canonical_hash(self) -> str:
        """See `GraphStore`."""
        total = CanonicalHash()
        for dense in range(len(self._type)):
            total.entity(str(self._ref(dense)))
        for position in range(len(self._arrays)):
            row = self._transaction(position)
            total.transaction(
                row.transaction_id,
                str(row.source),
                str(row.target),
                row.event_time,
                row.known_at,
                row.available_at,
                row.amount_minor,
                row.currency,
                row.kind,
                row.outcome,
                row.refers_to,
                [str(party) for party in row.parties],
            )
        for index in range(len(self._uses)):
            use = self._use(index)
            total.use(str(use.user), str(use.used), use.first_known_at)
        self._links.add_to(total)
        return total.hexdigest()

    def close(self) -> None:
        """Nothing to give back."""

    @cached_property
    def _by_id(self) -> tuple[NDArray[np.bytes_], NDArray[np.intp]]:
        """Transaction ids sorted as bytes, and their positions."""
        ids = np.asarray([text.encode() for text in self._text["transaction_id"].to_pylist()], dtype=np.bytes_)
        order = np.argsort(ids, kind="stable")
        return ids[order], order

    @property
    def _texts_of_entities(self) -> list[str]:
        return [f"{kind}:{key}" for kind, key in zip(self._type, self._key, strict=True)]

    def _cut(self, as_of: int) -> int:
        """Number of transactions available by then; they lie in the order of `available_at`."""
        return int(np.searchsorted(self._arrays.available_at, as_of, side="right"))

    def _known(self, ref: PartyRef, as_of: int) -> int | None:
        dense = self._id_of.get((ref.type, ref.key))
        if dense is None or len(self._incidence.before(dense, self._cut(as_of))) == 0:
            return None
        return dense

    def _expand(self, dense: int, as_of: int, limit: int) -> tuple[NDArray[np.int64], NDArray[np.int64], bool]:
        """Newest positions and uses of an entity, and whether more were left out."""
        positions = self._incidence.before(dense, self._cut(as_of))
        uses = self._uses.known_by(dense, as_of)
        return positions[-limit:], uses[-limit:], len(positions) > limit or len(uses) > limit

    def _shared(self, index: int, as_of: int, limit: int) -> SharedIdentifier:
        """Who else uses what a use names, newest first."""
        center, used = int(self._uses.user[index]), int(self._uses.used[index])
        of_it = self._uses.known_by(used, as_of)[::-1]
        others = [one for one in of_it if self._uses.used[one] == used and self._uses.user[one] != center]
        return SharedIdentifier(
            identifier=self._ref(used),
            first_known_at=int(self._uses.first_known_at[index]),
            num_holders=len(others),
            holders=tuple(self._use(int(one)) for one in others[:limit]),
        )

    def _num_links(self, keys: Sequence[str], as_of: int) -> dict[str, int]:
        """Transactions and uses of each entity that is known by then."""
        known = {key: self._known(PartyRef.parse(key), as_of) for key in keys}
        return {key: self._node(dense, 0, as_of).num_links for key, dense in known.items() if dense is not None}

    def _steps(self, key: str, as_of: int) -> list[Step]:
        """What leads on from an entity, the newest `HUB_LINKS` of each kind."""
        ref = PartyRef.parse(key)
        dense = self._known(ref, as_of)
        if dense is None:
            return []
        positions, uses, _ = self._expand(dense, as_of, HUB_LINKS)
        return [
            *(self._transaction(int(position)) for position in positions),
            *(self._use(int(index)) for index in uses),
            *self._links.holding(ref, as_of)[:HUB_LINKS],
        ]

    def _moves(self, key: str, as_of: int, outward: bool) -> tuple[list[GraphTransaction], int]:
        """The newest moves of money out of or into an entity, and how many there are."""
        dense = self._known(PartyRef.parse(key), as_of)
        if dense is None:
            return [], 0
        positions = self._incidence.before(dense, self._cut(as_of))
        arrays, here, there = self._arrays, 1 - int(outward), int(outward)
        is_move = (arrays.entity[positions, here] == dense) & (arrays.entity[positions, there] != dense)
        is_move &= (arrays.outcome[positions] == "approved") & ~np.isin(
            arrays.kind[positions].astype(str), ("refund", "reversal")
        )
        moves = positions[is_move]
        return [self._transaction(int(position)) for position in moves[::-1][:HUB_LINKS]], len(moves)

    def _node(self, dense: int, hops: int, as_of: int) -> GraphNode:
        num_transactions = len(self._incidence.before(dense, self._cut(as_of)))
        num_uses = len(self._uses.known_by(dense, as_of))
        return GraphNode(ref=self._ref(dense), hops=hops, num_links=num_transactions + num_uses)

    def _ref(self, dense: int) -> PartyRef:
        return PartyRef(type=self._type[dense], key=self._key[dense])

    def _order(self, dense: int) -> bytes:
        return f"{self._type[dense]}:{self._key[dense]}".encode()

    def _use(self, index: int) -> GraphUse:
        return GraphUse(
            user=self._ref(int(self._uses.user[index])),
            used=self._ref(int(self._uses.used[index])),
            first_known_at=int(self._uses.first_known_at[index]),
        )

    def _transaction(self, position: int) -> GraphTransaction:
        source, target, *others = (int(dense) for dense in self._arrays.entity[position])
        text = {name: column[position].as_py() for name, column in self._text.items()}
        return GraphTransaction(
            source=self._ref(source),
            target=self._ref(target),
            event_time=int(self._arrays.event_time[position]),
            known_at=int(self._known_at[position]),
            available_at=int(self._arrays.available_at[position]),
            amount_minor=int(self._arrays.amount_minor[position]),
            parties=tuple(self._ref(dense) for dense in others if dense >= 0),
            **text,
        )


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    combined = column.combine_chunks()
    return pa.concat_arrays(combined.chunks) if isinstance(combined, pa.ChunkedArray) else combined
