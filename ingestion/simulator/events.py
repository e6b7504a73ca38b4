"""Events as columns of whole numbers; names and other text come last, in `tables.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ingestion.contracts import KINDS, OUTCOMES

CHANNELS = ("card_present", "online", "transfer", "recurring")
#: What a transaction is for: it decides which memos fit, and is never written out.
PURPOSES = ("purchase", "check", "subscription", "person", "bill", "salary", "rent", "refund")

PAYMENT, AUTHORISATION, CAPTURE, TRANSFER, REFUND, REVERSAL = range(len(KINDS))
APPROVED, DECLINED = range(len(OUTCOMES))
CARD_PRESENT, ONLINE, BY_TRANSFER, RECURRING = range(len(CHANNELS))
PURCHASE, CHECK, SUBSCRIPTION, PERSON, BILL, SALARY, RENT, REFUNDED = range(len(PURPOSES))

NONE = -1


@dataclass(frozen=True, kw_only=True)
class Events:
    """Columns of n events, all (n,) int64; `NONE` where an event has no such thing.

    `time` is µs since the start, `actor` the account that acts (payer; the receiver of a refund), `merchant` or
    `peer` (an account) the other side, `refers_to` a row of the same table, `case` the planted case and `role`
    an index into the simulation's list of roles.
    """

    time: NDArray[np.int64]
    actor: NDArray[np.int64]
    merchant: NDArray[np.int64]
    peer: NDArray[np.int64]
    amount: NDArray[np.int64]
    kind: NDArray[np.int64]
    outcome: NDArray[np.int64]
    channel: NDArray[np.int64]
    purpose: NDArray[np.int64]
    card: NDArray[np.int64]
    device: NDArray[np.int64]
    ip: NDArray[np.int64]
    refers_to: NDArray[np.int64]
    case: NDArray[np.int64]
    role: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.time)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Events:
        """The given rows, in that order; `refers_to` is left as it is."""
        return Events(**{name: getattr(self, name)[rows] for name in COLUMNS})

    def replace(self, **columns: ArrayLike) -> Events:
        """The same events with some columns changed."""
        return make(**({name: getattr(self, name) for name in COLUMNS} | columns))


COLUMNS = tuple(field.name for field in fields(Events))
_DEFAULTS = {
    "kind": PAYMENT,
    "outcome": APPROVED,
    "channel": ONLINE,
    "purpose": PURCHASE,
    "amount": 0,
}


def make(*, time: ArrayLike, actor: ArrayLike, **columns: ArrayLike) -> Events:
    """Build events from columns and scalars; a column that is not given is `NONE`, or an approved online payment.

    >>> make(time=[1, 2], actor=7).actor.tolist()
    [7, 7]
    """
    given: dict[str, ArrayLike] = {"time": time, "actor": actor, **columns}
    size = np.size(time)
    arrays = {
        name: np.array(np.broadcast_to(np.asarray(given.get(name, _DEFAULTS.get(name, NONE)), np.int64), size))
        for name in COLUMNS
    }
    return Events(**arrays)


def concat(parts: Sequence[Events]) -> Events:
    """One table of all parts, in their order; `refers_to` of a part must already count rows of the whole."""
    return Events(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS})
