"""Features of one event at a time, by the kernels of the batch job.

Feed transactions and labels in the order of the sequence. After `FeatureState.folded` the state gives what the batch
gives, bit for bit: a party's history is made from the snapshot's rows when the party is first met.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from ingestion.features import kernels, motifs
from ingestion.features.batch import (
    Events,
    LabelRows,
    Rows,
    Stream,
    carried_values,
    event_features,
    label_rows,
    pair_code,
    scales,
    streams_of,
    transaction_rows,
)
from ingestion.features.kernels import (
    PAST_ROW,
    SCORED_ROW,
    TRANSACTION_ROW,
    Activity,
    Doubles,
    Floats,
    Ints,
    Labels,
    Money,
    Section,
)
from ingestion.features.spec import IS_UNUSUAL, PAIR, SOURCE_IN, TARGET_IN, TARGET_OUT, FeatureSpec
from ingestion.labels import LabelEvents
from ingestion.money import exponent as currency_exponent
from ingestion.snapshot import TransactionArrays

_ROOM = 4
Arrays = TypeVar("Arrays", Activity, Money, Labels)
_NO_LIST = np.zeros(0, np.int64)
_NOTHING_CARRIED = np.zeros(0)


@dataclass(frozen=True, kw_only=True)
class OnlineTransaction:
    """What features need of one transaction; `parties` maps role to dense entity id."""

    event_time: int
    amount_minor: int
    currency: str
    kind: str
    outcome: str
    parties: Mapping[str, int]


@dataclass(slots=True)
class PartyHistory:
    """All that one party's features in one stream need, in growing arrays."""

    activity: Activity
    labels: Labels
    lists: Ints
    size: int = 0
    num_labels: int = 0
    money: dict[str, tuple[Money, int]] = field(default_factory=dict)


