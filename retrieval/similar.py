"""Parties that look alike, with reasons from the data as of then and how they ended as known by then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ingestion.contracts import PartyRef
from ingestion.graph.store import GraphTransaction
from ingestion.money import exponent
from retrieval.embedding import QueryEmbedder
from retrieval.errors import IndexTooNew, UnknownSubject
from retrieval.index import EntityIndex
from retrieval.reader import CaseReader
from retrieval.wording import HOUR, format_amount, format_time, mention, plural, rfc3339

#: Newest transactions of each party that reasons are computed from.
MAX_COMPARED = 200
#: Hours of day are compared in four quarters of a day.
_QUARTER = 6
_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a party ended as known by the time asked about."""

    num_known_frauds: int
    last_known_at: int | None


@dataclass(frozen=True, kw_only=True)
class Similar:
    """A party that looks alike; `similarity` is the cosine, rounded to four decimals."""

    ref: PartyRef
    similarity: float
    reasons: tuple[str, ...]
    outcome: Outcome

    def as_dict(self, display: Callable[[PartyRef], str] = str) -> dict[str, Any]:
        """JSON-ready; `display` names the party for a reader who may see originals."""
        last = self.outcome.last_known_at
        return {
            "type": self.ref.type,
            "id": self.ref.key,
            "label": display(self.ref),
            "similarity": self.similarity,
            "reasons": list(self.reasons),
            "known_frauds": self.outcome.num_known_frauds,
            "last_fraud_known_at": None if last is None else rfc3339(last),
        }


def similar(
    index: EntityIndex,
    reader: CaseReader,
    ref: PartyRef,
    *,
    k: int = 10,
    embed_query: QueryEmbedder | None = None,
) -> tuple[Similar, ...]:
    """The k parties of the same type most like `ref`, as of the reader's time.

    With `embed_query` the query is the party's state then; without it, its vector in the index. A party that was
    in the index but is not known to the store's batch is left out.

    Raises:
        IndexTooNew: the index holds data from after the reader's time.
        UnknownSubject: the party was not known by then, or has no vector.
    """
    if index.as_of > reader.as_of:
        raise IndexTooNew(
            f"Index {index.id} holds data up to {format_time(index.as_of)}, after {format_time(reader.as_of)}; "
            "it would tell what was not known then.",
            remedy="Ask as of a later time; the index of a release holds data up to the start of its tail.",
        )
    if k < 1:
        raise ValueError(f"k = {k}: ask for at least one similar party")
    entity_id = reader.records.entity_id(ref)
    if not reader.is_known(ref):
        raise UnknownSubject(
            f"{ref} was not known at {format_time(reader.as_of)}.",
            remedy="Check TYPE:KEY, or ask as of a later time.",
        )
    vector = embed_query(ref, reader.as_of) if embed_query is not None else None
    if vector is None and entity_id is not None:
        vector = index.vector(entity_id)
    if vector is None:
        raise UnknownSubject(
            f"{ref} has no vector: it had no event by {format_time(index.as_of)}, the time of index {index.id}.",
            remedy="Run `ringfence nightly`, or give the model so that it can be embedded now.",
        )
    hits = index.search(vector, k, kind=ref.type, exclude=() if entity_id is None else (entity_id,))
    own = Profile.read(reader, ref)
    return tuple(
        Similar(
            ref=hit.ref,
            similarity=round(hit.similarity, 4),
            reasons=own.reasons(Profile.read(reader, hit.ref)),
            outcome=outcome_of(reader, hit.ref),
        )
        for hit in hits
    )


