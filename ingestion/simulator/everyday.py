"""What honest accounts do on an ordinary day: payments in shops and online, transfers by hand."""

from __future__ import annotations

import numpy as np

from ingestion.simulator import events as ev
from ingestion.simulator.events import Events
from ingestion.simulator.habits import NUM_FAVORITES, Habits, to_minor
from ingestion.simulator.population import NUM_FRIENDS, Population
from ingestion.simulator.streams import Bools, Floats, Ints, pick, stream

_FAVORITE_USE, _OTHER_AREA, _CHECKS = 0.78, 0.10, 0.03
#: Running shares of what a transfer by hand is for: a friend, the family, a bill, somebody new.
_TRANSFERS = np.cumsum([0.46, 0.18, 0.29, 0.07])
_FAMILY, _BILL, _STRANGER = 1, 2, 3
#: Median (major units) and sigma of the four.
_TRANSFER_AMOUNTS = np.array([[38, 0.9], [190, 0.9], [170, 0.8], [90, 1.0]])


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


def card_of(rng: np.random.Generator, population: Population, account: Ints) -> Ints:
    """The card each account pays with: the first four times out of five. (n,)"""
    return population.cards[account, (rng.random(len(account)) < 0.2).astype(np.int64)]


def _favorite_or(rng: np.random.Generator, favorites: Ints, account: Ints, other: Ints, *, never: Bools) -> Ints:
    use = (rng.random(len(account)) < _FAVORITE_USE) & ~never
    return np.where(use, favorites[account, _low_first(rng, NUM_FAVORITES, len(account))], other)


def _low_first(rng: np.random.Generator, number: int, size: int) -> Ints:
    """Indices below `number`, the low ones more often (weights 1, 1/2, 1/3, …). (size,)"""
    return pick(rng, np.cumsum(1 / np.arange(1, number + 1)), size)


def _outcomes(rng: np.random.Generator, size: int, rate: float | Floats) -> Ints:
    return np.where(rng.random(size) < rate, ev.DECLINED, ev.APPROVED)