class FeatureState:
    """Per-party histories for one spec; not thread-safe, owned by the one state process of a workspace."""

    def __init__(self, spec: FeatureSpec) -> None:
        self.spec = spec
        self._streams = streams_of(spec)
        self._parties: list[dict[tuple[int, int], PartyHistory]] = [{} for _ in self._streams]
        self._place = place = {name: index for index, name in enumerate(spec.names)}
        self._columns = [np.asarray([place[name] for name in stream.names], np.int64) for stream in self._streams]
        self._carried = [np.asarray([place[name] for name in stream.carried], np.int64) for stream in self._streams]
        self._unusual = bytearray()
        self._past: Past | None = None
        self._seen = np.empty(2 * kernels.DEPTH, np.int64)
        self._amounts = np.empty(5)
        self._no_money = kernels.new_money(1)  # for streams without columns of amounts

    @classmethod
    def folded(
        cls,
        spec: FeatureSpec,
        transactions: TransactionArrays,
        labels: LabelEvents,
        features: Floats,
        *,
        up_to: int,
    ) -> FeatureState:
        """The state after the first `up_to` transactions and those of `labels` that are of them.

        Equal to feeding them one by one (tested). `features` (N, F) are those of the snapshot; `labels` the ones that
        are known by then.
        """
        state = cls(spec)
        if IS_UNUSUAL in state._place:
            state._unusual = bytearray((features[:up_to, state._place[IS_UNUSUAL]] > 0).astype(np.uint8).tobytes())
        else:
            state._unusual = bytearray(up_to)
        state._past = Past(state._streams, spec, transactions, labels, features, up_to=up_to)
        return state

    def observe_transaction(self, transaction: OnlineTransaction) -> Floats:
        """Features (F,) float32 of the transaction at its place in the sequence; then it is part of history."""
        out = np.full(len(self.spec.names), np.nan, np.float32)
        out[: len(self.spec.event)] = event_features(
            self.spec,
            event_time=np.asarray([transaction.event_time], np.int64),
            amount_minor=np.asarray([transaction.amount_minor], np.int64),
            exponent=np.asarray([currency_exponent(transaction.currency)], np.int64),
            kind=np.asarray([transaction.kind], object),
            outcome=np.asarray([transaction.outcome], object),
        )[0]
        lists: dict[str, Ints] = {}
        for index, stream in enumerate(self._streams):
            self._step(index, stream, transaction, out, lists)
        unusual = IS_UNUSUAL in self._place and out[self._place[IS_UNUSUAL]] > 0
        self._unusual.append(int(unusual))
        return out

    def observe_label(self, position: int, parties: Mapping[str, int], *, known_at: int, is_fraud: bool) -> None:
        """A label of the transaction at `position` with these parties, at its `known_at` (µs)."""
        unexplained = int(is_fraud) * (1 - self._unusual[position])
        for index, stream in enumerate(self._streams):
            key = _key(stream.role, parties)
            if key is None or not stream.has_labels:
                continue
            party = self._party(index, key)
            if party.num_labels == len(party.labels.times):
                party.labels = _grown(party.labels, party.num_labels)
            fraud, flag = int(is_fraud), unexplained if stream.round == 2 else int(is_fraud)
            kernels.add_label(party.labels, party.num_labels, known_at, fraud, flag, stream.plan.half_lives)
            party.num_labels += 1

    def _step(
        self, index: int, stream: Stream, transaction: OnlineTransaction, out: Floats, lists: dict[str, Ints]
    ) -> None:
        """One stream: the columns of the event, then its place in the histories."""
        at = self._carried[index]
        carried = carried_values(out[at]) if len(at) else _NOTHING_CARRIED
        values = np.zeros(len(stream.columns), np.float32)
        rows = _rows_of(stream, transaction.parties, lists)
        for key, other, rank, brought in rows:
            party = self._party(index, key)
            if stream.makes_lists or stream.list_width:
                self._step_lists(stream, key, party, transaction, other, rank, brought, values, lists)
            else:
                self._step_values(stream, party, transaction, other, rank, carried, values)
        if rows and any(rank != PAST_ROW for _, _, rank, _ in rows):
            out[self._columns[index]] = values

    def _step_values(
        self,
        stream: Stream,
        party: PartyHistory,
        transaction: OnlineTransaction,
        other: int,
        rank: int,
        carried: Doubles,
        values: Floats,
    ) -> None:
        if party.size == len(party.activity.times):
            party.activity = _grown(party.activity, party.size)
        money, num_money = self._no_money, 0
        if stream.has_money:
            money, num_money = party.money.get(transaction.currency) or (kernels.new_money(_ROOM), 0)
            if num_money == len(money.times):
                money = _grown(money, num_money)
        arguments = (
            *stream.flat_plan,
            *party.activity,
            *party.labels,
            *money,
            party.size,
            party.num_labels,
            num_money,
            rank,
            transaction.event_time,
            other,
            int(transaction.outcome == "declined"),
            carried,
            transaction.amount_minor,
            10.0 ** currency_exponent(transaction.currency),
            self._seen,
            self._amounts,
            values,
        )
        party.size, num_money = kernels.step_party(*arguments)
        if stream.has_money:
            party.money[transaction.currency] = (money, num_money)

    def _step_lists(
        self,
        stream: Stream,
        key: tuple[int, int],
        party: PartyHistory,
        transaction: OnlineTransaction,
        other: int,
        rank: int,
        brought: Ints,
        values: Floats,
        lists: dict[str, Ints],
    ) -> None:
        """Motif columns, or the list that the stream is there for; `party.activity` holds times and others."""
        times, others = party.activity.times, party.activity.others
        if rank == SCORED_ROW and stream.makes_lists:
            lists[stream.role] = np.empty(2 * motifs.LIST, np.int64)
            motifs.newest_others(times, others, party.size, transaction.event_time, lists[stream.role])
        elif rank == SCORED_ROW:
            motifs.motif_values(
                *stream.motif,
                times,
                others,
                party.lists,
                party.size,
                transaction.event_time,
                key[0],
                other,
                brought,
                values,
            )
        else:
            if party.size == len(times):
                party.activity = _grown(party.activity, party.size)
                party.lists = np.concatenate([party.lists, np.empty_like(party.lists)])
            motifs.add_transfer(
                party.activity.times,
                party.activity.others,
                party.lists,
                party.size,
                transaction.event_time,
                other,
                brought,
            )
            party.size += 1

    def _party(self, index: int, key: tuple[int, int]) -> PartyHistory:
        parties = self._parties[index]
        if key not in parties:
            stream = self._streams[index]
            parties[key] = new_party(stream) if self._past is None else self._past.party(index, key)
        return parties[key]


