"""How times are written: the form that reads (nearly) every value of a column, and the forms that would as well."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Literal

Part = Literal["moment", "date", "clock"]

_DATES = (
    "%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y%m%d", "%d%m%Y", "%Y.%m.%d",
    "%d.%m.%y", "%d/%m/%y", "%m/%d/%y", "%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%b %d %Y", "%d %B %Y",
)  # fmt: skip
_CLOCKS = ("%H:%M:%S", "%H:%M", "%H:%M:%S.%f", "%I:%M:%S %p", "%I:%M %p", "%H%M%S", "%H.%M.%S", "%H.%M", "%Hh%M")
_JOINS = (" ", "T", "", ", ", "-")
_OFFSETS = ("", "%z", " %z")
_CLOCK = re.compile(r"\d{1,2}[:.h]\d{2}|\d{6}$")
#: Times before and after are no times of transactions.
_FIRST, _LAST = dt.datetime(1990, 1, 1, tzinfo=dt.UTC), dt.datetime(2045, 1, 1, tzinfo=dt.UTC)
_EPOCHS = {"epoch_seconds": 1, "epoch_milliseconds": 1_000, "epoch_microseconds": 1_000_000}
_SHARE = 0.99


@dataclass(frozen=True, kw_only=True)
class TimeForm:
    """`format` as a mapping names it; `zoned`: the values say their zone; `rivals`: formats that read them as well."""

    part: Part
    format: str
    zoned: bool = False
    rivals: tuple[str, ...] = ()

    def read(self, text: str) -> dt.datetime | None:
        """A value as a time; UTC is taken where it says no zone. None when it is none."""
        return _tried(text, _reader(self.format))


def time_form_of(values: Sequence[str]) -> TimeForm | None:
    """The form of some texts, None when they are no times.

    >>> time_form_of(["13.02.2024 14:03", "14.02.2024 09:00"]).format
    '%d.%m.%Y %H:%M'
    >>> time_form_of(["2024-02-13T14:03:00+01:00"])
    TimeForm(part='moment', format='iso', zoned=True, rivals=())
    """
    values = [value for value in values if value]
    if not values:
        return None
    if all(value.isdigit() for value in values) and (found := _epoch(values)) is not None:
        return found
    if all(len(value) >= 10 and value[4] == "-" for value in values) and _fits(values, dt.datetime.fromisoformat):
        zoned = all(dt.datetime.fromisoformat(value).tzinfo is not None for value in values)
        return TimeForm(part="date" if max(map(len, values)) == 10 else "moment", format="iso", zoned=zoned)
    marks = _marks(values[0])
    for part, formats in (("date", _DATES), ("clock", _CLOCKS), ("moment", _moments())):
        if part == "clock" and not all(_CLOCK.match(value) for value in values):
            continue  # 5.1.0 is a version
        fitting = [form for form in formats if _marks_of(form) == marks and _fits(values, _reader(form))]
        if fitting:
            # Days first, as most of the world writes them, unless the months say otherwise: rivals are asked about.
            form = max(fitting, key=lambda form: form.startswith(("%d", "%Y")))
            rivals = tuple(other for other in fitting if other != form)
            return TimeForm(part=part, format=form, zoned="%z" in form, rivals=rivals)  # type: ignore[arg-type]  # parts
    return None


def _marks(text: str) -> str:
    """The signs of a time that are no digits; runs of letters as one."""
    text = re.sub(r"\s?(?:Z|[+-]\d\d:?\d\d)$", "z", text)
    return re.sub(r"[^\W\d]+", "a", re.sub(r"\d+", "", text))


@lru_cache(maxsize=8192)
def _marks_of(form: str) -> str:
    """The marks of the times that a format writes."""
    return _marks(dt.datetime(2024, 12, 22, 12, 22, 22, 222222, tzinfo=dt.UTC).strftime(form))


@lru_cache(maxsize=1)
def _moments() -> list[str]:
    return [f"{day}{join}{clock}{offset}" for day, join, clock, offset in product(_DATES, _JOINS, _CLOCKS, _OFFSETS)]


def _epoch(values: Sequence[str]) -> TimeForm | None:
    numbers = [int(value) for value in values]
    for name, unit in _EPOCHS.items():
        # Of seconds only those since 2000: smaller numbers are ids and amounts.
        if all(946_684_800 <= number // unit <= _LAST.timestamp() for number in numbers) and len(values) > 1:
            return TimeForm(part="moment", format=name, zoned=True)
    return None


def _fits(values: Sequence[str], read: Callable[[str], dt.datetime]) -> bool:
    if _tried(values[0], read) is None and _tried(values[-1], read) is None:
        return False
    return sum(_tried(value, read) is not None for value in values) >= _SHARE * len(values)


def _reader(form: str) -> Callable[[str], dt.datetime]:
    if form == "iso":
        return dt.datetime.fromisoformat
    if form in _EPOCHS:
        return lambda text: dt.datetime.fromtimestamp(int(text) / _EPOCHS[form], dt.UTC)
    if "%Y" in form or "%y" in form:
        return lambda text: dt.datetime.strptime(text, form)
    return lambda text: dt.datetime.strptime(f"2000 {_whole(text, form)}", f"%Y {form}")


def _whole(text: str, form: str) -> str:
    if form == "%H%M%S" and len(text) != 6:
        raise ValueError(f"{text!r} has not six digits")
    return text


def _tried(text: str, read: Callable[[str], dt.datetime]) -> dt.datetime | None:
    try:
        moment = read(text)
    except (ValueError, OverflowError, OSError):
        return None
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=dt.UTC)
    return moment if _FIRST <= moment <= _LAST else None
