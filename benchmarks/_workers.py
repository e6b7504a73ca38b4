"""Independent computations in forked processes: each leaves its result in a file (`_results`), nothing comes back.

A forked process shares the data that is in memory already, so workers cost little more than what they compute with.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence

from graphml.torch_first import torch

_calls: Sequence[Callable[[], object]] = ()


def run_all(calls: Sequence[Callable[[], object]], *, workers: int) -> None:
    """Call each of `calls` once, `workers` at a time, in this process when `workers` is 1.

    The first error of a call is raised here, and ends the others.
    """
    if workers == 1 or len(calls) < 2:
        for call in calls:
            call()
        return
    global _calls
    torch.set_num_threads(1)  # a pool of threads does not survive a fork
    _calls = calls
    try:
        with multiprocessing.get_context("fork").Pool(min(workers, len(calls)), maxtasksperchild=1) as pool:
            for _ in pool.imap_unordered(_call, range(len(calls))):
                pass
    finally:
        _calls = ()


def _call(number: int) -> None:
    _calls[number]()
