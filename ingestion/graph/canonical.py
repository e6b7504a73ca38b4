"""The canonical hash of a graph: equal for equal logical content, whatever the store, the order or the batches.

It is the sum, modulo 2^256, of the SHA-256 of each canonical row: entities by `type:key`, transactions with all
their fields, uses with their first time, links with their period. Dense ids and batches are no part of it.
"""

from __future__ import annotations

import hashlib

from ingestion.artifacts import canonical_json

_MODULUS = 1 << 256


class CanonicalHash:
    """Adds up rows in any order.

    >>> one, other = CanonicalHash(), CanonicalHash()
    >>> one.entity("account:A"); one.entity("account:B")
    >>> other.entity("account:B"); other.entity("account:A")
    >>> one.hexdigest() == other.hexdigest()
    True
    """

    def __init__(self) -> None:
        self._sum = 0

    def entity(self, key: str) -> None:
        """One entity by its `type:key`."""
        self._add("entity", key)

    def transaction(
        self,
        transaction_id: str,
        source: str,
        target: str,
        event_time: int,
        known_at: int,
        available_at: int,
        amount_minor: int,
        currency: str,
        kind: str,
        outcome: str,
        refers_to: str | None,
        parties: list[str],
    ) -> None:
        """One transaction; parties as `type:key` in the order of their types."""
        self._add(
            "transaction",
            transaction_id,
            source,
            target,
            event_time,
            known_at,
            available_at,
            amount_minor,
            currency,
            kind,
            outcome,
            refers_to,
            parties,
        )

    def use(self, user: str, used: str, first_known_at: int) -> None:
        """One pair of user and used."""
        self._add("use", user, used, first_known_at)

    def link(
        self, a: str, b: str, rule: str, identifier: str, known_at: int, revoked_at: int | None, reason: str | None
    ) -> None:
        """One period of a link."""
        self._add("link", a, b, rule, identifier, known_at, revoked_at, reason)

    def merge(self, other: CanonicalHash) -> None:
        """Add all rows of another one."""
        self._sum = (self._sum + other._sum) % _MODULUS

    def hexdigest(self) -> str:
        """64 hex digits."""
        return f"{self._sum:064x}"

    def _add(self, *row: object) -> None:
        self._sum = (self._sum + int.from_bytes(hashlib.sha256(canonical_json(row)).digest())) % _MODULUS
