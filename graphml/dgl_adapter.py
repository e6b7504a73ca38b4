"""The one place where DGL meets our arrays: the graph, the samplers and the blocks that its loader hands out.

In the DGL graph of transactions a node is an entity and an edge is a transaction from source to target, its edge id
the position in the sequence; so seeds are edge ids. Static graphs go through DGL's own neighbor sampler. `dgl` is
imported after the stub of `ingestion.native.prepare`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from graphml.block import Block
from graphml.graph import SOURCE, TARGET, Adjacency, Ints, TransactionGraph
from graphml.sampling import RECENT, SampledBlock, Strategy, sample_relational_blocks, seed_nodes
from graphml.torch_first import torch

import dgl  # isort: skip  (after torch_first, which prepares the ground)

# Pinning threads to cores is the operator's choice, and does not fit a box that is shared.
warnings.filterwarnings("ignore", message="Dataloader CPU affinity opt is not enabled")

#: What the loader yields: positions (S,), (S, R) node indices of the seeds' parties, blocks in the layers' order.
SeedBatch = tuple[torch.Tensor, torch.Tensor, list[dgl.DGLGraph]]

NODE, ANY = "entity", "any"


class CausalNeighborSampler(dgl.dataloading.Sampler):
    """Transactions before each seed's own cut, most recent or uniform, as a DGL sampler over seeds = edge ids.

    A node of a block is a pair (entity, cut): `srcdata["entity"]`, `srcdata["cut"]`. With `relations`
    (`graph.relations()`) the blocks have an edge type a relation and `fanouts` hold for each of them; without, one
    type for transactions in any role. A draw is a function of the strategy's seed and of the seed itself, so the
    loader's workers, ranks and batches don't matter.
    """

    def __init__(
        self,
        graph: TransactionGraph,
        fanouts: Sequence[int],
        *,
        relations: Mapping[str, Adjacency] | None = None,
        strategy: Strategy = RECENT,
    ) -> None:
        super().__init__()
        if not fanouts or min(fanouts) < 1:
            raise ValueError(f"fanouts are {tuple(fanouts)}; give one number of neighbors of 1 or more for each hop")
        self.graph = graph
        self.fanouts = tuple(fanouts)
        self.relations = dict(relations) if relations is not None else {ANY: graph.adjacency}
        self.strategy = strategy

    def sample(self, g: dgl.DGLGraph, indices: torch.Tensor) -> SeedBatch:
        """Sample for the seeds at positions `indices` (S,); `g` is only there because DGL hands it over."""
        positions = indices.numpy()
        if len(positions) and positions.min() < 0:
            raise IndexError(f"position {positions.min()} is before the first transaction")
        seeds = self.graph.seeds(positions)
        nodes, index_SR = seed_nodes(seeds.entity)
        adjacencies = list(self.relations.values())
        hops = sample_relational_blocks(self.graph, adjacencies, nodes, seeds.cuts, self.fanouts, self.strategy)
        blocks = [to_dgl_block(dict(zip(self.relations, hop, strict=True))) for hop in hops]
        return indices, torch.from_numpy(index_SR), blocks


def to_dgl_graph(graph: TransactionGraph) -> dgl.DGLGraph:
    """Entities and transactions as a DGL graph; edge id = position."""
    ends = (torch.from_numpy(graph.entity[:, side].copy()) for side in (SOURCE, TARGET))
    return dgl.graph(tuple(ends), num_nodes=graph.num_entities)


def to_dgl_block(sampled: Mapping[str, SampledBlock]) -> dgl.DGLGraph:
    """A DGL block (message flow graph) of one sampled hop, an edge type a relation, edges in the sampler's order."""
    first = next(iter(sampled.values()))
    block = dgl.create_block(
        {
            (NODE, relation, NODE): (
                torch.from_numpy(part.source),
                torch.from_numpy(np.repeat(np.arange(part.num_targets), np.diff(part.offsets))),
            )
            for relation, part in sampled.items()
        },
        num_src_nodes={NODE: len(first.sources)},
        num_dst_nodes={NODE: first.num_targets},
    )
    block.srcdata["entity"] = torch.from_numpy(first.sources.entity)
    block.srcdata["cut"] = torch.from_numpy(first.sources.cut)
    for relation, part in sampled.items():
        carried = {"transaction": part.transaction, "gap": part.gap, "attributes": part.edge}
        block.edges[relation].data.update({name: torch.from_numpy(array) for name, array in carried.items()})
    return block


def from_dgl_block(block: dgl.DGLGraph, relation: str | None = None) -> Block:
    """The `Block` of a DGL block's edges of one type, whatever their order; the type may be left out if it is the
    only one. Edges of a static graph carry nothing."""
    source, target = block.edges(order="eid", etype=relation)
    data = block.edata if relation is None else block.edges[relation].data
    order = torch.argsort(target, stable=True)
    degrees = torch.bincount(target, minlength=block.num_dst_nodes())
    nothing = {
        "transaction": torch.zeros_like(source),
        "gap": torch.zeros(len(source), device=source.device),
        "attributes": torch.zeros(len(source), 0, device=source.device),
    }
    carried = {name: data[name][order] if name in data else empty for name, empty in nothing.items()}
    return Block(
        offsets_D=torch.cumsum(degrees, 0) - degrees,
        source_E=source[order],
        transaction_E=carried["transaction"],
        gap_E=carried["gap"],
        edge_EA=carried["attributes"],
        num_sources=block.num_src_nodes(),
    )


def seed_loader(
    graph: TransactionGraph,
    positions: Ints,
    sampler: CausalNeighborSampler,
    *,
    batch_size: int,
    num_workers: int = 0,
) -> dgl.dataloading.DataLoader:
    """DGL's data loader over seeds at `positions` (S,), in that order; yields `SeedBatch`es."""
    return _loader(to_dgl_graph(graph), positions, sampler, batch_size=batch_size, num_workers=num_workers)


def static_loader(
    source: Ints, target: Ints, num_nodes: int, seeds: Ints, fanouts: Sequence[int], *, batch_size: int
) -> dgl.dataloading.DataLoader:
    """DGL's loader with its own `NeighborSampler` over a static graph of edges `source` -> `target` (E,), for graphs
    too large to train on whole: yields input nodes, seeds and blocks. `fanouts` are by hop, the seeds' own first (DGL
    counts them the other way); -1 takes every neighbor."""
    graph = dgl.graph((torch.from_numpy(source), torch.from_numpy(target)), num_nodes=num_nodes)
    sampler = dgl.dataloading.NeighborSampler(list(reversed(fanouts)))
    return _loader(graph, seeds, sampler, batch_size=batch_size, num_workers=0)


def _loader(
    graph: dgl.DGLGraph, seeds: Ints, sampler: dgl.dataloading.Sampler, *, batch_size: int, num_workers: int
) -> dgl.dataloading.DataLoader:
    return dgl.dataloading.DataLoader(
        graph,
        torch.from_numpy(seeds),
        sampler,
        batch_size=batch_size,
        shuffle=False,
        drop_last=False,
        num_workers=num_workers,
    )
