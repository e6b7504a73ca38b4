"""Fraud in the shape of flows between accounts: fan-in, fan-out, cycle, scatter-gather."""

from __future__ import annotations

import numpy as np

from ingestion.simulator.typologies.case import Case, Stage


def fan_in(stage: Stage, case: Case, size: int) -> None:
    """Many deceived accounts pay one collector within four to 48 hours."""
    area, hours, level = stage.area(), stage.between(4, 48), stage.level()
    begin = case.begin(hours)
    collector, *payers = stage.people(area, size + 1)
    for payer in payers:
        time = stage.after(begin, payer, stage.between(0, hours))
        case.transfer("pay_in", time=time, payer=payer, payee=collector, amount=stage.transfer_amount(level))


def fan_out(stage: Stage, case: Case, size: int) -> None:
    """One account spreads money over many accounts within two to 36 hours."""
    area, hours, level = stage.area(), stage.between(2, 36), stage.level()
    begin = case.begin(hours)
    payer, *receivers = stage.people(area, size + 1)
    for receiver in receivers:
        time = stage.after(begin, payer, stage.between(0, hours))
        case.transfer("pay_out", time=time, payer=payer, payee=receiver, amount=stage.transfer_amount(level))


def cycle(stage: Stage, case: Case, size: int) -> None:
    """Money goes round four to seven accounts and comes back, less a fee at each leg; often two or three times."""
    rng, area = stage.rng, stage.area()
    lengths = [length for length in range(4, 8) if size % length == 0]
    length = int(rng.choice(lengths))
    ring = stage.people(area, length)
    pace_hours, fee = stage.between(1, 8), stage.between(0.0, 0.05)
    time = stage.after(case.begin(size * pace_hours + 48), ring[0], 0)
    for _ in range(size // length):
        amount = stage.transfer_amount(stage.level())
        for payer, payee in zip(ring, [*ring[1:], ring[0]], strict=True):
            case.transfer("leg", time=time, payer=payer, payee=payee, amount=amount)
            time = stage.after(time, payee, stage.between(0.3, 1.0) * pace_hours)
            amount = max(round(amount * (1 - fee * stage.between(0.5, 1.5))), 1)


def scatter_gather(stage: Stage, case: Case, size: int) -> None:
    """One account pays several go-betweens, and each passes the most of it on to the same sink."""
    area, level = stage.area(), stage.level()
    hours = stage.between(2, 20)
    begin = case.begin(hours + 48)
    source, sink, *middle = stage.people(area, size // 2 + 2)
    for account, delay in zip(middle, np.sort(stage.rng.uniform(0, hours, len(middle))), strict=True):
        amount = stage.transfer_amount(level)
        scattered = stage.after(begin, source, float(delay))
        gathered = stage.after(scattered, account, stage.between(2, 40))
        kept = round(amount * stage.between(0.88, 0.99))
        case.transfer("scatter", time=scattered, payer=source, payee=account, amount=amount)
        case.transfer("gather", time=gathered, payer=account, payee=sink, amount=max(kept, 1))
