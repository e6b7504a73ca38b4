"""Small random graphs for tests of the static task: who is fraud shows in the features of the neighbors alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from graphml.static_graph import StaticGraph, read_static_graph


def arrays(*, num_nodes: int = 400, seed: int = 0, group: int = 5) -> dict[str, Any]:
    """Groups of `group` nodes, all linked, of one class each; a noisy feature of a group, which only its mean shows."""
    rng = np.random.default_rng(seed)
    group_N = np.arange(num_nodes) // group
    y = (rng.random(num_nodes // group) < 0.3)[group_N]
    x = np.stack([0.8 * y + rng.normal(size=num_nodes), rng.normal(size=num_nodes)], axis=1)
    pairs = [(a, b) for a in range(num_nodes) for b in range(num_nodes) if a != b and group_N[a] == group_N[b]]
    order = rng.permutation(num_nodes)
    edge_index = order[np.array(pairs).T]
    shuffled_x, shuffled_y = np.empty_like(x), np.empty_like(y)
    shuffled_x[order], shuffled_y[order] = x, y
    return {"x": shuffled_x.astype(np.float32), "edge_index": edge_index, "y": shuffled_y.astype(np.int8)}


def write(path: Path, **changed: Any) -> Path:
    """The arrays as npz, with `changed` ones; None leaves one out."""
    merged = {name: array for name, array in (arrays() | changed).items() if array is not None}
    np.savez(path, **merged)
    return path


def graph(path: Path, **changed: Any) -> StaticGraph:
    """The same, read."""
    return read_static_graph(write(path / "graph.npz", **changed))
