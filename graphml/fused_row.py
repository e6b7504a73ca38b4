"""The fitted fused row: scores seeds from the event logs of their parties.

Legend: S seeds, R roles, D nodes, E events of the log, L packed events, P pairs, M last ones of the other
end, U tokens.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import orjson
from safetensors.torch import load_file, save_file

from graphml.context import GraphContext
from graphml.event_code import EventToken
from graphml.event_log import EventLog, pack
from graphml.graph import SOURCE, TARGET, Cuts, Floats, Ints, Seeds, TransactionGraph
from graphml.graph_row import network_logits
from graphml.losses import Correction
from graphml.nn.fused import Fused, FusedConfig, FusedInputs
from graphml.nn.transformer import TransformerConfig
from graphml.sampling import recent_slots, seed_nodes
from graphml.scorer import Doubles
from graphml.torch_first import torch

_SEEDS_AT_ONCE = 512
_HOUR = 3_600_000_000


@dataclass(frozen=True, kw_only=True)
class FusedRow:
    """`correction` undoes what the loss did."""

    network: Fused
    config: FusedConfig
    token: EventToken
    correction: Correction
    name: str = "fused"
    cost: int = 4

    def logits(self, context: GraphContext, seeds: Seeds) -> Doubles:
        """See `Scorer`."""
        return self.correction(network_logits(self, context, seeds, at_once=_SEEDS_AT_ONCE))

    def inputs(self, context: GraphContext, seeds: Seeds) -> tuple[FusedInputs]:
        """What the network is called with for some seeds, on its device."""
        device = next(self.network.parameters()).device
        sizes = self.config
        alone = sizes.transformer.both_ways  # in a longer window an earlier seed would see later events
        inputs = fused_inputs(context, self.token, seeds, sizes.receptive_field, sizes.num_near, alone=alone)
        return (inputs.to(device),)

    def save(self, folder: Path) -> None:
        """Write `fused.safetensors` and `fused.json`."""
        weights = {name: tensor.contiguous() for name, tensor in self.network.state_dict().items()}
        save_file(weights, folder / "fused.safetensors")
        data = {
            "config": asdict(self.config),
            "token": self.token.as_dict(),
            "correction": self.correction.as_dict(),
        }
        (folder / "fused.json").write_bytes(orjson.dumps(data))

    @classmethod
    def load(cls, folder: Path) -> FusedRow:
        """Read what `save` wrote."""
        data = orjson.loads((folder / "fused.json").read_bytes())
        sizes = data["config"] | {
            "bins": tuple(data["config"]["bins"]),
            "edges_hours": tuple(data["config"]["edges_hours"]),
            "transformer": TransformerConfig(**data["config"]["transformer"]),
        }
        config = FusedConfig(**sizes)
        network = Fused(config)
        network.load_state_dict(load_file(folder / "fused.safetensors"))
        return cls(
            network=network,
            config=config,
            token=EventToken.from_dict(data["token"]),
            correction=Correction(**data["correction"]),
        )


def fused_inputs(
    context: GraphContext,
    token: EventToken,
    seeds: Seeds,
    receptive_field: int,
    num_near: int,
    *,
    alone: bool = False,
) -> FusedInputs:
    """Windows of the seeds' parties, each with the seed itself as its last event; overlapping ones are one unless they
    are to be `alone`."""
    graph, log = context.graph, context.events()
    nodes, index_SR = seed_nodes(seeds.entity)
    cuts = Cuts(**{name: column[nodes.cut] for name, column in vars(seeds.cuts).items()})
    behind = log.before(nodes.entity, cuts)
    role = _role_of(seeds.entity[nodes.cut], nodes.entity)
    stored = _stored(graph, seeds)
    packed = pack(log.starts, nodes.entity, behind, receptive_field, stored=stored[nodes.cut] & (not alone))
    ours = packed.slot >= len(log)  # seeds that the graph does not hold
    slot, node = np.where(ours, 0, packed.slot), np.where(ours, packed.slot - len(log), 0)
    other = seeds.entity[nodes.cut, np.where(role == SOURCE, TARGET, SOURCE)]
    event = {
        "transaction": np.where(ours, cuts.position[node], log.transaction[slot]),
        "kind": np.where(ours, 0, log.kind[slot].astype(np.int64) + 1),
        "role": np.where(ours, role[node], log.role[slot].astype(np.int64)),
        "other": np.where(ours, other[node], log.other[slot]),
        "time": np.where(ours, cuts.event_time[node], log.time[slot]),
        "happened": np.where(ours, cuts.event_time[node], graph.event_time[log.transaction[slot]]),
    }
    before = np.where(ours, behind[node] - 1, slot - 1)
    first = np.where(ours, log.starts[np.maximum(nodes.entity[node], 0)], log.starts[_owner(log, slot)])
    since = np.where(before >= first, np.maximum(event["time"] - log.time[np.maximum(before, 0)], 0) / _HOUR, -1.0)
    # a pair: a transaction seen from one of its parties; a seed's own that the graph does not hold counts from N on
    about = np.where(ours, len(graph) + nodes.cut[node], event["transaction"])
    keys, first_of, pair = np.unique(about * len(graph.roles) + event["role"], return_index=True, return_inverse=True)
    near, gap = _near(graph, event, first_of, num_near)
    about_P = keys // len(graph.roles)
    own_S = np.where(stored, seeds.cuts.position, len(graph) + np.arange(len(seeds)))
    wanted, member = np.unique(np.concatenate([about_P, near[near >= 0], own_S]), return_inverse=True)
    own_P, near_flat, token_S = np.split(member, np.cumsum([len(about_P), int((near >= 0).sum())]))
    near_PM = np.full(near.shape, -1, np.int64)
    near_PM[near >= 0] = near_flat
    tensors = {
        "own_P": own_P,
        "near_PM": near_PM,
        "gap_PM": gap,
        "pair_L": pair,
        "kind_L": event["kind"],
        "role_L": event["role"],
        "since_L": since.astype(np.float32),
        "age_L": (np.maximum(event["time"] - event["happened"], 0) / _HOUR).astype(np.float32),
        "sequence_L": packed.sequence,
        "time_L": event["time"],
        "last_D": packed.last,
        "index_SR": index_SR,
        "token_S": token_S,
    }
    return FusedInputs(
        token_UT=_tokens(context, token, seeds, wanted),
        **{name: torch.from_numpy(np.ascontiguousarray(column)) for name, column in tensors.items()},
    )


def _tokens(context: GraphContext, token: EventToken, seeds: Seeds, wanted: Ints) -> torch.Tensor:
    """Tokens of stored transactions, and of seeds that are numbered from N on."""
    num = len(context.graph)
    stored = context.inputs(token)[wanted[wanted < num]]
    if not (wanted >= num).any():
        return torch.from_numpy(stored)
    return torch.from_numpy(np.concatenate([stored, token.rows(context, seeds)[wanted[wanted >= num] - num]]))


def _near(graph: TransactionGraph, event: dict[str, Ints], rows: Ints, num_near: int) -> tuple[Ints, Floats]:
    """(P, M) the other end's last transactions before the pair's own, -1 for none, and hours since each."""
    position, other, happened = (event[name][rows] for name in ("transaction", "other", "happened"))
    offsets, slots = recent_slots(graph.starts, graph.stops, graph.incident, other, position, num_near)
    count = np.diff(offsets)
    row = np.repeat(np.arange(len(rows)), count)
    place = np.arange(len(slots)) - np.repeat(offsets[:-1], count)
    near = np.full((len(rows), num_near), -1, np.int64)
    gap = np.zeros((len(rows), num_near), np.float32)
    near[row, place] = graph.incident[slots]
    gap[row, place] = np.maximum(happened[row] - graph.event_time[graph.incident[slots]], 0) / _HOUR
    return near, gap


def _stored(graph: TransactionGraph, seeds: Seeds) -> np.ndarray:
    """(S,) whether a seed is a transaction of the graph as it stands there."""
    position = np.minimum(seeds.cuts.position, len(graph) - 1)
    same = seeds.cuts.position < len(graph)
    same &= graph.available_at[position] == seeds.cuts.label_time
    same &= graph.event_time[position] == seeds.cuts.event_time
    same &= (graph.entity[position] == seeds.entity).all(axis=1)
    held, asked = graph.features[position], seeds.features
    same &= ((held == asked) | (np.isnan(held) & np.isnan(asked))).all(axis=1)
    return same


def _role_of(entity_DR: Ints, entity: Ints) -> Ints:
    """The first role of each `entity` (D,) in its transaction's parties (D, R)."""
    return (entity_DR == entity[:, None]).argmax(axis=1)


def _owner(log: EventLog, slot: Ints) -> Ints:
    return np.searchsorted(log.starts, slot, side="right") - 1
