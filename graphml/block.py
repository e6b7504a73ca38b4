"""`Block`: one hop of message passing as tensors, the type that our layers are written over.

Legend: D target nodes, U source nodes (the first D are the targets), E edges, A edge attributes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from graphml.nn.segments import segment_sizes, target_of_edges
from graphml.sampling import SampledBlock
from graphml.torch_first import torch


@dataclass(frozen=True, kw_only=True)
class Block:
    """Edges of target d are `offsets_D[d]` up to the next offset (the last runs to E).

    `source_E` index among the U sources; `transaction_E` the row of the transaction table that the edge carries;
    `gap_E` float32 hours from the edge's event to the target's cut; `edge_EA` float32 attributes of the edge as seen
    from the target at its cut. A static graph has zeros for transactions and gaps, and A = 0.
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

    @property
    def num_edges(self) -> int:
        return len(self.source_E)

    @cached_property
    def target_E(self) -> torch.Tensor:
        """Target of each edge."""
        return target_of_edges(self.offsets_D, self.num_edges)

    @cached_property
    def degree_D(self) -> torch.Tensor:
        """Number of edges of each target."""
        return segment_sizes(self.offsets_D, self.num_edges)

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

    @classmethod
    def from_edges(
        cls,
        source_E: torch.Tensor,
        target_E: torch.Tensor,
        *,
        num_sources: int,
        num_targets: int,
        edge_EA: torch.Tensor | None = None,
    ) -> Block:
        """A block of a static graph from its edges in any order; without `edge_EA` an edge has no attributes.

        Raises ValueError for ids out of range or fewer sources than targets.
        """
        _check_ids("source", source_E, num_sources)
        _check_ids("target", target_E, num_targets)
        if num_sources < num_targets:
            raise ValueError(
                f"{num_sources} sources are fewer than {num_targets} targets: the first sources of a block are its "
                "targets. Put the targets first among the sources."
            )
        order = torch.argsort(target_E, stable=True)
        degrees = torch.bincount(target_E, minlength=num_targets)
        attributes = torch.zeros(len(source_E), 0, device=source_E.device) if edge_EA is None else edge_EA[order]
        return cls(
            offsets_D=torch.cumsum(degrees, 0) - degrees,
            source_E=source_E[order],
            transaction_E=torch.zeros_like(source_E),
            gap_E=torch.zeros(len(source_E), device=source_E.device),
            edge_EA=attributes,
            num_sources=num_sources,
        )

    def split(self, relation_E: torch.Tensor, num_relations: int) -> tuple[Block, ...]:
        """The edges by their relation (E,): one block a relation, over the same targets and sources.

        For a causal block the role of the target in the edge's transaction is a relation: what a payer's payments say
        of it and what a payee's receipts say of it then have weights of their own. Raises ValueError for a relation
        out of range.
        """
        _check_ids("relation", relation_E, num_relations)
        return tuple(self._where(relation_E == relation) for relation in range(num_relations))

    def _where(self, kept_E: torch.Tensor) -> Block:
        """The edges that are kept; the nodes stay."""
        degrees = torch.bincount(self.target_E[kept_E], minlength=self.num_targets)
        return replace(
            self,
            offsets_D=torch.cumsum(degrees, 0) - degrees,
            source_E=self.source_E[kept_E],
            transaction_E=self.transaction_E[kept_E],
            gap_E=self.gap_E[kept_E],
            edge_EA=self.edge_EA[kept_E],
        )

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Block:
        """The same block on `device`."""
        names = ("offsets_D", "source_E", "transaction_E", "gap_E", "edge_EA")
        return replace(self, **{name: getattr(self, name).to(device, non_blocking=non_blocking) for name in names})


def _check_ids(name: str, ids_E: torch.Tensor, bound: int) -> None:
    if len(ids_E) and (int(ids_E.min()) < 0 or int(ids_E.max()) >= bound):
        raise ValueError(
            f"A {name} of an edge is {int(ids_E.min())} or {int(ids_E.max())}, but there are {bound} {name}s: ids run "
            f"from 0 to {bound - 1}. Number the nodes of a block from 0."
        )
