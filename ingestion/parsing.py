"""Texts and numbers of a user's table as amounts (int64 minor units), whole columns at once.

What cannot be read comes back null with a reason; an empty value is null without one.
"""

from __future__ import annotations

import decimal
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ingestion.expression_values import clean_text
from ingestion.mapping_fields import AmountField
from ingestion.numbers import PLAIN, NumberFormat, plain_numbers

Mask = NDArray[np.bool_]

_SHORT_DECIMAL = r"^-?\d{1,11}(?:\.\d{1,4})?$"
_LIMIT = 2**62


@dataclass
class Parsed:
    """Values (N,) with nulls, and the masks (N,) of what could not be read, each with its reason."""

    values: pa.Array
    faults: list[tuple[str, Mask]] = field(default_factory=list)


def parse_amounts(
    values: pa.Array, wanted: AmountField, exponents: NDArray[np.int64], *, numbers: NumberFormat = PLAIN
) -> Parsed:
    """Amounts in minor units; `exponents` (N,) are the decimals of each row's currency."""
    digits = np.zeros_like(exponents) if wanted.unit == "minor" else exponents
    if pa.types.is_float32(values.type) or pa.types.is_float16(values.type):  # 13.29 is 13.28999996 there
        return _from_texts(values.cast(pa.string()), digits, wanted)
    if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
        return _from_numbers(values, digits, wanted)
    return _from_texts(plain_numbers(clean_text(values), numbers), digits, wanted)


def _from_numbers(values: pa.Array, digits: NDArray[np.int64], wanted: AmountField) -> Parsed:
    given = pc.is_valid(values).to_numpy(zero_copy_only=False)
    numbers = pc.fill_null(values.cast(pa.float64(), safe=False), 0.0).to_numpy(zero_copy_only=False)
    finite = np.isfinite(numbers)
    scaled = np.where(finite, numbers, 0.0) * 10.0**digits
    fits = np.abs(scaled) < _LIMIT
    rounded = np.rint(np.where(fits, scaled, 0.0))
    # What binary fractions cannot say exactly, 57.16 x 100 for one, is not a digit too many.
    tolerance = np.maximum(1e-6, np.abs(scaled) * 4e-15)
    precise = (np.abs(scaled - rounded) <= tolerance) | ~fits | (wanted.rounding == "half_even")
    amounts = rounded.astype(np.int64)
    if pa.types.is_integer(values.type) and not digits.any():  # exact, also above 2**53
        small = pc.if_else(pa.array(fits), values, None)
        amounts = pc.fill_null(small.cast(pa.int64(), safe=False), 0).to_numpy(zero_copy_only=False)
    good = given & finite & fits & precise
    faults = [
        ("amount_not_a_number", given & ~finite),
        ("amount_too_large", given & finite & ~fits),
        ("amount_too_precise", given & finite & ~precise),
    ]
    return Parsed(pa.array(amounts, pa.int64(), mask=~good), faults)


def _from_texts(texts: pa.Array, digits: NDArray[np.int64], wanted: AmountField) -> Parsed:
    short = pc.fill_null(pc.match_substring_regex(texts, _SHORT_DECIMAL), False)
    numbers = pc.if_else(short, texts, None).cast(pa.float64())
    parsed = _from_numbers(numbers, digits, wanted)
    rest = np.flatnonzero(pc.and_(pc.is_valid(texts), pc.invert(short)).to_numpy(zero_copy_only=False))
    if len(rest) == 0:
        return parsed
    amounts = np.array(pc.fill_null(parsed.values, 0))
    known = np.array(pc.is_valid(parsed.values))
    masks: dict[str, Mask] = {reason: mask.copy() for reason, mask in parsed.faults}
    for row, text in zip(rest.tolist(), texts.take(pa.array(rest)).to_pylist(), strict=True):
        outcome = _read_decimal(text, int(digits[row]), wanted)
        if isinstance(outcome, int):
            amounts[row], known[row] = outcome, True
        else:
            masks.setdefault(outcome, np.zeros(len(texts), np.bool_))[row] = True
    return Parsed(pa.array(amounts, pa.int64(), mask=~known), list(masks.items()))


def _read_decimal(text: str, digits: int, wanted: AmountField) -> Any:
    """Minor units of one number, or the reason why it has none."""
    if "_" in text:  # Python's own way to group digits, nobody's in a table
        return "amount_unreadable"
    try:
        number = decimal.Decimal(text)
    except decimal.InvalidOperation:
        return "amount_unreadable"
    if not number.is_finite():
        return "amount_not_a_number"
    if number.adjusted() + digits > 18:
        return "amount_too_large"
    with decimal.localcontext() as context:
        context.prec = 60
        scaled = number.scaleb(digits)
        rounded = scaled.to_integral_value(decimal.ROUND_HALF_EVEN)
    if rounded != scaled and wanted.rounding == "refuse":
        return "amount_too_precise"
    return int(rounded) if abs(rounded) < _LIMIT else "amount_too_large"
