"""An epoch of a 2-layer GraphSAGE: our samplers, layers and trainer against DGL's DataLoader and SAGEConv.

    python benchmarks/training.py [--quick] [--json FILE]

1 M nodes, 5 M transactions (10 M directed edges), 64 features, 64 hidden units, fanouts 15 and 10, batches of 1,024,
40,960 seeds an epoch. Three contestants, same sizes, AdamW, same targets:

- DGL: `DataLoader` + `NeighborSampler` + two `SAGEConv`, mean; inputs gathered by id;
- ours, static: `sample_static` and the product's layers in the product's trainer;
- ours, causal: entities as of times of their own (the entity task), so no state is shared between seeds, with gaps,
  labels as of the cut and features of every neighboring transaction, in the product's trainer.

CPU time of one thread under the malloc settings of `sampling.py`, for all alike; median of 7 epochs, which alternate.
Then two gloo processes against one, by the wall clock, on the static contestant.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from _report import Report, parser
from sampling import BENCH_MALLOC, links, random_graph, run_again_with

from graphml.block import Block
from graphml.context import GraphContext
from graphml.dgl_adapter import dgl
from graphml.distributed import Ranks
from graphml.graph import Cuts, TransactionGraph
from graphml.graph_training import GraphLearner, GraphTraining, graph_row
from graphml.nn.edges import EdgeConfig
from graphml.nn.sage import MeanMessage, SageLayer
from graphml.node_tasks import NodeTask
from graphml.static_sampling import sample_static, static_adjacency
from graphml.torch_first import torch
from graphml.trainer import fit
from graphml.trainer_config import TrainerConfig

import numpy as np  # isort: skip  (torch comes first)

FANOUTS, BATCH, WIDTH, ROUNDS = (15, 10), 1_024, 64, 7


class StaticSage(torch.nn.Module):
    """Two GraphSAGE layers of the product and a logit; the first reads neighbors' features where they lie."""

    def __init__(self) -> None:
        super().__init__()
        self.own = torch.nn.Linear(WIDTH, WIDTH, bias=False)
        self.first = MeanMessage(0, WIDTH, edge=EdgeConfig(num_features=WIDTH), bias=True)
        self.second = SageLayer(WIDTH, WIDTH)
        self.logit = torch.nn.Linear(WIDTH, 1)

    def forward(self, blocks: list[Block], own_UF: torch.Tensor, features_NF: torch.Tensor) -> torch.Tensor:
        """Logits (S,) from the features `own_UF` of the first block's targets and those of all nodes."""
        nothing = own_UF.new_zeros(0, 0)
        h = torch.relu(self.own(own_UF) + self.first(blocks[0], nothing, features_NF))
        return self.logit(torch.relu(self.second(blocks[1], h, features_NF[:0]))).squeeze(1)


class StaticLearner:
    """See `graphml.trainer.Learner`: nodes of a static graph."""

    def __init__(self, graph: TransactionGraph, features: torch.Tensor, targets: torch.Tensor, num_seeds: int) -> None:
        torch.manual_seed(0)
        self.adjacency = static_adjacency(*links(graph), graph.num_entities)
        self.features, self.targets, self.num_seeds = features, targets, num_seeds
        self.network = StaticSage()
        self.number = 0

    def epoch(self, number: int) -> np.ndarray:
        self.number = number
        return np.random.default_rng(number).choice(len(self.targets), self.num_seeds, replace=False)

    def loss(self, module: torch.nn.Module, ids: np.ndarray) -> torch.Tensor:
        blocks, targets = sample_static(self.adjacency, ids, FANOUTS, seed=self.number, joins_inputs=False)
        own = self.features.index_select(0, torch.from_numpy(targets))
        logits = module(blocks, own, self.features)
        return torch.nn.functional.binary_cross_entropy_with_logits(logits, self.targets[ids], reduction="sum")

    def judge(self) -> float | None:
        return None


