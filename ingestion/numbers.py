"""Numbers as people write them: a decimal comma, groups of thousands. They become plain ones before they are read."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True, kw_only=True)
class NumberFormat:
    """The sign before the fraction, and the one between groups of three digits (empty: none)."""

    decimal: str = "."
    thousands: str = ""


PLAIN = NumberFormat()


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
