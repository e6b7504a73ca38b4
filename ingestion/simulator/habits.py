"""The habits of accounts: their hours and days, how much they spend, where they usually pay."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ingestion.contracts import MICROSECONDS_PER_DAY
from ingestion.simulator.access import Access
from ingestion.simulator.config import SimulatorConfig
from ingestion.simulator.population import Population
from ingestion.simulator.streams import Floats, Ints, stream
from ingestion.simulator.world import CATEGORIES, COUNTRY_OFFSET_HOURS

HOUR = 3_600_000_000
NUM_FAVORITES = 6
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
    shops = [population.merchants.draw_physical(rng, population.country) for _ in range(NUM_FAVORITES)]
    web_shops = [population.merchants.draw_online(rng, population.area) for _ in range(NUM_FAVORITES)]
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


def to_minor(rng: np.random.Generator, major: Floats, *, round_share: float) -> Ints:
    """Minor units of amounts; `round_share` of them end on a multiple of 5 major units."""
    is_round = rng.random(len(major)) < round_share
    rounded = np.where(is_round & (major >= 5), np.round(major / 5) * 5, major)
    return np.maximum(np.round(rounded * 100), 1).astype(np.int64)