class Past:
    """The rows of a snapshot up to a position, found by party: histories are made of them when they are asked for."""

    def __init__(
        self,
        streams: Sequence[Stream],
        spec: FeatureSpec,
        transactions: TransactionArrays,
        labels: LabelEvents,
        features: Floats,
        *,
        up_to: int,
    ) -> None:
        self._streams = streams
        self._roles = transactions.roles
        self._currencies = transactions.currencies
        self._scale = scales([int(digits) for digits in transactions.exponents])
        self._events = Events(
            position=np.arange(up_to),
            event_time=transactions.event_time[:up_to],
            available_at=transactions.available_at[:up_to],
            amount_minor=transactions.amount_minor[:up_to],
            currency=transactions.currency[:up_to],
            declined=(transactions.outcome[:up_to] == "declined").astype(np.int64),
            entity=transactions.entity[:up_to],
        )
        place = {name: index for index, name in enumerate(spec.names)}
        self._carried = [carried_values(features[:up_to, [place[name] for name in item.carried]]) for item in streams]
        chosen = labels.position < up_to
        position = labels.position[chosen]
        unusual = features[position, place[IS_UNUSUAL]] > 0 if IS_UNUSUAL in place else np.zeros(len(position), bool)
        self._labels = LabelRows(
            position=position,
            known_at=labels.known_at[chosen],
            is_fraud=labels.is_fraud[chosen].astype(np.int64),
            unusual=unusual.astype(np.int64),
            entity=transactions.entity[position],
        )
        self._in_of_source = self._lists(spec) if spec.has_motifs else None
        self._found = {stream.role: _Finder.of(stream.role, self._events.entity, self._roles) for stream in streams}
        self._found_labels = {
            stream.role: _Finder.of(stream.role, self._labels.entity, self._roles)
            for stream in streams
            if stream.has_labels
        }

    def party(self, index: int, key: tuple[int, int]) -> PartyHistory:
        """The history of one party in one stream."""
        stream = self._streams[index]
        chosen = self._found[stream.role].rows(key)
        of_labels = self._found_labels[stream.role].rows(key) if stream.has_labels else _NO_LIST
        if len(chosen) + len(of_labels) == 0:
            return new_party(stream)
        rows = self._rows(index, key, chosen, of_labels)
        party = new_party(stream, room=len(rows) + _ROOM)
        if stream.makes_lists or stream.list_width:
            _fill_lists(party, rows)
        elif len(rows):
            _fill(stream, party, rows, self._currencies, self._scale)
        return party

    def _rows(self, index: int, key: tuple[int, int], chosen: Ints, of_labels: Ints) -> Rows:
        """The rows of a stream that are part of a party's history, in order, from its transactions and labels."""
        stream = self._streams[index]
        events = self._events.take(chosen)
        brought = None if self._in_of_source is None else self._in_of_source[chosen]
        parts = [
            transaction_rows(
                stream,
                events,
                self._roles,
                carried=self._carried[index][chosen],
                in_of_source=brought,
                out_of_target=brought,  # rows that are scored alone are left out below
            )
        ]
        if len(of_labels):
            parts.append(label_rows(stream, self._labels.take(of_labels), self._roles))
        rows = Rows.join(parts)
        return rows.take((rows.rank != SCORED_ROW) & (rows.a == key[0]) & (rows.b == key[1])).in_order()

    def _lists(self, spec: FeatureSpec) -> Ints:
        """(N, 2 LIST) who had paid the source of each transaction."""
        stream = next(stream for stream in self._streams if stream.makes_lists and stream.role == SOURCE_IN)
        rows = transaction_rows(stream, self._events, self._roles).in_order()
        found = np.full((len(self._events.position), 2 * motifs.LIST), motifs.NOBODY, np.int64)
        found[rows.position[rows.scored]] = stream.lists(rows)[rows.scored]
        return found


@dataclass(frozen=True)
class _Finder:
    """Rows by party: `order` sorts them by party, `codes` are the parties in that order."""

    order: Ints
    codes: Ints
    is_pair: bool

    @classmethod
    def of(cls, role: str, entity: Ints, roles: Sequence[str]) -> _Finder:
        """Rows of `entity` (N, R) by the party whose history they belong to in a stream of this role."""
        at = {SOURCE_IN: 1, TARGET_IN: 1, TARGET_OUT: 0, PAIR: 0}.get(role)
        codes = entity[:, list(roles).index(role) if at is None else at]
        if role == PAIR:
            codes = pair_code(codes, entity[:, 1])
        order = np.argsort(codes, kind="stable")
        return cls(order, codes[order], role == PAIR)

    def rows(self, key: tuple[int, int]) -> Ints:
        """Indices of a party's rows."""
        code = key[0] << 32 | key[1] if self.is_pair else key[0]
        low, high = np.searchsorted(self.codes, [code, code + 1])
        return self.order[low:high]


