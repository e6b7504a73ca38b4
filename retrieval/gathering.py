"""Which tools an investigation runs: for an alert, and for a party."""

from __future__ import annotations

from ingestion.contracts import PartyRef
from ingestion.graph.store import GraphTransaction
from retrieval import tools
from retrieval.errors import UnknownSubject
from retrieval.evidence import Evidence, MissingFact, ScoreFact
from retrieval.reader import AlertScore, CaseReader, History, PartyRole
from retrieval.tools import Indicators
from retrieval.wording import format_time


def alert_evidence(
    reader: CaseReader, alert: AlertScore, transaction: GraphTransaction, indicators: Indicators
) -> list[Evidence]:
    """Evidence about an alerted transaction, its source and its target, to the transaction's event time."""
    source, target, end = transaction.source, transaction.target, transaction.event_time
    score = ScoreFact(
        stance="supporting" if alert.score >= alert.threshold else "contradicting",
        time=transaction.available_at,
        transaction_id=transaction.transaction_id,
        model_id=alert.model_id,
        score=alert.score,
        threshold=alert.threshold,
    )
    return [
        tools.subject_fact(transaction),
        score,
        *tools.attributions(reader, transaction, indicators),
        *tools.memo_facts(reader, transaction),
        *tools.label_facts(reader, transaction),
        *tools.party_labels(reader, source),
        *tools.party_labels(reader, target),
        *_history(reader, source, transaction),
        *tools.known_frauds(reader, source, indicators),
        *tools.known_frauds(reader, target, indicators),
        *tools.amount_against_history(reader, transaction, indicators),
        *tools.counterparty(reader, transaction, indicators),
        *tools.identifiers(reader, transaction, indicators),
        *tools.cycles(reader, [transaction]),
        *tools.velocity(reader, source, end=end, role="source", indicators=indicators),
        *tools.fan(reader, source, end=end, role="source", indicators=indicators),
        *tools.fan(reader, target, end=end, role="target", indicators=indicators),
        *tools.declines(reader, source, end=end, indicators=indicators),
        *tools.refunds(reader, source, end=end, indicators=indicators),
    ]


def party_evidence(reader: CaseReader, party: PartyRef, indicators: Indicators) -> list[Evidence]:
    """Evidence about a party, to the reader's time. Raises `UnknownSubject` when it was not known by then."""
    if not reader.is_known(party):
        raise UnknownSubject(
            f"{party} was not known at {format_time(reader.as_of)}.",
            remedy="Check TYPE:KEY, or ask as of a later time.",
        )
    end, history = reader.as_of, reader.history(party)
    sent = [item for item in history.transactions if item.source == party][:20]
    roles = _roles(party, history)
    identifiers = [party] if roles == ["any"] else list(dict.fromkeys(used for item in sent for used in item.parties))
    shared = [
        fact
        for used in identifiers[: indicators.identifiers]
        for fact in tools.shared_identifier(reader, party, used, indicators)
    ]
    activity = [
        fact for role in roles for fact in tools.velocity(reader, party, end=end, role=role, indicators=indicators)
    ]
    return [
        *tools.party_labels(reader, party),
        *tools.known_frauds(reader, party, indicators),
        *activity,
        *shared,
        *tools.cycles(reader, sent),
        *tools.fan(reader, party, end=end, role="source", indicators=indicators),
        *tools.fan(reader, party, end=end, role="target", indicators=indicators),
        *tools.declines(reader, party, end=end, indicators=indicators),
        *tools.refunds(reader, party, end=end, indicators=indicators),
    ]


def _roles(party: PartyRef, history: History) -> list[PartyRole]:
    """The roles that the party stands in; `any` for a device, a card and the like."""
    roles: list[PartyRole] = []
    if any(item.source == party for item in history.transactions):
        roles.append("source")
    if any(item.target == party for item in history.transactions):
        roles.append("target")
    return roles or ["any"]


def _history(reader: CaseReader, source: PartyRef, transaction: GraphTransaction) -> list[Evidence]:
    own = transaction.transaction_id
    blank = MissingFact(stance="missing", time=reader.as_of, what="history", party=source, transaction_id=own)
    fact = blank.recompute(reader)
    return [] if fact is None else [fact]
