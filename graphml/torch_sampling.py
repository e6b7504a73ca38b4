"""The causal sampler in plain torch, on any device: the same blocks as `graphml.sampling`, bit for bit (tested).

No loop over nodes: a bisection of all nodes at once, ragged ranges by repetition, Floyd's draws for all nodes a step.

Legend: D nodes, E edges, M slots, N transactions, R roles, A edge attributes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from graphml.block import Block
from graphml.graph import Adjacency, Cuts, TransactionGraph
from graphml.sampling import NUM_PLAIN_ATTRIBUTES, RECENT, Nodes, Recent, Strategy, Uniform
from graphml.torch_first import torch

_MICROSECONDS_PER_HOUR = 3_600_000_000
#: The multipliers of SplitMix64's finaliser as signed integers; see `graphml.sampling.mixed`.
_MIXERS = ((30, 0x3FFFFFFFF, -4658895280553007687), (27, 0x1FFFFFFFFF, -7723592293110705685))


@dataclass(frozen=True, kw_only=True)
class TorchNodes:
    """As `graphml.sampling.Nodes`, on a device."""

    entity: torch.Tensor
    cut: torch.Tensor

    def __len__(self) -> int:
        return len(self.entity)


@dataclass(frozen=True, kw_only=True)
class TorchHop:
    """One hop: a block a relation over the same targets and sources, and the sources."""

    blocks: tuple[Block, ...]
    sources: TorchNodes


class TorchSampler:
    """Samples a graph whose arrays lie on `device`; `relations` defaults to slots in any role."""

    def __init__(
        self,
        graph: TransactionGraph,
        *,
        device: torch.device | str = "cpu",
        relations: Sequence[Adjacency] | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.num_roles, self.num_entities = len(graph.roles), graph.num_entities
        self.relations = [
            {name: self._put(value) for name, value in vars(adjacency).items()}
            for adjacency in relations or [graph.adjacency]
        ]
        self.event_time = self._put(graph.event_time)
        self.label_starts, self.label_stops = self._put(graph.label_starts), self._put(graph.label_stops)
        self.label_known_at, self.label_state = self._put(graph.label_known_at), self._put(graph.label_state)

    def sample(self, nodes: Nodes, cuts: Cuts, fanouts: Sequence[int], strategy: Strategy = RECENT) -> list[TorchHop]:
        """Hops in the order layers apply them; see `graphml.sampling.sample_relational_blocks`."""
        moments = {name: self._put(value) for name, value in vars(cuts).items()}
        current = TorchNodes(entity=self._put(nodes.entity), cut=self._put(nodes.cut))
        hops: list[TorchHop] = []
        for fanout in fanouts:
            hops.insert(0, self._hop(current, moments, fanout, strategy))
            current = hops[0].sources
        return hops

    def _hop(self, nodes: TorchNodes, moments: dict[str, torch.Tensor], fanout: int, strategy: Strategy) -> TorchHop:
        parts = []
        for adjacency in self.relations:
            position_D = moments["position"][nodes.cut]
            counts_D, slots_E = _slots(adjacency, nodes, position_D, fanout, strategy)
            cut_E = torch.repeat_interleave(nodes.cut, counts_D)
            parts.append((counts_D, slots_E, cut_E, adjacency))
        ends_E = torch.cat([adjacency["other"][slots_E] for _, slots_E, _, adjacency in parts])
        source_E, sources = _joined(nodes, ends_E, torch.cat([cut_E for _, _, cut_E, _ in parts]), self.num_entities)
        of_relation = source_E.split([len(slots_E) for _, slots_E, _, _ in parts])
        blocks = []
        for (counts_D, slots_E, cut_E, adjacency), source in zip(parts, of_relation, strict=True):
            transaction_E = adjacency["transaction"][slots_E]
            elapsed = (moments["event_time"][cut_E] - self.event_time[transaction_E]).clamp(min=0)
            hours_E = elapsed.double() / _MICROSECONDS_PER_HOUR
            state_E = self._label_states(transaction_E, moments["label_time"][cut_E])
            blocks.append(
                Block(
                    offsets_D=torch.cumsum(counts_D, 0) - counts_D,
                    source_E=source,
                    transaction_E=transaction_E,
                    gap_E=hours_E.float(),
                    edge_EA=self._attributes(adjacency["role"][slots_E], hours_E, state_E),
                    num_sources=len(sources),
                )
            )
        return TorchHop(blocks=tuple(blocks), sources=sources)

    def _label_states(self, transaction_E: torch.Tensor, time_E: torch.Tensor) -> torch.Tensor:
        low_E = self.label_starts[transaction_E]
        last_E = _before(self.label_known_at, low_E, self.label_stops[transaction_E], time_E + 1)
        if len(self.label_state) == 0:
            return torch.full_like(low_E, -1)
        return torch.where(last_E > low_E, self.label_state[(last_E - 1).clamp(min=0)].long(), -1)

    def _attributes(self, role_E: torch.Tensor, hours_E: torch.Tensor, state_E: torch.Tensor) -> torch.Tensor:
        edge_EA = torch.zeros(len(role_E), self.num_roles + NUM_PLAIN_ATTRIBUTES, device=self.device)
        row_E = torch.arange(len(role_E), device=self.device)
        edge_EA[row_E, role_E.long()] = 1.0
        edge_EA[:, self.num_roles] = torch.log1p(hours_E).float()
        edge_EA[row_E, self.num_roles + 2 - state_E] = 1.0
        return edge_EA

    def _put(self, array: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(array).to(self.device)


def _slots(
    adjacency: dict[str, torch.Tensor],
    nodes: TorchNodes,
    position_D: torch.Tensor,
    fanout: int,
    strategy: Strategy,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Neighbors of each node (D,) and their slots (E,), ascending in each node."""
    num_entities = len(adjacency["starts"])
    known_D = nodes.entity.clamp(min=0, max=num_entities - 1)
    low_D = adjacency["starts"][known_D]
    stop_D = torch.where(known_D == nodes.entity, adjacency["stops"][known_D], low_D)
    last_D = _before(adjacency["transaction"], low_D, stop_D, position_D)
    counts_D = (last_D - low_D).clamp(max=fanout)
    begin_D = torch.cumsum(counts_D, 0) - counts_D
    rank_E = torch.arange(int(counts_D.sum()), device=low_D.device) - torch.repeat_interleave(begin_D, counts_D)
    if isinstance(strategy, Recent):
        return counts_D, torch.repeat_interleave(last_D - counts_D, counts_D) + rank_E
    if isinstance(strategy, Uniform):
        rank_DK = _drawn(nodes.entity, position_D, last_D - low_D, fanout, strategy.seed)
        chosen = torch.arange(fanout, device=low_D.device) < counts_D[:, None]
        return counts_D, (low_D[:, None] + rank_DK)[chosen]
    raise ValueError(f"{strategy} is no strategy of this sampler; give Recent or Uniform.")


