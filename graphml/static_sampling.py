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
from graphml.sampling import Nodes, Uniform, join_nodes
from graphml.torch_first import torch


def static_adjacency(source: Ints, target: Ints, num_nodes: int) -> Adjacency:
    """Slots of each target: its edges `source` -> `target` (E,), whose other end is the source."""
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


def sample_static(adjacency: Adjacency, seeds: Ints, fanouts: Sequence[int], *, seed: int) -> tuple[list[Block], Ints]:
    """Blocks in the order layers apply them for the distinct `seeds` (S,), and the ids of the first block's sources.

    An edge's `transaction_E` is the id of its source, so that layers read a table of all nodes without copying it.
    The draw of a node is a function of `seed` and of the node; give each epoch a seed of its own.
    """
    blocks: list[Block] = []
    entity, every = seeds, np.iinfo(np.int64).max
    for fanout in fanouts:
        nodes = Nodes(entity=entity, cut=np.zeros(len(entity), np.int64))
        offsets, slots = Uniform(seed).slots(adjacency, nodes, np.full(len(entity), every), fanout)
        ends = adjacency.other[slots]
        source, sources, _ = join_nodes(entity, nodes.cut, np.zeros(len(ends), np.int64), ends, len(adjacency.starts))
        blocks.insert(
            0,
            Block(
                offsets_D=torch.from_numpy(offsets[:-1]),
                source_E=torch.from_numpy(source),
                transaction_E=torch.from_numpy(ends),
                gap_E=torch.zeros(len(source)),
                edge_EA=torch.zeros(len(source), 0),
                num_sources=len(sources),
            ),
        )
        entity = sources
    return blocks, entity
