"""Mule ring: accounts of strangers that one crew runs from shared devices."""

from __future__ import annotations

from ingestion.simulator.typologies.case import Case, Stage


def mule_ring(stage: Stage, case: Case, size: int) -> None:
    """Victims pay into three or four mule accounts over two to ten days; within a day each mule forwards the most
    of it to a collector, from one or two devices that all mules share.
    """
    rng, area = stage.rng, stage.area()
    pairs = size // 2
    num_mules = min(int(rng.integers(3, 5)), pairs)
    collector, *people = stage.people(area, 1 + num_mules + pairs)
    mules, victims = people[:num_mules], people[num_mules:]
    devices = stage.habits.access.devices.take(int(rng.integers(1, 3)))
    ips = stage.habits.access.ips.take(int(rng.integers(1, 4)))
    hours = stage.between(2, 10) * 24
    begin = case.begin(hours + 40)
    level = stage.level()
    for number, victim in enumerate(victims):
        mule = mules[number % num_mules]
        amount = stage.transfer_amount(level)
        paid = stage.after(begin, victim, stage.between(0, hours))
        forwarded = stage.after(paid, mule, stage.between(0.3, 20))
        kept = round(amount * stage.between(0.88, 0.99))
        case.transfer("inflow", time=paid, payer=victim, payee=mule, amount=amount)
        case.transfer(
            "forward",
            time=forwarded,
            payer=mule,
            payee=collector,
            amount=max(kept, 1),
            device=rng.choice(devices),
            ip=rng.choice(ips),
        )