def _drawn(
    entity_D: torch.Tensor, position_D: torch.Tensor, total_D: torch.Tensor, fanout: int, seed: int
) -> torch.Tensor:
    """(D, fanout) different ranks below `total_D`, ascending, as many as there are; the rest lies beyond."""
    key_D = _mixed(_mixed(entity_D ^ seed) ^ position_D)
    counts_D = total_D.clamp(max=fanout)
    beyond = torch.iinfo(torch.int64).max
    rank_DK = torch.full((len(entity_D), fanout), beyond, device=entity_D.device)
    for index in range(fanout):
        highest_D = total_D - counts_D + index
        chance_D = (_mixed(key_D + index) >> 33) & 0x7FFFFFFF
        wanted_D = (chance_D * (highest_D + 1)) >> 31
        taken_D = (rank_DK[:, :index] == wanted_D[:, None]).any(dim=1)
        wanted_D = torch.where(taken_D, highest_D, wanted_D)
        rank_DK[:, index] = torch.where(index < counts_D, wanted_D, beyond)
    return rank_DK.sort(dim=1).values


def _mixed(value: torch.Tensor) -> torch.Tensor:
    for shift, mask, factor in _MIXERS:
        value = (value ^ ((value >> shift) & mask)) * factor
    return value ^ ((value >> 31) & 0x1FFFFFFFF)


def _before(values_M: torch.Tensor, low_D: torch.Tensor, high_D: torch.Tensor, bound_D: torch.Tensor) -> torch.Tensor:
    """First index in each `low_D` … `high_D` of the ascending values that is `bound_D` or more (bisect left)."""
    if len(values_M) == 0:
        return low_D
    while bool((low_D < high_D).any()):
        is_open = low_D < high_D
        middle_D = (low_D + high_D) // 2
        is_below = is_open & (values_M[middle_D.clamp(max=len(values_M) - 1)] < bound_D)
        low_D = torch.where(is_below, middle_D + 1, low_D)
        high_D = torch.where(is_open & ~is_below, middle_D, high_D)
    return low_D


def _joined(
    nodes: TorchNodes, ends_E: torch.Tensor, cut_E: torch.Tensor, num_entities: int
) -> tuple[torch.Tensor, TorchNodes]:
    """Index of each edge's other end among the sources, and the sources: targets first, then as they appear."""
    entity, cut = torch.cat([nodes.entity, ends_E]), torch.cat([nodes.cut, cut_E])
    width = max(num_entities, int(entity.max()) + 1) + 1 if len(entity) else 1
    keys, inverse = torch.unique(cut * width + entity + 1, return_inverse=True)  # an absent one, -1, is a node too
    first = torch.full((len(keys),), len(entity), device=entity.device)
    first.scatter_reduce_(0, inverse, torch.arange(len(entity), device=entity.device), "amin")
    order = torch.argsort(first)
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device=order.device)
    rows = first[order]
    return place[inverse[len(nodes) :]], TorchNodes(entity=entity[rows], cut=cut[rows])
