"""What a sample says about one column."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ingestion.expression_values import clean_text
from ingestion.numbers import NumberFormat, currency_mark, plain_numbers, without_mark
from ingestion.proposer.time_forms import TimeForm, time_form_of
from ingestion.proposer.value_forms import form_of_values

#: Distinct values that are looked at one by one.
LOOKED_AT = 300
#: Up to so many distinct values a column is a code.
MOST_CODES = 60
_NUMBER = r"^[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?$"


@dataclass(frozen=True, kw_only=True)
class ColumnLook:
    """A column (N,) of a sample: `texts` without spaces around them, null where empty; `type` as it is stored."""

    name: str
    texts: pa.Array
    type: pa.DataType
    numbers_written: NumberFormat

    @cached_property
    def filled(self) -> NDArray[np.bool_]:
        """(N,) where it says something."""
        mask: NDArray[np.bool_] = pc.is_valid(self.texts).to_numpy(zero_copy_only=False)
        return mask

    @cached_property
    def fill(self) -> float:
        """Share of rows that say something."""
        return float(self.filled.mean()) if len(self.filled) else 0.0

    @cached_property
    def counts(self) -> dict[str, int]:
        """Distinct values, the most frequent first."""
        found = pc.value_counts(self.texts.drop_null()).to_pylist()
        return {item["values"]: item["counts"] for item in sorted(found, key=lambda item: -item["counts"])}

    @cached_property
    def distinct(self) -> int:
        """Number of distinct values."""
        return len(self.counts)

    @cached_property
    def looked_at(self) -> list[str]:
        """Distinct values over the whole sample, at most LOOKED_AT."""
        values = sorted(self.counts)
        step = max(1, len(values) // LOOKED_AT)
        return values[::step]

    @cached_property
    def is_unique(self) -> bool:
        """Every row says something, and no two the same."""
        return self.fill == 1.0 and self.distinct == len(self.texts) and self.distinct > 1

    @cached_property
    def is_constant(self) -> bool:
        """One value (or none) in every row."""
        return self.distinct == 0 or (self.distinct == 1 and self.fill == 1.0)

    @cached_property
    def is_code(self) -> bool:
        """Few values that come again and again."""
        return 0 < self.distinct <= MOST_CODES and self.distinct <= max(2, 0.2 * int(self.filled.sum()))

    @cached_property
    def form(self) -> str | None:
        """Form of its values (`value_forms.FORMS`)."""
        return form_of_values(self.looked_at)

    @cached_property
    def time(self) -> TimeForm | None:
        """How it writes times; None when it holds none."""
        if pa.types.is_timestamp(self.type):
            return TimeForm(part="moment", format="iso", zoned=self.type.tz is not None)
        if pa.types.is_date(self.type):
            return TimeForm(part="date", format="iso")
        if pa.types.is_floating(self.type) or pa.types.is_boolean(self.type):
            return None
        found = time_form_of(self.looked_at)
        whole = pa.types.is_integer(self.type)
        return None if whole and found is not None and not found.format.startswith("epoch") else found

    @cached_property
    def mark(self) -> str:
        """The sign or code of a currency that stands at each of its numbers, empty when there is none."""
        is_text = pa.types.is_string(self.type) or pa.types.is_large_string(self.type)
        return currency_mark(self.looked_at) if is_text else ""

    @cached_property
    def plain(self) -> pa.Array:
        """Its values (N,) with `.` before the fraction, without `mark`."""
        return plain_numbers(without_mark(self.texts, self.mark), self.numbers_written)

    @cached_property
    def is_number(self) -> bool:
        """Nearly every value is a number."""
        if pa.types.is_boolean(self.type):
            return False
        matched = pc.mean(pc.match_substring_regex(self.plain, _NUMBER).cast(pa.float64())).as_py()
        return matched is not None and matched >= 0.98

    @cached_property
    def numbers(self) -> NDArray[np.float64]:
        """Its numbers (N,), NaN where there is none."""
        fits = pc.fill_null(pc.match_substring_regex(self.plain, _NUMBER), False)
        values = pc.if_else(fits, self.plain, pa.scalar(None, pa.string())).cast(pa.float64())
        numbers: NDArray[np.float64] = pc.fill_null(values, np.nan).to_numpy(zero_copy_only=False)
        return numbers

    @cached_property
    def decimals(self) -> int:
        """Digits after the point that most numbers need at most (the 99th of 100)."""
        if not self.is_number:
            return 0
        parts = pc.replace_substring_regex(self.plain.drop_null(), r"^[^.]*\.?", "")
        lengths = pc.utf8_length(pc.utf8_rtrim(parts, "0")).to_numpy(zero_copy_only=False)
        return int(np.quantile(lengths, 0.99, method="lower")) if len(lengths) else 0

    @cached_property
    def is_written_with_decimals(self) -> bool:
        """Whether any number is written with a fraction, be it zero."""
        return self.is_number and bool(pc.any(pc.match_substring(self.plain, ".")).as_py())

    @cached_property
    def micros(self) -> NDArray[np.float64]:
        """Its times (N,) in µs, as if in UTC where they say no zone; NaN where there is none."""
        empty = np.full(len(self.texts), np.nan)
        if self.time is None:
            return empty
        encoded = self.texts.dictionary_encode()
        read = [self.time.read(text) for text in encoded.dictionary.to_pylist()]
        values = np.array([np.nan if moment is None else moment.timestamp() * 1e6 for moment in read] + [np.nan])
        codes = pc.fill_null(encoded.indices, len(read)).to_numpy(zero_copy_only=False)
        times: NDArray[np.float64] = values[codes]
        return times

    @cached_property
    def is_prose(self) -> bool:
        """Words with spaces, hardly the same twice."""
        texts = self.looked_at
        spaced = sum(bool(re.search(r"[^\W\d]\w*\s", text)) for text in texts)
        return bool(texts) and spaced >= 0.3 * len(texts) and self.distinct > MOST_CODES


def look_at(name: str, column: pa.Array, numbers_written: NumberFormat) -> ColumnLook:
    """The look of a column as it was read."""
    return ColumnLook(name=name, texts=clean_text(column), type=column.type, numbers_written=numbers_written)
