"""What honest accounts do on an ordinary day: when, where and how much they pay."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ingestion.contracts import MICROSECONDS_PER_DAY
from ingestion.simulator import events as ev
from ingestion.simulator.access import Access
from ingestion.simulator.config import SimulatorConfig
from ingestion.simulator.events import Events
from ingestion.simulator.population import NUM_FRIENDS, Population
from ingestion.simulator.streams import Bools, Floats, Ints, pick, stream
from ingestion.simulator.world import CATEGORIES, COUNTRY_OFFSET_HOURS

HOUR = 3_600_000_000
_FAVORITES = 6
_FAVORITE_USE, _OTHER_AREA, _CHECKS = 0.78, 0.10, 0.03
#: Running shares of what a transfer by hand is for: a friend, the family, a bill, somebody new.
_TRANSFERS = np.cumsum([0.46, 0.18, 0.29, 0.07])
_FAMILY, _BILL, _STRANGER = 1, 2, 3
#: Median (major units) and sigma of the four.
_TRANSFER_AMOUNTS = np.array([[38, 0.9], [190, 0.9], [170, 0.8], [90, 1.0]])
_MEDIAN = np.array([category.median for category in CATEGORIES])
_SIGMA = np.array([category.sigma for category in CATEGORIES])


@dataclass(frozen=True, kw_only=True)
class Habits:
    """Habits of the accounts, all (A,) but for `peaks` (A, 2), local hours, and the favorite shops (A, 6).

    `activity` weighs how often an account acts, `spend` scales its amounts, `weekend` its days off;
    `online` is the share of its card payments made online, `transfer` of transfers among all.
    """

    config: SimulatorConfig
    population: Population
    access: Access
    activity: Floats
    spend: Floats
    weekend: Floats
    online: Floats
    transfer: Floats
    peaks: Floats
    shops: Ints
    web_shops: Ints
    usual_business: Ints

    def times(self, rng: np.random.Generator, account: Ints) -> Ints:
        """A moment for each account by its weekdays and hours, µs in [0, span), (n,)."""
        return self.at_hour(rng, account, self._days(rng, account))

    def at_hour(self, rng: np.random.Generator, account: Ints, day: Ints) -> Ints:
        """A moment by the account's hours on each day (numbered from the start), µs in [0, span), (n,)."""
        size = len(account)
        peak = self.peaks[account, (rng.random(size) < 0.45).astype(np.int64)]
        local = np.where(rng.random(size) < 0.85, rng.normal(peak, 1.8), rng.uniform(6.5, 23.5, size))
        hour = local - COUNTRY_OFFSET_HOURS[self.population.country[account]]
        return (day * MICROSECONDS_PER_DAY + (hour * HOUR).astype(np.int64)) % self.config.span

    def amounts(self, rng: np.random.Generator, account: Ints, merchant: Ints) -> Ints:
        """What each account pays at each merchant, minor units, at least 1. (n,)"""
        shops = self.population.merchants
        category = shops.category[merchant]
        scale = self.spend[account] * shops.price_level[merchant] * _MEDIAN[category]
        return to_minor(rng, scale * np.exp(_SIGMA[category] * rng.standard_normal(len(account))), round_share=0.1)

    def _days(self, rng: np.random.Generator, account: Ints) -> Ints:
        days = np.arange(self.config.days)
        weekday = (self.config.start.weekday() + days) % 7
        off, working = days[weekday >= 5], days[weekday < 5]
        weight = self.weekend[account] * len(off)
        is_off = rng.random(len(account)) < weight / (weight + len(working))
        return np.where(
            is_off,
            off[rng.integers(len(off), size=len(account))],
            working[rng.integers(len(working), size=len(account))],
        )


def form_habits(config: SimulatorConfig, population: Population, access: Access) -> Habits:
    """Draw the habits of every account."""
    rng = stream(config.seed, "habits")
    size = len(population)
    shops = [population.merchants.draw_physical(rng, population.country) for _ in range(_FAVORITES)]
    web_shops = [population.merchants.draw_online(rng, population.area) for _ in range(_FAVORITES)]
    owl = rng.random(size) < 0.08
    return Habits(
        config=config,
        population=population,
        access=access,
        activity=rng.gamma(2.5, 1.0, size) + 0.3,
        spend=rng.lognormal(0, 0.55, size),
        weekend=rng.lognormal(0.1, 0.4, size),
        online=rng.beta(3.0, 3.5, size),
        transfer=rng.beta(2.0, 10.0, size),
        peaks=np.stack([rng.normal(12.5, 1.6, size), rng.normal(np.where(owl, 23.0, 19.0), 1.6, size)], axis=1),
        shops=np.stack(shops, axis=1),
        web_shops=np.stack(web_shops, axis=1),
        usual_business=population.among(rng, population.businesses_of_area, population.area),
    )


