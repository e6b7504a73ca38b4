"""The links of a snapshot by entity, for its own reader."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import pyarrow as pa

from ingestion.contracts import PartyRef
from ingestion.graph.canonical import CanonicalHash
from ingestion.graph.store import GraphLink
from ingestion.snapshot import Snapshot


@dataclass(frozen=True)
class _Period:
    link: GraphLink
    revoked_at: int | None
    reason: str | None


class SnapshotLinks:
    """Every period of every link, newest first by `(known_at, rule, identifier, a, b)`; times in µs."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._periods = sorted((_period(row) for row in _rows(snapshot)), key=_newest, reverse=True)
        self._of: dict[PartyRef, list[_Period]] = defaultdict(list)
        for period in self._periods:
            self._of[period.link.a].append(period)
            self._of[period.link.b].append(period)

    def __len__(self) -> int:
        return len(self._periods)

    def holding(self, ref: PartyRef, as_of: int) -> list[GraphLink]:
        """Links of an entity that hold as of then, newest first."""
        return [
            period.link
            for period in self._of.get(ref, ())
            if period.link.known_at <= as_of and (period.revoked_at is None or period.revoked_at > as_of)
        ]

    def add_to(self, total: CanonicalHash) -> None:
        """Add every period to a canonical hash."""
        for period in self._periods:
            link = period.link
            ends = (str(link.a), str(link.b), link.rule, link.identifier, link.known_at)
            total.link(*ends, period.revoked_at, period.reason)


def _rows(snapshot: Snapshot) -> list[dict[str, str | int | None]]:
    table = snapshot.links()
    for name in ("known_at", "revoked_at"):
        table = table.set_column(table.schema.get_field_index(name), name, table.column(name).cast(pa.int64()))
    rows: list[dict[str, str | int | None]] = table.to_pylist()
    return rows


def _period(row: dict[str, str | int | None]) -> _Period:
    link = GraphLink(
        a=PartyRef(type=str(row["a_type"]), key=str(row["a_key"])),
        b=PartyRef(type=str(row["b_type"]), key=str(row["b_key"])),
        rule=str(row["rule"]),
        identifier=str(row["identifier"]),
        known_at=int(row["known_at"] or 0),
    )
    revoked_at, reason = row["revoked_at"], row["reason"]
    return _Period(link, None if revoked_at is None else int(revoked_at), None if reason is None else str(reason))


def _newest(period: _Period) -> tuple[int, str, str, str, str]:
    link = period.link
    return (link.known_at, link.rule, link.identifier, str(link.a), str(link.b))
