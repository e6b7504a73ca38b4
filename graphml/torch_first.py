"""Import this before faiss: torch comes first in every process (two OpenMP runtimes; the other order can crash)."""

from __future__ import annotations

from ingestion.native import prepare

prepare()

import torch  # noqa: E402  (the environment must be set before torch is loaded)

__all__ = ["torch"]
