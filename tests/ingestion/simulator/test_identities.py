from __future__ import annotations

import ipaddress
from itertools import pairwise

import pytest

from ingestion.simulator import identities
from ingestion.simulator.config import SimulatorConfig
from ingestion.simulator.population import populate

POPULATION = populate(SimulatorConfig(num_transactions=400_000))
RESERVED = (ipaddress.ip_network("198.18.0.0/15"), ipaddress.ip_network("2001:db8::/32"))


def luhn_sum(number: str) -> int:
    """Sum of the digits, every second one from the right doubled (ISO/IEC 7812)."""
    return sum(int("0246813579"[int(digit)]) if place % 2 else int(digit) for place, digit in enumerate(number[::-1]))


def test_account_ids_have_valid_check_digits_and_are_unique() -> None:
    ids = identities.account_ids(0, POPULATION)
    assert len(set(ids)) == len(ids) == len(POPULATION)
    for item in ids[:500]:
        assert len(item) == 22
        turned = item[4:] + item[:4]
        assert int("".join(str(int(letter, 36)) for letter in turned)) % 97 == 1


def test_a_known_card_number_passes_luhn() -> None:
    assert luhn_sum("4111111111111111") % 10 == 0
    assert luhn_sum("4111111111111112") % 10 != 0


def test_card_numbers_pass_luhn_and_lie_in_test_ranges() -> None:
    numbers = identities.card_numbers(0, 20_000)
    assert len(set(numbers)) == 20_000
    assert {number[:6] for number in numbers} == {"400000", "222300", "555555"}
    assert all(len(number) == 16 and luhn_sum(number) % 10 == 0 for number in numbers)


def test_addresses_lie_in_reserved_blocks_and_none_begins_another() -> None:
    addresses = identities.ip_addresses(0, 5_000)
    assert len(set(addresses)) == 5_000
    for address in addresses:
        assert any(ipaddress.ip_address(address) in block for block in RESERVED)
    assert {len(address) for address in addresses} == {14, 38}  # so that none is the beginning of another
    assert 0.2 < sum("." in address for address in addresses) / 5_000 < 0.3


def test_more_addresses_than_the_short_block_holds() -> None:
    addresses = identities.ip_addresses(0, 200_000)
    assert len(set(addresses)) == 200_000
    assert sum("." in address for address in addresses) == 40_000


def test_names_and_mail_addresses_are_unique_and_long() -> None:
    names, emails = identities.holders(0, POPULATION)
    assert len(set(names)) == len(set(emails)) == len(POPULATION)
    assert min(map(len, names)) >= 12
    assert all("@example." in email and email.isascii() and " " not in email for email in emails)


def test_a_household_shares_its_last_name() -> None:
    names, _ = identities.holders(0, POPULATION)
    lasts = [name.rsplit(" ", 1)[-1] for name in names]
    members = POPULATION.household_members
    households = POPULATION.household[members]
    together = [pair for pair, home in zip(pairwise(members), pairwise(households), strict=True) if home[0] == home[1]]
    assert len(together) > 1_000
    assert all(lasts[one] == lasts[other] for one, other in together)


@pytest.mark.parametrize("name", ["device_ids", "merchant_ids"])
def test_opaque_ids_are_unique(name: str) -> None:
    ids = getattr(identities, name)(0, 20_000)
    assert len(set(ids)) == 20_000


def test_transaction_ids_are_opaque_and_unique() -> None:
    ids = identities.transaction_ids(0, 50_000).to_pylist()
    assert len(set(ids)) == 50_000
    assert all(item.startswith("tx-") and len(item) == 27 for item in ids)
    assert ids != sorted(ids)
