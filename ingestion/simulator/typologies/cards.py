"""Fraud with cards and log-ins: card testing, account take-over, bust-out."""

from __future__ import annotations

import numpy as np

from ingestion.simulator.typologies.case import Case, Stage
from ingestion.simulator.world import CATEGORIES

_RESALE = np.array([category.resale for category in CATEGORIES])


def card_testing(stage: Stage, case: Case, size: int) -> None:
    """Stolen cards are tried at one web shop by checks of zero and small payments, many of them declined; those
    that pass buy elsewhere within a day and a half. All from the crew's few devices.
    """
    rng, area = stage.rng, stage.area()
    begin = case.begin(36)
    crew = stage.crew(begin)
    purchases = max(1, round(size * stage.between(0.15, 0.35)))
    probes = size - purchases
    victims = stage.people(area, max(2, round(probes / stage.between(1.0, 2.0))))
    shop, decline_rate = stage.web_shop(area), stage.between(0.3, 0.7)
    zero_share, minutes = stage.between(0.4, 0.9), stage.between(8, 120)
    tried, usable = [], []
    for offset in np.sort(rng.random(probes)):
        victim, declined = victims[rng.integers(len(victims))], bool(rng.random() < decline_rate)
        amount = 0 if rng.random() < zero_share else int(rng.integers(50, 900))
        time = begin + int(offset * minutes * 60_000_000)
        device, ip = rng.choice(crew.devices), rng.choice(crew.ips)
        case.payment(
            "probe", time=time, account=victim, merchant=shop, amount=amount, device=device, ip=ip, declined=declined
        )
        tried.append(victim)
        usable += [] if declined else [victim]
    for _ in range(purchases):
        buyer = int(rng.choice(usable or tried))
        target = stage.web_shop(area)
        case.payment(
            "purchase",
            time=stage.after(begin, buyer, minutes / 60 + stage.between(0.2, 30)),
            account=buyer,
            merchant=target,
            amount=stage.price(buyer, target, stage.between(0.8, 2.5)),
            device=rng.choice(crew.devices),
            ip=rng.choice(crew.ips),
        )


def account_takeover(stage: Stage, case: Case, size: int) -> None:
    """A log-in from a new device and address, then transfers to one or two accounts and purchases within hours."""
    rng, area = stage.rng, stage.area()
    hours = stage.between(0.3, 14)
    begin = case.begin(hours)
    crew = stage.crew(begin)
    device, ip = rng.choice(crew.devices), rng.choice(crew.ips)
    victim, *receivers = stage.people(area, 1 + int(rng.integers(1, 3)))
    transfer_share, level = stage.between(0.3, 1.0), stage.level()
    for part in np.sort(rng.random(size)):
        time = stage.after(begin, victim, part * hours)
        if rng.random() < transfer_share:
            amount = stage.transfer_amount(level)
            receiver = receivers[rng.integers(len(receivers))]
            case.transfer("transfer", time=time, payer=victim, payee=receiver, amount=amount, device=device, ip=ip)
        else:
            shop = stage.web_shop(area)
            price = stage.price(victim, shop, stage.between(0.8, 2.5))
            case.payment("purchase", time=time, account=victim, merchant=shop, amount=price, device=device, ip=ip)


def bust_out(stage: Stage, case: Case, size: int) -> None:
    """After weeks of ordinary use the account buys what can be sold again, more and more, within two days."""
    rng, area = stage.rng, stage.area()
    (account,) = stage.people(area, 1)
    hours, growth = stage.between(8, 48), stage.between(1.4, 2.4)
    begin = case.begin(hours)
    in_shop_share = stage.between(0.1, 0.6)
    for step, part in enumerate(np.sort(rng.random(size))):
        time = stage.after(begin, account, part * hours)
        in_shop = bool(rng.random() < in_shop_share)
        shop = _resale_shop(stage, account, area, in_shop=in_shop)
        amount = stage.price(account, shop, growth * (0.8 + 0.15 * step))
        if in_shop:
            case.payment_in_shop("purchase", time=time, account=account, merchant=shop, amount=amount)
        else:
            declined = step > size // 2 and bool(rng.random() < 0.2)
            case.payment("purchase", time=time, account=account, merchant=shop, amount=amount, declined=declined)


def _resale_shop(stage: Stage, account: int, area: int, *, in_shop: bool) -> int:
    """A shop whose goods sell well, if one is met in a few tries, else any."""
    people = stage.habits.population
    country = people.country[account]
    for _ in range(6):
        if in_shop:
            shop = int(people.merchants.draw_physical(stage.rng, np.array([country]))[0])
        else:
            shop = stage.web_shop(area)
        if _RESALE[people.merchants.category[shop]]:
            break
    return shop
