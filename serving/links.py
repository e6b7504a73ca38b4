"""Links of a workspace for people: listing, explaining, deciding, components."""

from __future__ import annotations

import getpass
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table

from ingestion.config import Settings
from ingestion.contracts import PartyRef, micros
from ingestion.errors import UsageError
from ingestion.mapping import Mapping
from ingestion.privacy import Tokenizer
from ingestion.resolution.components import component_table, holding
from ingestion.resolution.decisions import DecisionLog
from ingestion.resolution.periods import Decision
from ingestion.resolution.reading import between, current_links, explain, in_order
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace
from serving.names import short_name
from serving.times import as_of_option, rfc3339


@dataclass(frozen=True, kw_only=True)
class OpenLinks:
    """The newest snapshot's links under the decisions of its workspace; `now` in µs by the workspace's clock."""

    snapshot: Snapshot
    log: DecisionLog
    tokenizer: Tokenizer
    now: int

    @classmethod
    def of(cls, workspace: Workspace, settings: Settings) -> OpenLinks:
        """Open them. Raises `DataContractError` without a snapshot, `UsageError` when its mapping has no rules."""
        snapshot = Snapshot.open(workspace)
        mapping = Mapping.model_validate(snapshot.manifest["mapping"])
        if not mapping.resolution.rules:
            raise UsageError(
                f"The mapping {mapping.name!r} of {snapshot.id} has no rules that link entities.",
                remedy="Add [[resolution.rules]] to the mapping and ingest again with a new lineage.",
            )
        end = int(snapshot.manifest["horizon"])
        now = end if settings.clock.mode == "data" else max(end, time.time_ns() // 1_000)
        tokenizer = Tokenizer.of(workspace, mapping)
        return cls(snapshot=snapshot, log=DecisionLog.of(workspace), tokenizer=tokenizer, now=now)

    def list(
        self, *, rule: str | None, entity: str | None, revoked: bool, as_of: str | None, limit: int
    ) -> dict[str, Any]:
        """Links that hold as of a time; with `revoked` those that were known by then and do not."""
        at = as_of_option(as_of, default=self.now)
        links = self._links()
        held = holding(links, at)
        if revoked:
            known = pc.less_equal(links.column("known_at").cast(pa.int64()), at)
            ended = pc.fill_null(pc.less_equal(links.column("revoked_at").cast(pa.int64()), at), False)
            held = links.filter(pc.and_(known, ended))
        if rule is not None:
            held = held.filter(pc.equal(held.column("rule"), self._rule(rule)))
        if entity is not None:
            party = self._party(entity)
            is_end = [
                pc.and_(
                    pc.equal(held.column(f"{end}_type"), party.type), pc.equal(held.column(f"{end}_key"), party.key)
                )
                for end in ("a", "b")
            ]
            held = held.filter(pc.or_(*is_end))
        rows = [_plain(row) for row in held.slice(0, limit).to_pylist()]
        return self._body(as_of=rfc3339(at), total=held.num_rows, links=rows, rules=self._told_rules())

    def hubs(self, *, rule: str | None, limit: int) -> dict[str, Any]:
        """Identifiers that too many share, the greatest first."""
        table = self.snapshot.hubs().sort_by([("num_entities", "descending"), ("identifier", "ascending")])
        if rule is not None:
            table = table.filter(pc.equal(table.column("rule"), self._rule(rule)))
        rows = [_plain(row) for row in table.slice(0, limit).to_pylist()]
        return self._body(total=table.num_rows, hubs=rows)

    def explain(self, first: str, second: str) -> dict[str, Any]:
        """Every link between two entities."""
        found = explain(self.snapshot, self.log.read(), self._party(first), self._party(second))
        links = [
            {
                "a": str(link.a),
                "b": str(link.b),
                "rule": link.rule.name,
                "by": list(link.rule.by),
                "identifier": link.identifier,
                "periods": [
                    {
                        "known_at": rfc3339(period.known_at),
                        "revoked_at": None if period.revoked_at is None else rfc3339(period.revoked_at),
                        "reason": period.reason,
                    }
                    for period in link.periods
                ],
                "first_transactions": [
                    {
                        "entity": str(sighting.entity),
                        "transaction_id": sighting.transaction_id,
                        "event_time": rfc3339(sighting.event_time),
                        "available_at": rfc3339(sighting.available_at),
                    }
                    for sighting in link.sightings
                ],
                "decisions": [_decision(decision) for decision in link.decisions],
            }
            for link in found
        ]
        return self._body(links=links)

    def decide(
        self, action: str, first: str, second: str, *, rule: str, reason: str, by: str | None, at: str | None
    ) -> dict[str, Any]:
        """Write a decision down. Raises `UsageError` when there is no such link, or it is so already."""
        a, b = in_order(self._party(first), self._party(second))
        decisions = self.log.read()
        links = between(current_links(self.snapshot, decisions), a, b)
        if not pc.any(pc.equal(links.column("rule"), self._rule(rule))).as_py():
            rules = ", ".join(sorted(set(links.column("rule").to_pylist()))) or "none"
            raise UsageError(
                f"Rule {rule} does not link {a} and {b} (rules that do: {rules}).",
                remedy="See `ringfence data links explain` for what connects them.",
            )
        about = [item for item in decisions if item.link == (rule, a.type, a.key, b.key)]
        last = max(about, key=lambda item: (item.at, item.number)).action if about else "restore"
        if last == action:
            raise UsageError(f"The link is {action}d already.", remedy="See `ringfence data links explain`.")
        decision = self.log.append(
            action=action,
            at=as_of_option(at, default=self.now),
            entity=a.type,
            a=a.key,
            b=b.key,
            rule=rule,
            who=by or getpass.getuser(),
            reason=reason,
            recorded_at=time.time_ns() // 1_000,
        )
        return self._body(decision=_decision(decision))

    def components(self, *, entity: str | None, as_of: str | None, limit: int) -> dict[str, Any]:
        """The largest components as of a time, or the members of one entity's."""
        at = as_of_option(as_of, default=self.now)
        table = component_table(holding(self._links(), at))
        ids, component = (table.column(name).to_numpy() for name in ("entity_id", "component_id"))
        roots, sizes = np.unique(component, return_counts=True)
        order = np.lexsort((roots, -sizes))
        entities = self.snapshot.entities()
        if entity is not None:
            mine = np.flatnonzero(ids == self._entity_id(entities, self._party(entity)))
            chosen = np.flatnonzero(roots == component[mine[0]]) if len(mine) else np.array([], np.int64)
            order = chosen
        rows = [
            {
                "component_id": int(roots[at_root]),
                "size": int(sizes[at_root]),
                "members": _names(entities, ids[component == roots[at_root]][: 100 if entity else 5]),
            }
            for at_root in order[:limit]
        ]
        return self._body(as_of=rfc3339(at), total=len(roots), linked_entities=len(ids), components=rows)

    def _links(self) -> pa.Table:
        return current_links(self.snapshot, self.log.read())

    def _body(self, **fields: Any) -> dict[str, Any]:
        return {"snapshot_id": self.snapshot.id, **fields}

    def _party(self, text: str) -> PartyRef:
        try:
            return self.tokenizer.resolve(PartyRef.parse(text))
        except ValueError as error:
            raise UsageError(f"{error}.") from error

    def _rule(self, name: str) -> str:
        known = [rule.name for rule in self.tokenizer.resolution.rules]
        if name not in known:
            raise UsageError(f"There is no rule {name!r}.", remedy=f"The mapping has {', '.join(known)}.")
        return name

    def _told_rules(self) -> dict[str, Any]:
        told: dict[str, Any] = self.snapshot.manifest["links"]["rules"]
        return told

    @staticmethod
    def _entity_id(entities: pa.Table, party: PartyRef) -> int:
        same = pc.and_(pc.equal(entities.column("type"), party.type), pc.equal(entities.column("key"), party.key))
        found = entities.filter(same).column("entity_id").to_pylist()
        if not found:
            raise UsageError(f"The snapshot has no {party}.", remedy="Check its type and key.")
        return int(found[0])


def show_links(console: Console, body: dict[str, Any]) -> None:
    """Draw `list`."""
    table = Table("rule", "a", "b", "identifier", "known", "revoked", box=None)
    for row in body["links"]:
        ends = [short_name(PartyRef(type=row[f"{end}_type"], key=row[f"{end}_key"])) for end in ("a", "b")]
        ended = f"{row['revoked_at']} ({row['reason']})" if row["revoked_at"] else ""
        table.add_row(row["rule"], *ends, row["identifier"], row["known_at"], ended)
    console.print(table)
    console.print(f"{len(body['links'])} of {body['total']:,} links as of {body['as_of']}.")
    for name, counts in body["rules"].items():
        console.print(
            f"{name}: {counts['pairs']:,} pairs by {counts['identifiers']:,} identifiers; "
            f"{counts['placeholder_rows']:,} rows had a placeholder."
        )


def show_hubs(console: Console, body: dict[str, Any]) -> None:
    """Draw `list --hubs`."""
    table = Table("rule", "identifier", "entities", "hub since", box=None)
    for row in body["hubs"]:
        table.add_row(row["rule"], row["identifier"], f"{row['num_entities']:,}", row["hub_at"])
    console.print(table)
    console.print(f"{len(body['hubs'])} of {body['total']:,} hubs; they link nobody.")


def show_explained(console: Console, body: dict[str, Any]) -> None:
    """Draw `explain`."""
    for link in body["links"]:
        console.print(f"{link['rule']}: both have {link['identifier']} ({' + '.join(link['by'])})")
        for period in link["periods"]:
            end = f"until {period['revoked_at']} ({period['reason']})" if period["revoked_at"] else "and still holds"
            console.print(f"  since {period['known_at']} {end}")
        for seen in link["first_transactions"]:
            console.print(
                f"  {seen['entity']} showed it first in {seen['transaction_id']}, known {seen['available_at']}"
            )
        for decision in link["decisions"]:
            console.print(f"  {told({'decision': decision})}")


def show_components(console: Console, body: dict[str, Any]) -> None:
    """Draw `components`."""
    for row in body["components"]:
        more = "" if len(row["members"]) == row["size"] else ", …"
        names = ", ".join(short_name(PartyRef.parse(member)) for member in row["members"])
        console.print(f"{row['size']:>6,}  {names}{more}")
    console.print(
        f"{body['total']:,} components of {body['linked_entities']:,} linked entities as of {body['as_of']}; "
        "every other entity is alone."
    )


def told(body: dict[str, Any]) -> str:
    """A decision in words."""
    decision = body["decision"]
    return (
        f"{decision['action']}d from {decision['at']} on by {decision['who']}: {decision['reason']} "
        f"(decision {decision['number']}, rule {decision['rule']})"
    )


def _decision(decision: Decision) -> dict[str, Any]:
    times = {"at": rfc3339(decision.at), "recorded_at": rfc3339(decision.recorded_at)}
    return vars(decision) | times


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row with its times as text."""
    return {name: rfc3339(micros(value)) if hasattr(value, "tzinfo") else value for name, value in row.items()}


def _is_end(links: pa.Table, end: str, party: PartyRef) -> pa.ChunkedArray:
    """Which links have the party as their end a or b."""
    same_type = pc.equal(links.column(f"{end}_type"), party.type)
    return pc.and_(same_type, pc.equal(links.column(f"{end}_key"), party.key))


def _names(entities: pa.Table, ids: Any) -> list[str]:
    rows = entities.select(["type", "key"]).take(pa.array(ids)).to_pylist()
    return [f"{row['type']}:{row['key']}" for row in rows]
