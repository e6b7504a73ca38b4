"""The rounds in which several writers share no end of a relationship."""

from __future__ import annotations

from collections import Counter
from itertools import combinations_with_replacement

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.graph.block_rounds import Turn, block_rounds, num_groups, turns

writers = st.integers(1, 24)


@given(writers)
def test_every_pair_of_groups_comes_once(num_writers: int) -> None:
    blocks = Counter(block for blocks in block_rounds(num_writers) for block in blocks)
    assert blocks == Counter(combinations_with_replacement(range(num_groups(num_writers)), 2))


@given(writers)
def test_no_two_blocks_of_a_round_share_a_group(num_writers: int) -> None:
    for blocks in block_rounds(num_writers):
        groups = [group for block in blocks for group in set(block)]
        assert len(groups) == len(set(groups))


@given(writers)
def test_every_writer_has_work_in_every_round(num_writers: int) -> None:
    """Two diagonal blocks each, then one block each; so nobody waits while the others work."""
    work = Counter((turn.round, turn.writer) for turn in turns(num_writers).values())
    for number in range(2 * num_writers):
        assert [work[number, writer] for writer in range(num_writers)] == [2 if number == 0 else 1] * num_writers
    assert sum(work.values()) == len(turns(num_writers))


def test_two_writers_by_hand() -> None:
    assert turns(2)[1, 1] == Turn(round=0, writer=1)
    assert turns(2)[0, 3] == Turn(round=1, writer=0)
    assert turns(2)[0, 2] == Turn(round=3, writer=1)


@pytest.mark.parametrize("number", [0, -1])
def test_nobody_cannot_write(number: int) -> None:
    with pytest.raises(ValueError, match="num_writers"):
        block_rounds(number)
