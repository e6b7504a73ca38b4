"""The profile of a party as of a time: what it did and what is known about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from graphml.graph import Ints, TransactionGraph
from ingestion.contracts import PartyRef
from ingestion.graph.store import GraphTransaction
from ingestion.labels import FRAUD
from ingestion.snapshot import Snapshot
from retrieval.records import SnapshotRecords
from retrieval.risk import Risk


@dataclass(frozen=True, kw_only=True)
class CurrencyTotal:
    """Transactions of a party in one currency."""

    currency: str
    count: int
    amount_minor: int


@dataclass(frozen=True, kw_only=True)
class Activity:
    """What a party did by a time; times in µs. `by_role` counts its transactions by the role that it has in them."""

    first_known_at: int
    last_available_at: int
    num_transactions: int
    num_declined: int
    num_counterparties: int
    by_role: dict[str, int]
    totals: tuple[CurrencyTotal, ...]
    known_fraud: int
    known_legitimate: int


@dataclass(frozen=True, kw_only=True)
class EntityProfile:
    """A party as of a time (µs). Its risk is an order among parties, never a probability (`retrieval.risk`)."""

    ref: PartyRef
    as_of: int
    activity: Activity
    risk: Risk


class Activities:
    """Activities over one snapshot and its graph arrays."""

    def __init__(self, snapshot: Snapshot, graph: TransactionGraph, records: SnapshotRecords) -> None:
        self._snapshot = snapshot
        self._graph = graph
        self._records = records

    def activity(self, ref: PartyRef, *, as_of: int, extra: Iterable[GraphTransaction] = ()) -> Activity | None:
        """What the party did by then (µs, closed), None when it was not known.

        `extra` are transactions of the party that are not in the snapshot.
        """
        positions = self._positions(ref, as_of)
        newer = [transaction for transaction in extra if transaction.available_at <= as_of]
        if len(positions) == 0 and not newer:
            return None
        arrays = self._snapshot.arrays
        available = [*arrays.available_at[positions[[0, -1]]].tolist()] if len(positions) else []
        available += [transaction.available_at for transaction in newer]
        counts, amounts = self._money(positions, newer)
        labels = Counter(self._labels(positions, as_of))
        return Activity(
            first_known_at=min(available),
            last_available_at=max(available),
            num_transactions=len(positions) + len(newer),
            num_declined=int((arrays.outcome[positions] == "declined").sum())
            + sum(transaction.outcome == "declined" for transaction in newer),
            num_counterparties=len(self._counterparties(ref, positions, newer)),
            by_role=self._roles(ref, positions, newer),
            totals=tuple(
                CurrencyTotal(currency=code, count=counts[code], amount_minor=amounts[code]) for code in sorted(counts)
            ),
            known_fraud=labels["fraud"],
            known_legitimate=labels["legitimate"],
        )

    def base_rate(self, as_of: int) -> float:
        """Share of fraud among the labels known by then (µs, closed)."""
        labels = self._snapshot.label_events
        num_known = int(np.searchsorted(labels.known_at, as_of, side="right"))
        return float(labels.is_fraud[:num_known].mean()) if num_known else 0.0

    def _positions(self, ref: PartyRef, as_of: int) -> Ints:
        entity = self._records.entity_id(ref)
        if entity is None:
            return np.empty(0, np.int64)
        slots = self._graph.incident[self._graph.starts[entity] : self._graph.stops[entity]]
        return slots[: np.searchsorted(slots, self._records.cut(as_of))]

    def _money(self, positions: Ints, newer: list[GraphTransaction]) -> tuple[Counter[str], Counter[str]]:
        """Number and sum of the transactions by currency."""
        arrays = self._snapshot.arrays
        counts: Counter[str] = Counter()
        amounts: Counter[str] = Counter()
        codes = arrays.currency[positions]
        for code in np.unique(codes):
            name = arrays.currencies[code]
            counts[name] = int((codes == code).sum())
            amounts[name] = int(arrays.amount_minor[positions][codes == code].sum())
        for transaction in newer:
            counts[transaction.currency] += 1
            amounts[transaction.currency] += transaction.amount_minor
        return counts, amounts

    def _roles(self, ref: PartyRef, positions: Ints, newer: list[GraphTransaction]) -> dict[str, int]:
        arrays = self._snapshot.arrays
        entity = self._records.entity_id(ref)
        involved = (arrays.entity[positions] == entity).sum(axis=0)
        by_role = {role: int(count) for role, count in zip(arrays.roles, involved, strict=True)}
        for transaction in newer:
            roles = {"source": transaction.source, "target": transaction.target}
            roles |= {party.type: party for party in transaction.parties}
            for role, party in roles.items():
                by_role[role] = by_role.get(role, 0) + (party == ref)
        return by_role

    def _counterparties(self, ref: PartyRef, positions: Ints, newer: list[GraphTransaction]) -> set[PartyRef]:
        entities = np.unique(self._snapshot.arrays.entity[positions, :2])
        found = {self._records.ref(int(entity)) for entity in entities}
        found |= {end for transaction in newer for end in (transaction.source, transaction.target)}
        return found - {ref}

    def _labels(self, positions: Ints, as_of: int) -> list[str]:
        """Labels of these transactions as known by then; those without one are left out."""
        starts, stops = self._graph.label_starts[positions], self._graph.label_stops[positions]
        labels = []
        for start, stop in zip(starts[stops > starts], stops[stops > starts], strict=True):
            num_known = np.searchsorted(self._graph.label_known_at[start:stop], as_of, side="right")
            if num_known:
                is_fraud = self._graph.label_state[start + num_known - 1] == FRAUD
                labels.append("fraud" if is_fraud else "legitimate")
        return labels
