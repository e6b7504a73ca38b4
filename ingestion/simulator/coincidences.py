"""Honest coincidences: what imitates a typology without being one. Their role in the truth is `lookalike_…`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ingestion.contracts import MICROSECONDS_PER_DAY
from ingestion.simulator import events as ev
from ingestion.simulator.events import Events
from ingestion.simulator.everyday import card_of, online_payments, present_payments, transfers
from ingestion.simulator.habits import HOUR, Habits, to_minor
from ingestion.simulator.population import NUM_FRIENDS
from ingestion.simulator.roles import LOOKALIKES, role
from ingestion.simulator.streams import Floats, Ints, shares_of, stream

#: Kind -> share of the honest coincidences.
_SHARES = dict(zip(LOOKALIKES, (0.16, 0.15, 0.17, 0.18, 0.16, 0.10, 0.08), strict=True))


def coincidences(habits: Habits, number: int) -> Events:
    """`number` events of honest coincidences."""
    builders: dict[str, Callable[[np.random.Generator, Habits, int], Events]] = {
        "collection": _collections,
        "payback": _paybacks,
        "passing_on": _passing_on,
        "phone_day": _phone_days,
        "spree": _sprees,
        "campaign": _campaigns,
        "kiosk": _kiosks,
    }
    parts = []
    for name, count in shares_of(number, _SHARES).items():
        events = builders[name](stream(habits.config.seed, f"coincidence/{name}"), habits, count)
        parts.append(events.replace(role=role(f"lookalike_{name}")))
    return ev.concat(parts)


def _collections(rng: np.random.Generator, habits: Habits, number: int) -> Events:
    """Friends pay one of them the same small amount within two days: a fan-in."""
    group = _groups(rng, number, 3, NUM_FRIENDS)
    organizer, begin, amount = _heads(rng, habits, group, hours=48, median=22)
    payer = habits.population.friends[organizer, _place_in_group(group) % NUM_FRIENDS]
    return _transfer(rng, habits, payer, organizer, begin, amount)


def _paybacks(rng: np.random.Generator, habits: Habits, number: int) -> Events:
    """One account pays several friends back within a day: a fan-out."""
    group = _groups(rng, number, 3, NUM_FRIENDS)
    payer, begin, amount = _heads(rng, habits, group, hours=24, median=26)
    friend = habits.population.friends[payer, _place_in_group(group) % NUM_FRIENDS]
    varied = np.maximum((amount * rng.lognormal(0, 0.3, number)).astype(np.int64), 100)
    return _transfer(rng, habits, payer, friend, begin, varied)


def _passing_on(rng: np.random.Generator, habits: Habits, number: int) -> Events:
    """What came from one friend goes on to another within a day: two legs of a chain."""
    group = np.arange(number) // 2
    middle, begin, amount = _heads(rng, habits, group, hours=1, median=140)
    is_second = np.arange(number) % 2 == 1
    first, last = habits.population.friends[middle, 0], habits.population.friends[middle, 1]
    time = begin + np.where(is_second, rng.integers(HOUR, 20 * HOUR, number), 0)
    return _transfer(rng, habits, np.where(is_second, middle, first), np.where(is_second, last, middle), time, amount)


def _phone_days(rng: np.random.Generator, habits: Habits, number: int) -> Events:
    """A new phone is set up and used a lot on its first day, now and then while travelling."""
    access, span = habits.access, habits.config.span
    changers = np.flatnonzero(access.phone_change < span - 2 * MICROSECONDS_PER_DAY)
    group = _groups(rng, number, 2, 5)
    account = changers[rng.integers(len(changers), size=_count(group))][group]
    time = access.phone_change[account] + rng.integers(0, MICROSECONDS_PER_DAY, number)
    is_transfer = rng.random(number) < 0.4
    return ev.concat(
        [
            transfers(rng, habits, account[is_transfer], time[is_transfer]),
            online_payments(rng, habits, account[~is_transfer], time[~is_transfer]),
        ]
    )


def _sprees(rng: np.random.Generator, habits: Habits, number: int) -> Events:
    """A day or two of shopping: many purchases of usual size, some in shops never seen before."""
    group = _groups(rng, number, 4, 8)
    account, time, _ = _heads(rng, habits, group, hours=36, median=1)
    online = rng.random(number) < 0.5
    return ev.concat(
        [
            online_payments(rng, habits, account[online], time[online]),
            present_payments(rng, habits, account[~online], time[~online]),
        ]
    )


def _campaigns(rng: np.random.Generator, habits: Habits, number: int) -> Events:
    """A web shop's free trial: many accounts check their cards there within hours, each from its own device."""
    people = habits.population
    group = _groups(rng, number, 6, 15)
    host, time, _ = _heads(rng, habits, group, hours=4, median=1)
    shop = people.merchants.draw_online(rng, people.area[host[_first_of(group)]])[group]
    account = people.among(rng, people.people_of_area, people.area[host])
    declined = rng.random(number) < 3 * habits.config.decline_rate
    return ev.make(
        time=time,
        actor=account,
        merchant=shop,
        kind=ev.AUTHORISATION,
        purpose=ev.CHECK,
        outcome=np.where(declined, ev.DECLINED, ev.APPROVED),
        card=card_of(rng, people, account),
        device=habits.access.device(rng, account, time),
        ip=habits.access.ip(rng, account, time),
    )


