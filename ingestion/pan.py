"""Card numbers (PANs) in free text: found by issuer prefix, length and Luhn check, with any usual separators.

PCI DSS 4.0.1, 3.4.1 allows to show first six and last four; free text keeps none of it, because the same number
may stand as a keyed hash beside it (3.5.1).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

MASK = "[card number]"
#: Up to so many texts, looking at each costs less than compiling an expression for Arrow (40 ms).
FEW = 1_000

_SEPARATORS = r"[\s\-_.,/·\u00ad\u200b-\u200f\u2010-\u2015\u2060\u2212\ufeff]"
_RUN = re.compile(rf"\d(?:{_SEPARATORS}{{0,3}}\d){{12,}}")
_GROUP = re.compile(r"\d+")
#: What Arrow can say fast: at least 13 digits with little between them.
_MAYBE = r"\p{Nd}(?:[^\p{L}\p{Nd}]{0,3}\p{Nd}){12}"
#: First and last issuer prefix of a range (ISO/IEC 7812), and the lengths of its numbers.
_ISSUERS = (
    ("4", "4", (13, 16, 19)),
    ("51", "55", (16,)),
    ("2221", "2720", (16,)),
    ("34", "34", (15,)),
    ("37", "37", (15,)),
    ("6011", "6011", (16, 17, 18, 19)),
    ("644", "649", (16, 17, 18, 19)),
    ("65", "65", (16, 17, 18, 19)),
    ("62", "62", (16, 17, 18, 19)),
    ("3528", "3589", (16, 17, 18, 19)),
    ("300", "305", (14,)),
    ("36", "36", (14,)),
    ("38", "39", (14,)),
    ("5018", "5018", (13, 14, 15, 16, 17, 18, 19)),
    ("5020", "5020", (13, 14, 15, 16, 17, 18, 19)),
    ("5038", "5038", (13, 14, 15, 16, 17, 18, 19)),
    ("6304", "6304", (13, 14, 15, 16, 17, 18, 19)),
    ("6759", "6763", (13, 14, 15, 16, 17, 18, 19)),
)


def is_pan(digits: str) -> bool:
    """Whether a run of digits is a card number: an issuer's prefix and length, and the Luhn check.

    >>> is_pan("4111111111111111"), is_pan("4111111111111112"), is_pan("1234567890123452")
    (True, False, False)
    """
    return _has_issuer(digits) and _luhn(digits)


def scrub(text: str) -> str:
    """The text with each card number replaced by `MASK`.

    >>> scrub("pay 4111-1111 1111.1111 today, order 12345")
    'pay [card number] today, order 12345'
    """
    pieces: list[str] = []
    end = 0
    for first, last in _found(text):
        pieces += [text[end:first], MASK]
        end = last
    return "".join([*pieces, text[end:]])


def scrub_array(texts: pa.Array) -> pa.Array:
    """`scrub` for an Arrow array; of many texts, only those that may hold a card number are looked at in Python."""
    if len(texts) <= FEW:
        return pa.array([None if text is None else scrub(text) for text in texts.to_pylist()], texts.type)
    suspects = pc.fill_null(pc.match_substring_regex(texts, _MAYBE), False)
    if not pc.any(suspects).as_py():
        return texts
    scrubbed = pa.array([scrub(text) for text in texts.filter(suspects).to_pylist()], texts.type)
    return pc.replace_with_mask(texts, suspects, scrubbed)


def pan_digits(text: str) -> str | None:
    """The digits of a text that is a card number and nothing else, separators dropped; else None.

    >>> pan_digits("4111 1111 1111 1111")
    '4111111111111111'
    """
    if not _RUN.fullmatch(text.strip()):
        return None
    digits = _ascii("".join(_GROUP.findall(text)))
    return digits if is_pan(digits) else None


def _found(text: str) -> Iterator[tuple[int, int]]:
    """Spans of the card numbers: whole groups of digits, the longest first from the left."""
    for run in _RUN.finditer(text):
        groups = [(run.start() + group.start(), group.group()) for group in _GROUP.finditer(run.group())]
        index = 0
        while index < len(groups):
            taken = _longest(groups, index)
            if taken == 0:
                index += 1
                continue
            start, digits = groups[index + taken - 1]
            yield groups[index][0], start + len(digits)
            index += taken


def _longest(groups: list[tuple[int, str]], index: int) -> int:
    """How many groups from `index` on make the longest card number; 0 when none does."""
    digits, best = "", 0
    for number, (_, group) in enumerate(groups[index:], start=1):
        digits += _ascii(group)
        if len(digits) > 19:
            break
        if len(digits) >= 13 and is_pan(digits):
            best = number
    return best


def _ascii(digits: str) -> str:
    return digits if digits.isascii() else "".join(str(int(digit)) for digit in digits)


def _has_issuer(digits: str) -> bool:
    return any(len(digits) in lengths and first <= digits[: len(first)] <= last for first, last, lengths in _ISSUERS)


def _luhn(digits: str) -> bool:
    total = 0
    for index, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + index % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
