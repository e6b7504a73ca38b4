"""What every graph store answers. Importable without Neo4j.

All reads take `as_of` (µs, closed): they see what has `available_at <= as_of`, and never more than the batch
that the caller's release names. "Newest" means largest `(available_at, event_time, transaction_id)` for a
transaction and largest `(first_known_at, user, used)` for a use; texts compare as UTF-8 bytes, an entity by its
`type:key`. An entity is known from the first transaction on that names it in any role.

Arguments out of range raise `ValueError`; a store that cannot be reached raises `GraphUnavailable`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from ingestion.contracts import PartyRef

MAX_TRANSACTIONS = 10_000  # limit of one `transactions` read
MAX_HOPS = 3
MAX_LIMIT = 500
#: A neighborhood expands no further entity once it holds this many: `capped` names those left unexpanded.
MAX_NODES = 2_000


@dataclass(frozen=True, kw_only=True)
class GraphTransaction:
    """One TRANSACTED relationship; times in µs, further parties in the order of their types."""

    transaction_id: str
    source: PartyRef
    target: PartyRef
    event_time: int
    known_at: int
    available_at: int
    amount_minor: int
    currency: str
    kind: str
    outcome: str
    refers_to: str | None
    parties: tuple[PartyRef, ...]


@dataclass(frozen=True, kw_only=True)
class GraphUse:
    """One USES relationship: `user`, the source of a transaction, was first seen with `used`, a further party of
    it (a device, ip, card, …), at `first_known_at`."""

    user: PartyRef
    used: PartyRef
    first_known_at: int


@dataclass(frozen=True, kw_only=True)
class GraphNode:
    """An entity in a neighborhood. `num_links` is its true number of transactions (those that name it in any
    role) and uses (as user or used) as of then."""

    ref: PartyRef
    hops: int
    num_links: int


@dataclass(frozen=True, kw_only=True)
class Neighborhood:
    """Entities within `hops` of the center, nearest first, then by `type:key`; edges newest first.

    From each entity the `limit` newest transactions and the `limit` newest uses are followed (hub policy): a
    transaction leads to its source and target, a use to its two ends. Entities of one distance are expanded in
    the order of `type:key` until `MAX_NODES` are held. `capped`, in the order of `nodes`, names the entities
    where one of the two limits left something out. No nodes: the center was not known by then.
    """

    center: PartyRef
    as_of: int
    nodes: tuple[GraphNode, ...]
    transactions: tuple[GraphTransaction, ...]
    uses: tuple[GraphUse, ...]
    capped: tuple[PartyRef, ...]
    stale: bool = False


@dataclass(frozen=True, kw_only=True)
class GraphContents:
    """What a store holds, for the comparison with the snapshot."""

    lineage: str
    batch: int
    snapshot_id: str
    entities: dict[str, int] = field(default_factory=dict)  # by type
    transactions: int = 0
    uses: int = 0
    amount_minor: dict[str, int] = field(default_factory=dict)  # sum by currency


class GraphStore(Protocol):
    """Reads with paths over a projection of the snapshot."""

    def contents(self) -> GraphContents:
        """Counts and sums of everything in the store up to its batch."""
        ...

    def entity(self, ref: PartyRef, *, as_of: int) -> GraphNode | None:
        """The entity with `hops` 0, None when it was not known by then."""
        ...

    def transaction(self, transaction_id: str, *, as_of: int) -> GraphTransaction | None:
        """One transaction, None when it was not available by then."""
        ...

    def transactions(self, ref: PartyRef, *, as_of: int, limit: int = 50) -> tuple[GraphTransaction, ...]:
        """The newest transactions, newest first, that have the entity as source, target or further party;
        1 <= limit <= 10,000."""
        ...

    def neighborhood(self, ref: PartyRef, *, as_of: int, hops: int = 1, limit: int = 50) -> Neighborhood:
        """See `Neighborhood`; 1 <= hops <= 3, 1 <= limit <= 500."""
        ...

    def canonical_hash(self) -> str:
        """A hash of all logical content (`batch` and dense ids left out), equal for equal graphs: see
        `ingestion.graph.canonical`."""
        ...

    def close(self) -> None:
        """Give back connections."""
        ...


def check_limit(limit: int, most: int) -> None:
    """Refuse a limit that is not in 1 … most."""
    if not 1 <= limit <= most:
        raise ValueError(f"limit = {limit} is refused: give 1 to {most}")


def check_neighborhood(hops: int, limit: int) -> None:
    """Refuse hops or a limit out of range: an unbounded read would hold up every other one."""
    if not 1 <= hops <= MAX_HOPS:
        raise ValueError(f"hops = {hops} is refused: give 1 to {MAX_HOPS}")
    check_limit(limit, MAX_LIMIT)