def new_party(stream: Stream, *, room: int = _ROOM) -> PartyHistory:
    """A party without a past."""
    return PartyHistory(
        activity=kernels.new_activity(room, stream.plan.num_carried),
        labels=kernels.new_labels(room, len(stream.plan.half_lives)),
        lists=np.empty((room, stream.list_width), np.int64),
    )


def _fill(stream: Stream, party: PartyHistory, rows: Rows, currencies: Sequence[str], scale: Doubles) -> None:
    """Replay a party's own rows into its histories; no column is computed, only whether amounts were unusual."""
    nothing = np.zeros(0, np.int64)
    plan = stream.plan._replace(money=Section(nothing, nothing, nothing), wants_median=0)
    num, unread = len(rows), np.zeros((len(rows), 0), np.float32)
    party.size, party.num_labels = kernels.replay_party(
        plan,
        0,
        num,
        np.where(rows.rank == TRANSACTION_ROW, PAST_ROW, rows.rank),
        rows.time,
        rows.amount,
        rows.other,
        rows.flag,
        rows.carried,
        party.activity,
        party.labels,
        unread,
    )
    if len(stream.plan.money.column) == 0:
        return
    of_transactions = rows.rank != kernels.LABEL_ROW
    for code in np.unique(rows.currency[of_transactions]).tolist():
        room = int((of_transactions & (rows.currency == code)).sum()) + _ROOM
        money = kernels.new_money(room)
        size = kernels.replay_money(
            plan, 0, num, rows.rank, rows.time, rows.amount, rows.currency, code, scale[code], money, unread
        )
        party.money[currencies[code]] = (money, size)


def _fill_lists(party: PartyHistory, rows: Rows) -> None:
    """Put a party's own rows into its lists."""
    motifs.add_transfers(party.activity.times, party.activity.others, party.lists, rows.time, rows.other, rows.brought)
    party.size = len(rows)


def _rows_of(
    stream: Stream, parties: Mapping[str, int], lists: Mapping[str, Ints]
) -> list[tuple[tuple[int, int], int, int, Ints]]:
    """(party, other end, rank, list) of an event's rows in a stream, as `batch.transaction_rows` orders them."""
    source, target = parties.get("source", -1), parties.get("target", -1)
    has_motifs = stream.list_width > 0
    brought = lists[SOURCE_IN] if has_motifs else _NO_LIST
    if stream.role == SOURCE_IN:
        ahead = lists[TARGET_OUT] if has_motifs else _NO_LIST
        return [((source, 0), target, SCORED_ROW, ahead), ((target, 0), source, PAST_ROW, brought)]
    if stream.role == TARGET_OUT:
        return [((target, 0), source, SCORED_ROW, _NO_LIST), ((source, 0), target, PAST_ROW, _NO_LIST)]
    if stream.role == TARGET_IN:
        return [((target, 0), source, SCORED_ROW, brought), ((target, 0), source, PAST_ROW, brought)]
    key = _key(stream.role, parties)
    if key is None:
        return []
    other = source if stream.role not in ("source", PAIR) else target
    return [(key, other, TRANSACTION_ROW, _NO_LIST)]


def _key(role: str, parties: Mapping[str, int]) -> tuple[int, int] | None:
    """The party of a stream among those of a transaction, None when it has none."""
    if role == PAIR:
        return (parties["source"], parties["target"]) if "source" in parties and "target" in parties else None
    return (parties[role], 0) if role in parties else None


def _grown(arrays: Arrays, size: int) -> Arrays:
    """The same history with twice the room; marks have no room."""
    grown = {name: values if name == "marks" else _with_room(values, size) for name, values in arrays._asdict().items()}
    return type(arrays)(**grown)


def _with_room(values: Any, size: int) -> Any:
    return np.concatenate([values, np.zeros((max(size, _ROOM), *values.shape[1:]), values.dtype)])
