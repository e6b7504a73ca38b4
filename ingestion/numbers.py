"""Numbers as people write them: a decimal comma, groups of thousands. They become plain ones before they are read."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from ingestion.money import CURRENCY_EXPONENTS


@dataclass(frozen=True, kw_only=True)
class NumberFormat:
    """The sign before the fraction, and the one between groups of three digits (empty: none)."""

    decimal: str = "."
    thousands: str = ""


PLAIN = NumberFormat()
_NEARLY = 0.98
_MARK = r"([^\W\d_]{3}|[$€£¥₹₺])"
_MARKED = re.compile(rf"[+-]?{_MARK}\s?[+-]?[\d.,' ]+|[+-]?[\d.,' ]+\s?{_MARK}")


def currency_mark(values: Iterable[str]) -> str:
    """The sign or code of a currency that stands at (nearly) every one of the numbers, as most columns of numbers have
    some stray text; empty when there is none, or several.

    >>> currency_mark(["$1,234.00", "-$5"]), currency_mark(["5 EUR"]), currency_mark(["$5", "€5"]), currency_mark(["5"])
    ('$', 'EUR', '', '')
    """
    matches = [_MARKED.fullmatch(value) for value in values]
    marks = [match.group(1) or match.group(2) for match in matches if match is not None]
    if not marks or len(set(marks)) > 1 or len(marks) < _NEARLY * len(matches):
        return ""
    return marks[0] if marks[0].upper() in CURRENCY_EXPONENTS or not marks[0].isalpha() else ""


def without_mark(values: pa.Array, mark: str) -> pa.Array:
    """Texts (N,) without the sign of currency that may stand before or after their digits; numbers as they are.

    One that stands among the digits stays, so that `12€50` is never read as 1250.

    >>> without_mark(pa.array(["$5", "-$ 5", "5 $", "5", "$$5", "5$50"]), "$").to_pylist()
    ['5', '-5', '5', '5', '$5', '5$50']
    """
    if not mark or not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        return values
    space, sign = r"[ \x{00A0}\x{202F}]*", re.escape(mark)
    before = rf"^(\s*[+-]?){space}{sign}{space}"
    leading = pc.fill_null(pc.match_substring_regex(values, before), False)
    without_leading = pc.replace_substring_regex(values, before, r"\1")
    return pc.if_else(leading, without_leading, pc.replace_substring_regex(values, rf"{space}{sign}\s*$", ""))


def plain_numbers(texts: pa.Array, form: NumberFormat) -> pa.Array:
    """Texts (N,) with `.` before the fraction and no groups.

    A text that is not in this form stays as it is but for a mark that no number has, so that it is never read as
    another number: `1.5` where groups are set off by points is not 15.

    >>> plain_numbers(pa.array(["1.234,5", "1.5"]), NumberFormat(decimal=",", thousands=".")).to_pylist()
    ['1234.5', '?1.5']
    """
    if form == PLAIN:
        return texts
    decimal = re.escape(form.decimal)
    group = r"[ \x{00A0}\x{202F}]" if form.thousands == " " else re.escape(form.thousands)
    whole = rf"(?:\d{{1,3}}(?:{group}\d{{3}})+|\d+)" if form.thousands else r"\d+"
    fits = pc.match_substring_regex(texts, rf"^[+-]?{whole}(?:{decimal}\d*)?$")
    plain = pc.replace_substring_regex(texts, group, "") if form.thousands else texts
    plain = pc.replace_substring(plain, form.decimal, ".")
    return pc.if_else(pc.fill_null(fits, True), plain, pc.binary_join_element_wise("?", texts, ""))
