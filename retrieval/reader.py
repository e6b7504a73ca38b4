"""One investigation's view of the data: every read is bound to one `as_of` (µs, closed), and remembered.

A verifier makes a `fresh()` reader, so what it recomputes comes from the store again and not from memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, Protocol

from ingestion.contracts import PartyRef
from ingestion.graph.store import GraphNode, GraphStore, GraphTransaction, GraphUse, Neighborhood
from retrieval.records import KnownLabel

#: Newest transactions that a history holds; beyond it the history is known to be incomplete.
READ_LIMIT = 500
#: Newest uses read of a party.
USE_LIMIT = 200

PartyRole = Literal["source", "target", "any"]


class Records(Protocol):
    """Labels as of a time, memos and dense ids. `retrieval.records.SnapshotRecords` is one."""

    def entity_id(self, ref: PartyRef) -> int | None: ...

    def is_known(self, ref: PartyRef, *, as_of: int) -> bool: ...

    def label(self, transaction_id: str, *, as_of: int) -> KnownLabel | None: ...

    def entity_label(self, ref: PartyRef, *, as_of: int) -> KnownLabel | None: ...

    def known_frauds(self, ref: PartyRef, *, as_of: int) -> tuple[KnownLabel, ...]: ...

    def memo(self, transaction_id: str) -> str | None: ...


@dataclass(frozen=True, kw_only=True)
class Attribution:
    """What one feature did to a transaction's logit: its value, a typical one (the training median), and the
    change of the logit against the typical value (positive: towards fraud)."""

    feature: str
    value: float | None
    typical: float | None
    logit_change: float


@dataclass(frozen=True, kw_only=True)
class AlertScore:
    """The score of an alert as given then: it never changes, whatever model is in force now."""

    transaction_id: str
    model_id: str
    score: float
    threshold: float


#: Attributions of a transaction's score, from data as of its own place in the sequence.
Attributor = Callable[[str], Sequence[Attribution]]
#: Calibrated scores of transactions as given then; those never scored are left out.
ScoreReader = Callable[[Sequence[str]], Mapping[str, float]]


@dataclass(frozen=True, kw_only=True)
class History:
    """The newest transactions of a party, newest first; `is_complete` when there are no older ones."""

    ref: PartyRef
    transactions: tuple[GraphTransaction, ...]
    is_complete: bool

    def covers(self, after: int | None) -> bool:
        """Whether every transaction with an event time after `after` (None: ever) is here."""
        if self.is_complete:
            return True
        return after is not None and after >= self.transactions[-1].available_at

    def select(
        self,
        *,
        end: int,
        width: int | None,
        role: PartyRole = "any",
        counterparty: PartyRef | None = None,
        without: str | None = None,
    ) -> tuple[GraphTransaction, ...]:
        """Transactions with event time in (end - width, end], of the party in a role, with a counterparty."""
        return tuple(
            transaction
            for transaction in self.transactions
            if transaction.event_time <= end
            and (width is None or transaction.event_time > end - width)
            and has_role(transaction, self.ref, role)
            and (counterparty is None or counterparty in (transaction.source, transaction.target))
            and transaction.transaction_id != without
        )


class CaseReader:
    """Reads of graph, labels, memos and model, all as of one time.

    Args:
        extra: transactions available by `as_of` that the store does not hold yet (scored by the API since the
            last nightly run); they are merged into what is read.
    """

    def __init__(
        self,
        store: GraphStore,
        records: Records,
        *,
        as_of: int,
        extra: Iterable[GraphTransaction] = (),
        attribute: Attributor | None = None,
        scores: ScoreReader | None = None,
        alert: AlertScore | None = None,
    ) -> None:
        self.store, self.records, self.as_of = store, records, as_of
        self.attribute, self.scores, self.alert = attribute, scores, alert
        self.extra = tuple(transaction for transaction in extra if transaction.available_at <= as_of)
        self._histories: dict[tuple[PartyRef, int], History] = {}
        self._transactions: dict[str, GraphTransaction | None] = {}
        self._attributions: dict[str, tuple[Attribution, ...]] = {}
        self._balls: dict[tuple[PartyRef, int, int], Neighborhood] = {}

    def fresh(self) -> CaseReader:
        """The same view with nothing remembered."""
        return CaseReader(
            self.store,
            self.records,
            as_of=self.as_of,
            extra=self.extra,
            attribute=self.attribute,
            scores=self.scores,
            alert=self.alert,
        )

    def transaction(self, transaction_id: str) -> GraphTransaction | None:
        """One transaction, None when it was not available by then."""
        if transaction_id in self._extra_by_id:
            return self._extra_by_id[transaction_id]
        if transaction_id not in self._transactions:
            self._transactions[transaction_id] = self.store.transaction(transaction_id, as_of=self.as_of)
        return self._transactions[transaction_id]

    def history(self, ref: PartyRef, *, limit: int = READ_LIMIT) -> History:
        """The newest transactions of a party, `limit` of them from the store."""
        if (ref, limit) not in self._histories:
            stored = self.store.transactions(ref, as_of=self.as_of, limit=limit)
            merged = {transaction.transaction_id: transaction for transaction in stored}
            merged |= {transaction.transaction_id: transaction for transaction in self.extra if names(transaction, ref)}
            self._histories[ref, limit] = History(
                ref=ref,
                transactions=tuple(sorted(merged.values(), key=sequence, reverse=True)),
                is_complete=len(stored) < limit,
            )
        return self._histories[ref, limit]

    def neighborhood(self, ref: PartyRef, *, hops: int, limit: int) -> Neighborhood:
        """See `GraphStore.neighborhood`; links of the center that are in `extra` are added."""
        key = (ref, hops, limit)
        if key not in self._balls:
            stored = self.store.neighborhood(ref, as_of=self.as_of, hops=hops, limit=limit)
            self._balls[key] = with_extra(stored, self.extra)
        return self._balls[key]

    def uses(self, ref: PartyRef) -> tuple[tuple[GraphUse, ...], bool]:
        """Uses that touch a party (as user or as used), oldest first, and whether these are all."""
        stored = self.neighborhood(ref, hops=1, limit=USE_LIMIT).uses
        stored = tuple(use for use in stored if ref in (use.user, use.used))
        first: dict[tuple[PartyRef, PartyRef], int] = {(use.user, use.used): use.first_known_at for use in stored}
        for transaction in self.extra:
            for used in transaction.parties:
                if ref in (transaction.source, used):
                    pair = (transaction.source, used)
                    first[pair] = min(first.get(pair, transaction.available_at), transaction.available_at)
        uses = [GraphUse(user=user, used=used, first_known_at=time) for (user, used), time in first.items()]
        return tuple(sorted(uses, key=_by_first_known)), len(stored) < USE_LIMIT

    def entity(self, ref: PartyRef) -> GraphNode | None:
        """The party, None when it was not known by then."""
        return self.store.entity(ref, as_of=self.as_of)

    def is_known(self, ref: PartyRef) -> bool:
        """Whether any transaction that names the party was available by then."""
        return self.records.is_known(ref, as_of=self.as_of) or any(
            names(transaction, ref) for transaction in self.extra
        )

    def label(self, transaction_id: str) -> KnownLabel | None:
        """The transaction's label as known by then."""
        return self.records.label(transaction_id, as_of=self.as_of)

    def entity_label(self, ref: PartyRef) -> KnownLabel | None:
        """The party's own label as known by then."""
        return self.records.entity_label(ref, as_of=self.as_of)

    def known_frauds(self, ref: PartyRef) -> tuple[KnownLabel, ...]:
        """The party's transactions labelled fraud as of then."""
        return self.records.known_frauds(ref, as_of=self.as_of)

    def memo(self, transaction_id: str) -> str | None:
        """The memo of a transaction that was available by then."""
        return None if self.transaction(transaction_id) is None else self.records.memo(transaction_id)

    def attributions(self, transaction_id: str) -> tuple[Attribution, ...]:
        """What each feature did to the transaction's score; empty when the model cannot say."""
        if self.attribute is None or self.transaction(transaction_id) is None:
            return ()
        if transaction_id not in self._attributions:
            self._attributions[transaction_id] = tuple(self.attribute(transaction_id))
        return self._attributions[transaction_id]

    @cached_property
    def _extra_by_id(self) -> dict[str, GraphTransaction]:
        return {transaction.transaction_id: transaction for transaction in self.extra}


