"""The fitted event graph row: scores seeds from raw event features, labels known by then, and gaps.

Legend: S seeds, R roles, D nodes, N transactions, T width of a token.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import orjson
from safetensors.torch import load_file, save_file

from graphml.block import Block
from graphml.context import GraphContext
from graphml.event_code import EventToken
from graphml.graph import Seeds
from graphml.graph_row import network_logits
from graphml.losses import Correction
from graphml.nn.event_graph import EventGraph, EventGraphConfig
from graphml.sampling import sample_block, seed_nodes
from graphml.scorer import Doubles
from graphml.torch_first import torch

#: Blocks by relation, tokens (N, T), seed of each node (D,), nodes of each seed (S, R), tokens of the seeds (S, T).
NetworkInputs = tuple[tuple[Block, ...], torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]

_SEEDS_AT_ONCE = 512


@dataclass(frozen=True, kw_only=True)
class EventGraphRow:
    """`fanout`: most recent transactions of a party that are asked; `correction` undoes what the loss did."""

    network: EventGraph
    config: EventGraphConfig
    token: EventToken
    fanout: int
    correction: Correction
    name: str = "event_graph"
    cost: int = 3

    def logits(self, context: GraphContext, seeds: Seeds) -> Doubles:
        """See `Scorer`."""
        return self.correction(network_logits(self, context, seeds, at_once=_SEEDS_AT_ONCE))

    def inputs(self, context: GraphContext, seeds: Seeds) -> NetworkInputs:
        """What the network is called with for some seeds, on its device."""
        device = next(self.network.parameters()).device
        nodes, index_SR = seed_nodes(seeds.entity)
        block = Block.from_sampled(sample_block(context.graph, nodes, seeds.cuts, self.fanout))
        role_E = block.edge_EA[:, : self.config.num_roles].argmax(dim=1)
        return (
            tuple(part.to(device) for part in block.split(role_E, self.config.num_roles)),
            context.table(self.token, device),
            torch.from_numpy(nodes.cut).to(device),
            torch.from_numpy(index_SR).to(device),
            torch.from_numpy(self.token.rows(context, seeds)).to(device),
        )

    def save(self, folder: Path) -> None:
        """Write `event_graph.safetensors` and `event_graph.json`."""
        weights = {name: tensor.contiguous() for name, tensor in self.network.state_dict().items()}
        save_file(weights, folder / "event_graph.safetensors")
        data = {
            "config": asdict(self.config),
            "token": self.token.as_dict(),
            "fanout": self.fanout,
            "correction": self.correction.as_dict(),
        }
        (folder / "event_graph.json").write_bytes(orjson.dumps(data))

    @classmethod
    def load(cls, folder: Path) -> EventGraphRow:
        """Read what `save` wrote."""
        data = orjson.loads((folder / "event_graph.json").read_bytes())
        lists = ("edges_hours", "message_widths", "aggregators")
        config = EventGraphConfig(**data["config"] | {name: tuple(data["config"][name]) for name in lists})
        network = EventGraph(config)
        network.load_state_dict(load_file(folder / "event_graph.safetensors"))
        return cls(
            network=network,
            config=config,
            token=EventToken.from_dict(data["token"]),
            fanout=data["fanout"],
            correction=Correction(**data["correction"]),
        )
