"""An oracle: it knows the rules of the planted typologies, but sees of the data only what came before.

One pass over the transactions in the order of the sequence. Each rule gives the chance that the transaction in
hand belongs to a case of its typology; the score is the highest of them. It reads no truth and no label.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

HOUR = 3_600_000_000
DAY = 24 * HOUR
RESALE = ("fashion", "electronics", "gift_cards", "jewelry")
#: A party with so many partners is a business: its fans and chains say nothing.
HUB = 14
SURE = 0.8


@dataclass
class Flow:
    """A transfer as its payer's or payee's memory holds it; `steps` counts the legs of the chain that it ends."""

    time: int
    partner: str
    amount: int
    steps: int = 1
    chance: float = 0.0


@dataclass
class Account:
    """What is remembered of an account: first uses, recent flows with new partners, its usual payment."""

    devices: dict[str, int] = field(default_factory=dict)
    ips: dict[str, int] = field(default_factory=dict)
    payees: dict[str, int] = field(default_factory=dict)
    payers: dict[str, int] = field(default_factory=dict)
    sent: deque[Flow] = field(default_factory=deque)
    gathered: deque[Flow] = field(default_factory=deque)
    received: deque[Flow] = field(default_factory=deque)
    resale: deque[Flow] = field(default_factory=deque)
    strange_uses: deque[Flow] = field(default_factory=deque)
    payments: int = 0
    spent: int = 0
    risky_until: int = 0


@dataclass
class Device:
    """What is remembered of a device: since when each account uses it, recent probes, its worst score."""

    since: dict[str, int] = field(default_factory=dict)
    probes: deque[Flow] = field(default_factory=deque)
    risk: float = 0.0


class Oracle:
    """Scores transactions one by one, each from what was remembered before it."""

    def __init__(self) -> None:
        self.accounts: defaultdict[str, Account] = defaultdict(Account)
        self.devices: defaultdict[str, Device] = defaultdict(Device)

    def score(self, row: dict[str, Any]) -> dict[str, float]:
        """Chance by rule that a transaction (a row, times in µs) is part of a case; then remember it."""
        if row["source_type"] != "account" or row["channel"] == "recurring" or row["kind"] == "capture":
            return {"none": 0.0}
        account = self.accounts[row["source_id"]]
        device = self.devices[row["device_id"]] if row["device_id"] else None
        chances = {"bust_out": self._bust_out(account, row)}
        if device is not None:
            chances |= {"strange": self._strange(account, device, row), "probe": self._probe(device, row)}
            if row["kind"] == "transfer":
                chances |= self._flow(account, row, chances["strange"])
        by_device = max(chances.get(rule, 0.0) for rule in ("strange", "probe", "ring"))
        self._remember(account, device, row, by_device)
        return chances

    def _probe(self, device: Device, row: dict[str, Any]) -> float:
        """Card testing: checks, declines and small payments of other accounts from this device within 3 hours."""
        if row["kind"] == "transfer" or (row["amount_minor"] >= 900 and row["outcome"] == "approved"):
            return 0.0
        _forget(device.probes, row["event_time"] - 3 * HOUR)
        young = {who for who, begin in device.since.items() if row["event_time"] - begin < 14 * DAY}
        others = sum(probe.partner in young - {row["source_id"]} for probe in device.probes)
        again = sum(probe.partner == row["source_id"] for probe in device.probes)
        device.probes.append(Flow(row["event_time"], row["source_id"], row["amount_minor"]))
        return 0.9 + 0.01 * min(others, 8) if others else 0.25 * min(again, 2)

    def _strange(self, account: Account, device: Device, row: dict[str, Any]) -> float:
        """Take-over, testing and rings: a device that the account took up lately, from an address new to it."""
        time = row["event_time"]
        since = account.devices.get(row["device_id"], time)
        knew_another = any(begin < since for begin in account.devices.values())
        if time - since > 14 * DAY:
            return 0.0
        if not knew_another:
            return device.risk * 0.9 if device.risk > SURE else 0.0
        strangers = sum(0 <= time - begin < 14 * DAY for who, begin in device.since.items() if who != row["source_id"])
        settled = any(time - begin >= 14 * DAY for begin in device.since.values())
        new_ip = time - account.ips.get(row["ip_address"], time) < 1.5 * DAY
        new_payee = time - account.payees.get(row["target_id"], time) < 1.5 * DAY
        _forget(account.strange_uses, time - 1.5 * DAY)
        chance = 0.02 + 0.06 * new_payee
        if new_ip and not settled and time - since < 1.5 * DAY:
            account.strange_uses.append(Flow(time, row["target_id"], row["amount_minor"]))
            chance = _step((0.15, 0.45, 0.65, 0.75), len(account.strange_uses)) if new_payee else 0.15
        if strangers and not settled:
            chance = max(chance, _step((0.3, 0.5, 0.6), strangers))
        return max(chance, 0.95 * device.risk if device.risk > SURE else 0.0)

    def _bust_out(self, account: Account, row: dict[str, Any]) -> float:
        """Resale goods from shops new to the account within two days, on average above its usual payment."""
        if row["kind"] != "payment" or row["merchant_category"] not in RESALE or account.payments < 4:
            return 0.0
        if row["event_time"] - account.payees.get(row["target_id"], row["event_time"]) > 2 * DAY:
            return 0.0
        _forget(account.resale, row["event_time"] - 2 * DAY)
        account.resale.append(Flow(row["event_time"], row["target_id"], row["amount_minor"]))
        mean = sum(flow.amount for flow in account.resale) / len(account.resale)
        if mean < account.spent / account.payments:
            return 0.0
        return _step((0.0, 0.05, 0.1, 0.4, 0.9, 0.95), len(account.resale))

    def _flow(self, account: Account, row: dict[str, Any], strange: float) -> dict[str, float]:
        """Fan-in, fan-out, chains (cycle, scatter-gather) and rings among transfers by hand."""
        payer, time, amount = row["source_id"], row["event_time"], row["amount_minor"]
        payee = self.accounts[row["target_id"]]
        is_new = time - account.payees.get(row["target_id"], time) < 7 * DAY
        _forget(account.received, time - 3 * DAY)
        feeders = [flow for flow in account.received if 0.85 <= amount / flow.amount <= 1.0001]
        feeders = [] if len(account.payers) > HUB else feeders
        steps = 1 + max((flow.steps for flow in feeders), default=0)
        chances = {"none": 0.0}
        if is_new:
            _forget(account.sent, time - 36 * HOUR)
            _forget(payee.gathered, time - 48 * HOUR)
            account.sent.append(Flow(time, row["target_id"], amount))
            payee.gathered.append(Flow(time, payer, amount))
            into = 0.0 if len(payee.payers) > HUB else _wide(payee.gathered)
            chain = _step((0.0, 0.15, 0.8, 0.95), steps)
            tainted = 0.95 * max((flow.chance for flow in feeders), default=0.0)
            chances = {
                "fan_in": into,
                "fan_out": _wide(account.sent),
                "chain": chain,
                "tainted": tainted,
                "payee": 0.6 if time < payee.risky_until and len(payee.payers) <= HUB else 0.0,
                "ring": 0.93 if steps > 1 and strange > 0.1 else 0.0,
            }
        chance = max(chances.values())
        payee.received.append(Flow(time, payer, amount, steps, chance))
        payee.payers.setdefault(payer, time)
        if chance > SURE and strange > 0.3:
            account.risky_until = payee.risky_until = time + 14 * DAY
        return chances

    def _remember(self, account: Account, device: Device | None, row: dict[str, Any], result: float) -> None:
        if device is not None:
            account.devices.setdefault(row["device_id"], row["event_time"])
            account.ips.setdefault(row["ip_address"], row["event_time"])
            device.since.setdefault(row["source_id"], row["event_time"])
            if result > SURE and len(device.since) > 1 and len(account.devices) > 1:
                device.risk = max(device.risk, result)
        account.payees.setdefault(row["target_id"], row["event_time"])
        if row["kind"] == "payment" and row["outcome"] == "approved":
            account.payments += 1
            account.spent += row["amount_minor"]


def oracle_scores(transactions: pa.Table) -> NDArray[np.float64]:
    """Score of each row, (n,); rows must be in the order of the sequence."""
    times = transactions["event_time"].cast(pa.int64())
    rows = transactions.set_column(transactions.column_names.index("event_time"), "event_time", times).to_pylist()
    oracle = Oracle()
    return np.array([max(oracle.score(row).values()) for row in rows])


def _step(chances: tuple[float, ...], count: int) -> float:
    """The chance for 1, 2, … events; the last one for more."""
    return chances[min(count, len(chances)) - 1]


def _wide(flows: deque[Flow]) -> float:
    """Chance by the number of different new partners; the equal or small sums of friends speak against."""
    amounts = [flow.amount for flow in flows]
    chance = _step((0.0, 0.12, 0.3, 0.85, 0.95), len({flow.partner for flow in flows}))
    honest = len(set(amounts)) <= len(amounts) / 2 or float(np.median(amounts)) < 2_500
    return chance * 0.3 if honest else chance


def _forget(flows: deque[Flow], before: float) -> None:
    while flows and flows[0].time < before:
        flows.popleft()
