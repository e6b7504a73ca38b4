"""Names and numbers of everything: made-up, valid in form, unique, and long enough to be searched for.

Account ids, names, e-mail addresses, card numbers and IP addresses are personal; device and merchant ids are not.
Card numbers lie in ranges that payment schemes keep for tests, addresses in blocks reserved for documentation and
benchmarks (RFC 3849, RFC 2544), mail domains are those of RFC 2606.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from ingestion.simulator.population import Population
from ingestion.simulator.streams import Ints, stream
from ingestion.simulator.world import COUNTRIES

_FIRST_NAMES = (
    "Ada Amir Anouk Beatriz Bram Carla Chidi Dario Dolores Edda Emil Esra Fatou Femke Gael Giulia Hanna Hugo Ines "
    "Ivo Jana Joao Kofi Lena Luca Maeve Malik Marisol Mateo Mina Nadia Noor Oscar Paloma Pieter Quentin Rafael Rosa "
    "Sanne Saoirse Selma Stefan Tariq Thea Ulla Valentin Wanda Xavier Yara Zoltan"
)
_LAST_NAMES = (
    "Abels Aydin Baumann Bianchi Calloway Castellanos Dijkstra Dupont Eberhard Espinoza Fiedler Fontaine Garrido "
    "Guerra Hakimi Hofstede Ibarra Ivanova Jansen Jimenez Kaplan Kowalczyk Lefebvre Lombardi Machado Moreau Neumann "
    "Nuñez O'Brien Okafor Petrov Quintana Rasmussen Romano Sandoval Schreiber Tavares Thijssen Ullmann Urquiza "
    "Valdez Verhoeven Wagenaar Whitaker Xanthos Yilmaz Zambrano Zielinski"
)
_FIRST, _LAST = _FIRST_NAMES.split(), _LAST_NAMES.split()
_TRADES = ("Trading", "Logistics", "Services", "Foods", "Works", "Systems")
_DOMAINS = ("example.com", "example.net", "example.org")
_PAN_PREFIXES = ("400000", "222300", "555555")
_ASCII = str.maketrans({"ñ": "n", "'": ""})
_MAX_IPV4 = 40_000
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)


def account_ids(seed: int, population: Population) -> list[str]:
    """A 22-character id in the form of an IBAN for each account: country, two valid check digits, 18 digits.

    >>> iban("DE", "370400440532013000")
    'DE89370400440532013000'
    """
    numbers = _distinct(stream(seed, "ids/accounts"), 10**17, 9 * 10**17, len(population))
    return [
        iban(COUNTRIES[country].code, str(number))
        for country, number in zip(population.country.tolist(), numbers.tolist(), strict=True)
    ]


def iban(country: str, number: str) -> str:
    """Country and number with the check digits of ISO 13616 between them.

    >>> iban("DE", "370400440532013000")
    'DE89370400440532013000'
    """
    digits = "".join(str(int(letter, 36)) for letter in country)
    check = 98 - int(f"{number}{digits}00") % 97
    return f"{country}{check:02d}{number}"


def card_numbers(seed: int, number: int) -> list[str]:
    """Different 16-digit card numbers with a valid Luhn digit, from test ranges."""
    rng = stream(seed, "ids/cards")
    bodies = _distinct(rng, 0, 3 * 10**9, number)
    heads = [f"{_PAN_PREFIXES[body // 10**9]}{body % 10**9:09d}" for body in bodies.tolist()]
    return [head + luhn_digit(head) for head in heads]


def luhn_digit(head: str) -> str:
    """The check digit that makes `head` + digit pass the Luhn test.

    >>> luhn_digit("411111111111111")
    '1'
    """
    doubled = [int(digit) * (2 - place % 2) for place, digit in enumerate(reversed(head))]
    return str(-sum(value // 10 + value % 10 for value in doubled) % 10)


def holders(seed: int, population: Population) -> tuple[list[str], list[str]]:
    """Full name and e-mail address of each account's holder, both unique. A household shares its last name."""
    rng = stream(seed, "ids/holders")
    homes = len(population.household_size)
    pairs = _distinct(rng, 0, len(_LAST) ** 2 * 10_000, homes)  # the same last name may come back
    first = rng.integers(len(_FIRST), size=len(population))
    trade = rng.integers(len(_TRADES), size=len(population))
    names: dict[str, None] = {}
    for account, home in enumerate(population.household.tolist()):
        last = f"{_LAST[pairs[home] % len(_LAST)]}-{_LAST[pairs[home] // len(_LAST) % len(_LAST)]}"
        business = bool(population.is_business[account])
        name = f"{last} {_TRADES[trade[account]]}" if business else f"{_FIRST[first[account]]} {last}"
        names[_unused(name, names)] = None
    everyone = list(names)
    tags = _distinct(rng, 10_000, 10_000_000, len(everyone)).tolist()
    emails = [
        f"{name.translate(_ASCII).lower().replace(' ', '.')}.{tag}@{_DOMAINS[tag % len(_DOMAINS)]}"
        for name, tag in zip(everyone, tags, strict=True)
    ]
    return everyone, emails


