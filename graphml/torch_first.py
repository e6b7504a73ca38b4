"""Import this before faiss: torch comes first in every process (two OpenMP runtimes; the other order can crash).

torch runs on as many threads as `OMP_NUM_THREADS` says, one by default: for the small matrices of a block more
threads only wait for each other, and one gives the same sums every time.
"""

from __future__ import annotations

import os

from ingestion.native import prepare

prepare()

import torch  # noqa: E402  (the environment must be set before torch is loaded)

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))

__all__ = ["torch"]
