"""Where CSV records begin and end: hand-made pieces, and the standard library's reader as the oracle."""

import csv
import io
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion import csv_records
from ingestion.csv_records import MAX_QUOTED_BYTES, find_records


def texts(data: bytes) -> list[bytes]:
    records = find_records(data)
    return [data[start:end] for start, end in zip(records.start, records.end, strict=True)]


def test_lines_values_and_blank_lines() -> None:
    data = b'a,b\r\n1,"x\ny"\n\n2,"say ""hi"", ok"\r3,5" pipe'
    records = find_records(data)
    assert texts(data) == [b"a,b", b'1,"x\ny"', b'2,"say ""hi"", ok"', b'3,5" pipe']
    assert records.line.tolist() == [0, 1, 4, 5]
    assert records.fields.tolist() == [2, 2, 2, 2]
    assert not records.broken.any()


def test_an_unclosed_mark_costs_one_line_only() -> None:
    tail = b"\n".join(b"%d,ok" % number for number in range(20_000))
    data = b'1,"open\n' + tail
    records = find_records(data)
    assert len(data) > MAX_QUOTED_BYTES
    assert records.broken.tolist() == [True] + [False] * 20_000
    assert find_records(b'1,"open\n2,ok').broken.tolist() == [True, False]


def test_a_record_without_its_end_is_left_over() -> None:
    data = b'1,a\n2,"b'
    records = find_records(data, at_end=False)
    assert (len(records), records.consumed, records.num_lines) == (1, 4, 1)
    assert find_records(b"1,a\r", at_end=False).consumed == 0  # a \n may follow


RECORDS = st.lists(st.lists(st.text(alphabet='ab,"\n\r é', max_size=6), min_size=2, max_size=4), min_size=1, max_size=8)


def as_bytes(rows: list[list[str]]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    return out.getvalue().encode()


@given(RECORDS)
def test_what_a_writer_writes_is_found(rows: list[list[str]]) -> None:
    data = as_bytes(rows)
    found = [next(csv.reader(io.StringIO(text.decode(), newline=""))) for text in texts(data)]
    assert found == rows
    assert find_records(data).fields.tolist() == [len(row) for row in rows]


@given(RECORDS, st.integers(0, 60))
def test_a_cut_anywhere_changes_nothing(rows: list[list[str]], cut: int) -> None:
    data = as_bytes(rows)
    whole = find_records(data)
    first = find_records(data[:cut], at_end=False)
    rest = find_records(data[first.consumed :])
    starts = np.concatenate([first.start, rest.start + first.consumed])
    lines = np.concatenate([first.line, rest.line + first.num_lines])
    assert starts.tolist() == whole.start.tolist()
    assert lines.tolist() == whole.line.tolist()


@pytest.mark.parametrize("data", [b'a,b\r\n1,"x\ny"\n\n2,"say ""hi"""\r3,5" pipe', b'1,"open\n2,ok\n', b"", b"\n\n"])
def test_plain_python_gives_the_same(data: bytes) -> None:
    compiled = find_records(data)
    plain = {name: getattr(csv_records, name).py_func for name in ("_scan", "_record", "_first_line")}
    with mock.patch.multiple(csv_records, **plain):
        interpreted = find_records(data)
    for name in ("start", "end", "line", "fields", "broken"):
        assert getattr(compiled, name).tolist() == getattr(interpreted, name).tolist()
    assert compiled.consumed == interpreted.consumed
