"""What the bank comes to know, and when: chargebacks, analysts' decisions, rules; late, incomplete, partly wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ingestion.contracts import LABEL_ORIGINS, LABELS, MICROSECONDS_PER_DAY
from ingestion.simulator import events as ev
from ingestion.simulator.config import SimulatorConfig
from ingestion.simulator.events import Events
from ingestion.simulator.streams import Bools, Floats, Ints, stream

FRAUD, LEGITIMATE = LABELS.index("fraud"), LABELS.index("legitimate")
ANALYST, CHARGEBACK, RULE = (LABEL_ORIGINS.index(name) for name in ("analyst", "chargeback", "rule"))
REASONS = (
    "Customer disputes the payment",
    "Customer reports a transfer that was not theirs",
    "Card check pattern at one merchant",
    "Dispute withdrawn after a call",
    "Reviewed: in line with the customer's habits",
)
_DISPUTED, _REPORTED, _PATTERN, _WITHDRAWN, _USUAL = range(len(REASONS))
NUM_REVIEWERS = 12
_CASE_NEVER_FOUND = 0.6  # of what is never reported, the part that goes by whole cases


@dataclass(frozen=True, kw_only=True)
class Reports:
    """Labels, all (L,): row of the labelled event, label and origin as numbers, reviewer or `NONE`, reason.

    `known_at` is µs since the start and lies before the end of the span: a bank hands over what it knows.
    """

    row: Ints
    label: Ints
    known_at: Ints
    origin: Ints
    reviewer: Ints
    reason: Ints

    def __len__(self) -> int:
        return len(self.row)


def report(config: SimulatorConfig, events: Events, known_at: Ints) -> Reports:
    """Labels of the events, ordered by `known_at`; `known_at` (n,) says when each event itself was known."""
    rng = stream(config.seed, "labels")
    frauds = np.flatnonzero(events.case >= 0)
    honest = np.flatnonzero((events.case < 0) & (events.kind != ev.REFUND) & (events.kind != ev.REVERSAL))
    reported = frauds[_is_reported(rng, config, events.case[frauds])]
    parts = [
        _true_reports(rng, config, events, known_at, reported),
        _wrong_clearances(rng, config, known_at, reported),
        *_disputes(rng, config, events, known_at, honest),
        _reviews(rng, config, known_at, honest),
    ]
    whole = {name: np.concatenate([getattr(part, name) for part in parts]) for name in Reports.__dataclass_fields__}
    inside = np.flatnonzero(whole["known_at"] < config.span)
    order = inside[np.lexsort((whole["row"][inside], whole["known_at"][inside]))]
    return Reports(**{name: column[order] for name, column in whole.items()})


def _is_reported(rng: np.random.Generator, config: SimulatorConfig, case: Ints) -> Bools:
    """Some cases are never found, and of the others some transactions are overlooked; (f,).

    The two shares make `never_reported_share` together.
    """
    never = config.labels.never_reported_share
    case_never = never * _CASE_NEVER_FOUND
    row_never = 1 - (1 - never) / (1 - case_never) if case_never < 1 else 1.0
    found = rng.random(int(case.max(initial=0)) + 1) >= case_never
    return found[case] & (rng.random(len(case)) >= row_never)


def _lag(rng: np.random.Generator, config: SimulatorConfig, size: int) -> Ints:
    """Log-normal chargeback lags, cut at the longest, µs."""
    settings = config.labels
    days = settings.chargeback_lag_median_days * rng.lognormal(0, settings.chargeback_lag_sigma, size)
    return _micros(np.minimum(days, settings.max_lag_days))


def _true_reports(
    rng: np.random.Generator, config: SimulatorConfig, events: Events, known_at: Ints, rows: Ints
) -> Reports:
    """Purchases come back as chargebacks, transfers through analysts, card checks and declines by a rule."""
    is_transfer = events.kind[rows] == ev.TRANSFER
    by_rule = ~is_transfer & ((events.amount[rows] == 0) | (events.outcome[rows] == ev.DECLINED))
    origin = np.select([is_transfer, by_rule], [ANALYST, RULE], CHARGEBACK)
    lag = np.where(by_rule, _micros(rng.uniform(0.02, 1.0, len(rows))), _lag(rng, config, len(rows)))
    return Reports(
        row=rows,
        label=np.full(len(rows), FRAUD),
        known_at=known_at[rows] + lag,
        origin=origin,
        reviewer=np.where(is_transfer, rng.integers(NUM_REVIEWERS, size=len(rows)), ev.NONE),
        reason=np.select([is_transfer, by_rule], [_REPORTED, _PATTERN], _DISPUTED),
    )


def _wrong_clearances(rng: np.random.Generator, config: SimulatorConfig, known_at: Ints, reported: Ints) -> Reports:
    """Frauds that an analyst first takes for honest; the report that comes later sets it right."""
    rows = reported[rng.random(len(reported)) < config.labels.wrongly_cleared_share]
    return _by_analyst(rng, rows, known_at[rows] + _micros(rng.uniform(0.01, 0.5, len(rows))), _USUAL)


def _disputes(
    rng: np.random.Generator, config: SimulatorConfig, events: Events, known_at: Ints, honest: Ints
) -> tuple[Reports, Reports]:
    """Honest purchases that their owners dispute (labelled fraud), and the analysts' corrections of a part."""
    bought = honest[(events.merchant[honest] >= 0) & (events.outcome[honest] == ev.APPROVED)]
    rows = bought[rng.random(len(bought)) < config.labels.dispute_rate]
    disputed_at = known_at[rows] + _lag(rng, config, len(rows))
    none = np.full(len(rows), ev.NONE)
    disputes = Reports(
        row=rows,
        label=np.full(len(rows), FRAUD),
        known_at=disputed_at,
        origin=np.full(len(rows), CHARGEBACK),
        reviewer=none,
        reason=np.full(len(rows), _DISPUTED),
    )
    corrected = rng.random(len(rows)) < config.labels.dispute_corrected_share
    later = disputed_at[corrected] + _micros(rng.uniform(2, 10, int(corrected.sum())))
    return disputes, _by_analyst(rng, rows[corrected], later, _WITHDRAWN)


def _reviews(rng: np.random.Generator, config: SimulatorConfig, known_at: Ints, honest: Ints) -> Reports:
    """Honest transactions that an analyst looked at and cleared within two days."""
    rows = honest[rng.random(len(honest)) < config.labels.review_rate]
    return _by_analyst(rng, rows, known_at[rows] + _micros(rng.uniform(0.05, 2, len(rows))), _USUAL)


def _by_analyst(rng: np.random.Generator, rows: Ints, known_at: Ints, reason: int) -> Reports:
    return Reports(
        row=rows,
        label=np.full(len(rows), LEGITIMATE),
        known_at=known_at,
        origin=np.full(len(rows), ANALYST),
        reviewer=rng.integers(NUM_REVIEWERS, size=len(rows)),
        reason=np.full(len(rows), reason),
    )


def _micros(days: Floats) -> Ints:
    return (days * MICROSECONDS_PER_DAY).astype(np.int64)
