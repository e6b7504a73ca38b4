"""The read-only tools of an investigation: each gathers typed evidence about one question.

All read through a `CaseReader`, so as of one time. The thresholds that turn a number into supporting or
contradicting evidence are in `Indicators`; they sort evidence for a reader, no score is made of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ingestion.contracts import PartyRef
from ingestion.graph.store import GraphTransaction
from retrieval import measures
from retrieval.evidence import (
    Evidence,
    LabelFact,
    MemoFact,
    MissingFact,
    PathFact,
    ScoreAttribution,
    SharedIdentifier,
    Stance,
    TransactionFact,
    UseFact,
    WindowStatistic,
)
from retrieval.measures import Measure
from retrieval.paths import closed_cycle, money_around
from retrieval.reader import CaseReader, PartyRole
from retrieval.untrusted import inspect
from retrieval.wording import DAY, HOUR

#: Newest transactions of a party that are tried as the end of a cycle.
MAX_CLOSING = 8


@dataclass(frozen=True, kw_only=True)
class Indicators:
    """What counts as telling. Rates compare one day with the mean day of the 30 days to the same time."""

    burst_count: int = 5
    burst_ratio: float = 4.0
    high_amount_ratio: float = 3.0
    usual_amount_ratio: float = 1.5
    min_history: int = 5
    fan: int = 8
    fan_ratio: float = 4.0
    declines: int = 2
    refunds: int = 3
    familiar_pair: int = 3
    fraud_share: float = 0.01
    few_links: int = 200
    shared_by_few: int = 20
    shared_fraud_share: float = 0.05
    num_attributions: int = 3
    identifiers: int = 8


def subject_fact(transaction: GraphTransaction) -> TransactionFact:
    """The transaction itself."""
    return TransactionFact(time=transaction.available_at, transaction=transaction)


def memo_facts(reader: CaseReader, transaction: GraphTransaction) -> list[Evidence]:
    """The memo, when there is one; text that reads like an instruction or hides characters is supporting."""
    memo = reader.memo(transaction.transaction_id)
    if not memo:
        return []
    seen = inspect(memo)
    odd = seen.is_instruction_like or seen.had_hidden_characters
    return [
        MemoFact(
            stance="supporting" if odd else "neutral",
            time=transaction.available_at,
            transaction_id=transaction.transaction_id,
            **vars(seen),
        )
    ]


def label_facts(reader: CaseReader, transaction: GraphTransaction) -> list[Evidence]:
    """The transaction's label as known by then, or that there is none."""
    label = reader.label(transaction.transaction_id)
    own = transaction.transaction_id
    if label is None:
        return [MissingFact(stance="missing", time=reader.as_of, what="label", transaction_id=own)]
    return [
        LabelFact(
            stance=_by_label(label.label),
            time=label.known_at,
            transaction_id=own,
            label=label.label,
            origin=label.origin,
        )
    ]


def party_labels(reader: CaseReader, ref: PartyRef) -> list[Evidence]:
    """The party's own label, when it has one."""
    label = reader.entity_label(ref)
    if label is None:
        return []
    stance = _by_label(label.label)
    return [LabelFact(stance=stance, time=label.known_at, party=ref, label=label.label, origin=label.origin)]


def attributions(reader: CaseReader, transaction: GraphTransaction, indicators: Indicators) -> list[Evidence]:
    """The features that moved the score most, where the model can say."""
    items = sorted(
        reader.attributions(transaction.transaction_id), key=lambda item: (-abs(item.logit_change), item.feature)
    )
    return [
        ScoreAttribution(
            stance="supporting" if item.logit_change > 0 else "contradicting",
            time=transaction.available_at,
            transaction_id=transaction.transaction_id,
            feature=item.feature,
            **measures.rounded(item),
        )
        for item in items[: indicators.num_attributions]
        if item.logit_change == item.logit_change and abs(item.logit_change) >= 0.01
    ]


