"""The fused row one event at a time: keys, values and last states of every party are kept, nothing is computed anew.

A party's memory is what its next event can see: (W - 1) x N keys and values of width H. It is built from the log, by
one pass over each party's last events, and moves on with every transaction and every outcome that becomes known; so
building it again from the log gives the same.

Legend: V entities, D parties of an event, R roles, M last transactions of the other end, W window, N blocks, H width.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from graphml.context import GraphContext
from graphml.fused_row import FusedRow, history_inputs, near_transactions, role_of
from graphml.graph import SOURCE, TARGET, Floats, Ints, Seeds
from graphml.growing import GrowingContext
from graphml.nn.fused_step import MOST_PARTIES, LabelStep, TransactionStep
from graphml.nn.sequences import Sequences
from graphml.sampling import seed_nodes
from graphml.torch_first import torch
from ingestion.contracts import MICROSECONDS_PER_HOUR

_PARTIES_AT_ONCE = 512
_ROWS_AT_ONCE = 16_384
_SPARE = 1_024


class Steps(Protocol):
    """What runs the network's steps: torch, or ONNX Runtime (`graphml.fused_onnx`)."""

    def transaction(self, inputs: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """See `TransactionStep`."""
        ...

    def label(self, inputs: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """See `LabelStep`."""
        ...


class TorchSteps:
    """The steps by torch itself."""

    def __init__(self, row: FusedRow) -> None:
        self._transaction, self._label = TransactionStep(row.network).eval(), LabelStep(row.network).eval()

    def transaction(self, inputs: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """See `Steps`."""
        return _run(self._transaction, inputs)

    def label(self, inputs: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """See `Steps`."""
        return _run(self._label, inputs)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A transaction's parties (D,), their roles (D,) and what each saw of it (D, H)."""

    entity: Ints
    role: Ints
    z: Floats
    event_time: int


@dataclass(kw_only=True)
class PartyMemory:
    """Of V entities: `keys`, `values` (V, N, W - 1, H), `times` (V, W - 1) µs and `filled` (V, W - 1) of remembered
    events, `next` (V,) where the next one goes (the oldest there), `state` (V, H) after the last, `last_time` (V,)."""

    keys: Floats
    values: Floats
    times: Ints
    filled: NDArray[np.bool_]
    next: Ints
    state: Floats
    last_time: Ints
    has_event: NDArray[np.bool_]

    @classmethod
    def empty(cls, num: int, *, blocks: int, window: int, width: int) -> PartyMemory:
        """Of entities without an event."""
        return cls(
            keys=np.zeros((num, blocks, window - 1, width), np.float32),
            values=np.zeros((num, blocks, window - 1, width), np.float32),
            times=np.zeros((num, window - 1), np.int64),
            filled=np.zeros((num, window - 1), bool),
            next=np.zeros(num, np.int64),
            state=np.zeros((num, width), np.float32),
            last_time=np.zeros(num, np.int64),
            has_event=np.zeros(num, bool),
        )

    def __len__(self) -> int:
        return len(self.next)

    @property
    def bytes_a_party(self) -> int:
        """What one party takes."""
        return sum(column.itemsize * column[0].size for column in vars(self).values())

    def grow(self, num: int) -> None:
        """Room for at least `num` entities."""
        if num <= len(self):
            return
        for name, column in vars(self).items():
            room = np.zeros((2 * num - len(column), *column.shape[1:]), column.dtype)
            setattr(self, name, np.concatenate([column, room]))

    def inputs(self, entity: Ints, time: Ints) -> dict[str, NDArray[Any]]:
        """What a step of these entities (D,), each at its `time` (D,) µs, is given."""
        since = np.maximum(time - self.last_time[entity], 0) / MICROSECONDS_PER_HOUR
        hours = np.maximum(time[:, None] - self.times[entity], 0) / MICROSECONDS_PER_HOUR
        return {
            "since_D": np.where(self.has_event[entity], since, -1.0).astype(np.float32),
            "hours_DW": hours.astype(np.float32),
            "filled_DW": self.filled[entity],
            "keys_DNWH": self.keys[entity],
            "values_DNWH": self.values[entity],
        }

    def remember(self, entity: Ints, time: Ints, state: Floats, keys: Floats, values: Floats) -> None:
        """An event of these entities (D,), once each, at its `time` (D,) µs, with its keys and values (D, N, H)."""
        if self.times.shape[1]:
            place = self.next[entity]
            self.keys[entity, :, place], self.values[entity, :, place] = keys, values
            self.times[entity, place], self.filled[entity, place] = time, True
            self.next[entity] = (place + 1) % self.times.shape[1]
        self.state[entity], self.last_time[entity], self.has_event[entity] = state, time, True


@dataclass(frozen=True, kw_only=True)
class _Label:
    known_at: int
    position: int
    origin: int
    is_fraud: bool

    @property
    def place(self) -> tuple[int, int, int]:
        """Its place among labels that come between two transactions, as in the log: of equals the strongest is last."""
        return self.known_at, self.position, -self.origin


@dataclass(kw_only=True)
class FusedStream:
    """Scores transactions in the order of the sequence. `told` (N, 2 H): what later ones are told of each transaction
    (no rows of a decoder, which tells nothing); `z` (n, R, H): what the parties of each since the start, whose position
    was `begin_at`, saw of it, for its labels."""

    row: FusedRow
    context: GrowingContext
    steps: Steps
    memory: PartyMemory
    begin_at: int
    told: Floats
    z: Floats
    _labels: list[_Label] = field(default_factory=list)
    _scored: tuple[Seen, Floats, tuple[NDArray[Any], ...]] | None = None

    @classmethod
    def begin(cls, row: FusedRow, context: GrowingContext, *, steps: Steps | None = None) -> FusedStream:
        """After what the context holds at its start: its transactions, and the labels known by the last of them.

        Raises ValueError for an encoder, which has no memory, and for a context that keeps too little of a party, or
        that has grown already.
        """
        sizes = row.config.transformer
        if sizes.both_ways:
            raise ValueError("An encoder reads each window anew: it has no memory. Serve a decoder or the fused row.")
        num_near = row.config.reader.num_near
        context.require_depth(max(row.token.depth, num_near))
        context.inputs(row.token.code)  # past labels ask for it: made once
        row = replace(row, network=copy.deepcopy(row.network).cpu().eval())
        memory = PartyMemory.empty(
            context.num_entities, blocks=sizes.num_blocks, window=sizes.window, width=sizes.width
        )
        told = np.zeros((context.num_transactions + _SPARE if num_near else 0, 2 * sizes.width), np.float32)
        if context.num_transactions:
            past = GraphContext(context.past().graph)  # its table of tokens is not kept
            if num_near:
                _tell_all(told[: context.num_transactions], row, past)
            _fill(memory, row, past, context.num_transactions)
        return cls(
            row=row,
            context=context,
            steps=steps or TorchSteps(row),
            memory=memory,
            begin_at=context.num_transactions,
            told=told,
            z=np.zeros((_SPARE, len(context.graph.roles), sizes.width), np.float32),
        )

    def score(self, seed: Seeds) -> float:
        """The logit of one seed, as of now: the transaction that is added to the context next."""
        self._flush()
        self.memory.grow(self.context.num_entities)
        entity, role, other, index_SR = _parties(seed)
        time = int(seed.cuts.event_time[0])
        inputs = self.memory.inputs(entity, np.full(len(entity), time))
        inputs |= self._near(self.context, np.full(len(entity), seed.cuts.position[0]), other, time)
        inputs |= {"token_1T": self.row.token.rows(self.context, seed), "role_D": role}
        inputs |= {"index_1R": index_SR, "state_DH": self.memory.state[entity]}
        inputs |= {"tabular_1C": self.row.tabular_inputs(seed)}
        logit, told, z, *after = self.steps.transaction(inputs)
        self._scored = Seen(entity=entity, role=role, z=z, event_time=time), told, tuple(after)
        return float(self.row.correction(np.asarray(logit, np.float64))[0])

    def add(self, position: int) -> None:
        """The transaction that was scored last is the one at `position`, and part of history from now on."""
        assert self._scored is not None, "score comes first"
        seen, told, after = self._scored
        self.memory.remember(seen.entity, np.full(len(seen.entity), seen.event_time), *after)
        number = position - self.begin_at
        if number == len(self.z):
            self.z = np.concatenate([self.z, np.zeros_like(self.z)])
        self.z[number, : len(seen.z)], self._scored = seen.z, None
        if self.row.config.reader.num_near:
            if position == len(self.told):
                self.told = np.concatenate([self.told, np.zeros_like(self.told)])
            self.told[position] = told[0]

    def observe_label(self, position: int, *, known_at: int, is_fraud: bool, origin: int) -> None:
        """An outcome that became known, before the next transaction; `origin` is an index into `LABEL_ORIGINS`."""
        label = _Label(known_at=known_at, position=position, origin=origin, is_fraud=is_fraud)
        self._labels.append(label)

    def _flush(self) -> None:
        """Labels that came since the last transaction, in the order of the log; at once those of different parties."""
        together: list[tuple[_Label, Seen]] = []
        parties: set[int] = set()
        for label in sorted(self._labels, key=lambda each: each.place):
            seen = self._seen(label.position)
            own = set(seen.entity.tolist())
            if not parties.isdisjoint(own) or len(parties | own) > MOST_PARTIES:
                self._tell(together)
                together, parties = [], set()
            together.append((label, seen))
            parties |= own
        self._tell(together)
        self._labels.clear()

    def _tell(self, labels: Sequence[tuple[_Label, Seen]]) -> None:
        """One step of all parties of these labels, each of which is there once."""
        if not labels:
            return
        of = np.repeat(np.arange(len(labels)), [len(seen.entity) for _, seen in labels])
        known_at = np.asarray([label.known_at for label, _ in labels])[of]
        age = np.maximum(known_at - np.asarray([seen.event_time for _, seen in labels])[of], 0) / MICROSECONDS_PER_HOUR
        entity, role, z = (np.concatenate(parts) for parts in zip(*(_columns(seen) for _, seen in labels), strict=True))
        inputs = self.memory.inputs(entity, known_at) | {"z_DH": z, "role_D": role, "age_D": age.astype(np.float32)}
        inputs["kind_D"] = np.asarray([1 + label.is_fraud for label, _ in labels])[of]
        self.memory.remember(entity, known_at, *self.steps.label(inputs))

    def _near(self, context: GraphContext, position: Ints, other: Ints, time: int) -> dict[str, NDArray[Any]]:
        num = self.row.config.reader.num_near
        near, gap = near_transactions(context.graph, position, other, np.full(len(other), time), num)
        return {"told_DMX": self.told[np.maximum(near, 0)], "absent_DM": near < 0, "gap_DM": gap}

    def _seen(self, position: int) -> Seen:
        """What parties saw of a transaction when it came."""
        was_there = position < self.begin_at
        context = self.context.past() if was_there else self.context
        seed = context.graph.seeds(np.asarray([position]))
        entity, role, other, _ = _parties(seed)
        time = int(seed.cuts.event_time[0])
        if not was_there:
            z = self.z[position - self.begin_at, : len(entity)]
            return Seen(entity=entity, role=role, z=z, event_time=time)
        near = self._near(context, np.full(len(entity), position), other, time)
        reader = self.row.network.reader
        with torch.inference_mode():
            z_1H = reader.own(torch.from_numpy(self.row.token.rows(context, seed)))
            z_DH = reader.paired_with(
                z_1H.expand(len(entity), -1), *(torch.from_numpy(column) for column in near.values())
            )
        return Seen(entity=entity, role=role, z=z_DH.numpy(), event_time=time)


def _columns(seen: Seen) -> tuple[Ints, Ints, Floats]:
    return seen.entity, seen.role, seen.z


def _parties(seed: Seeds) -> tuple[Ints, Ints, Ints, Ints]:
    """Of one seed: entities (D,), their roles (D,), the other end as each sees it (D,), each role's party (1, R)."""
    nodes, index_SR = seed_nodes(seed.entity)
    role = role_of(seed.entity[nodes.cut], nodes.entity)
    return nodes.entity, role, seed.entity[0, np.where(role == SOURCE, TARGET, SOURCE)], index_SR


def _tell_all(told: Floats, row: FusedRow, past: GraphContext) -> None:
    """Fill `told` (n, 2 H) of the first n transactions."""
    reader, table = row.network.reader, past.inputs(row.token)
    with torch.inference_mode():
        for start in range(0, len(told), _ROWS_AT_ONCE):
            part = slice(start, min(start + _ROWS_AT_ONCE, len(told)))
            told[part] = reader.told(reader.own(torch.from_numpy(table[part]))).numpy()


def _fill(memory: PartyMemory, row: FusedRow, past: GraphContext, up_to: int) -> None:
    """Memory of all parties after the first `up_to` transactions."""
    log = past.events()
    everyone = np.arange(past.graph.num_entities)
    cut = past.graph.cut_after(up_to)
    behind = log.before(everyone, cut)
    active = np.flatnonzero(behind > log.starts[:-1])
    for start in range(0, len(active), _PARTIES_AT_ONCE):
        entity = active[start : start + _PARTIES_AT_ONCE]
        inputs = history_inputs(past, row.token, behind[entity], row.config)
        sequences = Sequences(sequence_L=inputs.sequence_L, time_L=inputs.time_L)
        with torch.inference_mode():
            h_LH, kept = row.network.transformer.remembered(row.network.reader(inputs), sequences, inputs.last_D)
        back = np.arange(memory.times.shape[1])[::-1]  # the oldest first: it is the first to make room
        rows = np.maximum(inputs.last_D.numpy()[:, None] - back, 0)
        memory.keys[entity], memory.values[entity] = kept.keys.numpy()[:, :, ::-1], kept.values.numpy()[:, :, ::-1]
        memory.filled[entity], memory.times[entity] = kept.filled.numpy()[:, ::-1], inputs.time_L.numpy()[rows]
        memory.state[entity] = h_LH.numpy()[inputs.last_D.numpy()]
        memory.last_time[entity] = log.time[behind[entity] - 1]
        memory.has_event[entity] = True


def _run(step: torch.nn.Module, inputs: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], ...]:
    with torch.inference_mode():
        found = step(**{name: torch.from_numpy(np.ascontiguousarray(column)) for name, column in inputs.items()})
    return tuple(each.numpy() for each in found)