def everyday(habits: Habits, number: int, *, part: str) -> Events:
    """`number` ordinary events; `part` names the stream of random numbers."""
    rng = stream(habits.config.seed, f"everyday/{part}")
    account = pick(rng, np.cumsum(habits.activity), number)
    time = habits.times(rng, account)
    is_transfer = rng.random(number) < habits.transfer[account]
    is_online = ~is_transfer & (rng.random(number) < habits.online[account])
    is_present = ~is_transfer & ~is_online
    return ev.concat(
        [
            present_payments(rng, habits, account[is_present], time[is_present]),
            online_payments(rng, habits, account[is_online], time[is_online]),
            transfers(rng, habits, account[is_transfer], time[is_transfer]),
        ]
    )


def present_payments(rng: np.random.Generator, habits: Habits, account: Ints, time: Ints) -> Events:
    """Card payments in shops: a favorite at home, any shop of the place when travelling."""
    abroad = habits.access.travelling(account, time)
    country = np.where(abroad, habits.access.trip_country[account], habits.population.country[account])
    merchant = _favorite_or(
        rng, habits.shops, account, habits.population.merchants.draw_physical(rng, country), never=abroad
    )
    return ev.make(
        time=time,
        actor=account,
        merchant=merchant,
        amount=habits.amounts(rng, account, merchant),
        channel=ev.CARD_PRESENT,
        outcome=_outcomes(rng, len(account), habits.config.decline_rate * 0.7),
        card=card_of(rng, habits.population, account),
    )


def online_payments(rng: np.random.Generator, habits: Habits, account: Ints, time: Ints) -> Events:
    """Card payments in web shops, a few of them card checks of zero."""
    area = habits.population.area[account]
    other = rng.random(len(account)) < _OTHER_AREA
    merchant = _favorite_or(
        rng, habits.web_shops, account, habits.population.merchants.draw_online(rng, area ^ other), never=other
    )
    is_check = rng.random(len(account)) < _CHECKS
    return ev.make(
        time=time,
        actor=account,
        merchant=merchant,
        amount=np.where(is_check, 0, habits.amounts(rng, account, merchant)),
        kind=np.where(is_check, ev.AUTHORISATION, ev.PAYMENT),
        purpose=np.where(is_check, ev.CHECK, ev.PURCHASE),
        outcome=_outcomes(rng, len(account), np.where(is_check, 4.0, 1.4) * habits.config.decline_rate),
        card=card_of(rng, habits.population, account),
        device=habits.access.device(rng, account, time),
        ip=habits.access.ip(rng, account, time),
    )


def transfers(rng: np.random.Generator, habits: Habits, account: Ints, time: Ints) -> Events:
    """Transfers by hand: to friends, to the family, for bills, to somebody new."""
    people, size = habits.population, len(account)
    aim = np.searchsorted(_TRANSFERS, rng.random(size), side="right")
    area = people.area[account]
    friend = people.friends[account, _low_first(rng, NUM_FRIENDS, size)]
    any_business = people.among(rng, people.businesses_of_area, area)
    business = np.where(rng.random(size) < 0.7, habits.usual_business[account], any_business)
    stranger = people.among(rng, people.people_of_area, area)
    peer = np.select(
        [aim == _FAMILY, aim == _BILL, aim == _STRANGER], [people.relative(rng, account), business, stranger], friend
    )
    peer = np.where(peer == account, friend, peer)
    median, sigma = _TRANSFER_AMOUNTS[aim].T
    amount = median * np.sqrt(habits.spend[account]) * np.exp(sigma * rng.standard_normal(size))
    return ev.make(
        time=time,
        actor=account,
        peer=peer,
        amount=to_minor(rng, amount, round_share=0.35),
        kind=ev.TRANSFER,
        channel=ev.BY_TRANSFER,
        purpose=np.where(aim == _BILL, ev.BILL, ev.PERSON),
        outcome=_outcomes(rng, size, habits.config.decline_rate * 0.6),
        device=habits.access.device(rng, account, time),
        ip=habits.access.ip(rng, account, time),
    )


def to_minor(rng: np.random.Generator, major: Floats, *, round_share: float) -> Ints:
    """Minor units of amounts; `round_share` of them end on a multiple of 5 major units."""
    is_round = rng.random(len(major)) < round_share
    rounded = np.where(is_round & (major >= 5), np.round(major / 5) * 5, major)
    return np.maximum(np.round(rounded * 100), 1).astype(np.int64)


def card_of(rng: np.random.Generator, population: Population, account: Ints) -> Ints:
    """The card each account pays with: the first four times out of five. (n,)"""
    return population.cards[account, (rng.random(len(account)) < 0.2).astype(np.int64)]


def _favorite_or(rng: np.random.Generator, favorites: Ints, account: Ints, other: Ints, *, never: Bools) -> Ints:
    use = (rng.random(len(account)) < _FAVORITE_USE) & ~never
    return np.where(use, favorites[account, _low_first(rng, _FAVORITES, len(account))], other)


def _low_first(rng: np.random.Generator, number: int, size: int) -> Ints:
    """Indices below `number`, the low ones more often (weights 1, 1/2, 1/3, …). (size,)"""
    return pick(rng, np.cumsum(1 / np.arange(1, number + 1)), size)


def _outcomes(rng: np.random.Generator, size: int, rate: float | Floats) -> Ints:
    return np.where(rng.random(size) < rate, ev.DECLINED, ev.APPROVED)
