"""What every graph store answers. Importable without Neo4j.

All reads take `as_of` (µs, closed): they see what has `available_at <= as_of`, and never more than the batch
that the caller's release names. "Newest" means largest `(available_at, event_time, transaction_id)` for a
transaction and largest `(first_known_at, user, used)` for a use; texts compare as UTF-8 bytes, an entity by its
`type:key`. An entity is known from the first transaction on that names it in any role.

Arguments out of range raise `ValueError`; a store that cannot be reached raises `GraphUnavailable`, a read that takes
too long `GraphTimeout`.
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
MAX_PATH_HOPS = 6
MAX_RING_LENGTH = 6
#: A path goes through no entity with more links than this, and a ring follows no more money moves of one entity.
HUB_LINKS = 200


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
class GraphLink:
    """One SAME_AS relationship that holds as of then: a rule of the mapping says that two entities share
    `identifier`, known since `known_at`. `a` comes before `b` by `type:key`."""

    a: PartyRef
    b: PartyRef
    rule: str
    identifier: str
    known_at: int


@dataclass(frozen=True, kw_only=True)
class Capped:
    """An entity of which not everything was followed, with the true `total` of what it has as of then."""

    ref: PartyRef
    total: int


@dataclass(frozen=True, kw_only=True)
class GraphPath:
    """A shortest path: `nodes` from a to b and a step between each two of them; both empty when there is none.

    Two entities are next to each other when one is the source and one the target of a transaction, when one uses
    the other, or when a link holds between them; a step is the newest such transaction, else the use, else the
    newest link. Of several shortest paths it is the one whose entity before b has the smallest `type:key`, and so
    on back to a. Hub policy: an entity between the ends with over `HUB_LINKS` links is not walked through, and of
    a itself the newest `HUB_LINKS` of each kind are followed; `skipped` names those, by `type:key`, with their true
    number of links. `is_complete` is False when the search ended at `MAX_NODES` entities.
    """

    a: PartyRef
    b: PartyRef
    as_of: int
    nodes: tuple[PartyRef, ...]
    steps: tuple[GraphTransaction | GraphUse | GraphLink, ...]
    skipped: tuple[Capped, ...]
    is_complete: bool = True
    stale: bool = False


@dataclass(frozen=True, kw_only=True)
class SharedIdentifier:
    """A party that the center and others use. `holders` are the newest uses by others, newest first;
    `num_holders` is the true number of others."""

    identifier: PartyRef
    first_known_at: int
    num_holders: int
    holders: tuple[GraphUse, ...]


@dataclass(frozen=True, kw_only=True)
class SharedIdentifiers:
    """Who shares devices, ips, cards, … with the center: newest first (largest `(first_known_at, identifier)`), at
    most `limit` of each list beside the true counts. `links` are the center's SAME_AS relationships, newest first
    (largest `(known_at, rule, identifier, a, b)`)."""

    center: PartyRef
    as_of: int
    identifiers: tuple[SharedIdentifier, ...]
    num_identifiers: int
    links: tuple[GraphLink, ...]
    num_links: int
    stale: bool = False


@dataclass(frozen=True, kw_only=True)
class Ring:
    """Money that comes back: the transactions in the order of the way from the center to itself."""

    entities: tuple[PartyRef, ...]  # each once, the center first
    transactions: tuple[GraphTransaction, ...]  # the last one leads back to the center


@dataclass(frozen=True, kw_only=True)
class Rings:
    """Directed cycles through the center of approved transactions other than refunds and reversals, each entity
    once: shorter ones first, then by `type:key` along the way.

    A ring shows the newest transaction of each step; in time order, the newest chain in which each transaction has
    an `event_time` no earlier than the one before. From each entity the `HUB_LINKS` newest moves of money are
    followed; `capped` names those with more, by `type:key`. `is_complete` is False when rings beyond the limit, or
    entities beyond `MAX_NODES`, were not looked at.
    """

    center: PartyRef
    as_of: int
    rings: tuple[Ring, ...]
    capped: tuple[Capped, ...]
    is_complete: bool = True
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
    links: int = 0  # periods of SAME_AS, those that were revoked too
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

    def shortest_path(self, a: PartyRef, b: PartyRef, *, as_of: int, max_hops: int = 4) -> GraphPath:
        """See `GraphPath`; 1 <= max_hops <= 6."""
        ...

    def shared_identifiers(self, ref: PartyRef, *, as_of: int, limit: int = 50) -> SharedIdentifiers:
        """See `SharedIdentifiers`; 1 <= limit <= 500."""
        ...

    def rings(
        self, ref: PartyRef, *, as_of: int, max_length: int = 4, limit: int = 50, in_time_order: bool = False
    ) -> Rings:
        """See `Rings`; 2 <= max_length <= 6, 1 <= limit <= 500."""
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


def check_path(max_hops: int) -> None:
    """Refuse a path that may be too long."""
    if not 1 <= max_hops <= MAX_PATH_HOPS:
        raise ValueError(f"max_hops = {max_hops} is refused: give 1 to {MAX_PATH_HOPS}")


def check_rings(max_length: int, limit: int) -> None:
    """Refuse rings that may be too long, or too many."""
    if not 2 <= max_length <= MAX_RING_LENGTH:
        raise ValueError(f"max_length = {max_length} is refused: give 2 to {MAX_RING_LENGTH}")
    check_limit(limit, MAX_LIMIT)
