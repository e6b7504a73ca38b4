"""The Python API in one file: names are loaded when they are first used, so `import ringfence` is light.

import ringfence
workspace = ringfence.Workspace.open("workspace-demo")
snapshot = ringfence.Snapshot.open(workspace)
snapshot.features().shape
"""

from __future__ import annotations

import importlib
from typing import Any

from ingestion import native

_HOMES = {
    "Workspace": "ingestion.workspace",
    "Settings": "ingestion.config",
    "Snapshot": "ingestion.snapshot",
    "PartyRef": "ingestion.contracts",
    "FeatureSpec": "ingestion.features.spec",
    "load_spec": "ingestion.features.spec",
    "load_mapping": "ingestion.mapping",
    "ingest": "ingestion.ingest",
    "simulate": "ingestion.simulator.simulate",
    "SimulatorConfig": "ingestion.simulator.config",
    "load_graph": "ingestion.graph.load",
    "train": "graphml.training",
    "Model": "graphml.model",
    "build_index": "retrieval.index",
    "EntityIndex": "retrieval.index",
    "similar": "retrieval.similar",
    "investigate": "retrieval.investigation",
    "nightly": "serving.nightly",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """Load a public name from its home."""
    if name not in _HOMES:
        raise AttributeError(f"ringfence has no {name!r}; it has: {', '.join(__all__)}")
    native.prepare()
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
