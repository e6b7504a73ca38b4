"""What a sentence may and must say when it cites an item of evidence: the values that the verifier allows.

`facts_of(item)` gives the allowed names, amounts, times, windows, numbers and telling words, and the ones that
must be there (so that a citation that is not used is caught too).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import singledispatch
from itertools import pairwise

from ingestion.graph.store import GraphTransaction
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
    TransactionFact,
    UseFact,
    WindowStatistic,
)
from retrieval.measures import AMOUNTS
from retrieval.wording import (
    format_amount,
    format_count,
    format_number,
    format_time,
    format_window,
    mention,
    mention_transaction,
)

#: Words that tell direction, bound or outcome: a sentence may hold one only when a cited item says it.
TELLING_WORDS = frozenset(
    {
        "sent", "received", "approved", "declined", "refund", "refunds", "reversal", "fraud", "frauds", "legitimate",
        "new", "first", "earlier", "since", "at least", "no", "not", "never", "cycle", "path", "up", "down", "zero",
        "highest", "mean", "sum", "chargeback", "analyst", "matured", "rule", "without", "device", "times",
        "instruction", "hidden", "alike", "payment", "transfer", "authorisation", "capture",
    }
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Allowed values as they are written. `flows` are (from, to) mentions; `required` must all be in the text."""

    mentions: frozenset[str] = frozenset()
    amounts: frozenset[str] = frozenset()
    times: frozenset[str] = frozenset()
    windows: frozenset[str] = frozenset()
    numbers: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()
    flows: frozenset[tuple[str, str]] = frozenset()
    required: frozenset[str] = field(default=frozenset())


@singledispatch
def facts_of(item: Evidence) -> Facts:
    """Facts of one item; unknown types are refused."""
    raise TypeError(f"no facts are defined for evidence of type {type(item).__name__}")


@facts_of.register
def _transaction(item: TransactionFact) -> Facts:
    return _of_transaction(item.transaction)


def _of_transaction(transaction: GraphTransaction) -> Facts:
    source, target = mention(transaction.source), mention(transaction.target)
    own = mention_transaction(transaction.transaction_id)
    amount = format_amount(transaction.amount_minor, transaction.currency)
    words = {transaction.kind, transaction.outcome} | ({"zero"} if transaction.amount_minor == 0 else set())
    times = {format_time(transaction.event_time), format_time(transaction.available_at)}
    if transaction.available_at > transaction.event_time:
        words.add("not")
    return Facts(
        mentions=frozenset({own, source, target, *map(mention, transaction.parties)}),
        amounts=frozenset({amount}),
        times=frozenset(times),
        words=frozenset(words),
        flows=frozenset({(source, target)}),
        required=frozenset({own, amount}),
    )


@facts_of.register
def _window(item: WindowStatistic) -> Facts:
    one = item.value == 1
    telling = {"source": {"sent"}, "target": {"received"}, "any": set()}[item.role] | {
        "count": set(),
        "amount_sum": {"sum"},
        "amount_mean": {"mean"},
        "amount_max": {"highest"},
        "distinct_counterparties": set(),
        "declined": {"declined"},
        "zero_amount": {"zero"},
        "refunds": {"refund" if one else "refunds"},
        "known_frauds": {"fraud" if one else "frauds"},
    }[item.measure]
    words = set(telling)
    words |= {"earlier", "without"} if item.without else set()
    words |= {"no", "not", "never", "first", "new"} if item.value == 0 and item.is_complete else set()
    words |= set() if item.is_complete else {"at least"}
    is_amount = item.measure in AMOUNTS
    shown = format_amount(item.value, item.currency or "XXX") if is_amount else format_count(item.value)
    required = telling | {mention(item.subject)} | (set() if item.is_complete else {"at least"})
    required |= {mention(item.counterparty)} if item.counterparty is not None else set()
    required |= {format_window(item.width)} if item.width is not None else set()
    required |= {shown} if item.value or is_amount else set()
    return Facts(
        mentions=frozenset(mention(ref) for ref in (item.subject, item.counterparty) if ref is not None)
        | frozenset({mention_transaction(item.without)} if item.without else ()),
        amounts=frozenset({shown} if is_amount else ()),
        numbers=frozenset({format_count(item.num)} | (set() if is_amount else {shown})),
        times=frozenset({format_time(item.end)}),
        windows=frozenset({format_window(item.width)} if item.width is not None else ()),
        words=frozenset(words),
        required=frozenset(required),
    )