def velocity(reader: CaseReader, ref: PartyRef, *, end: int, role: PartyRole, indicators: Indicators) -> list[Evidence]:
    """Transactions of the last hour, day and 30 days; a burst is supporting."""
    month = _measured(reader, ref, "count", role=role, end=end, width=30 * DAY)
    day = _measured(reader, ref, "count", role=role, end=end, width=DAY)
    hour = _measured(reader, ref, "count", role=role, end=end, width=HOUR)
    is_burst = _is_burst(day, month, indicators.burst_count, indicators.burst_ratio)
    in_an_hour = hour.value >= indicators.burst_count
    found: list[Evidence] = [replace(day, stance="supporting" if is_burst else "neutral"), month]
    return [*found, replace(hour, stance="supporting")] if in_an_hour else found


def amount_against_history(
    reader: CaseReader, transaction: GraphTransaction, indicators: Indicators
) -> list[WindowStatistic]:
    """The mean and highest amount that the source sent in the 30 days before, in the same currency."""
    mean = _measured(
        reader,
        transaction.source,
        "amount_mean",
        role="source",
        currency=transaction.currency,
        without=transaction.transaction_id,
        end=transaction.event_time,
        width=30 * DAY,
    )
    blank = replace(mean, measure="amount_max")
    highest = blank.recompute(reader)
    if mean.num < indicators.min_history or mean.value == 0 or not mean.is_complete:
        return []
    stance: Stance = "neutral"
    if transaction.amount_minor >= indicators.high_amount_ratio * mean.value:
        stance = "supporting"
    elif transaction.amount_minor <= indicators.usual_amount_ratio * mean.value:
        stance = "contradicting"
    above = transaction.amount_minor > highest.value
    found = [replace(mean, stance=stance)]
    return [*found, replace(highest, stance="supporting")] if above and stance == "supporting" else found


def counterparty(reader: CaseReader, transaction: GraphTransaction, indicators: Indicators) -> list[Evidence]:
    """How often the source dealt with this target before."""
    earlier = _measured(
        reader,
        transaction.source,
        "count",
        role="any",
        counterparty=transaction.target,
        without=transaction.transaction_id,
        end=transaction.event_time,
        width=None,
    )
    if earlier.value >= indicators.familiar_pair:
        return [replace(earlier, stance="contradicting")]
    is_first = earlier.value == 0 and earlier.is_complete
    return [replace(earlier, stance="supporting")] if is_first else []


def identifiers(reader: CaseReader, transaction: GraphTransaction, indicators: Indicators) -> list[Evidence]:
    """Devices, addresses, cards of the transaction: new to the source or long known, and who else used them."""
    if not transaction.parties:
        own = transaction.transaction_id
        return [MissingFact(stance="missing", time=reader.as_of, what="identifier", transaction_id=own)]
    found: list[Evidence] = []
    for used in transaction.parties[: indicators.identifiers]:
        found += _use(reader, transaction, used)
        found += shared_identifier(reader, transaction.source, used, indicators)
    return found


def shared_identifier(
    reader: CaseReader, subject: PartyRef, identifier: PartyRef, indicators: Indicators
) -> list[Evidence]:
    """Other users of an identifier; known frauds among a few users are supporting, none among them says little."""
    blank = SharedIdentifier(time=reader.as_of, subject=subject, identifier=identifier)
    shared = blank.recompute(reader)
    if shared.num_others == 0:
        return []
    share = shared.num_with_known_fraud / shared.num_others
    telling = shared.num_with_known_fraud > 0 and (
        shared.num_others <= indicators.shared_by_few or share >= indicators.shared_fraud_share
    )
    if not telling and shared.num_others > indicators.shared_by_few:
        return []
    return [replace(shared, stance="supporting" if telling else "neutral")]


def known_frauds(reader: CaseReader, ref: PartyRef, indicators: Indicators) -> list[Evidence]:
    """Frauds of the party known by then: within 30 days, and ever; supporting unless it is a busy place."""
    ever = _measured(reader, ref, "known_frauds", role="any", end=reader.as_of, width=None)
    if ever.value == 0:
        return []
    month = _measured(reader, ref, "known_frauds", role="any", end=reader.as_of, width=30 * DAY)
    node = reader.entity(ref)
    num_links = node.num_links if node is not None else 0
    telling = num_links <= indicators.few_links or ever.value >= indicators.fraud_share * num_links
    chosen = month if month.value else ever
    return [replace(chosen, stance="supporting" if telling else "neutral")]


