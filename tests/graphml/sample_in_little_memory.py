"""Sample a stored graph under a limit of private memory far below its size; run as a program by a test.

python -m tests.graphml.sample_in_little_memory GRAPH_FOLDER SPARE_MIB      prints what was found as JSON
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import numpy as np

from graphml.graph import TransactionGraph
from graphml.sampling import RECENT, Uniform, sample_blocks, seed_nodes
from graphml.stored_graph import open_graph
from tests.graphml.cases import random_graph

MIB = 1 << 20


def sampled(graph: TransactionGraph, num: int) -> int:
    """Edges of two hops around `num` transactions spread over all of the graph, by both strategies."""
    positions = np.linspace(0, len(graph) - 1, num).astype(np.int64)
    edges = 0
    for part in np.array_split(positions, max(1, num // 500)):
        nodes, _ = seed_nodes(graph.entity[part])
        for strategy in (RECENT, Uniform(1)):
            edges += sum(len(block.source) for block in sample_blocks(graph, nodes, graph.cuts(part), (5, 5), strategy))
    return edges


def private_bytes() -> int:
    """Private writable memory of this process: what the limit counts; mapped files are not in it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmData"))


if __name__ == "__main__":
    folder, spare = Path(sys.argv[1]), int(sys.argv[2]) * MIB
    sampled(random_graph(0), 4)  # compiles the kernels
    limit = private_bytes() + spare
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    graph = open_graph(folder)
    found = sampled(graph, 20_000)
    features_fit = True
    try:
        graph.features.copy()
    except MemoryError:
        features_fit = False
    sys.stdout.write(json.dumps({"edges": found, "features_fit": features_fit}))