@facts_of.register
def _use(item: UseFact) -> Facts:
    words = {"new", "first"} if item.is_new else {"since", "not", "new"}
    return Facts(
        mentions=frozenset({mention(item.user), mention(item.used)}),
        times=frozenset({format_time(item.first_known_at), format_time(item.time)}),
        words=frozenset(words | {"device"}),
        required=frozenset(
            {mention(item.user), mention(item.used)}
            | ({"first"} if item.is_new else {"since", format_time(item.first_known_at)})
        ),
    )


@facts_of.register
def _shared(item: SharedIdentifier) -> Facts:
    counts = {format_count(item.num_others), format_count(item.num_with_known_fraud)}
    words = {"fraud", "frauds"} | (set() if item.is_complete else {"at least"})
    words |= {"no"} if 0 in (item.num_others, item.num_with_known_fraud) and item.is_complete else set()
    return Facts(
        mentions=frozenset(map(mention, (item.subject, item.identifier, *item.others))),
        numbers=frozenset(counts),
        words=frozenset(words),
        required=frozenset({mention(item.identifier)} | (set() if item.is_complete else {"at least"}))
        | frozenset(count for count in counts if count != "0"),
    )


@facts_of.register
def _label(item: LabelFact) -> Facts:
    name = mention(item.party) if item.party is not None else mention_transaction(item.transaction_id or "")
    time = format_time(item.time)
    return Facts(
        mentions=frozenset({name}),
        times=frozenset({time}),
        words=frozenset({item.label, item.origin}),
        required=frozenset({name, item.label, time}),
    )


@facts_of.register
def _path(item: PathFact) -> Facts:
    names = [mention(ref) for ref in item.parties]
    return Facts(
        mentions=frozenset({*names, *map(mention_transaction, item.transaction_ids)}),
        numbers=frozenset({format_count(len(item.transaction_ids))}),
        times=frozenset({format_time(item.started), format_time(item.ended)}),
        words=frozenset({item.shape}),
        flows=frozenset(pairwise(names)),
        required=frozenset({item.shape, " to ".join(names), format_count(len(item.transaction_ids))}),
    )


@facts_of.register
def _score(item: ScoreFact) -> Facts:
    score, threshold = format_number(item.score), format_number(item.threshold)
    return Facts(
        mentions=frozenset({mention_transaction(item.transaction_id)}),
        numbers=frozenset({score, threshold}),
        words=frozenset({"at least"} if item.score >= item.threshold else {"not"}),
        required=frozenset({score, threshold}),
    )


@facts_of.register
def _attribution(item: ScoreAttribution) -> Facts:
    change = format_number(abs(item.logit_change))
    return Facts(
        mentions=frozenset({mention_transaction(item.transaction_id), item.feature}),
        numbers=frozenset({change, format_number(item.value), format_number(item.typical)}),
        words=frozenset({"up" if item.logit_change > 0 else "down"}),
        required=frozenset({item.feature, change}),
    )


@facts_of.register
def _memo(item: MemoFact) -> Facts:
    own = mention_transaction(item.transaction_id)
    words = ({"instruction"} if item.is_instruction_like else set()) | (
        {"hidden"} if item.had_hidden_characters else set()
    )
    return Facts(mentions=frozenset({own}), words=frozenset(words | {"not"}), required=frozenset({own}) | words)


@facts_of.register
def _similar(item: SimilarCase) -> Facts:
    similarity = format_number(item.similarity)
    count = format_count(item.num_known_frauds)
    return Facts(
        mentions=frozenset({mention(item.subject), mention(item.other)}),
        numbers=frozenset({similarity, count}),
        words=frozenset({"alike", "fraud", "frauds"} | ({"no"} if item.num_known_frauds == 0 else set())),
        required=frozenset({mention(item.other), similarity} | ({count} if item.num_known_frauds else {"no"})),
    )


@facts_of.register
def _missing(item: MissingFact) -> Facts:
    own = {mention_transaction(item.transaction_id)} if item.transaction_id else set()
    party = {mention(item.party)} if item.party is not None else set()
    return Facts(
        mentions=frozenset(own | party),
        times=frozenset({format_time(item.time)}),
        words=frozenset({"no", "earlier", "device"}),
        required=frozenset({"no"} | (party or own)),
    )
