"""The fitted fused row: scores seeds from the event logs of their parties.

Legend: S seeds, R roles, D nodes, E events of the log, L packed events, P pairs, M last ones of the other
end, U tokens.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import orjson
from safetensors.torch import load_file, save_file

from graphml.context import GraphContext
from graphml.event_code import EventCode, EventToken
from graphml.event_log import EventLog, PackedEvents, pack
from graphml.graph import SOURCE, TARGET, Cuts, Floats, Ints, Seeds, TransactionGraph
from graphml.graph_row import network_logits
from graphml.losses import Correction
from graphml.nn.event_reader import EventInputs, ReaderConfig
from graphml.nn.fused import Fused, FusedConfig
from graphml.nn.transformer import TransformerConfig
from graphml.sampling import recent_slots, seed_nodes
from graphml.scorer import Doubles
from graphml.torch_first import torch
from ingestion.contracts import MICROSECONDS_PER_HOUR

_SEEDS_AT_ONCE = 512


@dataclass(frozen=True, kw_only=True)
class FusedRow:
    """`name` is one of `graphml.fused_training.KINDS`; `correction` undoes what the loss did; `tabular` encodes the
    features that the head alone is given, if any."""

    network: Fused
    config: FusedConfig
    token: EventToken
    correction: Correction
    name: str
    tabular: EventCode | None = None
    cost: int = 4

    def logits(self, context: GraphContext, seeds: Seeds) -> Doubles:
        """See `Scorer`."""
        return self.correction(network_logits(self, context, seeds, at_once=_SEEDS_AT_ONCE))

    def inputs(self, context: GraphContext, seeds: Seeds) -> tuple[EventInputs]:
        """What the network is called with for some seeds, on its device."""
        device = next(self.network.parameters()).device
        sizes = self.config
        alone = sizes.transformer.both_ways  # in a longer window an earlier seed would see later events
        inputs = fused_inputs(context, self.token, seeds, sizes.receptive_field, sizes.reader.num_near, alone=alone)
        return (replace(inputs, tabular_SC=torch.from_numpy(self.tabular_inputs(seeds))).to(device),)

    def tabular_inputs(self, seeds: Seeds) -> Floats:
        """(S, C) features of seeds for the head, encoded."""
        return np.zeros((len(seeds), 0), np.float32) if self.tabular is None else self.tabular(seeds.features)

    def embed(self, context: GraphContext, entity_ids: Ints, cut: Cuts) -> Floats:
        """States (D, H) float32 of entities after the last event that one cut (C = 1) sees, each of length 1; zeros for
        one without any."""
        log, device = context.events(), next(self.network.parameters()).device
        behind = log.before(entity_ids, cut)
        active = np.flatnonzero(behind > log.starts[entity_ids])
        result = np.zeros((len(entity_ids), self.config.transformer.width), np.float32)
        self.network.eval()
        for start in range(0, len(active), _SEEDS_AT_ONCE):
            part = active[start : start + _SEEDS_AT_ONCE]
            there, member = np.unique(behind[part], return_inverse=True)
            inputs = history_inputs(context, self.token, there, self.config).to(device)
            with torch.inference_mode():
                h_DH = self.network.states(inputs)
                result[part] = torch.nn.functional.normalize(h_DH, dim=1).cpu().numpy()[member]
        return result

    def save(self, folder: Path) -> None:
        """Write `<name>.safetensors` and `<name>.json`."""
        weights = {name: tensor.contiguous() for name, tensor in self.network.state_dict().items()}
        save_file(weights, folder / f"{self.name}.safetensors")
        data = {
            "config": asdict(self.config),
            "token": self.token.as_dict(),
            "correction": self.correction.as_dict(),
            "tabular": None if self.tabular is None else self.tabular.as_dict(),
        }
        (folder / f"{self.name}.json").write_bytes(orjson.dumps(data))

    @classmethod
    def load(cls, folder: Path, name: str = "fused") -> FusedRow:
        """Read what `save` wrote."""
        data = orjson.loads((folder / f"{name}.json").read_bytes())
        reader, transformer = data["config"]["reader"], data["config"]["transformer"]
        lists = {name: tuple(reader[name]) for name in ("bins", "edges_hours")}
        config = FusedConfig(
            reader=ReaderConfig(**reader | lists),
            transformer=TransformerConfig(**transformer),
            dropout=data["config"]["dropout"],
            surprise=data["config"]["surprise"],
            num_tabular=data["config"].get("num_tabular", 0),
        )
        network = Fused(config)
        network.load_state_dict(load_file(folder / f"{name}.safetensors"))
        return cls(
            network=network,
            config=config,
            token=EventToken.from_dict(data["token"]),
            correction=Correction(**data["correction"]),
            name=name,
            tabular=EventCode.from_dict(data["tabular"]) if data.get("tabular") else None,
        )


def fused_inputs(
    context: GraphContext,
    token: EventToken,
    seeds: Seeds,
    receptive_field: int,
    num_near: int,
    *,
    alone: bool = False,
) -> EventInputs:
    """Windows of the seeds' parties, each with the seed itself as its last event; overlapping ones are one unless they
    are to be `alone`."""
    graph, log = context.graph, context.events()
    nodes, index_SR = seed_nodes(seeds.entity)
    cuts = Cuts(**{name: column[nodes.cut] for name, column in vars(seeds.cuts).items()})
    behind = log.before(nodes.entity, cuts)
    role = role_of(seeds.entity[nodes.cut], nodes.entity)
    stored = _stored(graph, seeds)
    packed = pack(log.starts, nodes.entity, behind, receptive_field, stored=stored[nodes.cut] & (not alone))
    ours = packed.slot >= len(log)  # seeds that the graph does not hold
    event = _events(graph, log, np.where(ours, 0, packed.slot))
    if ours.any():
        node = packed.slot[ours] - len(log)
        before, other = behind[node] - 1, np.where(role == SOURCE, TARGET, SOURCE)
        gap = cuts.event_time[node] - log.time[np.maximum(before, 0)]
        has_before = before >= log.starts[np.maximum(nodes.entity[node], 0)]
        own = {
            "transaction": cuts.position[node],
            "kind": np.zeros(len(node), np.int64),
            "role": role[node],
            "other": seeds.entity[nodes.cut, other][node],
            "time": cuts.event_time[node],
            "happened": cuts.event_time[node],
            "since": np.where(has_before, np.maximum(gap, 0) / MICROSECONDS_PER_HOUR, -1.0),
            # numbered from N on: its token is not among those of the graph
            "token": len(graph) + nodes.cut[node],
        }
        for name, column in own.items():
            event[name][ours] = column
    own_S = np.where(stored, seeds.cuts.position, len(graph) + np.arange(len(seeds)))
    return _tensors(context, token, num_near, event, packed, nodes.entity, seeds=seeds, own_S=own_S, index_SR=index_SR)


def history_inputs(context: GraphContext, token: EventToken, behind: Ints, config: FusedConfig) -> EventInputs:
    """The last events of parties up to the slot (of the log) before each of `behind` (D,); there are no seeds."""
    log = context.events()
    entity = log.owner(behind - 1)
    packed = pack(log.starts, entity, behind - 1, config.receptive_field, stored=np.ones(len(behind), bool))
    nothing = np.zeros(0, np.int64)
    event = _events(context.graph, log, packed.slot)
    return _tensors(
        context,
        token,
        config.reader.num_near,
        event,
        packed,
        entity,
        seeds=None,
        own_S=nothing,
        index_SR=nothing[:, None],
    )


def _events(graph: TransactionGraph, log: EventLog, slot: Ints) -> dict[str, np.ndarray]:
    """Columns (L,) of events at these slots; `since` in hours, -1 for a party's first."""
    transaction, time, before = log.transaction[slot], log.time[slot], np.maximum(slot - 1, 0)
    is_first = slot == log.starts[log.owner(slot)]
    return {
        "transaction": transaction,
        "kind": log.kind[slot].astype(np.int64) + 1,
        "role": log.role[slot].astype(np.int64),
        "other": log.other[slot],
        "time": time,
        "happened": graph.event_time[transaction],
        "since": np.where(is_first, -1.0, np.maximum(time - log.time[before], 0) / MICROSECONDS_PER_HOUR),
        "token": transaction.copy(),
    }


