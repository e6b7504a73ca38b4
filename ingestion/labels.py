"""Labels as events with a clock of their own: maturing, and what was known as of a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ingestion.contracts import LABEL_ORIGINS

Ints = NDArray[np.int64]

UNKNOWN, LEGITIMATE, FRAUD = -1, 0, 1
MATURED = LABEL_ORIGINS.index("matured")


@dataclass(frozen=True, kw_only=True)
class LabelEvents:
    """Labels of transactions in sequence order (`known_at`, then transaction id), all (L,).

    `position` is the labelled transaction's position in the sequence of the snapshot, `origin` an index into
    `LABEL_ORIGINS` (0 is the strongest).
    """

    position: Ints
    known_at: Ints
    is_fraud: NDArray[np.bool_]
    origin: Ints

    def as_of(self, time: int, num_transactions: int) -> NDArray[np.int8]:
        """What was known at `time` (closed): (N,) of UNKNOWN, LEGITIMATE or FRAUD.

        The latest `known_at` wins; ties go to the stronger origin (analyst, chargeback, rule, matured).
        """
        known = np.flatnonzero(self.known_at <= time)
        order = known[np.lexsort((-self.origin[known], self.known_at[known]))]
        state = np.full(num_transactions, UNKNOWN, np.int8)
        state[self.position[order]] = self.is_fraud[order]  # later assignments win
        return state


@dataclass(frozen=True, kw_only=True)
class EntityLabelEvents:
    """Labels of entities in order of `known_at`, all (L,): dense entity ids, times in µs, origins into LABEL_ORIGINS.

    Where `for_training` is False no model may train on the label: when it became known is not known.
    """

    entity: Ints
    known_at: Ints
    is_fraud: NDArray[np.bool_]
    origin: Ints
    for_training: NDArray[np.bool_]


def matured_labels(
    *,
    event_time: Ints,
    available_at: Ints,
    can_mature: NDArray[np.bool_],
    labels: LabelEvents,
    maturity: int,
    horizon: int,
) -> LabelEvents:
    """The `matured` labels: legitimate at `event_time + maturity` (µs), or just after its arrival if that is later (a
    label that is known on arrival would tell the transaction its own outcome), unless a label was known by then.

    Args:
        event_time: (N,) of every transaction, in sequence order; `available_at` (N,) likewise.
        can_mature: (N,) False for what was declined or blocked, or is an alert not yet reviewed.
        labels: explicit labels.
        horizon: end of the data, µs: nothing matures after it.
    """
    matures_at = np.maximum(event_time + maturity, available_at + 1)
    first_label = np.full(len(event_time), np.iinfo(np.int64).max)
    np.minimum.at(first_label, labels.position, labels.known_at)
    position = np.flatnonzero(can_mature & (matures_at <= horizon) & (first_label > matures_at))
    position = position[np.argsort(matures_at[position], kind="stable")]
    return LabelEvents(
        position=position,
        known_at=matures_at[position],
        is_fraud=np.zeros(len(position), np.bool_),
        origin=np.full(len(position), MATURED, np.int64),
    )
