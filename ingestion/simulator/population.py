"""Who exists: accounts with households, friends, employers and landlords; merchants with their popularity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ingestion.simulator.config import SimulatorConfig
from ingestion.simulator.streams import Bools, Floats, Ints, pick, stream, zipf_weights
from ingestion.simulator.world import CATEGORIES, COUNTRIES, COUNTRY_AREA, COUNTRY_SHARE, CURRENCIES

NUM_FRIENDS = 6
_HOUSEHOLD_SIZES = np.array([1, 2, 3, 4, 5])
_HOUSEHOLD_SHARES = np.cumsum([0.45, 0.25, 0.14, 0.11, 0.05])
_EMPLOYED, _RENTING, _SECOND_CARD = 0.75, 0.55, 0.3


@dataclass(frozen=True, kw_only=True)
class Merchants:
    """Merchants, all (M,); the lower its index in a table below, the busier it is."""

    country: Ints
    category: Ints
    price_level: Floats
    physical: dict[int, Ints]
    online: dict[int, Ints]
    cumulative: dict[int, Floats]

    def __len__(self) -> int:
        return len(self.country)

    def draw_physical(self, rng: np.random.Generator, country: Ints) -> Ints:
        """A shop in each of the given countries (n,), by popularity."""
        return self._draw(rng, self.physical, country)

    def draw_online(self, rng: np.random.Generator, area: Ints) -> Ints:
        """A web shop of each of the given currency areas (n,), by popularity."""
        return self._draw(rng, self.online, area)

    def _draw(self, rng: np.random.Generator, tables: dict[int, Ints], keys: Ints) -> Ints:
        drawn = np.empty(len(keys), np.int64)
        for key, members in tables.items():
            rows = np.flatnonzero(keys == key)
            drawn[rows] = members[pick(rng, self.cumulative[len(members)], len(rows))]
        return drawn


@dataclass(frozen=True, kw_only=True)
class Population:
    """Accounts, all (A,), and merchants. `NONE` (-1) where an account has no employer or landlord.

    `household` numbers the households; members of one are `household_members[start:start + size]`.
    `cards` is (A, 2): first and second card, the same number twice when there is one. `friends` is (A, 6).
    """

    country: Ints
    area: Ints
    is_business: Bools
    household: Ints
    household_start: Ints
    household_size: Ints
    household_members: Ints
    friends: Ints
    employer: Ints
    landlord: Ints
    cards: Ints
    merchants: Merchants
    people_of_area: tuple[Ints, ...]
    businesses_of_area: tuple[Ints, ...]

    def __len__(self) -> int:
        return len(self.country)

    @property
    def num_cards(self) -> int:
        """Number of distinct cards."""
        return int(self.cards.max()) + 1

    def relative(self, rng: np.random.Generator, account: Ints) -> Ints:
        """Another member of each account's household; the first friend where it lives alone. (n,)"""
        home = self.household[account]
        step = (rng.random(len(account)) * self.household_size[home]).astype(np.int64)
        member = self.household_members[self.household_start[home] + step]
        return np.where(member == account, self.friends[account, 0], member)

    def among(self, rng: np.random.Generator, tables: tuple[Ints, ...], area: Ints) -> Ints:
        """One member of `tables[area]` for each area of (n,), uniformly."""
        drawn = np.empty(len(area), np.int64)
        for key, members in enumerate(tables):
            rows = np.flatnonzero(area == key)
            drawn[rows] = members[rng.integers(len(members), size=len(rows))]
        return drawn