def _tensors(
    context: GraphContext,
    token: EventToken,
    num_near: int,
    event: dict[str, np.ndarray],
    packed: PackedEvents,
    entity_D: Ints,
    *,
    seeds: Seeds | None,
    own_S: Ints,
    index_SR: Ints,
) -> EventInputs:
    num_roles = len(context.graph.roles)
    # a pair: a transaction seen from one of its parties
    keys, first_of, pair = np.unique(event["token"] * num_roles + event["role"], return_index=True, return_inverse=True)
    position, other, happened = (event[name][first_of] for name in ("transaction", "other", "happened"))
    near, gap = near_transactions(context.graph, position, other, happened, num_near)
    about_P = keys // num_roles
    wanted, member = np.unique(np.concatenate([about_P, near[near >= 0], own_S]), return_inverse=True)
    own_P, near_flat, token_S = np.split(member, np.cumsum([len(about_P), int((near >= 0).sum())]))
    near_PM = np.full(near.shape, -1, np.int64)
    near_PM[near >= 0] = near_flat
    age = np.maximum(event["time"] - event["happened"], 0) / MICROSECONDS_PER_HOUR
    tensors = {
        "own_P": own_P,
        "near_PM": near_PM,
        "gap_PM": gap,
        "pair_L": pair,
        "kind_L": event["kind"],
        "role_L": event["role"],
        "since_L": event["since"].astype(np.float32),
        "age_L": age.astype(np.float32),
        "sequence_L": packed.sequence,
        "time_L": event["time"],
        "last_D": packed.last,
        "index_SR": index_SR,
        "token_S": token_S,
        "entity_D": entity_D,
    }
    return EventInputs(
        token_UT=_tokens(context, token, seeds, wanted),
        tabular_SC=torch.zeros(len(own_S), 0),
        **{name: torch.from_numpy(np.ascontiguousarray(column)) for name, column in tensors.items()},
    )


