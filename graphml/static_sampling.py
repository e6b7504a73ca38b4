"""Uniform neighbor sampling of a static graph by the kernels of the causal sampler: no clock, no draw twice.

Every node may share its state with every seed of the batch. For graphs of which DGL already holds a copy there is
`graphml.dgl_adapter.static_loader`.

Legend: V nodes, D nodes whose neighbors are sampled, E edges.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphml.block import Block
from graphml.graph import Adjacency, Ints
from graphml.sampling import join_nodes, static_ends
from graphml.torch_first import torch


def static_adjacency(source: Ints, target: Ints, num_nodes: int) -> Adjacency:
    """Slots of each target: its edges `source` -> `target` (E,), whose other end is the source.

    Raises `IndexError` for an edge with an end that is no node: kernels read without looking.
    """
    wrong = np.flatnonzero((source < 0) | (source >= num_nodes) | (target < 0) | (target >= num_nodes))
    if len(wrong):
        edge = wrong[0]
        ends = f"{source[edge]} -> {target[edge]}"
        raise IndexError(f"edge {edge} begins or ends at no node: {ends} of {num_nodes:,}")
    order = np.argsort(target, kind="stable")
    bounds = np.zeros(num_nodes + 1, np.int64)
    np.cumsum(np.bincount(target, minlength=num_nodes), out=bounds[1:])
    return Adjacency(
        starts=bounds[:-1],
        stops=bounds[1:],
        transaction=order,
        other=source[order],
        role=np.zeros(len(order), np.int8),
    )


def sample_static(
    adjacency: Adjacency, seeds: Ints, fanouts: Sequence[int], *, seed: int, joins_inputs: bool = True
) -> tuple[list[Block], Ints]:
    """Blocks in the order layers apply them for the distinct `seeds` (S,), and the ids of the first block's sources.

    An edge's `transaction_E` is the id of its source, so that layers read a table of all nodes without copying it.
    Where all of a first layer's inputs are read so, `joins_inputs=False` leaves out the numbering of its sources, the
    longest part of a batch: its block has all nodes for sources, by their ids, so its targets are not the first of
    them, and the ids that are returned are those of its targets.
    The draw of a node is a function of `seed` and of the node; give each epoch a seed of its own. Raises `IndexError`
    for a seed that is no node.
    """
    blocks: list[Block] = []
    entity, num_nodes = seeds, len(adjacency.starts)
    if len(seeds) and not (seeds.min() >= 0 and seeds.max() < num_nodes):
        wrong = seeds[(seeds < 0) | (seeds >= num_nodes)][0]
        raise IndexError(f"seed {wrong} is no node of this graph of {num_nodes:,}")
    for number, fanout in enumerate(fanouts):
        with np.errstate(over="ignore"):  # plain Python warns where the mixing wraps around
            offsets, ends = static_ends(
                adjacency.starts, adjacency.stops, adjacency.other, entity, fanout, np.int64(seed)
            )
        source = ends
        num_sources = num_nodes
        if joins_inputs or number < len(fanouts) - 1:
            one_cut = np.zeros(len(entity) + len(ends), np.int64)
            source, entity, _ = join_nodes(entity, one_cut[: len(entity)], one_cut[len(entity) :], ends, num_nodes)
            num_sources = len(entity)
        blocks.insert(
            0,
            Block(
                offsets_D=torch.from_numpy(offsets[:-1]),
                source_E=torch.from_numpy(source),
                transaction_E=torch.from_numpy(ends),
                gap_E=torch.zeros(1).expand(len(ends)),
                edge_EA=torch.zeros(len(ends), 0),
                num_sources=num_sources,
            ),
        )
    return blocks, entity
