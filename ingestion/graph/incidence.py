"""Who takes part in what, as arrays: the transactions and the uses of each entity, ascending in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Incidence:
    """Transactions of each entity in any role, as positions of the sequence: those of entity v are
    `positions[starts[v]:starts[v + 1]]`, ascending, each once."""

    starts: Ints
    positions: Ints

    @classmethod
    def of(cls, entity_NR: Ints, num_entities: int) -> Incidence:
        """From the dense ids of each transaction by role, -1 where absent."""
        position, role = np.nonzero(entity_NR >= 0)
        starts, positions = _group(entity_NR[position, role], position, num_entities)
        return cls(starts, positions)

    def before(self, entity: int, cut: int) -> Ints:
        """Positions < cut of an entity."""
        own = self.positions[self.starts[entity] : self.starts[entity + 1]]
        return own[: np.searchsorted(own, cut)]


@dataclass(frozen=True)
class Uses:
    """Pairs of a source and a further party of its transactions, (U,) each, ordered by `(first_known_at, user
    text, used text)`; those of entity v (as user or used) are `indexes[starts[v]:starts[v + 1]]`, ascending."""

    user: Ints
    used: Ints
    first_known_at: Ints
    starts: Ints
    indexes: Ints

    @classmethod
    def of(cls, entity_NR: Ints, available_at: Ints, texts: Sequence[str], num_entities: int) -> Uses:
        """From the dense ids of each transaction by role (column 0 is the source, from 2 on further parties) in
        sequence order, their `available_at`, and each entity's `type:key`."""
        position, role = np.nonzero(entity_NR[:, 2:] >= 0)
        pairs = entity_NR[position, 0] * num_entities + entity_NR[position, 2 + role]
        pairs, first = np.unique(pairs, return_index=True)  # `position` ascends: the first is the earliest
        user, used = np.divmod(pairs, max(num_entities, 1))
        known_at = available_at[position[first]]
        rank = np.empty(num_entities, np.int64)
        rank[sorted(range(num_entities), key=lambda dense: texts[dense].encode())] = np.arange(num_entities)
        order = np.lexsort((rank[used], rank[user], known_at))
        user, used = user[order], used[order]
        index = np.tile(np.arange(len(user)), 2)
        starts, indexes = _group(np.concatenate([user, used]), index, num_entities)
        return cls(user, used, known_at[order], starts, indexes)

    def __len__(self) -> int:
        return len(self.user)

    def known_by(self, entity: int, as_of: int) -> Ints:
        """Indexes of an entity's uses with `first_known_at <= as_of`."""
        own = self.indexes[self.starts[entity] : self.starts[entity + 1]]
        return own[: np.searchsorted(self.first_known_at[own], as_of, side="right")]

    def ends(self, indexes: Ints) -> Ints:
        """Users and used of some uses, one after another."""
        return np.concatenate([self.user[indexes], self.used[indexes]])


def _group(entity: Ints, member: Ints, num_entities: int) -> tuple[Ints, Ints]:
    """Members of each entity, ascending and each once: (num_entities + 1,) starts and the members."""
    width = int(member.max(initial=0)) + 1
    entity, member = np.divmod(np.unique(entity * width + member), width)
    return np.searchsorted(entity, np.arange(num_entities + 1)).astype(np.int64), member.astype(np.int64)
