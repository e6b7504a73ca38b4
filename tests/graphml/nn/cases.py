"""Random blocks for the tests of layers: float64, with targets that have no edge, and what must not matter to them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from graphml.block import Block
from graphml.nn.edges import EdgeConfig
from graphml.nn.piecewise import PiecewiseBins
from graphml.nn.time_encoding import TimeConfig
from graphml.torch_first import torch

#: Rows of the table of transactions that random blocks point into, and its columns.
NUM_TRANSACTIONS, NUM_FEATURES, NUM_ATTRIBUTES = 6, 3, 2

#: Everything an edge can carry.
RICH_EDGE = EdgeConfig(
    num_features=NUM_FEATURES,
    num_attributes=NUM_ATTRIBUTES,
    time=TimeConfig(num_waves=2, edges_hours=(0.0, 3.0, 20.0, 100.0)),
    feature_bins=PiecewiseBins(edges=((-1.0, 0.0, 2.0), (), (-0.5, 0.5)), flags=(1,)),
)
BARE_EDGE = EdgeConfig()


def random_block(seed: int, *, num_targets: int = 4, num_more: int = 3, num_edges: int = 9) -> Block:
    """Edges from any source to random targets but the last one, which has none (unless it is the only one)."""
    rng = np.random.default_rng(seed)
    num_sources = num_targets + num_more
    block = Block.from_edges(
        torch.from_numpy(rng.integers(0, num_sources, num_edges)),
        torch.from_numpy(rng.integers(0, max(1, num_targets - 1), num_edges)),
        num_sources=num_sources,
        num_targets=num_targets,
        edge_EA=torch.from_numpy(rng.normal(size=(num_edges, NUM_ATTRIBUTES))),
    )
    return replace(
        block,
        transaction_E=torch.from_numpy(rng.integers(0, NUM_TRANSACTIONS, num_edges)),
        gap_E=torch.from_numpy(rng.uniform(0.0, 150.0, num_edges)),
    )


def random_inputs(seed: int, block: Block, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """States of the sources and the table of transactions, float64."""
    rng = np.random.default_rng(seed)
    h_UH = torch.from_numpy(rng.normal(size=(block.num_sources, width)))
    return h_UH, torch.from_numpy(rng.normal(size=(NUM_TRANSACTIONS, NUM_FEATURES)))


def blocks() -> st.SearchStrategy[Block]:
    """Blocks with no edges, with targets only, with one target, and any other."""
    return st.builds(
        random_block,
        st.integers(0, 10_000),
        num_targets=st.integers(1, 5),
        num_more=st.integers(0, 4),
        num_edges=st.integers(0, 14),
    )


def edges_shuffled(block: Block, seed: int) -> Block:
    """The same edges in another order within each target."""
    order = np.random.default_rng(seed).permutation(block.num_edges)
    order = torch.from_numpy(order[np.argsort(block.target_E.numpy()[order], kind="stable")])
    return replace(
        block,
        source_E=block.source_E[order],
        transaction_E=block.transaction_E[order],
        gap_E=block.gap_E[order],
        edge_EA=block.edge_EA[order],
    )


def nodes_relabelled(block: Block, seed: int) -> tuple[Block, torch.Tensor]:
    """The same block with its nodes in another order, targets first, and `old_U`: the old id of each node."""
    rng = np.random.default_rng(seed)
    targets = rng.permutation(block.num_targets)
    others = block.num_targets + rng.permutation(block.num_sources - block.num_targets)
    old_U = torch.from_numpy(np.concatenate([targets, others]))
    new_of_old = torch.argsort(old_U)
    target_E = new_of_old[block.target_E]
    order = torch.argsort(target_E, stable=True)
    degrees = torch.bincount(target_E, minlength=block.num_targets)
    turned = replace(
        block,
        offsets_D=torch.cumsum(degrees, 0) - degrees,
        source_E=new_of_old[block.source_E][order],
        transaction_E=block.transaction_E[order],
        gap_E=block.gap_E[order],
        edge_EA=block.edge_EA[order],
    )
    return turned, old_U
