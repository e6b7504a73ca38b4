"""When a link holds: from its second holder on, until its identifier is a hub, and as people decide in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

from ingestion.contracts import LINK, micros, moment

HUB_REASON = "hub"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """A person's word on a link, from `at` (µs) on: `revoke` ends it, `restore` lets it hold again.

    `a` and `b` are keys in the order of the link; `recorded_at` (µs) is when it was written down.
    """

    number: int
    action: Literal["revoke", "restore"]
    at: int
    entity: str
    a: str
    b: str
    rule: str
    who: str
    reason: str
    recorded_at: int

    @property
    def link(self) -> tuple[str, str, str, str]:
        """Rule, type, and both keys of the links that it speaks of."""
        return self.rule, self.entity, self.a, self.b


@dataclass(frozen=True)
class Period:
    """[known_at, revoked_at) in µs, and why it ended."""

    known_at: int
    revoked_at: int | None = None
    reason: str | None = None


def periods(shared_at: int, hub_at: int | None, decisions: Sequence[Decision]) -> list[Period]:
    """The periods in which a link holds, at least one: an empty one when it never did.

    >>> periods(10, None, []), periods(10, 30, [])
    ([Period(known_at=10, revoked_at=None, reason=None)], [Period(known_at=10, revoked_at=30, reason='hub')])
    """
    found: list[Period] = []
    begin: int | None = shared_at
    reason = None
    for decision in sorted(decisions, key=lambda item: (item.at, item.number)):
        if decision.action == "restore":
            begin = max(decision.at, shared_at) if begin is None else begin
        elif begin is not None:
            found.append(Period(begin, decision.at, decision.reason))
            begin, reason = None, decision.reason
    if begin is not None:
        found.append(Period(begin))
    held = [cut for period in found if (cut := _until_hub(period, hub_at)) is not None]
    return held or [Period(shared_at, shared_at, reason or HUB_REASON)]


def decided(links: pa.Table, decisions: Mapping[tuple[str, str, str, str], Sequence[Decision]]) -> pa.Table:
    """Links (LINK, the periods of each any) with the periods that the decisions leave, all of them anew."""
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in links.to_pylist():
        rows[row["a_id"], row["b_id"], row["rule"], row["identifier"]] = row
    found = []
    for row in rows.values():
        hub_at = None if row["hub_at"] is None else micros(row["hub_at"])
        about = decisions.get((row["rule"], row["a_type"], row["a_key"], row["b_key"]), ())
        for period in periods(micros(row["shared_at"]), hub_at, about):
            end = None if period.revoked_at is None else moment(period.revoked_at)
            found.append(row | {"known_at": moment(period.known_at), "revoked_at": end, "reason": period.reason})
    return pa.Table.from_pylist(found, schema=LINK)


def _until_hub(period: Period, hub_at: int | None) -> Period | None:
    """The part of a period before the hub; None when nothing is left of it."""
    if hub_at is not None and (period.revoked_at is None or period.revoked_at > hub_at):
        period = Period(period.known_at, hub_at, HUB_REASON)
    empty = period.revoked_at is not None and period.revoked_at <= period.known_at
    return None if empty else period