def _unused(name: str, taken: dict[str, None]) -> str:
    """The name itself, or with a middle initial or two that nobody has yet."""
    first, _, rest = name.partition(" ")
    candidate, number = name, 0
    while candidate in taken:
        initials = f"{chr(65 + number % 26)}." if number < 26 else f"{chr(64 + number // 26)}. {chr(65 + number % 26)}."
        candidate, number = f"{first} {initials} {rest}", number + 1
    return candidate


def ip_addresses(seed: int, number: int) -> list[str]:
    """Different addresses: about a quarter IPv4 of three-digit octets, the others IPv6 written in full."""
    rng = stream(seed, "ids/ips")
    is_v4 = rng.random(number) < 0.25
    is_v4 &= np.cumsum(is_v4) <= _MAX_IPV4
    hosts = _distinct(rng, 0, 2 * 156 * 156, int(is_v4.sum()))
    short = iter(f"198.{18 + host // 156**2}.{100 + host // 156 % 156}.{100 + host % 156}" for host in hosts.tolist())
    long = iter(_hexadecimal(rng, number, 24).tolist())
    return [next(short) if v4 else _ipv6(next(long).decode()) for v4 in is_v4.tolist()]


def device_ids(seed: int, number: int) -> list[str]:
    """Different opaque device ids."""
    return _opaque(stream(seed, "ids/devices"), "dev-", number, 16)


def merchant_ids(seed: int, number: int) -> list[str]:
    """Different opaque merchant ids."""
    return _opaque(stream(seed, "ids/merchants"), "mer-", number, 10)


def transaction_ids(seed: int, number: int) -> pa.Array:
    """Different opaque ids of 24 hexadecimal digits that say nothing about their transactions."""
    rng = stream(seed, "ids/transactions")
    matrix = np.empty((number, 27), np.uint8)
    matrix[:, :3] = np.frombuffer(b"tx-", np.uint8)
    matrix[:, 3:] = _hexadecimal_matrix(rng, number, 24)
    offsets = np.arange(0, 27 * number + 1, 27, dtype=np.int32)
    ids = pa.StringArray.from_buffers(number, pa.py_buffer(offsets), pa.py_buffer(matrix.tobytes()))
    assert len(ids.unique()) == number, "96 random bits collided"
    return ids


def _opaque(rng: np.random.Generator, prefix: str, number: int, digits: int) -> list[str]:
    ids = [prefix + item.decode() for item in _hexadecimal(rng, number, digits).tolist()]
    assert len(set(ids)) == number, "random ids collided"
    return ids


def _ipv6(digits: str) -> str:
    return "2001:db8:" + ":".join(digits[start : start + 4] for start in range(0, 24, 4))


def _hexadecimal(rng: np.random.Generator, number: int, digits: int) -> np.ndarray[tuple[int], np.dtype[np.bytes_]]:
    return np.ascontiguousarray(_hexadecimal_matrix(rng, number, digits)).view(f"S{digits}").reshape(number)


def _hexadecimal_matrix(
    rng: np.random.Generator, number: int, digits: int
) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    raw = np.frombuffer(rng.bytes(number * digits // 2), np.uint8).reshape(number, digits // 2)
    return _HEX[np.stack([raw >> 4, raw & 15], axis=2).reshape(number, digits)]


def _distinct(rng: np.random.Generator, low: int, high: int, number: int) -> Ints:
    """`number` different whole numbers in [low, high), in random order."""
    found = np.empty(0, np.int64)
    while len(found) < number:
        drawn = np.concatenate([found, rng.integers(low, high, size=number - len(found) + 16)])
        _, first = np.unique(drawn, return_index=True)
        found = drawn[np.sort(first)]
    return found[:number]
