"""`Block`: one hop of message passing as tensors, the type that our layers are written over.

Legend: D target nodes, U source nodes (the first D are the targets), E edges, A edge attributes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from graphml.sampling import SampledBlock
from graphml.torch_first import torch


@dataclass(frozen=True, kw_only=True)
class Block:
    """Edges of target d are `offsets_D[d]` up to the next offset (the last runs to E).

    `source_E` index among the U sources; `transaction_E` the row of the transaction table that the edge carries;
    `gap_E` float32 hours from the edge's event to the target's cut; `edge_EA` float32 attributes of the edge as seen
    from the target at its cut.
    """

    offsets_D: torch.Tensor
    source_E: torch.Tensor
    transaction_E: torch.Tensor
    gap_E: torch.Tensor
    edge_EA: torch.Tensor
    num_sources: int

    @property
    def num_targets(self) -> int:
        return len(self.offsets_D)

    @classmethod
    def from_sampled(cls, sampled: SampledBlock) -> Block:
        """Share the sampler's arrays as tensors, without a copy."""
        return cls(
            offsets_D=torch.from_numpy(sampled.offsets[:-1]),
            source_E=torch.from_numpy(sampled.source),
            transaction_E=torch.from_numpy(sampled.transaction),
            gap_E=torch.from_numpy(sampled.gap),
            edge_EA=torch.from_numpy(sampled.edge),
            num_sources=len(sampled.sources),
        )

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Block:
        """The same block on `device`."""
        names = ("offsets_D", "source_E", "transaction_E", "gap_E", "edge_EA")
        return replace(self, **{name: getattr(self, name).to(device, non_blocking=non_blocking) for name in names})


def mean_by_target(block: Block, table: torch.Tensor, rows_E: torch.Tensor) -> torch.Tensor:
    """Mean over each target's edges of `table[rows_E]`, (D, width); zeros where there are no edges."""
    return torch.nn.functional.embedding_bag(rows_E, table, block.offsets_D, mode="mean")
