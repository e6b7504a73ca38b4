"""Links as a person reads them: under all decisions up to now, and explained by the transactions that show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from ingestion.contracts import PartyRef, micros
from ingestion.errors import UsageError
from ingestion.resolution.decisions import by_link
from ingestion.resolution.holdings import COLUMNS, holder_columns
from ingestion.resolution.periods import Decision, Period, decided
from ingestion.resolution.rules import LinkRule, Resolution
from ingestion.snapshot import Snapshot

_ORDER = [(name, "ascending") for name in ("a_id", "b_id", "rule", "identifier", "known_at")]
_PARTS = ("rule", "a_type", "a_key", "b_key")


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """The first transaction of an entity that shows an identifier; times in µs."""

    entity: PartyRef
    transaction_id: str
    event_time: int
    available_at: int


@dataclass(frozen=True, kw_only=True)
class Explained:
    """One link: rule, what is shared, when it held, what people decided, and who showed it first."""

    a: PartyRef
    b: PartyRef
    rule: LinkRule
    identifier: str
    periods: tuple[Period, ...]
    decisions: tuple[Decision, ...]
    sightings: tuple[Sighting, ...]


def resolution_of(snapshot: Snapshot) -> Resolution:
    """The rules that a snapshot was made with."""
    return Resolution.model_validate(snapshot.manifest["mapping"].get("resolution", {}))


def in_order(first: PartyRef, second: PartyRef) -> tuple[PartyRef, PartyRef]:
    """Two parties as a link has them: by `type:key`.

    >>> a, b = in_order(PartyRef(type="account", key="B"), PartyRef(type="account", key="A"))
    >>> a.key, b.key
    ('A', 'B')
    """
    return (first, second) if str(first) <= str(second) else (second, first)


def current_links(snapshot: Snapshot, decisions: Sequence[Decision]) -> pa.Table:
    """The snapshot's links (LINK, every period) under all of the decisions, those after its ingest with them."""
    links = snapshot.links()
    later = decisions[snapshot.manifest.get("links", {}).get("decisions", 0) :]
    if not later:
        return links
    spoken = pa.array(["\0".join(decision.link) for decision in later], pa.string())
    mask = pc.is_in(pc.binary_join_element_wise(*[links.column(name) for name in _PARTS], "\0"), spoken)
    changed = decided(links.filter(mask), by_link(decisions))
    return pa.concat_tables([links.filter(pc.invert(mask)), changed]).sort_by(_ORDER)


def between(links: pa.Table, a: PartyRef, b: PartyRef) -> pa.Table:
    """Those of the links that are between two parties, given in any order."""
    a, b = in_order(a, b)
    wanted = {"a_type": a.type, "a_key": a.key, "b_type": b.type, "b_key": b.key}
    for name, value in wanted.items():
        links = links.filter(pc.equal(links.column(name), value))
    return links


def explain(snapshot: Snapshot, decisions: Sequence[Decision], first: PartyRef, second: PartyRef) -> list[Explained]:
    """Every link between two parties. Raises `UsageError` saying what is known of them when there is none."""
    a, b = in_order(first, second)
    rows = between(current_links(snapshot, decisions), a, b).to_pylist()
    if not rows:
        raise _unlinked(snapshot, decisions, a, b)
    rules = {rule.name: rule for rule in resolution_of(snapshot).rules}
    links: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        links.setdefault((row["rule"], row["identifier"]), []).append(row)
    about = by_link(decisions)
    return [
        Explained(
            a=a,
            b=b,
            rule=rules[rule],
            identifier=identifier,
            periods=tuple(_period(row) for row in held),
            decisions=tuple(about.get((rule, a.type, a.key, b.key), ())),
            sightings=tuple(_sightings(snapshot, rules[rule], identifier, {held[0]["a_id"]: a, held[0]["b_id"]: b})),
        )
        for (rule, identifier), held in sorted(links.items())
    ]


def path(links: pa.Table, a: PartyRef, b: PartyRef) -> list[dict[str, Any]]:
    """The fewest of the links that lead from one party to the other, in order; none when nothing connects them."""
    neighbors: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for row in links.to_pylist():
        ends = f"{row['a_type']}:{row['a_key']}", f"{row['b_type']}:{row['b_key']}"
        for here, there in (ends, ends[::-1]):
            neighbors.setdefault(here, []).append((there, row))
    came: dict[str, tuple[str, dict[str, Any]] | None] = {str(a): None}
    front = [str(a)]
    while front and str(b) not in came:
        reached = []
        for here in front:
            for there, row in neighbors.get(here, ()):
                if there not in came:
                    came[there] = here, row
                    reached.append(there)
        front = reached
    steps, at = [], came.get(str(b))
    while at is not None:
        steps.append(at[1])
        at = came[at[0]]
    return steps[::-1]


def _sightings(snapshot: Snapshot, rule: LinkRule, identifier: str, holders: dict[int, PartyRef]) -> list[Sighting]:
    """The first transaction of each holder that shows the identifier."""
    ids = list(holders)
    ends = ds.field("entity_source").isin(ids) | ds.field("entity_target").isin(ids)
    columns = [*COLUMNS, "transaction_id", "event_time"]
    rows = ds.dataset(snapshot.path / "transactions").to_table(columns=columns, filter=ends)
    shown, entity, _ = holder_columns(rows, rule)
    found = []
    for dense, party in holders.items():
        mask = pc.and_(pc.equal(shown, identifier), pc.equal(entity, dense))
        first = rows.filter(mask).slice(0, 1).to_pylist()  # rows lie in the order of the sequence
        found += [
            Sighting(
                entity=party,
                transaction_id=row["transaction_id"],
                event_time=micros(row["event_time"]),
                available_at=micros(row["available_at"]),
            )
            for row in first
        ]
    return found


def _period(row: dict[str, Any]) -> Period:
    end = None if row["revoked_at"] is None else micros(row["revoked_at"])
    return Period(micros(row["known_at"]), end, row["reason"])


def _unlinked(snapshot: Snapshot, decisions: Sequence[Decision], a: PartyRef, b: PartyRef) -> UsageError:
    links = current_links(snapshot, decisions)
    still = links.filter(pc.is_null(links.column("revoked_at")))
    steps = path(still, a, b)
    if not steps:
        return UsageError(f"No rule links {a} and {b}.", remedy="See `ringfence data links list` for those that are.")
    told = "; ".join(f"{row['a_key']} and {row['b_key']} by {row['rule']} ({row['identifier']})" for row in steps)
    return UsageError(
        f"{a} and {b} are linked through others alone: {told}.", remedy="Name the two ends of one of these links."
    )
