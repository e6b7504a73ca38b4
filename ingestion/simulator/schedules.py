"""What the calendar brings: salaries, rents and subscriptions."""

from __future__ import annotations

import datetime as dt

import numpy as np

from ingestion.contracts import MICROSECONDS_PER_DAY
from ingestion.simulator import events as ev
from ingestion.simulator.config import SimulatorConfig
from ingestion.simulator.events import Events
from ingestion.simulator.habits import HOUR, Habits, to_minor
from ingestion.simulator.streams import Ints, stream
from ingestion.simulator.world import CATEGORIES, CURRENCIES

_MONTHLY_PAY_DAYS = (1, 15, 25, 28)
_PAID_EVERY_SECOND_FRIDAY = CURRENCIES.index("USD")
_SUBSCRIBED = tuple(index for index, category in enumerate(CATEGORIES) if category.name == "digital_goods")
_BY_HAND = 0.5


def scheduled(habits: Habits) -> Events:
    """All payments that the calendar brings within the span of the simulation."""
    return ev.concat([_salaries(habits), _rents(habits), _subscriptions(habits)])


def days_of_month(config: SimulatorConfig, day: int) -> Ints:
    """Days of the simulation (numbered from 0) that fall on a day of the month.

    >>> days_of_month(SimulatorConfig(), 1).tolist()
    [26, 54]
    """
    first = config.start.date()
    return np.array(
        [number for number in range(config.days) if (first + dt.timedelta(days=number)).day == day], np.int64
    )


def _salaries(habits: Habits) -> Events:
    """Employers pay by a file before the working day, so without a device: a fan-out on every pay day."""
    config, people = habits.config, habits.population
    rng = stream(config.seed, "salaries")
    level = rng.lognormal(np.log(2_200), 0.4, len(people))
    rule = rng.integers(len(_MONTHLY_PAY_DAYS), size=len(people))
    hour = rng.uniform(1, 6, len(people))
    days = np.arange(config.days)
    weekday = (config.start.weekday() + days) % 7
    fridays = days[weekday == 4]
    parts = []
    for area, _ in enumerate(CURRENCIES):
        for number, day_of_month in enumerate(_MONTHLY_PAY_DAYS):
            biweekly = area == _PAID_EVERY_SECOND_FRIDAY
            pay_days = fridays[number % 2 :: 2] if biweekly else days_of_month(config, day_of_month)
            paid = np.flatnonzero((people.employer >= 0) & (people.area == area) & (rule[people.employer] == number))
            receiver, day = np.repeat(paid, len(pay_days)), np.tile(pay_days, len(paid))
            employer = people.employer[receiver]
            amount = level[receiver] * rng.normal(1, 0.02, len(receiver)) / (2 if biweekly else 1)
            parts.append(
                ev.make(
                    time=day * MICROSECONDS_PER_DAY + (hour[employer] * HOUR).astype(np.int64) + _spread(rng, len(day)),
                    actor=employer,
                    peer=receiver,
                    amount=to_minor(rng, np.maximum(amount, 100), round_share=0.05),
                    kind=ev.TRANSFER,
                    channel=ev.BY_TRANSFER,
                    purpose=ev.SALARY,
                )
            )
    return ev.concat(parts)


def _rents(habits: Habits) -> Events:
    """Rents early in the month: half by standing order, half by hand. A fan-in for each landlord."""
    config, people = habits.config, habits.population
    rng = stream(config.seed, "rents")
    amount = to_minor(rng, rng.lognormal(np.log(640), 0.45, len(people)), round_share=0.6)
    by_hand = rng.random(len(people)) < _BY_HAND
    due = rng.integers(1, 5, len(people))
    parts = []
    for day_of_month in range(1, 5):
        tenants = np.flatnonzero((people.landlord >= 0) & (due == day_of_month))
        rent_days = days_of_month(config, day_of_month)
        tenant, day = np.repeat(tenants, len(rent_days)), np.tile(rent_days, len(tenants))
        order = day * MICROSECONDS_PER_DAY + 2 * HOUR + _spread(rng, len(day))
        hand = by_hand[tenant]
        time = np.where(hand, habits.at_hour(rng, tenant, day), order)
        parts.append(
            ev.make(
                time=time,
                actor=tenant,
                peer=people.landlord[tenant],
                amount=amount[tenant],
                kind=ev.TRANSFER,
                channel=ev.BY_TRANSFER,
                purpose=ev.RENT,
                device=np.where(hand, habits.access.device(rng, tenant, time), ev.NONE),
                ip=np.where(hand, habits.access.ip(rng, tenant, time), ev.NONE),
            )
        )
    return ev.concat(parts)


def _subscriptions(habits: Habits) -> Events:
    """Zero to three subscriptions an account, charged once a month by the merchant."""
    config, people = habits.config, habits.population
    rng = stream(config.seed, "subscriptions")
    sells = np.flatnonzero(np.isin(people.merchants.category, _SUBSCRIBED))
    number = np.where(people.is_business, 0, rng.integers(0, 4, len(people)))
    account = np.repeat(np.arange(len(people)), number)
    merchant = sells[np.minimum(rng.geometric(0.15, len(account)) - 1, len(sells) - 1)]
    price = np.round(rng.lognormal(np.log(9), 0.5, len(account))) * 100 + 99
    first = rng.integers(0, 30 * MICROSECONDS_PER_DAY, len(account))
    months = np.arange(config.days // 30 + 1) * 30 * MICROSECONDS_PER_DAY
    time = (first[:, None] + months).ravel()
    rows = np.repeat(np.arange(len(account)), len(months))[time < config.span]
    declined = rng.random(len(rows)) < config.decline_rate
    return ev.make(
        time=time[time < config.span],
        actor=account[rows],
        merchant=merchant[rows],
        amount=price[rows].astype(np.int64),
        channel=ev.RECURRING,
        purpose=ev.SUBSCRIPTION,
        outcome=np.where(declined, ev.DECLINED, ev.APPROVED),
        card=people.cards[account[rows], 0],
    )


def _spread(rng: np.random.Generator, size: int) -> Ints:
    """Up to half an hour, as a batch run takes, µs."""
    return rng.integers(0, HOUR // 2, size=size)
