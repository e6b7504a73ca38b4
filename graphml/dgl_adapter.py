"""The one place where DGL meets our arrays: the graph, the causal sampler and the blocks that its loader hands out.

In the DGL graph a node is an entity and an edge is a transaction from source to target, its edge id the position
in the sequence; so seeds are edge ids. `dgl` is imported after the stub of `ingestion.native.prepare`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from graphml.block import Block
from graphml.graph import SOURCE, TARGET, Ints, TransactionGraph
from graphml.sampling import SampledBlock, sample_blocks, seed_nodes
from graphml.torch_first import torch

import dgl  # isort: skip  (after torch_first, which prepares the ground)

# Pinning threads to cores is the operator's choice, and does not fit a box that is shared.
warnings.filterwarnings("ignore", message="Dataloader CPU affinity opt is not enabled")


#: What the loader yields: positions (S,), (S, R) node indices of the seeds' parties, blocks in the layers' order.
SeedBatch = tuple[torch.Tensor, torch.Tensor, list[dgl.DGLGraph]]


class CausalNeighborSampler(dgl.dataloading.Sampler):
    """Most recent k transactions before each seed's own cut, as a DGL sampler over seeds = edge ids.

    A node of a block is a pair (entity, cut): `srcdata["entity"]`, `srcdata["cut"]`.
    """

    def __init__(self, graph: TransactionGraph, fanouts: Sequence[int]) -> None:
        super().__init__()
        self.graph = graph
        self.fanouts = tuple(fanouts)

    def sample(self, g: dgl.DGLGraph, indices: torch.Tensor) -> SeedBatch:
        """Sample for the seeds at positions `indices` (S,); `g` is only there because DGL hands it over."""
        seeds = self.graph.seeds(indices.numpy())
        nodes, index_SR = seed_nodes(seeds.entity)
        sampled = sample_blocks(self.graph, nodes, seeds.cuts, self.fanouts)
        return indices, torch.from_numpy(index_SR), [to_dgl_block(block) for block in sampled]


def to_dgl_graph(graph: TransactionGraph) -> dgl.DGLGraph:
    """Entities and transactions as a DGL graph; edge id = position."""
    ends = (torch.from_numpy(graph.entity[:, side].copy()) for side in (SOURCE, TARGET))
    return dgl.graph(tuple(ends), num_nodes=graph.num_entities)


def to_dgl_block(sampled: SampledBlock) -> dgl.DGLGraph:
    """A DGL block (message flow graph) of one sampled hop, edges in the sampler's order."""
    target = np.repeat(np.arange(sampled.num_targets), np.diff(sampled.offsets))
    block = dgl.create_block(
        (torch.from_numpy(sampled.source), torch.from_numpy(target)),
        num_src_nodes=len(sampled.sources),
        num_dst_nodes=sampled.num_targets,
    )
    block.srcdata["entity"] = torch.from_numpy(sampled.sources.entity)
    block.srcdata["cut"] = torch.from_numpy(sampled.sources.cut)
    block.edata["transaction"] = torch.from_numpy(sampled.transaction)
    block.edata["gap"] = torch.from_numpy(sampled.gap)
    block.edata["attributes"] = torch.from_numpy(sampled.edge)
    return block


def from_dgl_block(block: dgl.DGLGraph) -> Block:
    """The `Block` of a DGL block, whatever the order of its edges."""
    source, target = block.edges(order="eid")
    order = torch.argsort(target, stable=True)
    degrees = torch.bincount(target, minlength=block.num_dst_nodes())
    return Block(
        offsets_D=torch.cumsum(degrees, 0) - degrees,
        source_E=source[order],
        transaction_E=block.edata["transaction"][order],
        gap_E=block.edata["gap"][order],
        edge_EA=block.edata["attributes"][order],
        num_sources=block.num_src_nodes(),
    )


def seed_loader(
    graph: TransactionGraph, positions: Ints, fanouts: Sequence[int], *, batch_size: int
) -> dgl.dataloading.DataLoader:
    """DGL's data loader over seeds at `positions` (S,), in that order; yields `SeedBatch`es."""
    return dgl.dataloading.DataLoader(
        to_dgl_graph(graph),
        torch.from_numpy(positions),
        CausalNeighborSampler(graph, fanouts),
        batch_size=batch_size,
        shuffle=False,
        drop_last=False,
        num_workers=0,
    )
