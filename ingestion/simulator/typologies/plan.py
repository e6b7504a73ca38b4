"""Which cases are planted: typologies by their shares, sizes that sum exactly to the number of frauds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ingestion.simulator import events as ev
from ingestion.simulator.config import TYPOLOGIES, SimulatorConfig
from ingestion.simulator.events import Events
from ingestion.simulator.habits import Habits
from ingestion.simulator.streams import stream
from ingestion.simulator.typologies.cards import account_takeover, bust_out, card_testing
from ingestion.simulator.typologies.case import OWN, Case, Stage
from ingestion.simulator.typologies.flows import cycle, fan_in, fan_out, scatter_gather
from ingestion.simulator.typologies.mules import mule_ring


@dataclass(frozen=True, kw_only=True)
class Typology:
    """How a case is built, and the numbers of transactions that a case may have."""

    build: Callable[[Stage, Case, int], None]
    sizes: tuple[int, ...]


REGISTRY = {
    "card_testing": Typology(build=card_testing, sizes=tuple(range(6, 17))),
    "account_takeover": Typology(build=account_takeover, sizes=tuple(range(4, 11))),
    "bust_out": Typology(build=bust_out, sizes=tuple(range(7, 15))),
    "fan_in": Typology(build=fan_in, sizes=tuple(range(6, 13))),
    "fan_out": Typology(build=fan_out, sizes=tuple(range(6, 13))),
    "cycle": Typology(build=cycle, sizes=(5, 6, 7, 8, 10, 12, 14, 15, 18)),
    "scatter_gather": Typology(build=scatter_gather, sizes=(8, 10, 12, 14, 16)),
    "mule_ring": Typology(build=mule_ring, sizes=(10, 12, 14, 16, 18, 20)),
}
#: Builds a case of any size, so it takes what is left over.
_ANY_SIZE = "account_takeover"
#: Steps of the golden section, modulo 1, fill an interval evenly however many there are (Weyl's sequence).
_GOLDEN = (5**0.5 - 1) / 2
assert tuple(REGISTRY) == TYPOLOGIES


@dataclass(frozen=True, kw_only=True)
class Planted:
    """The planted events and the typology of each case: case number -> name."""

    events: Events
    typologies: tuple[str, ...]


def plan(config: SimulatorConfig) -> list[tuple[str, int]]:
    """Typology and size of each case. Sizes sum to `config.num_frauds`; what fits no other becomes a take-over."""
    rng = stream(config.seed, "plan")
    weight = sum(config.shares.values())
    missing = {name: config.num_frauds * share / weight for name, share in config.shares.items() if share}
    remaining, cases = config.num_frauds, []
    while remaining:
        fitting = [name for name in missing if REGISTRY[name].sizes[0] <= remaining]
        name = max(fitting, key=missing.__getitem__) if fitting else _ANY_SIZE
        sizes = [size for size in REGISTRY[name].sizes if size <= remaining] if fitting else [remaining]
        size = int(rng.choice(sizes))
        missing[name] = missing.get(name, 0.0) - size
        remaining -= size
        cases.append((name, size))
    return cases


def plant(habits: Habits) -> Planted:
    """Build every case of the plan; those of one typology are spread evenly over the span."""
    config = habits.config
    stage = Stage(rng=stream(config.seed, "cases"), habits=habits)
    names, parts = [], [ev.make(time=np.empty(0, np.int64), actor=0)]
    position = {name: stage.rng.random() for name in REGISTRY}
    for number, (name, size) in enumerate(plan(config)):
        position[name] = (position[name] + _GOLDEN) % 1
        case = Case(number, position[name], stage)
        REGISTRY[name].build(stage, case, size)
        assert len(case) == size, f"{name} built {len(case)} events instead of {size}"
        names.append(name)
        parts.append(case.events())
    return Planted(events=_with_own_access(habits, ev.concat(parts)), typologies=tuple(names))


def _with_own_access(habits: Habits, events: Events) -> Events:
    """Give the events marked `OWN` the device and the address that their accounts would use."""
    rng = stream(habits.config.seed, "cases/access")
    device = habits.access.device(rng, events.actor, events.time)
    ip = habits.access.ip(rng, events.actor, events.time)
    return events.replace(
        device=np.where(events.device == OWN, device, events.device), ip=np.where(events.ip == OWN, ip, events.ip)
    )
