"""The narrative: claims, each a sentence with the evidence that it rests on, written from templates by code.

No language model is asked. A claim's `type` names its template, so the verifier can write the sentence again
from recomputed evidence. This module reads nothing and writes nothing: evidence in, sentences out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import Any, Literal

from retrieval.evidence import (
    Evidence,
    LabelFact,
    MemoFact,
    MissingFact,
    PathFact,
    ScoreAttribution,
    ScoreFact,
    SharedIdentifier,
    SimilarCase,
    Stance,
    TransactionFact,
    UseFact,
    WindowStatistic,
)
from retrieval.wording import (
    format_amount,
    format_number,
    format_time,
    format_window,
    mention,
    mention_transaction,
    plural,
)

#: `fact`: one item said in words. `amount_ratio`: a transaction's amount against a mean.
ClaimType = Literal["fact", "amount_ratio"]
#: Neutral and contradicting sentences beyond these are left to the evidence list.
MAX_BY_STANCE: dict[Stance, int] = {"supporting": 12, "contradicting": 4, "neutral": 4, "missing": 4}
NUM_SIMILAR = 3
_STANCES: tuple[Stance, ...] = ("supporting", "contradicting", "neutral", "missing")


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One sentence and the ids of the evidence that it cites."""

    text: str
    evidence_ids: tuple[str, ...]
    type: ClaimType

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"text": self.text, "evidence_ids": list(self.evidence_ids), "type": self.type}


def write(evidence: Sequence[Evidence]) -> tuple[Claim, ...]:
    """The narrative of a list of evidence: what happened, the score and why, then for, against, and not known."""
    ordered: list[Evidence] = [item for item in evidence if isinstance(item, TransactionFact)]
    ordered += [item for item in evidence if isinstance(item, ScoreFact)]
    ordered += [item for item in evidence if isinstance(item, ScoreAttribution)]
    rest = [item for item in evidence if item not in ordered and _is_told(item)]
    similar = [item for item in rest if isinstance(item, SimilarCase)][:NUM_SIMILAR]
    rest = [item for item in rest if not isinstance(item, SimilarCase)]
    for stance in _STANCES:
        ordered += [item for item in rest if item.stance == stance][: MAX_BY_STANCE[stance]]
    subject = next((item for item in evidence if isinstance(item, TransactionFact)), None)
    return tuple(_claim(item, subject) for item in [*ordered, *similar])


def render(claim_type: ClaimType, items: Sequence[Evidence]) -> str | None:
    """The sentence that the template makes of the cited items; None when it is not made for such items."""
    if claim_type == "fact":
        return sentence(items[0]) if len(items) == 1 else None
    if len(items) != 2 or not isinstance(items[0], TransactionFact) or not isinstance(items[1], WindowStatistic):
        return None
    return _amount_ratio(items[0], items[1])


def ratio_to_mean(subject: TransactionFact, mean: WindowStatistic) -> str | None:
    """How many times the mean the amount is, as written; None when the two do not compare."""
    amount = subject.transaction
    fits = mean.measure == "amount_mean" and mean.value > 0 and mean.currency == amount.currency
    fits = fits and mean.subject == amount.source and mean.without == amount.transaction_id
    return format_number(amount.amount_minor / mean.value) if fits else None


def _claim(item: Evidence, subject: TransactionFact | None) -> Claim:
    if subject is not None and isinstance(item, WindowStatistic) and ratio_to_mean(subject, item) is not None:
        text = _amount_ratio(subject, item)
        return Claim(text=text, evidence_ids=(subject.id, item.id), type="amount_ratio")
    return Claim(text=sentence(item), evidence_ids=(item.id,), type="fact")


def _is_told(item: Evidence) -> bool:
    return not (isinstance(item, MemoFact) and item.stance == "neutral")


def _amount_ratio(subject: TransactionFact, mean: WindowStatistic) -> str:
    own = subject.transaction
    return (
        f"The amount of {mention_transaction(own.transaction_id)}, {format_amount(own.amount_minor, own.currency)}, is "
        f"{ratio_to_mean(subject, mean)} times the mean of {_money(mean)} over the "
        f"{plural(mean.num, 'earlier transaction')} that {mention(mean.subject)} sent {_window(mean)}."
    )


@singledispatch
def sentence(item: Evidence) -> str:
    """One item in words."""
    raise TypeError(f"no sentence is written for evidence of type {type(item).__name__}")


@sentence.register
def _transaction(item: TransactionFact) -> str:
    own = item.transaction
    late = f", available at {format_time(own.available_at)}" if own.available_at > own.event_time else ""
    return (
        f"Transaction {mention_transaction(own.transaction_id)} is a {own.kind} of "
        f"{format_amount(own.amount_minor, own.currency)} from {mention(own.source)} to {mention(own.target)} "
        f"at {format_time(own.event_time)}{late}, {own.outcome}."
    )


@sentence.register
def _score(item: ScoreFact) -> str:
    own, score = mention_transaction(item.transaction_id), format_number(item.score)
    if item.score >= item.threshold:
        return f"The model gave {own} a score of {score}; an alert needs at least {format_number(item.threshold)}."
    return f"The model gave {own} a score of {score}; it did not reach the {format_number(item.threshold)} of an alert."


