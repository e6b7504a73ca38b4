"""The traps of the native libraries, in one place: call `prepare()` before the first heavy import.

- dgl 2.1.0 with torch 2.13 has no `dgl.graphbolt` build: a stub with the three names that `dgl.distributed`
  asks for must be in `sys.modules` before `import dgl`.
- torch before faiss in every process (two OpenMP runtimes; the other order can crash).
- One OpenMP thread a worker: two were six times slower on a shared box.
- Deterministic training on an NVIDIA GPU: cuBLAS refuses to multiply without a fixed workspace.
- Model hubs, telemetry and tokenizer threads are off: nothing is fetched or sent behind the user's back.
"""

from __future__ import annotations

import os
import sys
import types

ENVIRONMENT = {
    "DGLBACKEND": "pytorch",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
}

_GRAPHBOLT_NAMES = ("FusedCSCSamplingGraph", "ItemSet", "ItemSetDict")


def prepare() -> None:
    """Set the environment (a variable that the user set stays) and install the graphbolt stub. Idempotent."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if "dgl.graphbolt" not in sys.modules:
        stub = types.ModuleType("dgl.graphbolt")
        for name in _GRAPHBOLT_NAMES:
            setattr(stub, name, type(name, (), {}))
        sys.modules["dgl.graphbolt"] = stub
