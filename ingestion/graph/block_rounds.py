"""Which relationships several writers may write at the same time without waiting for each other's locks.

A writer locks both ends of a relationship. The ends are hashed into twice as many groups as there are writers; a
relationship belongs to the block of its two groups, whichever way it points. A round is a set of blocks that have no
group in common, so its writers share no end, however large a hub is. Rounds come one after another.
"""

from __future__ import annotations

from dataclasses import dataclass

Block = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Turn:
    """When a block is written, and by whom."""

    round: int
    writer: int


def num_groups(num_writers: int) -> int:
    """Groups that the ends are hashed into."""
    if num_writers < 1:
        raise ValueError(f"num_writers = {num_writers} is refused: give at least 1")
    return 2 * num_writers


def block_rounds(num_writers: int) -> list[list[Block]]:
    """Blocks `(low, high)` by round: first the diagonal, where both ends are of one group, then the rounds of a
    tournament (the circle method) in which each pair of groups meets once.

    >>> block_rounds(2)
    [[(0, 0), (1, 1), (2, 2), (3, 3)], [(0, 3), (1, 2)], [(2, 3), (0, 1)], [(1, 3), (0, 2)]]
    """
    groups = num_groups(num_writers)
    last = groups - 1
    rounds = [[(group, group) for group in range(groups)]]
    for turn in range(last):
        pairs = [(-turn % last, last)]
        pairs += [((step - turn) % last, (-step - turn) % last) for step in range(1, num_writers)]
        rounds.append([(min(pair), max(pair)) for pair in pairs])
    return rounds


def turns(num_writers: int) -> dict[Block, Turn]:
    """The turn of each block; the two diagonal blocks of one writer come one after the other."""
    return {
        block: Turn(round=number, writer=index % num_writers)
        for number, blocks in enumerate(block_rounds(num_writers))
        for index, block in enumerate(blocks)
    }
