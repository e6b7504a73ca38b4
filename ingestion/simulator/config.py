"""Parameters of a simulation, checked on construction."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

from ingestion.contracts import MICROSECONDS_PER_DAY
from ingestion.errors import UsageError

#: Typology -> share of the fraudulent transactions.
DEFAULT_SHARES: Mapping[str, float] = MappingProxyType(
    {
        "card_testing": 0.18,
        "account_takeover": 0.18,
        "bust_out": 0.12,
        "fan_in": 0.11,
        "fan_out": 0.10,
        "cycle": 0.09,
        "scatter_gather": 0.10,
        "mule_ring": 0.12,
    }
)
TYPOLOGIES = tuple(DEFAULT_SHARES)
_LEAST_ACCOUNTS, _LEAST_PER_ACCOUNT_DAY = 80, 0.4


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise UsageError(f"{name} = {value} is refused: it must lie in [{low}, {high}].", remedy="Change it.")


@dataclass(frozen=True, kw_only=True)
class LabelConfig:
    """How the bank comes to know of fraud. Shares lie in [0, 1], lags are days."""

    chargeback_lag_median_days: float = 3.0
    chargeback_lag_sigma: float = 0.6
    max_lag_days: float = 20.0
    never_reported_share: float = 0.15
    wrongly_cleared_share: float = 0.03
    dispute_rate: float = 0.0003
    dispute_corrected_share: float = 0.5
    review_rate: float = 0.002

    def __post_init__(self) -> None:
        for name in ("never_reported_share", "wrongly_cleared_share", "dispute_corrected_share"):
            _check(name, getattr(self, name), 0, 1)
        for name in ("dispute_rate", "review_rate"):
            _check(name, getattr(self, name), 0, 0.1)
        _check("chargeback_lag_median_days", self.chargeback_lag_median_days, 0.01, 30)
        _check("chargeback_lag_sigma", self.chargeback_lag_sigma, 0, 3)
        _check("max_lag_days", self.max_lag_days, self.chargeback_lag_median_days, 120)


@dataclass(frozen=True, kw_only=True)
class SimulatorConfig:
    """A whole simulation. The default 60 days hold every window of a training run (at least 49 are needed).

    `fraud_rate` is the share of transactions that belong to a planted case, `shares` how those split over the
    typologies (they are normalised), `lookalike_rate` the number of honest transactions that imitate a typology
    for each fraudulent one, `late_share` the share that arrives up to `max_late_days` after it happened.

    Raises `UsageError` naming the parameter, its value and the bounds.
    """

    num_transactions: int = 100_000
    days: int = 60
    start: dt.datetime = dt.datetime(2025, 1, 6, tzinfo=dt.UTC)
    seed: int = 0
    fraud_rate: float = 0.003
    shares: Mapping[str, float] = field(default_factory=lambda: DEFAULT_SHARES)
    transactions_per_account_day: float = 0.6
    lookalike_rate: float = 1.5
    decline_rate: float = 0.025
    refund_share: float = 0.012
    late_share: float = 0.01
    max_late_days: float = 3.0
    labels: LabelConfig = LabelConfig()

    def __post_init__(self) -> None:
        _check("num_transactions", self.num_transactions, 2_000, 20_000_000)
        _check("days", self.days, 14, 3_650)
        _check("seed", self.seed, 0, 2**63 - 1)
        _check("fraud_rate", self.fraud_rate, 0, 0.1)
        _check("transactions_per_account_day", self.transactions_per_account_day, _LEAST_PER_ACCOUNT_DAY, 20)
        _check("lookalike_rate", self.lookalike_rate, 0, 3)
        _check("decline_rate", self.decline_rate, 0, 0.2)
        _check("refund_share", self.refund_share, 0, 0.05)
        _check("late_share", self.late_share, 0, 0.5)
        _check("max_late_days", self.max_late_days, 0, 30)
        self._check_shares()
        self._check_density()
        if self.start.utcoffset() != dt.timedelta(0) or self.start.time() != dt.time(0):
            raise UsageError(
                f"start = {self.start.isoformat()} is not midnight UTC: days would not begin where habits say.",
                remedy="Write for example 2025-01-06T00:00:00+00:00.",
            )

    def _check_shares(self) -> None:
        unknown = sorted(set(self.shares) - set(TYPOLOGIES))
        if unknown:
            raise UsageError(f"Unknown typology {unknown[0]!r} in shares.", remedy=f"Known: {', '.join(TYPOLOGIES)}.")
        for name, share in self.shares.items():
            _check(f"shares[{name}]", share, 0, 1)
        if not any(self.shares.values()):
            raise UsageError("All shares are 0.", remedy="Give one typology a share, or set fraud_rate = 0.")

    def _check_density(self) -> None:
        least = math.ceil(_LEAST_ACCOUNTS * self.days * _LEAST_PER_ACCOUNT_DAY)
        if self.num_transactions < least:
            raise UsageError(
                f"num_transactions = {self.num_transactions} is too few for days = {self.days}: salaries and rents "
                f"of {_LEAST_ACCOUNTS} accounts alone would fill them.",
                remedy=f"Ask for at least {least}, or for fewer days.",
            )

    @property
    def num_frauds(self) -> int:
        """Exact number of fraudulent transactions."""
        return round(self.num_transactions * self.fraud_rate)

    @property
    def num_accounts(self) -> int:
        """Number of accounts; each acts about `transactions_per_account_day` times a day."""
        return max(_LEAST_ACCOUNTS, round(self.num_transactions / (self.days * self.transactions_per_account_day)))

    @property
    def span(self) -> int:
        """Length of the simulation in µs; every event lies in [start, start + span)."""
        return self.days * MICROSECONDS_PER_DAY

    def as_dict(self) -> dict[str, Any]:
        """All parameters, JSON-ready."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return plain | {"start": self.start.isoformat(), "shares": dict(self.shares), "labels": asdict(self.labels)}