def names(transaction: GraphTransaction, ref: PartyRef) -> bool:
    """Whether the party takes part in the transaction in any role."""
    return ref in (transaction.source, transaction.target) or ref in transaction.parties


def has_role(transaction: GraphTransaction, ref: PartyRef, role: PartyRole) -> bool:
    """Whether the party takes part in this role."""
    if role == "source":
        return transaction.source == ref
    if role == "target":
        return transaction.target == ref
    return names(transaction, ref)


def sequence(transaction: GraphTransaction) -> tuple[int, int, bytes]:
    """Place of a transaction in the sequence."""
    return transaction.available_at, transaction.event_time, transaction.transaction_id.encode()


def with_extra(around: Neighborhood, extra: Iterable[GraphTransaction]) -> Neighborhood:
    """A neighborhood with the center's transactions that the store does not hold yet, and the ends they lead to.

    Their `num_links` counts the added transactions; uses are left as the store knows them.
    """
    known = {transaction.transaction_id for transaction in around.transactions}
    added = [item for item in extra if names(item, around.center) and item.transaction_id not in known]
    if not added:
        return around
    nodes = {node.ref: node for node in around.nodes}
    nodes.setdefault(around.center, GraphNode(ref=around.center, hops=0, num_links=0))
    for item in added:
        for end in dict.fromkeys((around.center, item.source, item.target)):
            node = nodes.get(end, GraphNode(ref=end, hops=1, num_links=0))
            nodes[end] = replace(node, num_links=node.num_links + 1)
    return replace(
        around,
        nodes=tuple(sorted(nodes.values(), key=_by_hops)),
        transactions=tuple(sorted((*around.transactions, *added), key=sequence, reverse=True)),
    )


def _by_hops(node: GraphNode) -> tuple[int, bytes]:
    return node.hops, str(node.ref).encode()


def _by_first_known(use: GraphUse) -> tuple[int, str, str]:
    return use.first_known_at, str(use.user), str(use.used)
