"""The one import of faiss: torch is loaded before it, and a search uses one OpenMP thread.

torch and faiss carry an OpenMP runtime each; in the other order a process can crash, and a forked worker that
searches after its parent did can hang unless one thread is used (STACK.md 1).
"""

# ruff: noqa: I001  # the order of these imports is what this module is for
from __future__ import annotations

import graphml.torch_first  # noqa: F401
import faiss

faiss.omp_set_num_threads(1)

__all__ = ["faiss"]
