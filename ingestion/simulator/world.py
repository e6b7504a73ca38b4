"""The fixed world of the simulator: countries, currencies and merchant categories."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Country:
    """A country: ISO code, currency, hours ahead of UTC, share of the accounts."""

    code: str
    currency: str
    utc_offset_hours: int
    share: float


@dataclass(frozen=True, kw_only=True)
class Category:
    """A merchant category. Amounts are log-normal with this median (major units) and sigma."""

    name: str
    share: float
    median: float
    sigma: float
    physical: bool
    online: bool
    resale: bool = False
    reserves: bool = False


COUNTRIES = (
    Country(code="DE", currency="EUR", utc_offset_hours=1, share=0.21),
    Country(code="FR", currency="EUR", utc_offset_hours=1, share=0.15),
    Country(code="ES", currency="EUR", utc_offset_hours=1, share=0.11),
    Country(code="IT", currency="EUR", utc_offset_hours=1, share=0.10),
    Country(code="NL", currency="EUR", utc_offset_hours=1, share=0.07),
    Country(code="US", currency="USD", utc_offset_hours=-5, share=0.30),
    Country(code="EC", currency="USD", utc_offset_hours=-5, share=0.06),
)
CURRENCIES = ("EUR", "USD")

#: `resale` goods turn into money quickly; a merchant that `reserves` authorises first and captures later.
CATEGORIES = (
    Category(name="groceries", share=0.20, median=32, sigma=0.7, physical=True, online=False),
    Category(name="restaurants", share=0.16, median=24, sigma=0.6, physical=True, online=False),
    Category(name="fuel", share=0.06, median=48, sigma=0.4, physical=True, online=False, reserves=True),
    Category(name="transport", share=0.06, median=14, sigma=0.8, physical=True, online=True),
    Category(name="fashion", share=0.11, median=58, sigma=0.8, physical=True, online=True, resale=True),
    Category(name="electronics", share=0.09, median=120, sigma=1.0, physical=True, online=True, resale=True),
    Category(name="digital_goods", share=0.08, median=16, sigma=0.9, physical=False, online=True),
    Category(name="gift_cards", share=0.04, median=60, sigma=0.7, physical=True, online=True, resale=True),
    Category(name="jewelry", share=0.03, median=150, sigma=0.9, physical=True, online=True, resale=True),
    Category(name="travel", share=0.05, median=190, sigma=0.9, physical=False, online=True, reserves=True),
    Category(name="health", share=0.06, median=28, sigma=0.8, physical=True, online=True),
    Category(name="home", share=0.06, median=75, sigma=0.9, physical=True, online=True),
)

COUNTRY_AREA = np.array([CURRENCIES.index(country.currency) for country in COUNTRIES], np.int64)
COUNTRY_OFFSET_HOURS = np.array([country.utc_offset_hours for country in COUNTRIES], np.float64)
COUNTRY_SHARE = np.array([country.share for country in COUNTRIES])
