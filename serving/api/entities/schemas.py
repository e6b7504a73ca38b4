"""Bodies of the entity operations."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from ingestion.graph.store import GraphNode, GraphTransaction, GraphUse, Neighborhood
from retrieval.similar import Similar
from serving.api.fields import Answer, PartyBody, TimeText
from serving.profiles import EntityProfile
from serving.times import rfc3339


class RiskBody(BaseModel):
    """Risk of a party: an order among parties of a type, never a probability."""

    value: float | None = Field(description="Null when none of its transactions of the window was scored")
    num_scored: int = Field(description="Scores that went into it")
    method: Literal["max", "shrunk_mean"] = Field(
        description="The highest score, or their mean shrunk to the base rate"
    )
    window_days: int


class CurrencyTotalBody(BaseModel):
    """Transactions in one currency."""

    currency: str
    count: int
    amount_minor: int


class ProfileAnswer(Answer):
    """A party as of a time."""

    entity: PartyBody
    as_of: TimeText
    first_known_at: TimeText
    last_available_at: TimeText
    num_transactions: int
    num_declined: int
    num_counterparties: int
    by_role: dict[str, int] = Field(description="Transactions by the role that the party has in them")
    totals: list[CurrencyTotalBody]
    known_fraud: int = Field(description="Its transactions labelled fraud as known by then")
    known_legitimate: int
    risk: RiskBody

    @classmethod
    def of(cls, profile: EntityProfile, release_id: str) -> ProfileAnswer:
        """From the profile."""
        activity = profile.activity
        return cls(
            release_id=release_id,
            entity=PartyBody.of(profile.ref),
            as_of=rfc3339(profile.as_of),
            first_known_at=rfc3339(activity.first_known_at),
            last_available_at=rfc3339(activity.last_available_at),
            num_transactions=activity.num_transactions,
            num_declined=activity.num_declined,
            num_counterparties=activity.num_counterparties,
            by_role=activity.by_role,
            totals=[CurrencyTotalBody(**vars(total)) for total in activity.totals],
            known_fraud=activity.known_fraud,
            known_legitimate=activity.known_legitimate,
            risk=RiskBody(**profile.risk.as_dict()),
        )


class NodeBody(BaseModel):
    """A party in a neighborhood; `num_links` is its true number of transactions and uses as of then."""

    entity: PartyBody
    hops: int
    num_links: int

    @classmethod
    def of(cls, node: GraphNode) -> NodeBody:
        """From the graph."""
        return cls(entity=PartyBody.of(node.ref), hops=node.hops, num_links=node.num_links)


class GraphTransactionBody(BaseModel):
    """A transaction between two parties of the neighborhood."""

    transaction_id: str
    source: PartyBody
    target: PartyBody
    event_time: TimeText
    known_at: TimeText
    available_at: TimeText
    amount_minor: int
    currency: str
    kind: str
    outcome: str
    refers_to: str | None
    parties: list[PartyBody]

    @classmethod
    def of(cls, transaction: GraphTransaction) -> GraphTransactionBody:
        """From the graph."""
        return cls(
            transaction_id=transaction.transaction_id,
            source=PartyBody.of(transaction.source),
            target=PartyBody.of(transaction.target),
            event_time=rfc3339(transaction.event_time),
            known_at=rfc3339(transaction.known_at),
            available_at=rfc3339(transaction.available_at),
            amount_minor=transaction.amount_minor,
            currency=transaction.currency,
            kind=transaction.kind,
            outcome=transaction.outcome,
            refers_to=transaction.refers_to,
            parties=[PartyBody.of(party) for party in transaction.parties],
        )


class UseBody(BaseModel):
    """A party was first seen with a device, ip, card, … at `first_known_at`."""

    user: PartyBody
    used: PartyBody
    first_known_at: TimeText

    @classmethod
    def of(cls, use: GraphUse) -> UseBody:
        """From the graph."""
        return cls(user=PartyBody.of(use.user), used=PartyBody.of(use.used), first_known_at=rfc3339(use.first_known_at))


class NeighborhoodAnswer(Answer):
    """Parties within some hops, with the newest transactions and uses of each."""

    center: PartyBody
    as_of: TimeText
    hops: int
    limit: int
    stale: bool = Field(description="The graph server is away: read from the release's snapshot")
    nodes: list[NodeBody]
    transactions: list[GraphTransactionBody]
    uses: list[UseBody]
    capped: list[PartyBody] = Field(description="Parties that have more than `limit` of them")

    @classmethod
    def of(cls, found: Neighborhood, *, release_id: str, hops: int, limit: int) -> NeighborhoodAnswer:
        """From the graph."""
        return cls(
            release_id=release_id,
            center=PartyBody.of(found.center),
            as_of=rfc3339(found.as_of),
            hops=hops,
            limit=limit,
            stale=found.stale,
            nodes=[NodeBody.of(node) for node in found.nodes],
            transactions=[GraphTransactionBody.of(transaction) for transaction in found.transactions],
            uses=[UseBody.of(use) for use in found.uses],
            capped=[PartyBody.of(ref) for ref in found.capped],
        )


class SimilarBody(BaseModel):
    """A party that looks alike, why, and how it ended as known by then."""

    entity: PartyBody
    similarity: float = Field(description="Cosine of the two vectors", ge=-1, le=1)
    reasons: list[str]
    num_known_frauds: int
    last_fraud_known_at: TimeText | None

    @classmethod
    def of(cls, found: Similar) -> SimilarBody:
        """From the search."""
        last = found.outcome.last_known_at
        return cls(
            entity=PartyBody.of(found.ref),
            similarity=min(max(found.similarity, -1.0), 1.0),
            reasons=list(found.reasons),
            num_known_frauds=found.outcome.num_known_frauds,
            last_fraud_known_at=None if last is None else rfc3339(last),
        )


class SimilarAnswer(Answer):
    """Parties of the same type that look alike, the most similar first."""

    entity: PartyBody
    as_of: TimeText
    similar: list[SimilarBody]
