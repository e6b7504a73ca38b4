"""A history fed to the online state one event at a time, after a fold of what the batch made."""

from __future__ import annotations

import numpy as np

from ingestion.features.spec import FeatureSpec
from ingestion.features.state import FeatureState, OnlineTransaction
from ingestion.labels import LabelEvents
from ingestion.snapshot import TransactionArrays
from tests.leakage.histories import CURRENCIES, ROLES, SPEC, Floats, History


def folded(history: History, matrix: Floats, *, up_to: int, spec: FeatureSpec = SPEC) -> FeatureState:
    """The state after `up_to` events, from features that the batch made."""
    arrays = TransactionArrays(
        event_time=history.event_time,
        available_at=history.available_at,
        amount_minor=history.amount_minor,
        currency=history.currency,
        currencies=CURRENCIES,
        kind=history.kind,
        outcome=history.outcome,
        entity=history.entity,
        roles=ROLES,
    )
    known = (
        history.label_known_at <= history.available_at[up_to - 1]
        if up_to
        else np.zeros(len(history.label_known_at), bool)
    )
    labels = LabelEvents(
        position=history.label_position[known],
        known_at=history.label_known_at[known],
        is_fraud=history.label_is_fraud[known],
        origin=np.zeros(int(known.sum()), np.int64),
    )
    return FeatureState.folded(spec, arrays, labels, matrix, up_to=up_to)


def fed(state: FeatureState, history: History, *, begin: int, end: int) -> Floats:
    """(end - begin, F) features of the events from `begin` on, and of labels as they become due."""
    after = history.available_at[begin - 1] if begin else -1
    label = int(np.searchsorted(history.label_known_at, after, side="right"))
    parties = [
        {role: int(entity) for role, entity in zip(ROLES, entities, strict=True) if entity >= 0}
        for entities in history.entity
    ]
    rows = []
    for position in range(begin, end):
        while label < len(history.label_known_at) and history.label_known_at[label] <= history.available_at[position]:
            at = int(history.label_position[label])
            state.observe_label(
                at,
                parties[at],
                known_at=int(history.label_known_at[label]),
                is_fraud=bool(history.label_is_fraud[label]),
            )
            label += 1
        rows.append(
            state.observe_transaction(
                OnlineTransaction(
                    event_time=int(history.event_time[position]),
                    amount_minor=int(history.amount_minor[position]),
                    currency=CURRENCIES[history.currency[position]],
                    kind=history.kind[position],
                    outcome=history.outcome[position],
                    parties=parties[position],
                )
            )
        )
    return np.stack(rows)


def unequal(history: History, matrix: Floats, *, begin: int, end: int, spec: FeatureSpec = SPEC) -> int:
    """Values that differ by a bit, of the events from `begin` to `end`, fed one by one after a fold."""
    found = fed(folded(history, matrix, up_to=begin, spec=spec), history, begin=begin, end=end)
    return int((found.view(np.uint32) != matrix[begin:end].view(np.uint32)).sum())