def fan(reader: CaseReader, ref: PartyRef, *, end: int, role: PartyRole, indicators: Indicators) -> list[Evidence]:
    """Many distinct counterparties on a day with far more transactions than usual: fan-in as target, fan-out as
    source."""
    day = _measured(reader, ref, "distinct_counterparties", role=role, end=end, width=DAY)
    month = _measured(reader, ref, "distinct_counterparties", role=role, end=end, width=30 * DAY)
    stands_out = day.num >= indicators.fan_ratio * month.num / 30  # distinct ones of 30 days do not add up
    if day.value < indicators.fan or not stands_out or not (day.is_complete and month.is_complete):
        return []
    return [replace(day, stance="supporting")]


def declines(reader: CaseReader, ref: PartyRef, *, end: int, indicators: Indicators) -> list[Evidence]:
    """Declined and zero-value attempts of one day, as card testing makes them."""
    found: list[Evidence] = []
    attempts: tuple[Measure, ...] = ("declined", "zero_amount")
    for name in attempts:
        day = _measured(reader, ref, name, role="any", end=end, width=DAY)
        month = _measured(reader, ref, name, role="any", end=end, width=30 * DAY)
        if _is_burst(day, month, indicators.declines, indicators.burst_ratio):
            found.append(replace(day, stance="supporting"))
    return found


def refunds(reader: CaseReader, ref: PartyRef, *, end: int, indicators: Indicators) -> list[Evidence]:
    """Refunds and reversals received in 30 days."""
    month = _measured(reader, ref, "refunds", role="target", end=end, width=30 * DAY)
    return [replace(month, stance="supporting")] if month.value >= indicators.refunds else []


def cycles(reader: CaseReader, closing: list[GraphTransaction]) -> list[Evidence]:
    """A cycle of money that one of the transactions closes; the first found, newest transaction first."""
    for transaction in [item for item in closing if measures.moves_money(item)][:MAX_CLOSING]:
        chain = closed_cycle(transaction, money_around(reader, transaction))
        if chain is not None:
            return [_path(chain)]
    return []


def _path(chain: tuple[GraphTransaction, ...]) -> PathFact:
    return PathFact(
        stance="supporting",
        time=max(step.available_at for step in chain),
        shape="cycle",
        parties=(*(step.source for step in chain), chain[-1].target),
        transaction_ids=tuple(step.transaction_id for step in chain),
        started=chain[0].event_time,
        ended=chain[-1].event_time,
    )


def _use(reader: CaseReader, transaction: GraphTransaction, used: PartyRef) -> list[Evidence]:
    blank = UseFact(time=transaction.available_at, user=transaction.source, used=used, first_known_at=0, is_new=False)
    fact = blank.recompute(reader)
    if fact is None:
        return []
    has_past = any(
        item.transaction_id != transaction.transaction_id for item in reader.history(transaction.source).transactions
    )
    if fact.is_new:
        return [replace(fact, stance="supporting" if has_past else "neutral")]
    known_long = transaction.available_at - fact.first_known_at >= 7 * DAY
    return [replace(fact, stance="contradicting" if known_long else "neutral")]


def _measured(
    reader: CaseReader,
    ref: PartyRef,
    name: Measure,
    *,
    role: PartyRole,
    end: int,
    width: int | None,
    counterparty: PartyRef | None = None,
    currency: str | None = None,
    without: str | None = None,
) -> WindowStatistic:
    blank = WindowStatistic(
        time=reader.as_of,
        subject=ref,
        measure=name,
        role=role,
        counterparty=counterparty,
        currency=currency,
        without=without,
        end=end,
        width=width,
    )
    return blank.recompute(reader)


def _is_burst(day: WindowStatistic, month: WindowStatistic, least: int, ratio: float) -> bool:
    """Whether one day stands out of the mean day of its 30 days; never on a history that was not read whole."""
    return day.is_complete and month.is_complete and day.value >= max(least, ratio * month.value / 30)


def _by_label(label: str) -> Stance:
    return "supporting" if label == "fraud" else "contradicting"
