"""The honest part of the population behaves as people do; each test looks at what a bank would see."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np

from ingestion.simulator.config import SimulatorConfig
from ingestion.simulator.simulate import SimulatedTables, simulate
from tests.ingestion.simulator.conftest import Rows

EUR = {"DE", "FR", "ES", "IT", "NL"}


def honest(rows: Rows) -> Rows:
    return [row for row in rows if not row["is_fraud"]]


def by_hand(rows: Rows) -> Rows:
    return [row for row in honest(rows) if row["device_id"] or row["channel"] == "card_present"]


def test_two_currencies_and_transfers_in_the_currency_of_the_payer(rows: Rows) -> None:
    assert {row["currency"] for row in rows} == {"EUR", "USD"}
    for row in rows:
        if row["kind"] == "transfer":
            assert row["currency"] == ("EUR" if row["source_id"][:2] in EUR else "USD")
        else:
            assert row["currency"] == ("EUR" if row["country"] in EUR else "USD")


def test_days_have_a_quiet_night(rows: Rows) -> None:
    european = [row for row in by_hand(rows) if row["country"] in EUR and row["source_id"][:2] in EUR]
    hours = Counter((row["event_time"].hour + 1) % 24 for row in european)
    night = sum(hours[hour] for hour in range(1, 5))
    noon = sum(hours[hour] for hour in range(11, 15))
    assert noon > 12 * night > 0


def test_accounts_keep_their_own_hours(rows: Rows) -> None:
    """The hours of one account spread less than those of all: each has its own habit."""
    hours: defaultdict[str, list[float]] = defaultdict(list)
    for row in by_hand(rows):
        if row["source_id"][:2] in EUR:
            hours[row["source_id"]].append(row["event_time"].hour + row["event_time"].minute / 60)
    means = np.array([np.mean(values) for values in hours.values() if len(values) >= 20])
    errors = np.array([np.std(values) / np.sqrt(len(values)) for values in hours.values() if len(values) >= 20])
    assert means.std() > 1.15 * np.sqrt((errors**2).mean())


def test_accounts_keep_their_own_amounts_and_shops(rows: Rows) -> None:
    logs: defaultdict[str, list[float]] = defaultdict(list)
    shops: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in honest(rows):
        if row["kind"] == "payment" and row["channel"] == "card_present":
            logs[row["source_id"]].append(float(np.log(row["amount_minor"])))
            shops[row["source_id"]][row["target_id"]] += 1
    busy = [account for account, values in logs.items() if len(values) >= 15]
    assert np.std([np.mean(logs[account]) for account in busy]) > 1.5 * np.mean(
        [np.std(logs[account]) / np.sqrt(len(logs[account])) for account in busy]
    )
    favorite = [shops[account].most_common(1)[0][1] / shops[account].total() for account in busy]
    assert np.mean(favorite) > 0.2


def test_a_few_merchants_are_busy(rows: Rows) -> None:
    counts = Counter(row["target_id"] for row in honest(rows) if row["target_type"] == "merchant")
    top = sum(count for _, count in counts.most_common(len(counts) // 20))
    assert 0.2 < top / counts.total() < 0.7


def test_employers_pay_many_on_the_same_day(rows: Rows) -> None:
    days: defaultdict[tuple[str, object], set[str]] = defaultdict(set)
    for row in rows:
        if row["kind"] == "transfer" and row["device_id"] is None:
            days[row["source_id"], row["event_time"].date()].add(row["target_id"])
    assert max(map(len, days.values())) >= 12
    assert sum(len(paid) >= 6 for paid in days.values()) >= 20


def test_rents_come_back_every_month(rows: Rows) -> None:
    rents = Counter(
        (row["source_id"], row["target_id"], row["amount_minor"])
        for row in honest(rows)
        if row["kind"] == "transfer" and row["event_time"].day <= 4
    )
    assert sum(count >= 2 for count in rents.values()) > 200


def test_families_share_devices_and_addresses(rows: Rows) -> None:
    names: dict[str, set[str]] = defaultdict(set)
    addresses: dict[str, set[str]] = defaultdict(set)
    for row in honest(rows):
        if row["device_id"]:
            names[row["device_id"]].add(row["holder_name"])
            addresses[row["ip_address"]].add(row["holder_name"])
    families = [
        owners for owners in names.values() if len(owners) > 1 and len({name.rsplit(" ", 1)[1] for name in owners}) == 1
    ]
    assert len(families) > 100
    assert sum(len(owners) > 1 for owners in addresses.values()) > 200


def test_some_take_up_a_new_phone_and_some_travel(rows: Rows) -> None:
    abroad: defaultdict[str, int] = defaultdict(int)
    for row in honest(rows):
        if row["channel"] == "card_present" and row["kind"] == "payment" and row["country"] != row["source_id"][:2]:
            abroad[row["source_id"]] += 1
    accounts = {row["source_id"] for row in rows if row["source_type"] == "account"}
    assert 0.03 < len(abroad) / len(accounts) < 0.15
    assert max(abroad.values()) >= 3


def test_declines_are_a_parameter() -> None:
    shares = []
    for rate in (0.0, 0.05):
        tables = simulate(SimulatorConfig(num_transactions=20_000, fraud_rate=0, decline_rate=rate))
        shares.append(tables.transactions["outcome"].to_pylist().count("declined") / 20_000)
    assert shares[0] == 0
    assert 0.035 < shares[1] < 0.065


def test_declined_payments_are_often_tried_again(rows: Rows) -> None:
    open_declines: dict[tuple[str, str, int], float] = {}
    retried = 0
    for row in honest(rows):
        key = (row["source_id"], row["target_id"], row["amount_minor"])
        now = row["event_time"].timestamp()
        if row["outcome"] == "declined":
            open_declines[key] = now
        elif now - open_declines.pop(key, -1e9) < 16 * 60:
            retried += 1
    assert retried == int(0.008 * len(rows))


def test_lookalikes_are_a_parameter(tables: SimulatedTables) -> None:
    roles = Counter(role for role in tables.truth["role"].to_pylist() if role and role.startswith("lookalike_"))
    assert roles.total() == round(1.5 * tables.config.num_frauds)
    assert len(roles) == 7
