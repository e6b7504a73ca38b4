"""Where the records of a CSV file begin and end, by a state machine over its bytes (RFC 4180).

A quotation mark opens a quoted value only at the start of a value; inside it, separators and line ends are text.
A quoted value that is not closed within `MAX_QUOTED_BYTES` is a broken record: it ends at its first line end, so
that one stray mark cannot swallow the rest of a file.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ingestion.compiled import jit

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]

MAX_QUOTED_BYTES = 65_536
QUOTE, NEWLINE, RETURN = 34, 10, 13


@dataclass(frozen=True, kw_only=True)
class Records:
    """Records of a piece of a file; blank lines are left out. All (R,) but `consumed` and `num_lines`.

    `start`, `end` are byte offsets (the line end is not in them), `line` counts from the piece's first line as 0,
    `fields` is the number of values, `broken` marks an unclosed quotation mark.
    """

    start: Ints
    end: Ints
    line: Ints
    fields: Ints
    broken: NDArray[np.bool_]
    consumed: int
    num_lines: int

    def __len__(self) -> int:
        return len(self.start)


def find_records(data: bytes | Bytes, *, delimiter: str = ",", at_end: bool = True) -> Records:
    """The records of a piece that starts with a record.

    With `at_end` False a last record without its line end is left over: `consumed` says where it starts.
    """
    array = np.frombuffer(data, np.uint8) if isinstance(data, bytes) else data
    most = int(np.count_nonzero((array == NEWLINE) | (array == RETURN))) + 1
    table = np.zeros((most, 5), np.int64)
    count, consumed, lines = _scan(array, ord(delimiter), at_end, table)
    found = table[:count]
    return Records(
        start=found[:, 0],
        end=found[:, 1],
        line=found[:, 2],
        fields=found[:, 3],
        broken=found[:, 4] == 1,
        consumed=int(consumed),
        num_lines=int(lines),
    )


@jit
def _scan(data: Bytes, delimiter: int, at_end: bool, table: Ints) -> tuple[int, int, int]:
    """Fill `table` rows (start, end, line, fields, broken); returns their number, bytes consumed, lines."""
    size = data.shape[0]
    position, line, count = 0, 0, 0
    while position < size:
        end, following, inner, fields, state = _record(data, position, delimiter, at_end)
        if state == 2:  # incomplete
            break
        if end > position:
            table[count, 0], table[count, 1], table[count, 2] = position, end, line
            table[count, 3], table[count, 4] = fields, state
            count += 1
        line += inner + 1
        position = following
    return count, position, line


@jit
def _record(data: Bytes, begin: int, delimiter: int, at_end: bool) -> tuple[int, int, int, int, int]:
    """One record: its end, where the next begins, line ends inside, values, and 0 whole, 1 broken, 2 incomplete."""
    size = data.shape[0]
    position, fields, inner = begin, 1, 0
    at_start, quoted = True, False
    while position < size:
        byte = data[position]
        if quoted:
            if byte == 34:
                if position + 1 == size and not at_end:
                    return begin, begin, 0, 0, 2
                if position + 1 < size and data[position + 1] == 34:
                    position += 1
                else:
                    quoted = False
            elif byte == 10 or (byte == 13 and not (position + 1 < size and data[position + 1] == 10)):
                inner += 1
            if quoted and position - begin > MAX_QUOTED_BYTES:
                return _first_line(data, begin, delimiter)
        elif byte == 34 and at_start:
            quoted, at_start = True, False
        elif byte == delimiter:
            fields += 1
            at_start = True
        elif byte == 10:
            return position, position + 1, inner, fields, 0
        elif byte == 13:
            if position + 1 == size and not at_end:
                return begin, begin, 0, 0, 2
            double = position + 1 < size and data[position + 1] == 10
            return position, position + (2 if double else 1), inner, fields, 0
        else:
            at_start = False
        position += 1
    if not at_end:
        return begin, begin, 0, 0, 2
    if quoted:
        return _first_line(data, begin, delimiter)
    return size, size, inner, fields, 0


@jit
def _first_line(data: Bytes, begin: int, delimiter: int) -> tuple[int, int, int, int, int]:
    """A broken record: up to its first line end, separators counted as they stand."""
    size = data.shape[0]
    fields = 1
    for position in range(begin, size):
        if data[position] == delimiter:
            fields += 1
        if data[position] == 10:
            return position, position + 1, 0, fields, 1
        if data[position] == 13:
            double = position + 1 < size and data[position + 1] == 10
            return position, position + (2 if double else 1), 0, fields, 1
    return size, size, 0, fields, 1
