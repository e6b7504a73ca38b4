"""What the builders of cases share: a stage with people and clocks, and a case that collects its events."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ingestion.simulator import events as ev
from ingestion.simulator.events import Events
from ingestion.simulator.habits import HOUR, Habits
from ingestion.simulator.roles import role
from ingestion.simulator.streams import Ints
from ingestion.simulator.world import COUNTRY_OFFSET_HOURS

#: Stands for the device and the address that the account itself would use then.
OWN = -2
_WAKING_HOUR, _LATEST_RISE = 6.5, 6
_CREW_RETURNS, _CREW_ACTIVE_HOURS = 0.35, 14 * 24


@dataclass(frozen=True, kw_only=True)
class Crew:
    """Fraudsters with their own devices and addresses, active around one time."""

    devices: Ints
    ips: Ints
    begin: int


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The random stream and the population that cases are played on."""

    rng: np.random.Generator
    habits: Habits
    crews: list[Crew] = field(default_factory=list)

    def area(self) -> int:
        """Currency area of the next case, by number of people."""
        sizes = np.array([len(people) for people in self.habits.population.people_of_area])
        return int(self.rng.choice(len(sizes), p=sizes / sizes.sum()))

    def people(self, area: int, number: int) -> list[int]:
        """`number` different people of a currency area (fewer where there are fewer), active ones more often."""
        candidates = self.habits.population.people_of_area[area]
        weight = self.habits.activity[candidates] ** 2
        size = min(number, len(candidates))
        return self.rng.choice(candidates, size=size, replace=False, p=weight / weight.sum()).tolist()

    def after(self, time: int, account: int, hours: float) -> int:
        """`hours` after a time, or the next day when the account would sleep then, µs."""
        moment = time + int(hours * HOUR)
        offset = COUNTRY_OFFSET_HOURS[self.habits.population.country[account]]
        local_hour = (moment / HOUR + offset) % 24
        if local_hour < _WAKING_HOUR:
            moment += int((_WAKING_HOUR - local_hour + self.rng.uniform(0, _LATEST_RISE)) * HOUR)
        return moment

    def crew(self, begin: int) -> Crew:
        """A crew around `begin`: sometimes one that was seen in another case, else with new devices."""
        near = [crew for crew in self.crews if abs(crew.begin - begin) < _CREW_ACTIVE_HOURS * HOUR]
        if near and self.rng.random() < _CREW_RETURNS:
            return near[self.rng.integers(len(near))]
        access = self.habits.access
        fresh = Crew(
            devices=access.devices.take(int(self.rng.integers(1, 4))),
            ips=access.ips.take(int(self.rng.integers(1, 4))),
            begin=begin,
        )
        self.crews.append(fresh)
        return fresh

    def transfer_amount(self, level: float, sigma: float = 0.3) -> int:
        """An amount around `level` (major units) as people type it, minor units."""
        amount = level * float(self.rng.lognormal(0, sigma))
        rounded = round(amount / 5) * 5 if self.rng.random() < 0.35 and amount >= 5 else amount
        return max(round(rounded * 100), 1)

    def level(self) -> float:
        """The usual amount of a case of transfers, major units: inside the range of honest ones."""
        return float(self.rng.lognormal(np.log(160), 0.6))

    def web_shop(self, area: int) -> int:
        """A web shop of the area, by popularity."""
        return int(self.habits.population.merchants.draw_online(self.rng, np.array([area]))[0])

    def price(self, account: int, merchant: int, factor: float = 1.0) -> int:
        """What an account would pay at a merchant, times a factor, minor units."""
        amount = self.habits.amounts(self.rng, np.array([account]), np.array([merchant]))[0]
        return max(round(float(amount) * factor), 1)

    def between(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return float(self.rng.uniform(low, high))


class Case:
    """The events of one planted case, collected one by one; `position` in [0, 1) says where in the span it lies."""

    def __init__(self, number: int, position: float, stage: Stage) -> None:
        self.number = number
        self.position = position
        self.stage = stage
        self._rows: list[dict[str, int]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def begin(self, longest_hours: float) -> int:
        """When the case begins so that it ends within the span, µs; not in the very first days."""
        first = self.stage.habits.config.span // 30
        last = self.stage.habits.config.span - int((longest_hours + 16) * HOUR)  # 16: sleep puts off what comes last
        return first + int(self.position * (last - first))

    def transfer(
        self, part: str, *, time: int, payer: int, payee: int, amount: int, device: int = OWN, ip: int = OWN
    ) -> None:
        """Add a transfer that plays `part`."""
        self._add(
            part,
            time=time,
            actor=payer,
            peer=payee,
            amount=amount,
            device=device,
            ip=ip,
            kind=ev.TRANSFER,
            channel=ev.BY_TRANSFER,
            purpose=ev.PERSON,
        )

    def payment(
        self,
        part: str,
        *,
        time: int,
        account: int,
        merchant: int,
        amount: int,
        device: int = OWN,
        ip: int = OWN,
        declined: bool = False,
    ) -> None:
        """Add an online card payment that plays `part`; of zero it is an authorisation (a card check)."""
        self._add(
            part,
            time=time,
            actor=account,
            merchant=merchant,
            amount=amount,
            device=device,
            ip=ip,
            kind=ev.PAYMENT if amount else ev.AUTHORISATION,
            purpose=ev.PURCHASE if amount else ev.CHECK,
            outcome=ev.DECLINED if declined else ev.APPROVED,
            card=int(self.stage.habits.population.cards[account, 0]),
        )

    def payment_in_shop(self, part: str, *, time: int, account: int, merchant: int, amount: int) -> None:
        """Add a card payment in a shop that plays `part`."""
        self._add(
            part,
            time=time,
            actor=account,
            merchant=merchant,
            amount=amount,
            channel=ev.CARD_PRESENT,
            card=int(self.stage.habits.population.cards[account, 0]),
        )

    def events(self) -> Events:
        """The case as columns; `OWN` devices are still to be resolved."""
        names = sorted({name for row in self._rows for name in row})
        defaults = ev.make(time=[0], actor=0)
        columns = {
            name: np.array([row.get(name, getattr(defaults, name)[0]) for row in self._rows], np.int64)
            for name in names
        }
        return ev.make(**columns, case=self.number)

    def _add(self, part: str, **columns: int) -> None:
        self._rows.append({**columns, "role": role(part)})
