"""What every graph store answers. Importable without Neo4j.

All reads take `as_of` (µs, closed): they see what has `available_at <= as_of`, and never more than the batch
that the caller's release names. "Newest" means largest `(available_at, event_time, transaction_id)`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from ingestion.contracts import PartyRef


@dataclass(frozen=True, kw_only=True)
class GraphTransaction:
    """One TRANSACTED relationship; times in µs."""

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
    """One USES relationship: `user` was first seen with `used` (a device, ip, card, …) at `first_known_at`."""

    user: PartyRef
    used: PartyRef
    first_known_at: int


@dataclass(frozen=True, kw_only=True)
class GraphNode:
    """An entity in a neighborhood. `num_links` is its true number of transactions and uses as of then."""

    ref: PartyRef
    hops: int
    num_links: int


@dataclass(frozen=True, kw_only=True)
class Neighborhood:
    """Entities within `hops` of the center. From each entity the `limit` newest transactions and the `limit`
    newest uses are followed (hub policy); `capped` names the entities where that left something out."""

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
        """The newest transactions that have the entity as source, target or further party."""
        ...

    def neighborhood(self, ref: PartyRef, *, as_of: int, hops: int = 1, limit: int = 50) -> Neighborhood:
        """See `Neighborhood`; 1 <= hops <= 3, 1 <= limit <= 500."""
        ...

    def canonical_hash(self) -> str:
        """A hash of all logical content (`batch` and dense ids left out), equal for equal graphs."""
        ...

    def close(self) -> None:
        """Give back connections."""
        ...
