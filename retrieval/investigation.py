"""The investigation of an alert or a party: evidence, neighborhood, checked narrative, similar cases, next check.

Everything is read as of one time: the alert's `available_at`, closed, or the time that is asked for. It holds
tokens and keys as they stand in the snapshot; `display` maps parties for those who may see originals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ingestion.contracts import PartyRef
from ingestion.graph.store import GraphStore, GraphTransaction, Neighborhood
from retrieval.embedding import QueryEmbedder
from retrieval.errors import IndexTooNew, UnknownSubject
from retrieval.evidence import Evidence, ScoreAttribution, SimilarCase
from retrieval.gathering import alert_evidence, party_evidence
from retrieval.index import EntityIndex
from retrieval.narrative import Claim, write
from retrieval.nextcheck import NextCheck, next_check
from retrieval.reader import AlertScore, Attributor, CaseReader, Records, ScoreReader
from retrieval.risk import Risk, entity_risk
from retrieval.similar import Similar, similar
from retrieval.tools import Indicators
from retrieval.verifier import Removed, verify
from retrieval.wording import MENTION, format_time, mention, rfc3339

#: Maps a party to the name that a reader may see.
Display = Callable[[PartyRef], str]


@dataclass(frozen=True, kw_only=True)
class AlertRef:
    """An alert: a transaction that a model scored. `time` (µs) is the transaction's `available_at`.

    `transaction` is given when the store does not hold it yet (scored by the API since the last nightly run).
    """

    alert_id: str
    transaction_id: str
    time: int
    score: float
    threshold: float
    model_id: str
    transaction: GraphTransaction | None = None

    @property
    def given(self) -> AlertScore:
        """Its score as given then."""
        return AlertScore(
            transaction_id=self.transaction_id, model_id=self.model_id, score=self.score, threshold=self.threshold
        )


@dataclass(frozen=True, kw_only=True)
class InvestigationContext:
    """What an investigation reads; `serving` wires it from one release.

    Without `index`, `attribute` or `scores` it goes on and says what is missing. `now` (µs) is the time of a
    party's investigation when none is asked for. `extra`: transactions that the store does not hold yet.
    """

    store: GraphStore
    records: Records
    now: int
    release_id: str | None = None
    index: EntityIndex | None = None
    embed_query: QueryEmbedder | None = None
    attribute: Attributor | None = None
    scores: ScoreReader | None = None
    alert_role: str = "source"
    base_rate: float = 0.003
    extra: tuple[GraphTransaction, ...] = ()
    indicators: Indicators = field(default_factory=Indicators)
    num_similar: int = 5
    num_neighbors: int = 30


@dataclass(frozen=True, kw_only=True)
class Investigation:
    """What an analyst gets. `missing` says in words what could not be looked at; `removed` are sentences that the
    verifier did not let through."""

    subject: str
    party: PartyRef
    alert: AlertRef | None
    as_of: int
    release_id: str | None
    risk: Risk | None
    evidence: tuple[Evidence, ...]
    neighborhood: Neighborhood
    known_frauds: dict[PartyRef, int]
    narrative: tuple[Claim, ...]
    removed: tuple[Removed, ...]
    similar: tuple[Similar, ...]
    next_check: NextCheck
    missing: tuple[str, ...]

    def as_dict(self, display: Display = str) -> dict[str, Any]:
        """JSON-ready; times RFC 3339, ids strings. `display` names the parties in `label` and in sentences."""
        alert = self.alert
        return {
            "subject": self.subject,
            "party": _party_dict(self.party, display),
            "alert_id": alert and alert.alert_id,
            "transaction_id": alert and alert.transaction_id,
            "model_id": alert and alert.model_id,
            "as_of": rfc3339(self.as_of),
            "release_id": self.release_id,
            "score": alert and alert.score,
            "threshold": alert and alert.threshold,
            "risk": self.risk and self.risk.as_dict(),
            "narrative": [claim.as_dict() | {"text": self.shown(claim.text, display)} for claim in self.narrative],
            "removed_statements": len(self.removed),
            "evidence": [item.as_dict() for item in self.evidence],
            "neighborhood": self._neighborhood(display),
            "similar": [item.as_dict(display) for item in self.similar],
            "next_check": self.next_check.as_dict(),
            "missing": list(self.missing),
        }

    def shown(self, text: str, display: Display) -> str:
        """A sentence with its parties named by `display`."""
        known = {mention(ref): ref for ref in self._parties()}

        def name(match: Any) -> str:
            ref = known.get(match.group())
            shown = None if ref is None else display(ref)
            return match.group() if ref is None or shown in (None, str(ref)) else str(shown)

        return MENTION.sub(name, text)

    def _parties(self) -> set[PartyRef]:
        found = {self.party, *(node.ref for node in self.neighborhood.nodes), *(item.ref for item in self.similar)}
        for item in self.evidence:
            for value in vars(item).values():
                found |= _refs(value)
        return found

    def _neighborhood(self, display: Display) -> dict[str, Any]:
        around = self.neighborhood
        edges = [
            {
                "source": str(item.source),
                "target": str(item.target),
                "relation": "transacted",
                "transaction_id": item.transaction_id,
                "event_time": rfc3339(item.event_time),
                "amount_minor": item.amount_minor,
                "currency": item.currency,
                "kind": item.kind,
                "outcome": item.outcome,
            }
            for item in around.transactions
        ]
        uses = [
            {
                "source": str(use.user),
                "target": str(use.used),
                "relation": "uses",
                "first_known_at": rfc3339(use.first_known_at),
            }
            for use in around.uses
        ]
        nodes = [
            {
                **_party_dict(node.ref, display),
                "hops": node.hops,
                "num_links": node.num_links,
                "known_frauds": self.known_frauds.get(node.ref, 0),
            }
            for node in around.nodes
        ]
        return {
            "center": str(around.center),
            "as_of": rfc3339(around.as_of),
            "nodes": nodes,
            "edges": edges + uses,
            "capped": [str(ref) for ref in around.capped],
            "stale": around.stale,
        }


def investigate(
    context: InvestigationContext, target: AlertRef | PartyRef, *, as_of: int | None = None
) -> Investigation:
    """Investigate an alert, as of its time, or a party, as of `as_of` (µs, closed; default the context's now).

    Raises `UnknownSubject` when the transaction or the party was not known by then.
    """
    time = target.time if isinstance(target, AlertRef) else context.now if as_of is None else as_of
    own = target.transaction if isinstance(target, AlertRef) else None
    reader = CaseReader(
        context.store,
        context.records,
        as_of=time,
        extra=context.extra if own is None else (*context.extra, own),
        attribute=context.attribute,
        scores=context.scores,
        alert=target.given if isinstance(target, AlertRef) else None,
    )
    if isinstance(target, AlertRef):
        transaction = _alerted(reader, target)
        party = _alert_party(transaction, context.alert_role)
        found = alert_evidence(reader, target.given, transaction, context.indicators)
    else:
        transaction, party = None, target
        found = party_evidence(reader, party, context.indicators)
    looks_alike, missing = _similar(context, reader, party)
    found += _similar_evidence(reader, party, looks_alike)
    evidence = _numbered(found)
    verdict = verify(write(evidence), evidence, reader)
    around = reader.neighborhood(party, hops=1, limit=context.num_neighbors)
    return Investigation(
        subject=target.alert_id if isinstance(target, AlertRef) else str(target),
        party=party,
        alert=target if isinstance(target, AlertRef) else None,
        as_of=time,
        release_id=context.release_id,
        risk=_risk(context, reader, party),
        evidence=evidence,
        neighborhood=around,
        known_frauds={node.ref: len(reader.known_frauds(node.ref)) for node in around.nodes},
        narrative=verdict.kept,
        removed=verdict.removed,
        similar=looks_alike,
        next_check=next_check(evidence),
        missing=(*missing, *_not_said(context, target, evidence)),
    )


def _alerted(reader: CaseReader, alert: AlertRef) -> GraphTransaction:
    transaction = reader.transaction(alert.transaction_id)
    if transaction is None:
        raise UnknownSubject(
            f"Transaction {alert.transaction_id} of {alert.alert_id} was not known at {format_time(alert.time)}.",
            remedy="Check that graph and alert belong to one release: `ringfence graph status`.",
        )
    return transaction


def _alert_party(transaction: GraphTransaction, role: str) -> PartyRef:
    if role == "target":
        return transaction.target
    return next((party for party in transaction.parties if party.type == role), transaction.source)


def _similar(
    context: InvestigationContext, reader: CaseReader, party: PartyRef
) -> tuple[tuple[Similar, ...], tuple[str, ...]]:
    if context.index is None:
        return (), ("Similar parties were not looked up: there is no index.",)
    try:
        k, embed = context.num_similar, context.embed_query
        return similar(context.index, reader, party, k=k, embed_query=embed), ()
    except (IndexTooNew, UnknownSubject) as error:
        return (), (f"Similar parties were not looked up: {error}",)


def _similar_evidence(reader: CaseReader, party: PartyRef, found: Sequence[Similar]) -> list[Evidence]:
    return [
        SimilarCase(
            stance="supporting" if item.outcome.num_known_frauds else "neutral",
            time=reader.as_of,
            subject=party,
            other=item.ref,
            similarity=item.similarity,
            num_known_frauds=item.outcome.num_known_frauds,
            reasons=item.reasons,
        )
        for item in found
    ]


def _numbered(found: Sequence[Evidence]) -> tuple[Evidence, ...]:
    """E1 … En; an item that was gathered twice is kept once."""
    unique = {item.content_hash: item for item in found}
    return tuple(replace(item, id=f"E{number}") for number, item in enumerate(unique.values(), start=1))


def _risk(context: InvestigationContext, reader: CaseReader, party: PartyRef) -> Risk | None:
    if context.scores is None:
        return None
    return entity_risk(
        reader.history(party),
        context.scores,
        as_of=reader.as_of,
        alert_role=context.alert_role,
        base_rate=context.base_rate,
    )


def _not_said(context: InvestigationContext, target: AlertRef | PartyRef, evidence: Sequence[Evidence]) -> list[str]:
    missing = []
    if isinstance(target, AlertRef) and not any(isinstance(item, ScoreAttribution) for item in evidence):
        missing.append("The score was not attributed to features: the model in force cannot say.")
    if context.scores is None:
        missing.append("No risk is shown: earlier scores were not read.")
    return missing


def _party_dict(ref: PartyRef, display: Display) -> dict[str, Any]:
    return {"type": ref.type, "id": ref.key, "label": display(ref)}


def _refs(value: Any) -> set[PartyRef]:
    if isinstance(value, PartyRef):
        return {value}
    if isinstance(value, GraphTransaction):
        return {value.source, value.target, *value.parties}
    if isinstance(value, tuple):
        return {ref for part in value for ref in _refs(part)}
    return set()
