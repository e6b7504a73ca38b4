"""The fitted GraphSAGE row: scores seeds and embeds entities without DGL, on the same blocks that trained it.

Legend: S seeds, R roles, N transactions, D entities, H width of a state.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from safetensors.torch import load_file, save_file

from graphml.block import Block
from graphml.context import GraphContext
from graphml.graph import Cuts, Floats, Ints, Seeds
from graphml.losses import Correction
from graphml.nn.classifier import SageClassifier
from graphml.nn.sage import SageConfig
from graphml.sampling import Nodes, sample_blocks, seed_nodes
from graphml.scaling import Scaler, SeedEncoder
from graphml.scorer import Doubles
from graphml.torch_first import torch

#: Blocks, types of the first block's sources, scaled transaction table, (S, R) indices of parties, (S, K) inputs.
NetworkInputs = tuple[list[Block], torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]

_SEEDS_AT_ONCE = 1_024
_ENTITIES_AT_ONCE = 4_096


@dataclass(frozen=True, kw_only=True)
class SageRow:
    """`correction` turns the network's logits into log odds at the natural base rate: it undoes what the loss did."""

    network: SageClassifier
    config: SageConfig
    fanouts: tuple[int, ...]
    edge_scaler: Scaler
    encoder: SeedEncoder
    correction: Correction
    name: str = "graphsage"
    cost: int = 3

    def logits(self, context: GraphContext, seeds: Seeds) -> Doubles:
        """See `Scorer`."""
        result = np.empty(len(seeds), np.float64)
        self.network.eval()
        for start in range(0, len(seeds), _SEEDS_AT_ONCE):
            part = take_seeds(seeds, slice(start, start + _SEEDS_AT_ONCE))
            with torch.inference_mode():
                logits = self.network(*self.inputs(context, part))
            result[start : start + len(part)] = logits.cpu().numpy()
        return self.correction(result)

    def inputs(self, context: GraphContext, seeds: Seeds) -> NetworkInputs:
        """What the network is called with for some seeds, on its device: sampled, gathered, scaled."""
        device = next(self.network.parameters()).device
        nodes, index_SR = seed_nodes(seeds.entity)
        blocks, type_U = self._blocks(context, nodes, seeds.cuts)
        return (
            [block.to(device) for block in blocks],
            type_U.to(device),
            self._table(context, device),
            torch.from_numpy(index_SR).to(device),
            torch.from_numpy(self.encoder(seeds.features)).to(device),
        )

    def embed(self, context: GraphContext, entity_ids: Ints, cut: Cuts) -> Floats:
        """States (D, H) float32 of entities as of one cut (C = 1), each of length 1."""
        device = next(self.network.parameters()).device
        table = self._table(context, device)
        result = np.empty((len(entity_ids), self.config.width), np.float32)
        self.network.eval()
        for start in range(0, len(entity_ids), _ENTITIES_AT_ONCE):
            entities, member = np.unique(entity_ids[start : start + _ENTITIES_AT_ONCE], return_inverse=True)
            nodes = Nodes(entity=entities, cut=np.zeros(len(entities), np.int64))
            blocks, type_U = self._blocks(context, nodes, cut)
            with torch.inference_mode():
                found = self.network.sage([block.to(device) for block in blocks], type_U.to(device), table)
                states = torch.nn.functional.normalize(found, dim=1)
            result[start : start + len(member)] = states.cpu().numpy()[member]
        return result

    def _table(self, context: GraphContext, device: torch.device) -> torch.Tensor:
        return torch.from_numpy(context.inputs(self.edge_scaler)).to(device)

    def _blocks(self, context: GraphContext, nodes: Nodes, cuts: Cuts) -> tuple[list[Block], torch.Tensor]:
        sampled = sample_blocks(context.graph, nodes, cuts, self.fanouts)
        types = context.graph.entity_type[sampled[0].sources.entity]
        return [Block.from_sampled(block) for block in sampled], torch.from_numpy(types)

    def save(self, folder: Path) -> None:
        """Write `graphsage.safetensors` and `graphsage.json`."""
        weights = {name: tensor.contiguous() for name, tensor in self.network.state_dict().items()}
        save_file(weights, folder / "graphsage.safetensors")
        data: dict[str, Any] = {
            "config": asdict(self.config),
            "fanouts": list(self.fanouts),
            "edge_scaler": self.edge_scaler.as_dict(),
            "encoder": self.encoder.as_dict(),
            "correction": self.correction.as_dict(),
        }
        (folder / "graphsage.json").write_bytes(orjson.dumps(data))

    @classmethod
    def load(cls, folder: Path) -> SageRow:
        """Read what `save` wrote."""
        data = orjson.loads((folder / "graphsage.json").read_bytes())
        config = SageConfig(**data["config"])
        encoder = SeedEncoder.from_dict(data["encoder"])
        network = SageClassifier(config, encoder.width)
        network.load_state_dict(load_file(folder / "graphsage.safetensors"))
        return cls(
            network=network,
            config=config,
            fanouts=tuple(data["fanouts"]),
            edge_scaler=Scaler.from_dict(data["edge_scaler"]),
            encoder=encoder,
            correction=Correction(**data["correction"]),
        )


def take_seeds(seeds: Seeds, rows: slice) -> Seeds:
    """Some of the seeds."""
    cuts = seeds.cuts
    return Seeds(
        cuts=Cuts(position=cuts.position[rows], label_time=cuts.label_time[rows], event_time=cuts.event_time[rows]),
        entity=seeds.entity[rows],
        features=seeds.features[rows],
    )
