"""Ranks of a training: one process, or many under `torchrun` (gloo on CPU, NCCL on GPU), each with a share of a batch.

The global batch is the same whatever the number of processes, and rank r takes every world-th seed of it from the
r-th on; so the union of the ranks is the epoch, they are disjoint, and a checkpoint does not know how many wrote it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from graphml.torch_first import torch

Ints = NDArray[np.int64]

#: A rank waits so long for the others: the first one may judge a whole validation window meanwhile.
_TIMEOUT = timedelta(hours=2)


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """This process among `world` ones; `device` is where it computes."""

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files."""
        return self.rank == 0

    def shard(self, ids: Ints) -> Ints:
        """This rank's part of a batch (n,).

        >>> Ranks(rank=1, world=2).shard(np.arange(5)).tolist()
        [1, 3]
        """
        return ids[self.rank :: self.world]

    def total(self, value: float) -> float:
        """The sum of every rank's value, in double precision."""
        if self.world == 1:
            return value
        tensor = torch.tensor(value, dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(tensor)
        return float(tensor.item())

    def gathered(self, part: NDArray[np.float64], num: int) -> NDArray[np.float64]:
        """All `num` values, in the order that `shard` dealt them, from each rank's part."""
        if self.world == 1:
            return part
        parts: list[NDArray[np.float64] | None] = [None] * self.world
        torch.distributed.all_gather_object(parts, part)
        whole = np.empty(num, np.float64)
        for rank, found in enumerate(parts):
            whole[rank :: self.world] = found
        return whole

    def from_first(self, value: object) -> object:
        """What the first rank has, on every rank."""
        if self.world == 1:
            return value
        values = [value]
        torch.distributed.broadcast_object_list(values, src=0)
        return values[0]


def world_size() -> int:
    """How many processes `torchrun` started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first_process() -> bool:
    """Whether this is the process that writes and answers; true without `torchrun`."""
    return os.environ.get("RANK", "0") == "0"


def current_ranks() -> Ranks:
    """This process among those that `joined` brought together, alone without it; on the accelerator if there is one."""
    device = _device()
    if not torch.distributed.is_initialized():
        return Ranks(device=device)
    return Ranks(rank=torch.distributed.get_rank(), world=torch.distributed.get_world_size(), device=device)


@contextmanager
def joined() -> Iterator[Ranks]:
    """Join the other processes that `torchrun` started; alone this is one rank and no group."""
    if world_size() == 1 or torch.distributed.is_initialized():
        yield current_ranks()
        return
    device = _device()
    torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_TIMEOUT)
    try:
        yield current_ranks()
    finally:
        torch.distributed.destroy_process_group()


def _device() -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device
