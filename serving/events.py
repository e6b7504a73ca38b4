"""A transaction on its way through scoring: the logical row with times in µs, personal values already tokens."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from ingestion.artifacts import canonical_json
from ingestion.contracts import PartyRef

#: The key by which all events are ordered: (available_at, rank, event_time, id as bytes).
SequenceKey = tuple[int, int, int, bytes]
_TRANSACTION_RANK = 1


@dataclass(frozen=True, kw_only=True)
class TransactionEvent:
    """The fields of `contracts.TRANSACTION`. `known_at` None: the sender did not say when it was known."""

    transaction_id: str
    event_time: int
    known_at: int | None
    source: PartyRef
    target: PartyRef
    refers_to: str | None
    amount_minor: int
    currency: str
    kind: str
    outcome: str
    channel: str
    parties: tuple[PartyRef, ...]
    attributes: Mapping[str, str]
    memo: str | None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> TransactionEvent:
        """Read a logical row (`source_type`, `source_key`, …); parties in the order of their types."""
        parties = sorted(row.get("parties") or (), key=_type_of)
        return cls(
            transaction_id=row["transaction_id"],
            event_time=row["event_time"],
            known_at=row.get("known_at"),
            source=PartyRef(type=row["source_type"], key=row["source_key"]),
            target=PartyRef(type=row["target_type"], key=row["target_key"]),
            refers_to=row.get("refers_to"),
            amount_minor=row["amount_minor"],
            currency=row["currency"],
            kind=row["kind"],
            outcome=row["outcome"],
            channel=row["channel"],
            parties=tuple(PartyRef(type=party["type"], key=party["key"]) for party in parties),
            attributes=dict(row.get("attributes") or {}),
            memo=row.get("memo"),
        )

    def as_row(self) -> dict[str, Any]:
        """The logical row; `from_row` reads it back."""
        row = asdict(self)
        for role in ("source", "target"):
            party = row.pop(role)
            row[f"{role}_type"], row[f"{role}_key"] = party["type"], party["key"]
        row["parties"] = [{"type": party.type, "key": party.key} for party in self.parties]
        row["attributes"] = dict(self.attributes)
        return row

    @property
    def available_at(self) -> int:
        """`max(event_time, known_at)`, µs."""
        return max(self.event_time, self.event_time if self.known_at is None else self.known_at)

    @property
    def sequence(self) -> SequenceKey:
        """Its place in the total order of events."""
        return self.available_at, _TRANSACTION_RANK, self.event_time, self.transaction_id.encode()

    @property
    def content_hash(self) -> str:
        """SHA-256 of what the sender said, tokens in place of personal values: the same content has the same hash."""
        return hashlib.sha256(canonical_json(self.as_row())).hexdigest()

    def roles(self) -> dict[str, PartyRef]:
        """Its parties by role: source, target and the types of the further ones."""
        return {"source": self.source, "target": self.target} | {party.type: party for party in self.parties}

    def placed_after(self, last: SequenceKey) -> TransactionEvent:
        """The event with a `known_at` that puts it after `last` in the sequence.

        A live event became known when it reached us, so after all that was folded before it, whatever clock its
        sender has; `event_time`, which cuts the windows, stays.

        >>> party = PartyRef(type="account", key="a")
        >>> event = TransactionEvent(transaction_id="t", event_time=5, known_at=None, source=party, target=party,
        ...     refers_to=None, amount_minor=1, currency="EUR", kind="payment", outcome="approved", channel="online",
        ...     parties=(), attributes={}, memo=None)
        >>> event.placed_after((9, 1, 9, b"s")).known_at, event.placed_after((5, 1, 5, b"s")).known_at
        (10, 5)
        """
        dated = replace(self, known_at=self.available_at if self.known_at is None else self.known_at)
        return dated if dated.sequence > last else replace(dated, known_at=last[0] + 1)


def _type_of(party: Mapping[str, str]) -> tuple[str, str]:
    return party["type"], party["key"]