@sentence.register
def _attribution(item: ScoreAttribution) -> str:
    direction = "up" if item.logit_change > 0 else "down"
    value, typical, change = map(format_number, (item.value, item.typical, abs(item.logit_change)))
    return (
        f"The feature {item.feature}, {value} where {typical} is typical, moved the logit of "
        f"{mention_transaction(item.transaction_id)} {direction} by {change}."
    )


@sentence.register
def _statistic(item: WindowStatistic) -> str:
    who = mention(item.subject)
    if item.counterparty is not None:
        return _pair(item, who)
    if item.measure in ("amount_mean", "amount_max", "amount_sum"):
        what = {"amount_mean": "mean", "amount_max": "highest", "amount_sum": "sum"}[item.measure]
        count = plural(item.num, "earlier transaction" if item.without else "transaction")
        return f"Over the {count} that {who} {_verb(item)} {_window(item)}, the {what} amount was {_money(item)}."
    if item.measure == "distinct_counterparties":
        link = {"source": " to", "target": " from", "any": ""}[item.role]
        return f"{who} {_verb(item)}{link} {_bounded(item, 'counterparty', 'counterparties')} {_window(item)}."
    if item.measure == "known_frauds":
        return f"{who} had {_bounded(item, 'known fraud')} {_window(item)}."
    if item.measure == "refunds":
        return f"{who} {_verb(item)} {_bounded(item, 'refund')} {_window(item)}."
    noun = {"declined": "declined transaction", "zero_amount": "transaction of zero amount"}.get(item.measure)
    many = "transactions of zero amount" if item.measure == "zero_amount" else None
    return f"{who} {_verb(item)} {_bounded(item, noun or 'transaction', many)} {_window(item)}."


def _pair(item: WindowStatistic, who: str) -> str:
    other = mention(item.counterparty) if item.counterparty is not None else ""
    if item.value == 0 and item.is_complete:
        return f"{who} had no earlier transaction with {other} {_window(item)}."
    return f"{who} had {_bounded(item, 'earlier transaction')} with {other} {_window(item)}."


@sentence.register
def _use(item: UseFact) -> str:
    user, used = mention(item.user), mention(item.used)
    if item.is_new:
        return f"{used} is new to {user}: first seen together at {format_time(item.first_known_at)}."
    return f"{user} was known with {used} since {format_time(item.first_known_at)}."


@sentence.register
def _shared(item: SharedIdentifier) -> str:
    bound = "" if item.is_complete else "at least "
    is_own = item.identifier == item.subject  # an identifier that is itself investigated
    other = "" if is_own else "other "
    others = f"{bound}{plural(item.num_others, f'{other}party', f'{other}parties')}"
    owner = "" if is_own else f" of {mention(item.subject)}"
    frauds = plural(item.num_with_known_fraud, "of them has a known fraud", "of them have a known fraud")
    if item.num_with_known_fraud == 0:
        frauds = "no known fraud among them" if item.is_complete else "0 of them have a known fraud"
    return f"{mention(item.identifier)}{owner} was used by {others}; {frauds}."


@sentence.register
def _label(item: LabelFact) -> str:
    name = mention(item.party) if item.party is not None else mention_transaction(item.transaction_id or "")
    return f"{name} was labeled {item.label} ({item.origin}), known at {format_time(item.time)}."


@sentence.register
def _path(item: PathFact) -> str:
    names = " to ".join(mention(ref) for ref in item.parties)
    return (
        f"Money moved in a {item.shape} of {plural(len(item.transaction_ids), 'transaction')} from {names}, between "
        f"{format_time(item.started)} and {format_time(item.ended)}, ending with "
        f"{mention_transaction(item.transaction_ids[-1])}."
    )


@sentence.register
def _memo(item: MemoFact) -> str:
    own = mention_transaction(item.transaction_id)
    found = ["text that reads like an instruction"] if item.is_instruction_like else []
    found += ["hidden characters"] if item.had_hidden_characters else []
    if not found:
        return f"{own} has a memo."
    return f"The memo of {own} holds {' and '.join(found)}; it is shown as data and was not followed."


@sentence.register
def _similar(item: SimilarCase) -> str:
    frauds = plural(item.num_known_frauds, "known fraud") if item.num_known_frauds else "no known fraud"
    similarity = format_number(item.similarity)
    return f"{mention(item.other)} looks alike to {mention(item.subject)} (similarity {similarity}) and had {frauds}."


@sentence.register
def _missing(item: MissingFact) -> str:
    if item.what == "history":
        party = mention(item.party) if item.party is not None else ""
        return f"{party} had no earlier transaction by {format_time(item.time)}."
    own = mention_transaction(item.transaction_id or "")
    if item.what == "label":
        return f"There was no label of {own} by {format_time(item.time)}."
    return f"{own} names no device, address or card."


def _verb(item: WindowStatistic) -> str:
    return {"source": "sent", "target": "received", "any": "had"}[item.role]


def _bounded(item: WindowStatistic, noun: str, many: str | None = None) -> str:
    return ("" if item.is_complete else "at least ") + plural(item.value, noun, many)


def _money(item: WindowStatistic) -> str:
    bound = "" if item.is_complete else "at least "
    return bound + format_amount(item.value, item.currency or "XXX")


def _window(item: WindowStatistic) -> str:
    end = format_time(item.end)
    return f"by {end}" if item.width is None else f"in the {format_window(item.width)} to {end}"
