"""A fitted graph row (GraphSAGE, GAT, relational): scores seeds and embeds entities on the blocks that trained it.

Legend: S seeds, R roles, N transactions, D entities, H width of a state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import orjson
from safetensors.torch import load_file, save_file

from graphml.block import Block
from graphml.context import GraphContext
from graphml.graph import Cuts, Floats, Ints, Seeds
from graphml.losses import Correction
from graphml.nn.classifier import GraphClassifier
from graphml.nn.head import EntityHead, PairHead, TransactionHead
from graphml.nn.network_config import config_as_dict, config_from_dict
from graphml.nn.relational import RelationalConfig
from graphml.nn.stack import RelationalBlock, StackConfig
from graphml.sampling import Nodes, sample_blocks, seed_nodes
from graphml.scaling import Scaler, SeedEncoder
from graphml.scorer import Doubles
from graphml.torch_first import torch

#: Blocks, types of the first block's sources, scaled transaction table, (S, R) indices of parties, (S, K) inputs.
Hops = list[Block] | list[RelationalBlock]
NetworkInputs = tuple[Hops, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]

TRANSACTION = "transaction"
#: Heads of other seeds, by how many nodes a seed has.
NODE_HEADS = {1: "entity", 2: "pair"}
HEADS: dict[str, Callable[..., torch.nn.Module]] = {
    TRANSACTION: TransactionHead,
    "entity": EntityHead,
    "pair": partial(PairHead, symmetric=False),
}

_SEEDS_AT_ONCE = 1_024
_ENTITIES_AT_ONCE = 4_096


@dataclass(frozen=True, kw_only=True)
class GraphRow:
    """`head` is one of `HEADS`; `correction` turns the network's logits into log odds at the natural base rate."""

    network: GraphClassifier
    config: StackConfig | RelationalConfig
    head: str
    fanouts: tuple[int, ...]
    edge_scaler: Scaler
    encoder: SeedEncoder
    correction: Correction
    name: str
    cost: int = 3

    def logits(self, context: GraphContext, seeds: Seeds) -> Doubles:
        """See `Scorer`."""
        return self.correction(network_logits(self, context, seeds, at_once=_SEEDS_AT_ONCE))

    def inputs(self, context: GraphContext, seeds: Seeds) -> NetworkInputs:
        """What the network is called with for some seeds, on its device: sampled, gathered, scaled."""
        device = next(self.network.parameters()).device
        nodes, index_SR = seed_nodes(seeds.entity)
        hops, type_U = self._hops(context, nodes, seeds.cuts, device)
        return (
            hops,
            type_U,
            context.table(self.edge_scaler, device),
            torch.from_numpy(index_SR).to(device),
            torch.from_numpy(self.encoder(seeds.features)).to(device),
        )

    def embed(self, context: GraphContext, entity_ids: Ints, cut: Cuts) -> Floats:
        """States (D, H) float32 of entities as of one cut (C = 1), each of length 1."""
        device = next(self.network.parameters()).device
        table = context.table(self.edge_scaler, device)
        result = np.empty((len(entity_ids), self.config.width), np.float32)
        self.network.eval()
        for start in range(0, len(entity_ids), _ENTITIES_AT_ONCE):
            entities, member = np.unique(entity_ids[start : start + _ENTITIES_AT_ONCE], return_inverse=True)
            nodes = Nodes(entity=entities, cut=np.zeros(len(entities), np.int64))
            hops, type_U = self._hops(context, nodes, cut, device)
            with torch.inference_mode():
                found = self.network.network(hops, type_U, table)
                states = torch.nn.functional.normalize(found, dim=1)
            result[start : start + len(member)] = states.cpu().numpy()[member]
        return result

    def _hops(self, context: GraphContext, nodes: Nodes, cuts: Cuts, device: torch.device) -> tuple[Hops, torch.Tensor]:
        """Blocks and types of the first hop's sources; a relational network gets a block for each role that the
        target had in the neighbor, so that money paid and money received are relations of their own."""
        sampled = sample_blocks(context.graph, nodes, cuts, self.fanouts)
        type_U = torch.from_numpy(context.graph.entity_type[sampled[0].sources.entity]).to(device)
        blocks = [Block.from_sampled(block).to(device) for block in sampled]
        if not isinstance(self.config, RelationalConfig):
            return blocks, type_U
        num_roles = self.config.num_relations
        return [block.split(block.edge_EA[:, :num_roles].argmax(dim=1), num_roles) for block in blocks], type_U

    def save(self, folder: Path) -> None:
        """Write `<name>.safetensors` and `<name>.json`."""
        weights = {name: tensor.contiguous() for name, tensor in self.network.state_dict().items()}
        save_file(weights, folder / f"{self.name}.safetensors")
        data: dict[str, Any] = {
            "network": config_as_dict(self.config),
            "head": self.head,
            "fanouts": list(self.fanouts),
            "edge_scaler": self.edge_scaler.as_dict(),
            "encoder": self.encoder.as_dict(),
            "correction": self.correction.as_dict(),
        }
        (folder / f"{self.name}.json").write_bytes(orjson.dumps(data))

    @classmethod
    def load(cls, folder: Path, name: str) -> GraphRow:
        """Read what `save` wrote."""
        data = orjson.loads((folder / f"{name}.json").read_bytes())
        config = config_from_dict(data["network"])
        encoder = SeedEncoder.from_dict(data["encoder"])
        network = classifier(config, data["head"], encoder.width)
        network.load_state_dict(load_file(folder / f"{name}.safetensors"))
        return cls(
            network=network,
            config=config,
            head=data["head"],
            fanouts=tuple(data["fanouts"]),
            edge_scaler=Scaler.from_dict(data["edge_scaler"]),
            encoder=encoder,
            correction=Correction(**data["correction"]),
            name=name,
        )


def classifier(config: StackConfig | RelationalConfig, head: str, num_inputs: int) -> GraphClassifier:
    """The network under one of `HEADS`, with `num_inputs` inputs of the seeds' own and fresh weights."""
    return GraphClassifier(config, HEADS[head](config.width, num_inputs, dropout=config.dropout))


class NetworkRow(Protocol):
    """A row whose network is trained on what it scores on."""

    @property
    def name(self) -> str: ...

    @property
    def network(self) -> torch.nn.Module: ...

    def inputs(self, context: GraphContext, seeds: Seeds) -> tuple[Any, ...]:
        """What the network is called with."""
        ...

    def logits(self, context: GraphContext, seeds: Seeds) -> Doubles:
        """See `graphml.scorer.Scorer`."""
        ...


def network_logits(row: NetworkRow, context: GraphContext, seeds: Seeds, *, at_once: int) -> Doubles:
    """What the network says of seeds (S,), so many at once, before any correction."""
    result = np.empty(len(seeds), np.float64)
    row.network.eval()
    for start in range(0, len(seeds), at_once):
        part = take_seeds(seeds, slice(start, start + at_once))
        with torch.inference_mode():
            logits = row.network(*row.inputs(context, part))
        result[start : start + len(part)] = logits.cpu().numpy()
    return result


def take_seeds(seeds: Seeds, rows: slice) -> Seeds:
    """Some of the seeds."""
    cuts = seeds.cuts
    return Seeds(
        cuts=Cuts(position=cuts.position[rows], label_time=cuts.label_time[rows], event_time=cuts.event_time[rows]),
        entity=seeds.entity[rows],
        features=seeds.features[rows],
    )