def outcome_of(reader: CaseReader, ref: PartyRef) -> Outcome:
    """Known frauds of a party as of then."""
    frauds = reader.known_frauds(ref)
    return Outcome(num_known_frauds=len(frauds), last_known_at=frauds[-1].known_at if frauds else None)


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What a party's newest transactions look like, for comparison with another's."""

    ref: PartyRef
    num: int
    counterparties: Counter[PartyRef]
    identifiers: Counter[PartyRef]
    quarters: Counter[int]
    kinds: Counter[str]
    currency: str | None
    median_amount: int
    declined_share: float

    @classmethod
    def read(cls, reader: CaseReader, ref: PartyRef) -> Profile:
        """The profile as of the reader's time."""
        return cls.of(ref, reader.history(ref, limit=MAX_COMPARED).transactions[:MAX_COMPARED])

    @classmethod
    def of(cls, ref: PartyRef, transactions: Sequence[GraphTransaction]) -> Profile:
        """The profile of some transactions of a party."""
        currency = _most_common(Counter(transaction.currency for transaction in transactions))
        amounts = sorted(item.amount_minor for item in transactions if item.currency == currency)
        others = [other for item in transactions for other in {item.source, item.target} - {ref}]
        return cls(
            ref=ref,
            num=len(transactions),
            counterparties=Counter(others),
            identifiers=Counter(party for item in transactions for party in item.parties if party != ref),
            quarters=Counter(item.event_time // HOUR % 24 // _QUARTER for item in transactions),
            kinds=Counter(item.kind for item in transactions),
            currency=currency,
            median_amount=amounts[len(amounts) // 2] if amounts else 0,
            declined_share=sum(item.outcome == "declined" for item in transactions) / max(len(transactions), 1),
        )

    def reasons(self, other: Profile) -> tuple[str, ...]:
        """Why the two look alike, the strongest first; empty when only the model sees it."""
        candidates = [
            _direct(self, other),
            _shared(self.identifiers, other.identifiers, "identifier"),
            _shared(self.counterparties, other.counterparties, "counterparty", "counterparties"),
            _same_amounts(self, other),
            _same_hours(self, other),
            _same_kind(self, other),
            _both_declined(self, other),
        ]
        return tuple(reason for reason in candidates if reason is not None)


def _direct(one: Profile, other: Profile) -> str | None:
    number = one.counterparties[other.ref]
    return f"dealt with each other in {plural(number, 'transaction')}" if number else None


def _shared(one: Counter[PartyRef], other: Counter[PartyRef], noun: str, many: str | None = None) -> str | None:
    joint = {ref: min(one[ref], other[ref]) for ref in one.keys() & other.keys()}
    if not joint:
        return None
    ranked = sorted(joint, key=lambda ref: (-joint[ref], str(ref)))
    named = ", ".join(mention(ref) for ref in ranked[:_NAMED]) + (", …" if len(ranked) > _NAMED else "")
    return f"share {plural(len(joint), noun, many)}: {named}"


def _same_amounts(one: Profile, other: Profile) -> str | None:
    if one.currency is None or one.currency != other.currency:
        return None
    low, high = sorted([one.median_amount, other.median_amount])
    if low == 0 or 2 * high > 3 * low:
        return None
    if high < 10 ** exponent(one.currency):
        return None
    low_text, high_text = format_amount(low, one.currency), format_amount(high, one.currency)
    return f"similar median amounts: {low_text} and {high_text}"


def _same_hours(one: Profile, other: Profile) -> str | None:
    quarter = _most_common(one.quarters)
    if quarter is None or min(one.num, other.num) < 5:
        return None
    if min(one.quarters[quarter] / one.num, other.quarters[quarter] / other.num) < 0.5:
        return None
    start = quarter * _QUARTER
    return f"both mostly active between {start:02d}:00 and {start + _QUARTER:02d}:00 UTC"


def _same_kind(one: Profile, other: Profile) -> str | None:
    kind = _most_common(one.kinds)
    if kind in (None, "payment") or kind != _most_common(other.kinds):
        return None
    return f"both mostly make transactions of kind {kind}"


def _both_declined(one: Profile, other: Profile) -> str | None:
    if min(one.declined_share, other.declined_share) < 0.2 or min(one.num, other.num) < 5:
        return None
    return f"declined often: {one.declined_share:.0%} and {other.declined_share:.0%} of the newest transactions"


def _most_common(counter: Counter[Any]) -> Any:
    """The most common value, ties to the smallest; None when there is none."""
    return min(counter, key=lambda value: (-counter[value], value), default=None)