def _kiosks(rng: np.random.Generator, habits: Habits, number: int) -> Events:
    """Several people use one public device within three days."""
    people = habits.population
    group = _groups(rng, number, 3, 6)
    host, time, _ = _heads(rng, habits, group, hours=72, median=1)
    account = people.among(rng, people.people_of_area, people.area[host])
    device = habits.access.devices.take(_count(group))[group]
    ip = habits.access.ips.take(_count(group))[group]
    is_transfer = rng.random(number) < 0.4
    parts = [
        transfers(rng, habits, account[is_transfer], time[is_transfer]).replace(
            device=device[is_transfer], ip=ip[is_transfer]
        ),
        online_payments(rng, habits, account[~is_transfer], time[~is_transfer]).replace(
            device=device[~is_transfer], ip=ip[~is_transfer]
        ),
    ]
    return ev.concat(parts)


def _transfer(rng: np.random.Generator, habits: Habits, payer: Ints, payee: Ints, time: Ints, amount: Ints) -> Events:
    return ev.make(
        time=time,
        actor=payer,
        peer=payee,
        amount=amount,
        kind=ev.TRANSFER,
        channel=ev.BY_TRANSFER,
        purpose=ev.PERSON,
        device=habits.access.device(rng, payer, time),
        ip=habits.access.ip(rng, payer, time),
    )


def _groups(rng: np.random.Generator, number: int, smallest: int, largest: int) -> Ints:
    """Group of each of `number` events, ascending; sizes uniform in [smallest, largest], the last may be short."""
    sizes = rng.integers(smallest, largest + 1, size=number // smallest + 1)
    return np.repeat(np.arange(len(sizes)), sizes)[:number]


def _heads(
    rng: np.random.Generator, habits: Habits, group: Ints, *, hours: float, median: float
) -> tuple[Ints, Ints, Ints]:
    """For each event: the person its group turns around, a time within `hours`, the group's amount (minor)."""
    people = np.flatnonzero(~habits.population.is_business)
    head = people[rng.integers(len(people), size=_count(group))]
    latest = habits.config.span - int((hours + 24) * HOUR)
    begin = np.minimum(habits.times(rng, head), latest)
    spread: Floats = rng.random(len(group)) * hours * HOUR
    amount = to_minor(rng, rng.lognormal(np.log(median), 0.7, _count(group)), round_share=0.6)
    return head[group], begin[group] + spread.astype(np.int64), amount[group]


def _count(group: Ints) -> int:
    return int(group[-1]) + 1 if len(group) else 0


def _first_of(group: Ints) -> Ints:
    return np.searchsorted(group, np.arange(_count(group)))


def _place_in_group(group: Ints) -> Ints:
    return np.arange(len(group)) - _first_of(group)[group]