def populate(config: SimulatorConfig) -> Population:
    """Draw the population of a simulation."""
    rng = stream(config.seed, "population")
    size = config.num_accounts
    country = _countries(rng, size)
    area = COUNTRY_AREA[country]
    is_business = _businesses(rng, area)
    areas = range(len(CURRENCIES))
    people = tuple(np.flatnonzero((area == key) & ~is_business) for key in areas)
    businesses = tuple(np.flatnonzero((area == key) & is_business) for key in areas)
    household = _households(rng, country, is_business)
    members = np.argsort(household, kind="stable")
    household_size = np.bincount(household)
    return Population(
        country=country,
        area=area,
        is_business=is_business,
        household=household,
        household_start=np.cumsum(household_size) - household_size,
        household_size=household_size,
        household_members=members,
        friends=_partners(rng, people, area, NUM_FRIENDS),
        employer=_employers(rng, businesses, area, is_business),
        landlord=np.where((rng.random(size) < _RENTING) & ~is_business, _landlords(rng, people, area), np.int64(-1)),
        cards=_cards(rng, size),
        merchants=_merchants(rng, max(60, size // 8)),
        people_of_area=people,
        businesses_of_area=businesses,
    )


def _countries(rng: np.random.Generator, size: int) -> Ints:
    """Countries by share, with enough accounts in each for its area never to be empty."""
    drawn = pick(rng, np.cumsum(COUNTRY_SHARE), size)
    fixed = np.tile(np.arange(len(COUNTRIES)), 6)
    drawn[: len(fixed)] = fixed
    return rng.permutation(drawn)


def _businesses(rng: np.random.Generator, area: Ints) -> Bools:
    business = np.zeros(len(area), np.bool_)
    for key in range(len(CURRENCIES)):
        members = np.flatnonzero(area == key)
        business[rng.permutation(members)[: max(2, len(members) // 40)]] = True
    return business


def _households(rng: np.random.Generator, country: Ints, is_business: Bools) -> Ints:
    """Household of each account: people of one country in groups of one to five, a business alone."""
    household = np.empty(len(country), np.int64)
    begin = 0
    for key in range(len(COUNTRIES)):
        people = rng.permutation(np.flatnonzero((country == key) & ~is_business))
        sizes = _HOUSEHOLD_SIZES[pick(rng, _HOUSEHOLD_SHARES, len(people) + 1)]
        household[people] = begin + np.searchsorted(np.cumsum(sizes), np.arange(len(people)), side="right")
        begin = int(household[people].max(initial=begin - 1)) + 1
    alone = np.flatnonzero(is_business)
    household[alone] = begin + np.arange(len(alone))
    return household


def _partners(rng: np.random.Generator, people: tuple[Ints, ...], area: Ints, number: int) -> Ints:
    """`number` other people of the same area for each account, (A, number)."""
    partners = np.empty((len(area), number), np.int64)
    for key, members in enumerate(people):
        rows = np.flatnonzero(area == key)
        place = np.searchsorted(members, rows) % len(members)
        step = 1 + rng.integers(len(members) - 1, size=(len(rows), number))
        partners[rows] = members[(place[:, None] + step) % len(members)]
    return partners


def _employers(rng: np.random.Generator, businesses: tuple[Ints, ...], area: Ints, is_business: Bools) -> Ints:
    employer = np.full(len(area), -1, np.int64)
    for key, members in enumerate(businesses):
        rows = np.flatnonzero((area == key) & ~is_business & (rng.random(len(area)) < _EMPLOYED))
        employer[rows] = members[pick(rng, np.cumsum(zipf_weights(len(members), 0.6)), len(rows))]
    return employer


def _landlords(rng: np.random.Generator, people: tuple[Ints, ...], area: Ints) -> Ints:
    """One of the few people who let flats, for each account of the area."""
    landlord = np.empty(len(area), np.int64)
    for key, members in enumerate(people):
        rows = np.flatnonzero(area == key)
        letting = rng.permutation(members)[: max(2, len(members) // 20)]
        landlord[rows] = letting[rng.integers(len(letting), size=len(rows))]
    return np.where(landlord == np.arange(len(area)), -1, landlord)


def _cards(rng: np.random.Generator, size: int) -> Ints:
    first = np.arange(size)
    has_second = rng.random(size) < _SECOND_CARD
    second = np.where(has_second, size - 1 + np.cumsum(has_second), first)
    return np.stack([first, second], axis=1)


def _merchants(rng: np.random.Generator, size: int) -> Merchants:
    category = pick(rng, np.cumsum([item.share for item in CATEGORIES]), size)
    country = pick(rng, np.cumsum(COUNTRY_SHARE), size)
    sells = np.array([[item.physical, item.online] for item in CATEGORIES])
    kinds = np.array([np.flatnonzero(sells[:, 0])[0], np.flatnonzero(sells[:, 1])[0]])
    fixed = np.repeat(np.arange(len(COUNTRIES)), 4)  # every country has shops and web shops
    country[: len(fixed)] = fixed
    category[: len(fixed)] = np.tile(kinds, len(fixed) // 2)
    physical, online = sells[category].T
    area = COUNTRY_AREA[country]
    shops = {key: rng.permutation(np.flatnonzero(physical & (country == key))) for key in range(len(COUNTRIES))}
    web = {key: rng.permutation(np.flatnonzero(online & (area == key))) for key in range(len(CURRENCIES))}
    sizes = {len(members) for table in (shops, web) for members in table.values()}
    return Merchants(
        country=country,
        category=category,
        price_level=rng.lognormal(0, 0.25, size),
        physical=shops,
        online=web,
        cumulative={number: np.cumsum(zipf_weights(number, 0.9)) for number in sorted(sizes)},
    )
