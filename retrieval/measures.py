"""The numbers of evidence: pure measures over a party's history as of a time, each used to make and to check."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal, get_args

from ingestion.contracts import PartyRef
from ingestion.graph.store import GraphTransaction
from retrieval.reader import Attribution, CaseReader, PartyRole

Measure = Literal[
    "count",
    "amount_sum",
    "amount_mean",
    "amount_max",
    "distinct_counterparties",
    "declined",
    "zero_amount",
    "refunds",
    "known_frauds",
]
MEASURES: tuple[Measure, ...] = get_args(Measure)
AMOUNTS = frozenset({"amount_sum", "amount_mean", "amount_max"})

#: Kinds that give money back.
RETURNS = frozenset({"refund", "reversal"})


def measure(
    reader: CaseReader,
    subject: PartyRef,
    name: Measure,
    *,
    role: PartyRole,
    counterparty: PartyRef | None,
    currency: str | None,
    without: str | None,
    end: int,
    width: int | None,
) -> tuple[int, int, bool]:
    """Value, number of transactions behind it, and whether the history was read whole.

    Windows are (end - width, end] by event time; `known_frauds` by the label's `known_at`. `amount_mean` is
    rounded half to even to a minor unit. An empty window gives 0.
    """
    if name == "known_frauds":
        frauds = [
            label
            for label in reader.known_frauds(subject)
            if label.known_at <= end and (width is None or label.known_at > end - width)
        ]
        return len(frauds), len(frauds), True
    history = reader.history(subject)
    chosen = history.select(end=end, width=width, role=role, counterparty=counterparty, without=without)
    is_complete = history.covers(None if width is None else end - width)
    if name in AMOUNTS:
        amounts = [transaction.amount_minor for transaction in chosen if transaction.currency == currency]
        return _amount(name, amounts), len(amounts), is_complete
    return _count(name, subject, chosen), len(chosen), is_complete


def half_even(part: int, whole: int) -> int:
    """part / whole rounded half to even, exactly.

    >>> half_even(5, 2), half_even(7, 2)
    (2, 4)
    """
    quotient, remainder = divmod(part, whole)
    twice = 2 * remainder
    return quotient + (twice > whole or (twice == whole and quotient % 2 == 1))


def is_chain(steps: Sequence[GraphTransaction], parties: Sequence[PartyRef]) -> bool:
    """Whether the steps lead along `parties`, each later than the one before, all approved and of some amount."""
    if len(steps) != len(parties) - 1 or not steps:
        return False
    joined = all(
        step.source == parties[index] and step.target == parties[index + 1] for index, step in enumerate(steps)
    )
    times = [step.event_time for step in steps]
    ordered = all(earlier < later for earlier, later in pairwise(times))
    return joined and ordered and all(moves_money(step) for step in steps)


def moves_money(transaction: GraphTransaction) -> bool:
    """Whether money went from source to target and was not given back by this very transaction."""
    return (
        transaction.outcome == "approved"
        and transaction.amount_minor > 0
        and transaction.kind not in RETURNS
        and transaction.kind != "authorisation"
    )


def rounded(item: Attribution) -> dict[str, Any]:
    """The numbers of an attribution to six significant digits, so that they print and compare alike."""
    return {
        "value": _six(item.value),
        "typical": _six(item.typical),
        "logit_change": _six(item.logit_change),
    }


def is_missing(reader: CaseReader, what: str, transaction_id: str | None, party: PartyRef | None) -> bool:
    """Whether it was not known by then: a transaction's `label`, its `identifier`, a party's earlier `history`."""
    if what == "history":
        return party is not None and not [
            transaction
            for transaction in reader.history(party).transactions
            if transaction.transaction_id != transaction_id
        ]
    transaction = reader.transaction(transaction_id or "")
    if transaction is None:
        return False
    if what == "label":
        return reader.label(transaction.transaction_id) is None
    return not transaction.parties


def _amount(name: str, amounts: list[int]) -> int:
    if not amounts:
        return 0
    if name == "amount_sum":
        return sum(amounts)
    return max(amounts) if name == "amount_max" else half_even(sum(amounts), len(amounts))


def _count(name: str, subject: PartyRef, chosen: Sequence[GraphTransaction]) -> int:
    if name == "declined":
        return sum(transaction.outcome == "declined" for transaction in chosen)
    if name == "zero_amount":
        return sum(transaction.amount_minor == 0 for transaction in chosen)
    if name == "refunds":
        return sum(transaction.kind in RETURNS for transaction in chosen)
    if name == "distinct_counterparties":
        return len({other for transaction in chosen for other in _others(transaction, subject)})
    return len(chosen)


def _others(transaction: GraphTransaction, subject: PartyRef) -> set[PartyRef]:
    """The other end; both ends for a further party (a device, a card)."""
    return {transaction.source, transaction.target} - {subject}


def _six(value: float | None) -> float | None:
    return None if value is None or value != value else float(f"{value:.6g}")
