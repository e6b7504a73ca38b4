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
from graphml.nn.classifier import SageClassifier
from graphml.nn.sage import SageConfig
from graphml.sampling import Nodes, sample_blocks, seed_nodes
from graphml.scaling import Scaler, SeedEncoder
from graphml.scorer import Doubles
from graphml.torch_first import torch

_SEEDS_AT_ONCE = 1_024
_ENTITIES_AT_ONCE = 4_096


@dataclass(frozen=True, kw_only=True)
class SageRow:
    """`offset` is added to the network's logit: it undoes the down-sampling of negatives in the loss."""

    network: SageClassifier
    config: SageConfig
    fanouts: tuple[int, ...]
    edge_scaler: Scaler
    encoder: SeedEncoder
    offset: float
    name: str = "graphsage"
    cost: int = 3

    def logits(self, context: GraphContext, seeds: Seeds) -> Doubles:
        """See `Scorer`."""
        table = torch.from_numpy(context.inputs(self.edge_scaler))
        result = np.empty(len(seeds), np.float64)
        self.network.eval()
        for start in range(0, len(seeds), _SEEDS_AT_ONCE):
            part = take_seeds(seeds, slice(start, start + _SEEDS_AT_ONCE))
            nodes, index_SR = seed_nodes(part.entity)
            blocks, type_U = self._blocks(context, nodes, part.cuts)
            inputs = torch.from_numpy(self.encoder(part.features))
            with torch.inference_mode():
                logits = self.network(blocks, type_U, table, torch.from_numpy(index_SR), inputs)
            result[start : start + len(part)] = logits.numpy()
        return result + self.offset

    def embed(self, context: GraphContext, entity_ids: Ints, cut: Cuts) -> Floats:
        """States (D, H) float32 of entities as of one cut (C = 1), each of length 1."""
        table = torch.from_numpy(context.inputs(self.edge_scaler))
        result = np.empty((len(entity_ids), self.config.width), np.float32)
        self.network.eval()
        for start in range(0, len(entity_ids), _ENTITIES_AT_ONCE):
            entities, member = np.unique(entity_ids[start : start + _ENTITIES_AT_ONCE], return_inverse=True)
            nodes = Nodes(entity=entities, cut=np.zeros(len(entities), np.int64))
            blocks, type_U = self._blocks(context, nodes, cut)
            with torch.inference_mode():
                states = torch.nn.functional.normalize(self.network.sage(blocks, type_U, table), dim=1)
            result[start : start + len(member)] = states.numpy()[member]
        return result

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
            "offset": self.offset,
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
            offset=data["offset"],
        )


def take_seeds(seeds: Seeds, rows: slice) -> Seeds:
    """Some of the seeds."""
    cuts = seeds.cuts
    return Seeds(
        cuts=Cuts(position=cuts.position[rows], label_time=cuts.label_time[rows], event_time=cuts.event_time[rows]),
        entity=seeds.entity[rows],
        features=seeds.features[rows],
    )
