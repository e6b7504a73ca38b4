"""Edges a second of one core: the causal sampler, the same in torch, the static one, against DGL's.

    python benchmarks/sampling.py [--quick] [--json FILE]

A random graph of 1 M entities and 5 M transactions (10 M slots), labels on 2 % of them; fanouts 15 and 10, 1,024
seeds a batch. Ours counts everything that training gets: nodes shared inside a cut, other ends, gaps, labels as of the
cut. The peer is DGL's `NeighborSampler` on the same links without a clock (it has no cut a seed). CPU time of one
thread, under glibc's settings of BENCH_MALLOC; the median over rounds, which alternate.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable

from _report import Report, parser

from graphml.dgl_adapter import dgl
from graphml.graph import TransactionGraph
from graphml.sampling import sample_blocks, seed_nodes
from graphml.static_sampling import sample_static, static_adjacency
from graphml.torch_first import torch
from graphml.torch_sampling import TorchSampler
from ingestion.labels import LabelEvents

import numpy as np  # isort: skip  (torch comes first)

#: glibc keeps freed memory: blocks of a few MB would else be mapped and unmapped for every batch.
BENCH_MALLOC = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "20000000000",
    "MALLOC_TOP_PAD_": "268435456",
    "OMP_NUM_THREADS": "1",
}
FANOUTS, SEEDS, ROUNDS = (15, 10), 1_024, 7
DAY = 86_400_000_000


def run_again_with(settings: dict[str, str]) -> None:
    """Start this script anew under environment settings that only count at a process's start."""
    if any(os.environ.get(name) != value for name, value in settings.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | settings)


def main() -> int:
    """0 when every goal was reached."""
    arguments = parser(__doc__).parse_args()
    run_again_with(BENCH_MALLOC)
    entities, transactions = (100_000, 500_000) if arguments.quick else (1_000_000, 5_000_000)
    report = Report(
        benchmark="sampling",
        config={"entities": entities, "transactions": transactions, "fanouts": FANOUTS, "seeds": SEEDS, **BENCH_MALLOC},
        distributions=("numba", "numpy", "torch", "dgl"),
    )
    measure(report, entities, transactions, batches=5 if arguments.quick else 40)
    return report.finish(arguments.json)


def measure(report: Report, entities: int, transactions: int, *, batches: int) -> None:
    """Edges a second of each sampler, then the goals."""
    graph = random_graph(entities, transactions)
    samplers = {
        "causal, numba": causal(graph),
        "causal, torch on CPU": causal_torch(graph),
        "static, ours": static(graph),
        "static, DGL NeighborSampler": static_dgl(graph),
    }
    speeds: dict[str, list[float]] = {name: [] for name in samplers}
    rng = np.random.default_rng(1)
    for number in range(ROUNDS + 1):  # the first one compiles and warms up
        positions = [rng.choice(np.arange(transactions // 2, transactions), SEEDS, False) for _ in range(batches)]
        for name, sampler in samplers.items():
            share = positions if "torch" not in name else positions[: max(1, batches // 8)]
            begin = time.process_time()
            edges = sum(sampler(batch) for batch in share)
            seconds = time.process_time() - begin
            if number > 0:
                speeds[name].append(edges / seconds)
    medians = {name: statistics.median(found) for name, found in speeds.items()}
    for name, found in speeds.items():
        report.row(name, medians[name] / 1e6, "M edges/s", low=min(found) / 1e6, high=max(found) / 1e6)
    report.ratio("causal sampler, M edges/s a core", medians["causal, numba"] / 1e6, at_least=8)
    report.ratio("static, ours : DGL", medians["static, ours"] / medians["static, DGL NeighborSampler"], at_least=1.0)
    report.ratio("causal, ours : static, DGL", medians["causal, numba"] / medians["static, DGL NeighborSampler"])


def random_graph(entities: int, transactions: int, *, num_features: int = 1) -> TransactionGraph:
    """Random ends, rising times, random features, two labels in a hundred."""
    rng = np.random.default_rng(0)
    time_us = np.sort(rng.integers(0, 180 * DAY, transactions))
    labelled = np.sort(rng.choice(transactions, transactions // 50, replace=False))
    return TransactionGraph.build(
        roles=("source", "target"),
        types=("account",),
        entity=rng.integers(0, entities, (transactions, 2)),
        entity_type=np.zeros(entities, np.int64),
        event_time=time_us,
        available_at=time_us,
        features=rng.random((transactions, num_features), np.float32),
        labels=LabelEvents(
            position=labelled,
            known_at=time_us[labelled] + 7 * DAY,
            is_fraud=rng.random(len(labelled)) < 0.1,
            origin=np.ones(len(labelled), np.int64),
        ),
    )


def causal(graph: TransactionGraph) -> Callable[[np.ndarray], int]:
    """The sampler that trains and scores."""

    def sample(positions: np.ndarray) -> int:
        seeds = graph.seeds(positions)
        nodes, _ = seed_nodes(seeds.entity)
        return sum(len(block.transaction) for block in sample_blocks(graph, nodes, seeds.cuts, FANOUTS))

    return sample


def causal_torch(graph: TransactionGraph) -> Callable[[np.ndarray], int]:
    """The same in torch."""
    sampler = TorchSampler(graph)

    def sample(positions: np.ndarray) -> int:
        seeds = graph.seeds(positions)
        nodes, _ = seed_nodes(seeds.entity)
        return sum(hop.blocks[0].num_edges for hop in sampler.sample(nodes, seeds.cuts, FANOUTS))

    return sample


def static(graph: TransactionGraph) -> Callable[[np.ndarray], int]:
    """Uniform draws from all links of an entity, in either direction."""
    adjacency = static_adjacency(*links(graph), graph.num_entities)

    def sample(positions: np.ndarray) -> int:
        seeds = np.unique(graph.entity[positions])
        return sum(block.num_edges for block in sample_static(adjacency, seeds, FANOUTS, seed=int(positions[0]))[0])

    return sample


def static_dgl(graph: TransactionGraph) -> Callable[[np.ndarray], int]:
    """The same by DGL."""
    source, target = links(graph)
    whole = dgl.graph((torch.from_numpy(source), torch.from_numpy(target)), num_nodes=graph.num_entities)
    whole = whole.formats("csc")
    sampler = dgl.dataloading.NeighborSampler(list(reversed(FANOUTS)))

    def sample(positions: np.ndarray) -> int:
        seeds = torch.from_numpy(np.unique(graph.entity[positions]))
        return sum(block.num_edges() for block in sampler.sample_blocks(whole, seeds)[2])

    return sample


def links(graph: TransactionGraph) -> tuple[np.ndarray, np.ndarray]:
    """Transactions as directed edges both ways."""
    source, target = graph.entity[:, 0], graph.entity[:, 1]
    return np.concatenate([source, target]), np.concatenate([target, source])


if __name__ == "__main__":
    sys.exit(main())
