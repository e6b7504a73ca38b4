"""The traps of the native libraries: each is really there, and `prepare` springs it. One process a trap."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ingestion import native


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter that has none of the variables of `native.ENVIRONMENT` but the given ones."""
    clean = {name: value for name, value in os.environ.items() if name not in native.ENVIRONMENT}
    return subprocess.run(
        [sys.executable, "-c", code], env=clean | environment, capture_output=True, text=True, check=False, timeout=120
    )


def test_dgl_needs_the_stub() -> None:
    """Without it `import dgl` looks for a compiled graphbolt that no build for this torch has."""
    code = "import os; os.environ['DGLBACKEND'] = 'pytorch'\nimport dgl"
    failed = run(code)
    assert failed.returncode != 0 and "graphbolt" in failed.stderr


def test_dgl_runs_with_the_stub() -> None:
    code = """
from ingestion.native import prepare
prepare()
prepare()
import dgl, dgl.distributed, torch
assert dgl.backend.backend_name == "pytorch"
block = dgl.create_block((torch.tensor([0, 1, 2]), torch.tensor([0, 0, 1])), num_src_nodes=3, num_dst_nodes=2)
block.srcdata["h"] = torch.ones(3, 1)
block.update_all(dgl.function.copy_u("h", "m"), dgl.function.sum("m", "sum"))
print(block.dstdata["sum"].flatten().tolist(), torch.get_num_threads())
"""
    done = run(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[-2] == "[2.0, 1.0] 1", "one OpenMP thread a process"


def test_torch_is_loaded_before_faiss() -> None:
    """Whatever of ours loads faiss has loaded torch first, and then searches."""
    pytest.importorskip("faiss", reason="the extra `retrieve` is not installed")
    code = """
import sys
import retrieval.index
order = [name for name in sys.modules if name in ("torch", "faiss")]
import faiss, numpy
index = faiss.IndexFlatIP(2)
index.add(numpy.eye(2, dtype="float32"))
print(order, faiss.omp_get_max_threads(), index.search(numpy.eye(2, dtype="float32"), 1)[1].ravel().tolist())
"""
    done = run(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "['torch', 'faiss'] 1 [0, 1]"


def test_the_environment_is_set_before_a_heavy_import() -> None:
    code = """
import sys, os
from ingestion.native import ENVIRONMENT, prepare
assert not {"torch", "dgl", "numpy", "numba"} & set(sys.modules)
prepare()
assert not {"torch", "dgl", "numpy", "numba"} & set(sys.modules), "preparing loads nothing"
print(all(os.environ[name] == value for name, value in ENVIRONMENT.items()))
"""
    done = run(code)
    assert done.stdout.strip() == "True", done.stderr


def test_what_the_user_set_stays() -> None:
    code = "import os\nfrom ingestion.native import prepare\nprepare()\nprint(os.environ['OMP_NUM_THREADS'])"
    assert run(code, OMP_NUM_THREADS="2").stdout.strip() == "2"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HF_HUB_OFFLINE", "1"),
        ("TRANSFORMERS_OFFLINE", "1"),
        ("DO_NOT_TRACK", "1"),
        ("MLFLOW_DISABLE_TELEMETRY", "true"),
        ("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false"),
        ("TOKENIZERS_PARALLELISM", "false"),
    ],
)
def test_nothing_is_fetched_or_sent_behind_the_users_back(name: str, value: str) -> None:
    assert native.ENVIRONMENT[name] == value
