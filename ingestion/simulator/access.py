"""Which device and which IP address an honest account uses at a given time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ingestion.contracts import MICROSECONDS_PER_DAY
from ingestion.simulator.config import SimulatorConfig
from ingestion.simulator.population import Population
from ingestion.simulator.streams import Bools, Ints, stream
from ingestion.simulator.world import COUNTRIES

_NEW_PHONE, _NEW_HOME_IP, _TRAVELLER, _SHARES_DEVICE = 0.15, 0.25, 0.12, 0.7
_HOUSEHOLD_DEVICE_USE, _BORROWED = 0.35, 0.002
_CARRIER_IPS = 3
#: Running shares of where people are online: at home, under way (carrier address), at work, elsewhere.
_PLACES = np.cumsum([0.62, 0.22, 0.13, 0.03])
_HOME, _CARRIER, _WORK, _ELSEWHERE = range(4)


class Numbers:
    """Hands out the next unused numbers of devices or IP addresses."""

    def __init__(self, used: int = 0) -> None:
        self.used = used

    def take(self, count: int) -> Ints:
        """`count` numbers that nobody had before."""
        fresh = np.arange(self.used, self.used + count, dtype=np.int64)
        self.used += count
        return fresh


@dataclass(frozen=True, kw_only=True)
class Access:
    """Devices, addresses and trips of accounts (A,) and households (H,). Times are µs since the start.

    From `phone_change` on an account uses its new phone, from `move` on a household its new address. A trip
    lies in [trip_start, trip_end); the three `carrier_ips` (A, 3) are shared by many accounts, `work_ip` by a few.
    """

    population: Population
    phone: Ints
    new_phone: Ints
    phone_change: Ints
    household_device: Ints
    home_ip: Ints
    new_home_ip: Ints
    move: Ints
    work_ip: Ints
    hotel_ip: Ints
    trip_country: Ints
    trip_start: Ints
    trip_end: Ints
    carrier_ips: Ints
    public_ips: Ints
    devices: Numbers
    ips: Numbers

    def travelling(self, account: Ints, time: Ints) -> Bools:
        """Whether each account is abroad at each time, (n,)."""
        return (self.trip_start[account] <= time) & (time < self.trip_end[account])

    def device(self, rng: np.random.Generator, account: Ints, time: Ints) -> Ints:
        """Device of each account at each time: own phone, the household's, rarely a friend's. (n,)"""
        phone = self.own_phone(account, time)
        shared = self.household_device[self.population.household[account]]
        use_shared = (shared >= 0) & (rng.random(len(account)) < _HOUSEHOLD_DEVICE_USE)
        use_shared &= ~self.travelling(account, time)
        friend = self.population.friends[account, rng.integers(3, size=len(account))]
        borrowed = rng.random(len(account)) < _BORROWED
        return np.where(borrowed, self.own_phone(friend, time), np.where(use_shared, shared, phone))

    def own_phone(self, account: Ints, time: Ints) -> Ints:
        """Phone of each account at each time, (n,)."""
        return np.where(time >= self.phone_change[account], self.new_phone[account], self.phone[account])

    def ip(self, rng: np.random.Generator, account: Ints, time: Ints) -> Ints:
        """Address of each account at each time, (n,)."""
        home = self.population.household[account]
        place = np.searchsorted(_PLACES, rng.random(len(account)), side="right")
        at_home = np.where(time >= self.move[home], self.new_home_ip[home], self.home_ip[home])
        carrier = self.carrier_ips[account, rng.integers(_CARRIER_IPS, size=len(account))]
        public = self.public_ips[rng.integers(len(self.public_ips), size=len(account))]
        usual = np.select(
            [place == _HOME, place == _CARRIER, place == _WORK], [at_home, carrier, self.work_ip[account]], public
        )
        return np.where(self.travelling(account, time) & (place != _CARRIER), self.hotel_ip[account], usual)


def equip(config: SimulatorConfig, population: Population) -> Access:
    """Give every account its devices and addresses, and some of them a new phone, a move or a trip."""
    rng = stream(config.seed, "access")
    size, homes = len(population), len(population.household_size)
    devices, ips = Numbers(), Numbers()
    shares = (population.household_size > 1) & (rng.random(homes) < _SHARES_DEVICE)
    trip_start, trip_end = _trips(rng, size, config.span)
    hotels = ips.take(max(4, size // 12))
    carriers = ips.take(max(8, size // 10))
    offices = ips.take(max(4, size // 15))
    return Access(
        population=population,
        phone=devices.take(size),
        new_phone=devices.take(size),
        phone_change=_moment_or_never(rng, size, _NEW_PHONE, config.span),
        household_device=np.where(shares, devices.take(homes), -1),
        home_ip=ips.take(homes),
        new_home_ip=ips.take(homes),
        move=_moment_or_never(rng, homes, _NEW_HOME_IP, config.span),
        work_ip=offices[rng.integers(len(offices), size=size)],
        hotel_ip=hotels[rng.integers(len(hotels), size=size)],
        trip_country=(population.country + rng.integers(1, len(COUNTRIES), size)) % len(COUNTRIES),
        trip_start=trip_start,
        trip_end=trip_end,
        carrier_ips=carriers[rng.integers(len(carriers), size=(size, _CARRIER_IPS))],
        public_ips=ips.take(max(8, size // 10)),
        devices=devices,
        ips=ips,
    )


def _moment_or_never(rng: np.random.Generator, size: int, share: float, span: int) -> Ints:
    when = rng.integers(span, size=size)
    return np.where(rng.random(size) < share, when, np.iinfo(np.int64).max)


def _trips(rng: np.random.Generator, size: int, span: int) -> tuple[Ints, Ints]:
    start = rng.integers(span, size=size)
    length = rng.integers(2 * MICROSECONDS_PER_DAY, 11 * MICROSECONDS_PER_DAY, size=size)
    goes = rng.random(size) < _TRAVELLER
    return np.where(goes, start, span), np.where(goes, start + length, span)
