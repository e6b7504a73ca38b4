"""How values are written in sentences; the verifier reads them back with the same functions.

A party is written `type:key`, a transaction `tx:id`. A key that is not a plain identifier is text from the data
and is never written into a sentence: `type:~<8 hex>` stands for it, and the evidence shows it as a value.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re

from ingestion.contracts import PartyRef, moment
from ingestion.money import exponent
from retrieval.untrusted import is_plain_key

TRANSACTION = "tx"
MINUTE, HOUR, DAY = 60_000_000, 3_600_000_000, 86_400_000_000
#: `type:key` as `mention` writes it.
MENTION = re.compile(r"\b([a-z][a-z0-9_]*):(~?[A-Za-z0-9_]+(?:[.:\-][A-Za-z0-9_]+)*)")


def mention(ref: PartyRef) -> str:
    """A party's name in a sentence.

    >>> mention(PartyRef(type="account", key="A-17")), mention(PartyRef(type="merchant", key="Joe's Shop"))
    ('account:A-17', 'merchant:~23ef185f')
    """
    return f"{ref.type}:{_handle(ref.key)}"


def mention_transaction(transaction_id: str) -> str:
    """A transaction's name in a sentence.

    >>> mention_transaction("t-1")
    'tx:t-1'
    """
    return f"{TRANSACTION}:{_handle(transaction_id)}"


def format_time(microseconds: int) -> str:
    """To the second, UTC.

    >>> format_time(1_736_121_600_000_000)
    '2025-01-06 00:00:00 UTC'
    """
    return moment(microseconds).strftime("%Y-%m-%d %H:%M:%S UTC")


def rfc3339(microseconds: int) -> str:
    """The time for machines.

    >>> rfc3339(1_736_121_600_000_000)
    '2025-01-06T00:00:00Z'
    """
    return moment(microseconds).astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


def format_amount(amount_minor: int, currency: str) -> str:
    """An amount in major units with its currency.

    >>> format_amount(123_456, "EUR"), format_amount(1_500, "JPY")
    ('1,234.56 EUR', '1,500 JPY')
    """
    digits = exponent(currency)
    whole, part = divmod(amount_minor, 10**digits)
    return f"{whole:,}" + (f".{part:0{digits}d}" if digits else "") + f" {currency}"


def format_count(value: int) -> str:
    """A whole number.

    >>> format_count(12_345)
    '12,345'
    """
    return f"{value:,}"


def format_number(value: float | None, *, signed: bool = False) -> str:
    """A measured number to four significant digits, at most four decimals; `none` for a missing one.

    >>> format_number(1234.567), format_number(0.98765), format_number(2.0), format_number(1.5, signed=True)
    ('1,235', '0.9877', '2', '+1.5')
    """
    if value is None:
        return "none"
    size = abs(value)
    decimals = 4 if size < 1 else 3 if size < 10 else 2 if size < 100 else 1 if size < 1_000 else 0
    text = f"{value:{'+' if signed else ''},.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def format_window(width: int) -> str:
    """A window's width (µs) in its largest whole unit.

    >>> format_window(7 * DAY), format_window(HOUR)
    ('7 days', '1 hour')
    """
    for unit, name in ((DAY, "day"), (HOUR, "hour"), (MINUTE, "minute")):
        if width % unit == 0:
            number = width // unit
            return f"{number} {name}" + ("" if number == 1 else "s")
    raise ValueError(f"a window of {width} µs is not a whole number of minutes")


def plural(count: int, noun: str, many: str | None = None) -> str:
    """A count with its noun.

    >>> plural(1, "party", "parties"), plural(2, "transaction")
    ('1 party', '2 transactions')
    """
    return f"{format_count(count)} {noun if count == 1 else many or noun + 's'}"


def _handle(key: str) -> str:
    if is_plain_key(key):
        return key
    return "~" + hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:8]