def _tokens(context: GraphContext, token: EventToken, seeds: Seeds | None, wanted: Ints) -> torch.Tensor:
    """Tokens of stored transactions, and of seeds that are numbered from N on."""
    num = len(context.graph)
    stored = context.inputs(token)[wanted[wanted < num]]
    if seeds is None or not (wanted >= num).any():
        return torch.from_numpy(stored)
    return torch.from_numpy(np.concatenate([stored, token.rows(context, seeds)[wanted[wanted >= num] - num]]))


def near_transactions(
    graph: TransactionGraph, position: Ints, other: Ints, happened: Ints, num_near: int
) -> tuple[Ints, Floats]:
    """(P, M) the last transactions of `other` (P,) before `position` (P,), -1 for none, and hours from each to
    `happened` (P,)."""
    offsets, slots = recent_slots(graph.starts, graph.stops, graph.incident, other, position, num_near)
    count = np.diff(offsets)
    row = np.repeat(np.arange(len(position)), count)
    place = np.arange(len(slots)) - np.repeat(offsets[:-1], count)
    near = np.full((len(position), num_near), -1, np.int64)
    gap = np.zeros((len(position), num_near), np.float32)
    near[row, place] = graph.incident[slots]
    between = happened[row] - graph.event_time[graph.incident[slots]]
    gap[row, place] = np.maximum(between, 0) / MICROSECONDS_PER_HOUR
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


def role_of(entity_DR: Ints, entity: Ints) -> Ints:
    """The first role of each `entity` (D,) in its transaction's parties (D, R)."""
    return (entity_DR == entity[:, None]).argmax(axis=1)
