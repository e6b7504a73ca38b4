"""What follows an honest payment: a retry after a decline, a capture, a reversal, a refund."""

from __future__ import annotations

import numpy as np

from ingestion.contracts import MICROSECONDS_PER_DAY
from ingestion.simulator import events as ev
from ingestion.simulator.config import SimulatorConfig
from ingestion.simulator.events import Events
from ingestion.simulator.population import Population
from ingestion.simulator.streams import Bools, Ints, stream
from ingestion.simulator.world import CATEGORIES

_RETRY_SHARE, _CAPTURE_SHARE, _REVERSAL_SHARE = 0.008, 0.006, 0.002
_RESERVES = np.array([category.reserves for category in CATEGORIES])
_MINUTE = 60_000_000


def num_followups(config: SimulatorConfig) -> int:
    """The most events that `with_followups` adds."""
    shares = (_RETRY_SHARE, _CAPTURE_SHARE, _REVERSAL_SHARE, config.refund_share)
    return sum(int(config.num_transactions * share) for share in shares)


def with_followups(config: SimulatorConfig, population: Population, honest: Events) -> Events:
    """The honest events and what follows them.

    A payment that is captured or reversed becomes an authorisation; captures, reversals and refunds name the
    row they refer to. No follow-up lies past the end of the span.
    """
    rng = stream(config.seed, "followups")
    is_payment = (honest.kind == ev.PAYMENT) & (honest.channel != ev.RECURRING)
    approved = is_payment & (honest.outcome == ev.APPROVED)
    reserves = np.zeros(len(honest), np.bool_)
    reserves[is_payment] = _RESERVES[population.merchants.category[honest.merchant[is_payment]]]
    total = config.num_transactions

    delay = rng.integers(_MINUTE // 3, 15 * _MINUTE, len(honest))
    declined = is_payment & (honest.outcome == ev.DECLINED)
    retried = _choose(rng, declined, honest.time + delay, int(total * _RETRY_SHARE), config.span)
    retries = honest.take(retried).replace(time=(honest.time + delay)[retried], outcome=ev.APPROVED, role=ev.NONE)

    settled = honest.time + rng.integers(MICROSECONDS_PER_DAY // 2, 3 * MICROSECONDS_PER_DAY, len(honest))
    captured = _choose(rng, approved & reserves, settled, int(total * _CAPTURE_SHARE), config.span)
    captures = honest.take(captured).replace(
        time=settled[captured], kind=ev.CAPTURE, refers_to=captured, device=ev.NONE, ip=ev.NONE, role=ev.NONE
    )

    undone = honest.time + rng.integers(_MINUTE, 600 * _MINUTE, len(honest))
    reversed_ = _choose(rng, approved & ~reserves, undone, int(total * _REVERSAL_SHARE), config.span)
    reversals = _back(honest, reversed_, undone, ev.REVERSAL)

    returned = honest.time + rng.integers(MICROSECONDS_PER_DAY, 14 * MICROSECONDS_PER_DAY, len(honest))
    refundable = approved & ~reserves
    refundable[reversed_] = False
    refunded = _choose(rng, refundable, returned, int(total * config.refund_share), config.span)
    part = np.where(rng.random(len(refunded)) < 0.7, 1.0, rng.uniform(0.2, 0.9, len(refunded)))
    refunds = _back(honest, refunded, returned, ev.REFUND)
    refunds = refunds.replace(amount=np.maximum((refunds.amount * part).astype(np.int64), 1))

    kind = honest.kind.copy()
    kind[captured] = kind[reversed_] = ev.AUTHORISATION
    return ev.concat([honest.replace(kind=kind), retries, captures, reversals, refunds])


def _choose(rng: np.random.Generator, eligible: Bools, time: Ints, number: int, span: int) -> Ints:
    """At most `number` of the eligible rows whose follow-up lies within the span, ascending."""
    rows = np.flatnonzero(eligible & (time < span))
    return np.sort(rng.permutation(rows)[:number])


def _back(honest: Events, rows: Ints, time: Ints, kind: int) -> Events:
    """Money from the merchant back to the account."""
    return honest.take(rows).replace(
        time=time[rows], kind=kind, refers_to=rows, purpose=ev.REFUNDED, device=ev.NONE, ip=ev.NONE, role=ev.NONE
    )