class DglSage(torch.nn.Module):
    """The same of DGL's layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (dgl.nn.SAGEConv(WIDTH, WIDTH, "mean") for _ in range(2))
        self.logit = torch.nn.Linear(WIDTH, 1)

    def forward(self, blocks: list[dgl.DGLGraph], x: torch.Tensor) -> torch.Tensor:
        h = torch.relu(self.first(blocks[0], x))
        return self.logit(torch.relu(self.second(blocks[1], h))).squeeze(1)


def trainer(**changes: object) -> TrainerConfig:
    """One epoch in batches of BATCH."""
    return TrainerConfig(**({"epochs": 1, "batch_size": BATCH, "precision": "fp32"} | changes))


def ours_static(graph: TransactionGraph, features: torch.Tensor, targets: torch.Tensor, num: int) -> Callable[[], None]:
    """One epoch through the trainer."""
    learner = StaticLearner(graph, features, targets, num)
    return lambda: fit(learner, trainer(), ranks=Ranks()) and None


def ours_causal(graph: TransactionGraph, targets: torch.Tensor, num: int) -> Callable[[], None]:
    """One epoch of the entity task, each seed as of a time of its own in the younger half."""
    rng = np.random.default_rng(1)
    positions = rng.integers(len(graph) // 2, len(graph), num)
    entity = rng.choice(graph.num_entities, num, replace=False)
    moments = graph.available_at[positions]
    task = NodeTask(
        entity=entity[:, None],
        cuts=Cuts(position=positions, label_time=moments, event_time=moments),
        is_fraud=targets.numpy()[entity] > 0,
    )
    config = GraphTraining(
        fanouts=FANOUTS,
        width=WIDTH,
        dropout=0.0,
        negatives=10**6,
        seeds_per_epoch=num,
        max_seeds_per_epoch=num,
        trainer=trainer(),
    )
    context = GraphContext(graph)
    row = graph_row(context, task, config)
    context.inputs(row.edge_scaler)  # DGL's features are scaled before the clock starts, too
    learner = GraphLearner(context=context, train=task, validation=None, config=config, row=row, ranks=Ranks())
    return lambda: fit(learner, config.trainer, ranks=Ranks()) and None


def dgl_static(graph: TransactionGraph, features: torch.Tensor, targets: torch.Tensor, num: int) -> Callable[[], None]:
    """One epoch of DGL's loop."""
    source, target = (torch.from_numpy(ends) for ends in links(graph))
    whole = dgl.graph((source, target), num_nodes=graph.num_entities).formats("csc")
    sampler = dgl.dataloading.NeighborSampler(list(reversed(FANOUTS)))
    torch.manual_seed(0)
    network = DglSage()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, foreach=False)

    def epoch() -> None:
        seeds = torch.from_numpy(np.random.default_rng(0).choice(len(targets), num, replace=False))
        loader = dgl.dataloading.DataLoader(whole, seeds, sampler, batch_size=BATCH, shuffle=False, num_workers=0)
        for inputs, outputs, blocks in loader:
            logits = network(blocks, features.index_select(0, inputs))
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets[outputs])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()

    return epoch


def measure(report: Report, graph: TransactionGraph, num: int) -> None:
    """CPU seconds an epoch of each, then the goals."""
    features, targets = table(graph.num_entities)
    contestants = {
        "DGL, static": dgl_static(graph, features, targets, num),
        "ours, static": ours_static(graph, features, targets, num),
        "ours, causal": ours_causal(graph, targets, num),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(ROUNDS + 1):  # the first one compiles and warms up
        for name, epoch in contestants.items():
            begin = time.process_time()
            epoch()
            if number > 0:
                seconds[name].append(time.process_time() - begin)
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    for name, found in seconds.items():
        report.row(f"{name}: CPU time of an epoch", medians[name], "s", low=min(found), high=max(found))
        report.row(f"{name}: seeds", num / medians[name], "seeds/s")
    report.ratio("epoch, DGL : ours, static", medians["DGL, static"] / medians["ours, static"], at_least=1.8)
    report.ratio("epoch, DGL static : ours, causal", medians["DGL, static"] / medians["ours, causal"], at_least=0.9)


def table(num_nodes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Features (V, 64) and targets (V,), half of them 1."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(num_nodes, WIDTH, generator=generator)
    return features, (features[:, 0] > 0).float()


def on_rank(rank: int, world: int, folder: str, sizes: tuple[int, int, int]) -> None:
    """Epochs of the static contestant on one of `world` processes; the first leaves its wall times."""
    entities, transactions, num = sizes
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world)
    try:
        learner = StaticLearner(random_graph(entities, transactions), *table(entities), num)
        times = []
        for _ in range(1 + 3):
            torch.distributed.barrier()
            begin = time.perf_counter()
            fit(learner, trainer(), ranks=Ranks(rank=rank, world=world))  # processors, as all of this benchmark
            times.append(time.perf_counter() - begin)
        if rank == 0:
            (Path(folder) / "times").write_text(" ".join(str(value) for value in times[1:]))
    finally:
        torch.distributed.destroy_process_group()


def measure_ranks(report: Report, sizes: tuple[int, int, int]) -> None:
    """Two processes on two cores against one."""
    found = {}
    for world in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            torch.multiprocessing.spawn(on_rank, (world, folder, sizes), nprocs=world)
            found[world] = statistics.median(map(float, (Path(folder) / "times").read_text().split()))
        report.row(f"gloo, {world} process(es): wall time of an epoch", found[world], "s")
    report.ratio("wall time, one process : two", found[1] / found[2])


def main() -> int:
    """0 when every goal was reached."""
    arguments = parser(__doc__).parse_args()
    run_again_with(BENCH_MALLOC)
    sizes = (100_000, 500_000, 8_192) if arguments.quick else (1_000_000, 5_000_000, 40_960)
    report = Report(
        benchmark="training",
        config={"entities": sizes[0], "transactions": sizes[1], "seeds": sizes[2], "fanouts": FANOUTS, **BENCH_MALLOC},
        distributions=("numba", "torch", "dgl"),
    )
    graph = random_graph(*sizes[:2], num_features=WIDTH)
    measure(report, graph, sizes[2])
    del graph
    measure_ranks(report, sizes)
    return report.finish(arguments.json)


if __name__ == "__main__":
    sys.exit(main())
