"""Each planted typology has the structure that its name promises, case by case."""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import pytest

from ingestion.simulator.config import TYPOLOGIES
from tests.ingestion.simulator.conftest import Rows

HOUR = dt.timedelta(hours=1)
SLEEP = 16 * HOUR  # what a case may last longer because people sleep
Cases = dict[str, list[Rows]]


def span(rows: Rows) -> dt.timedelta:
    return rows[-1]["event_time"] - rows[0]["event_time"]


def test_every_typology_has_cases(cases: Cases) -> None:
    assert set(cases) == set(TYPOLOGIES)
    assert min(map(len, cases.values())) >= 5


def test_card_testing(cases: Cases) -> None:
    reached = 0
    for rows in cases["card_testing"]:
        probes = [row for row in rows if row["role"] == "probe"]
        purchases = [row for row in rows if row["role"] == "purchase"]
        assert len({row["target_id"] for row in probes}) == 1
        assert span(probes) <= 2 * HOUR
        assert max(row["amount_minor"] for row in probes) < 900
        assert len({row["device_id"] for row in rows}) <= 3
        assert 1 <= len(purchases) < len(probes)
        assert {row["card_number"] for row in purchases} <= {row["card_number"] for row in probes}
        assert min(row["event_time"] for row in purchases) > probes[0]["event_time"]
        reached += len({row["source_id"] for row in probes}) > 1
    assert reached == len(cases["card_testing"])
    probes = [row for rows in cases["card_testing"] for row in rows if row["role"] == "probe"]
    assert 0.3 < np.mean([row["outcome"] == "declined" for row in probes]) < 0.7
    assert 0.4 < np.mean([row["amount_minor"] == 0 for row in probes]) < 0.9


def test_account_takeover_comes_from_a_device_and_address_that_the_account_never_used(cases: Cases, rows: Rows) -> None:
    first_use: dict[tuple[str, str], dt.datetime] = {}
    for row in rows:
        for name in ("device_id", "ip_address"):
            if row[name] and row["source_type"] == "account":
                first_use.setdefault((row["source_id"], row[name]), row["event_time"])
    for case in cases["account_takeover"]:
        assert len({row["source_id"] for row in case}) == 1
        assert len({(row["device_id"], row["ip_address"]) for row in case}) == 1
        assert len({row["target_id"] for row in case if row["kind"] == "transfer"}) <= 2
        assert span(case) <= 14 * HOUR + SLEEP
    new = [
        first_use[case[0]["source_id"], case[0][name]] == case[0]["event_time"]
        for case in cases["account_takeover"]
        for name in ("device_id", "ip_address")
    ]
    assert np.mean(new) > 0.97  # a crew may come back to the same account


def test_crews_come_back_with_the_same_devices(cases: Cases) -> None:
    by_device: defaultdict[str, set[str]] = defaultdict(set)
    for typology in ("card_testing", "account_takeover"):
        for case in cases[typology]:
            for row in case:
                by_device[row["device_id"]].add(row["case_id"])
    assert sum(len(found) > 1 for found in by_device.values()) >= 5


def test_bust_out_is_a_burst_above_the_habit(cases: Cases, rows: Rows) -> None:
    paid: defaultdict[str, list[int]] = defaultdict(list)
    for row in rows:
        if row["kind"] == "payment" and not row["is_fraud"]:
            paid[row["source_id"]].append(row["amount_minor"])
    ratios, rising = [], []
    for case in cases["bust_out"]:
        assert len({row["source_id"] for row in case}) == 1
        assert len(case) >= 7
        assert span(case) <= 48 * HOUR + SLEEP
        amounts = [row["amount_minor"] for row in case]
        ratios.append(np.mean(amounts) / np.mean(paid[case[0]["source_id"]] or [np.nan]))
        rising.append(np.mean(np.log(amounts[len(amounts) // 2 :])) > np.mean(np.log(amounts[: len(amounts) // 2])))
    assert np.nanmedian(ratios) > 2
    assert np.mean(rising) > 0.6


@pytest.mark.parametrize(
    ("typology", "many", "one"), [("fan_in", "source_id", "target_id"), ("fan_out", "target_id", "source_id")]
)
def test_fans(cases: Cases, typology: str, many: str, one: str) -> None:
    for case in cases[typology]:
        assert len({row[one] for row in case}) == 1
        assert len({row[many] for row in case}) == len(case) >= 6
        assert span(case) <= 48 * HOUR + SLEEP


def test_a_cycle_closes_in_order_of_time(cases: Cases) -> None:
    rounds = Counter[int]()
    for case in cases["cycle"]:
        length = len({row["source_id"] for row in case})
        assert 4 <= length <= 7 and len(case) % length == 0
        rounds[len(case) // length] += 1
        for leg, following in pairwise(case):
            assert leg["target_id"] == following["source_id"]
            assert leg["event_time"] < following["event_time"]
        assert case[-1]["target_id"] == case[0]["source_id"]
        for start in range(0, len(case), length):
            amounts = [row["amount_minor"] for row in case[start : start + length]]
            assert amounts == sorted(amounts, reverse=True)
            assert amounts[-1] > 0.55 * amounts[0]
    assert len(rounds) >= 2


def test_scatter_gather(cases: Cases) -> None:
    for case in cases["scatter_gather"]:
        scattered = {row["target_id"]: row for row in case if row["role"] == "scatter"}
        gathered = {row["source_id"]: row for row in case if row["role"] == "gather"}
        assert set(scattered) == set(gathered) and len(scattered) == len(case) // 2
        assert len({row["source_id"] for row in scattered.values()}) == 1
        assert len({row["target_id"] for row in gathered.values()}) == 1
        for account, first in scattered.items():
            assert first["event_time"] < gathered[account]["event_time"]
            assert 0.87 < gathered[account]["amount_minor"] / first["amount_minor"] < 1


def test_mules_forward_what_came_in_from_shared_devices(cases: Cases) -> None:
    for case in cases["mule_ring"]:
        inflows = [row for row in case if row["role"] == "inflow"]
        forwards = [row for row in case if row["role"] == "forward"]
        mules = {row["source_id"] for row in forwards}
        assert mules == {row["target_id"] for row in inflows} and 3 <= len(mules) <= 4
        assert len({row["device_id"] for row in forwards}) <= 2 < len({row["device_id"] for row in inflows})
        assert len({row["target_id"] for row in forwards}) == 1
        for mule in mules:
            came = [row for row in inflows if row["target_id"] == mule]
            went = [row for row in forwards if row["source_id"] == mule]
            assert len(came) == len(went)
            for row in went:
                assert any(
                    one["event_time"] < row["event_time"] and 0.87 < row["amount_minor"] / one["amount_minor"] < 1
                    for one in came
                )


def test_people_sleep_in_fraud_too(cases: Cases) -> None:
    european = [
        (row["event_time"].hour + 1) % 24
        for of_typology in cases.values()
        for case in of_typology
        for row in case
        if row["source_id"][:2] in ("DE", "FR", "ES", "IT", "NL") and row["role"] != "probe"
    ]
    assert np.mean([hour < 6 for hour in european]) < 0.02
