"""RFC 3339 times at the edges; inside, times are µs since 1970."""

from __future__ import annotations

import datetime as dt
import re

from ingestion.contracts import micros, moment
from ingestion.errors import UsageError

#: A time zone always, no leap second (CLK: refused, never guessed); digits after the microsecond are dropped.
_PATTERN = re.compile(
    r"(?!0000)\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[Tt]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?"
    r"([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)"
)
_FIRST = dt.datetime(1, 1, 1, tzinfo=dt.UTC)
_LAST = dt.datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=dt.UTC)


def rfc3339(microseconds: int) -> str:
    """The time in UTC, fractions only where there are some.

    >>> rfc3339(1_736_121_600_000_000), rfc3339(1_736_121_600_250_000)
    ('2025-01-06T00:00:00Z', '2025-01-06T00:00:00.250000Z')
    """
    return moment(microseconds).isoformat().replace("+00:00", "Z")


def parse_rfc3339(text: str) -> int:
    """µs of an RFC 3339 time, within the years 1 to 9999 of UTC. Raises `ValueError` for anything else.

    >>> parse_rfc3339("2025-01-06T01:00:00+01:00")
    1736121600000000
    """
    if not _PATTERN.fullmatch(text):
        raise ValueError(f"{text!r} is not an RFC 3339 time with a zone, for example 2025-01-06T08:30:00Z")
    return min(max(micros(dt.datetime.fromisoformat(text.upper())), micros(_FIRST)), micros(_LAST))


def as_of_option(text: str | None, *, default: int) -> int:
    """The `--as-of` of a command in µs, or the default. Raises `UsageError`."""
    if text is None:
        return default
    try:
        return parse_rfc3339(text)
    except ValueError as error:
        raise UsageError(f"--as-of: {error}.", remedy="Write it like 2025-01-06T08:30:00Z.") from error
