"""Streams of many parties: the arrays version that the Spark job runs on each partition, and tests on whole tables.

A *stream* is a role or a pair in one round (see `spec`); its rows lie party by party, each in the order of the
sequence. Absent party: NaN. Empty window: 0.

Legend: N transactions, R roles, L labels, M rows of a stream, C carried values, E event features, F features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingestion.contracts import MICROSECONDS_PER_DAY
from ingestion.features import motifs
from ingestion.features.blocks import narrow, widened
from ingestion.features.kernels import (
    ACTIVITY,
    LABEL_ROW,
    LABELS,
    MONEY,
    PAST_ROW,
    SCORED_ROW,
    TRANSACTION_ROW,
    Doubles,
    FlatPlan,
    Floats,
    Ints,
    Plan,
    Section,
    flat,
    replay,
)
from ingestion.features.spec import (
    IS_UNUSUAL,
    MOTIFS,
    PAIR,
    SOURCE_IN,
    TARGET_IN,
    TARGET_OUT,
    Column,
    FeatureSpec,
    micros,
)

#: Order of a label within what becomes available at one time: before every transaction.
_BEFORE_ALL = -1
#: Number of rows, their integers in the order of _INTS, `carried` and `brought`.
PackedRows = tuple[int, tuple[NDArray[Any], ...], Floats, Ints]
_INTS = ("a", "b", "available_at", "order", "rank", "time", "amount", "currency", "other", "flag")


@dataclass(frozen=True, kw_only=True)
class Events:
    """N transactions at their positions (N,), in any order, and what features need of them.

    `entity` (N, R) dense ids by role, -1 where absent; `currency` (N,) codes; times in µs; `declined` (N,) 0 or 1.
    """

    position: Ints
    event_time: Ints
    available_at: Ints
    amount_minor: Ints
    currency: Ints
    declined: Ints
    entity: Ints

    def take(self, rows: Ints) -> Events:
        """Chosen events."""
        return Events(**{name: values[rows] for name, values in vars(self).items()})


@dataclass(frozen=True, kw_only=True)
class LabelRows:
    """L labels: `position` of the labelled transactions, `known_at` µs, `is_fraud` and `unusual` 0 or 1, and the
    parties `entity` (L, R) of the transactions."""

    position: Ints
    known_at: Ints
    is_fraud: Ints
    unusual: Ints
    entity: Ints

    def take(self, rows: Ints) -> LabelRows:
        """Chosen labels."""
        return LabelRows(**{name: values[rows] for name, values in vars(self).items()})

    @classmethod
    def join(cls, parts: Sequence[LabelRows]) -> LabelRows:
        """Labels of several parts."""
        return cls(**{name: np.concatenate([vars(part)[name] for part in parts]) for name in vars(parts[0])})


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows of a stream, all (M,): party (a, b), place in the sequence (available_at, order), what the kernel takes,
    and `carried` (M, C), `brought` (M, 2 LIST) or (M, 0). `order` is twice the position, plus one for a past row."""

    a: Ints
    b: Ints
    available_at: Ints
    order: Ints
    rank: Ints
    time: Ints
    amount: Ints
    currency: Ints
    other: Ints
    flag: Ints
    carried: Doubles
    brought: Ints

    def __len__(self) -> int:
        return len(self.a)

    @property
    def position(self) -> Ints:
        """(M,) position of each row's transaction; meaningless for labels."""
        return self.order >> 1

    @property
    def scored(self) -> NDArray[np.bool_]:
        """(M,) rows that get values."""
        return (self.rank == TRANSACTION_ROW) | (self.rank == SCORED_ROW)

    def packed(self) -> PackedRows:
        """The rows for the way between workers, in as few bytes as hold them; carried values came from float32."""
        columns = {name: getattr(self, name) for name in _INTS}
        columns["available_at"] = self.available_at - self.time
        narrowed = tuple(narrow(values) for values in columns.values())
        return len(self), narrowed, self.carried.astype(np.float32), self.brought

    @classmethod
    def of(cls, packed: PackedRows) -> Rows:
        """Rows from what `packed` gave."""
        num, narrowed, carried, brought = packed
        columns = {name: widened(values, num) for name, values in zip(_INTS, narrowed, strict=True)}
        columns["available_at"] += columns["time"]
        return cls(**columns, carried=carried.astype(np.float64), brought=brought)

    def take(self, rows: Ints | NDArray[np.bool_]) -> Rows:
        """Chosen rows."""
        columns = {name: getattr(self, name)[rows] for name in _INTS}
        return Rows(**columns, carried=self.carried[rows], brought=self.brought[rows])

    @classmethod
    def join(cls, parts: Sequence[Rows]) -> Rows:
        """Rows of several parts."""
        names = (*_INTS, "carried", "brought")
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})

    def in_order(self) -> Rows:
        """Party by party, each in the order of the sequence."""
        has_labels = len(self) > 0 and self.order.min() == _BEFORE_ALL
        sequence = np.lexsort((self.order, self.available_at)) if has_labels else _stable_order(self.order)
        party = self.a[sequence]
        if self.b.any():
            party = pair_code(party, self.b[sequence])
        return self.take(sequence[_stable_order(party)])

    def of_parties_from(self, position: int) -> Rows:
        """Of rows in order, those of parties that are scored at `position` or later."""
        starts = self.starts
        if len(self) == 0:
            return self
        last = np.maximum.reduceat(np.where(self.scored, self.position, -1), starts[:-1])
        return self.take(np.repeat(last >= position, np.diff(starts)))

    @property
    def starts(self) -> Ints:
        """(G + 1,) bounds of the parties of rows in order."""
        if len(self) == 0:
            return np.zeros(1, np.int64)
        changes = np.flatnonzero((np.diff(self.a) != 0) | (np.diff(self.b) != 0)) + 1
        return np.concatenate([[0], changes, [len(self)]]).astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One role in one round: `columns` of the spec that it makes, `carried` features that its rows bring along.

    Motifs have streams of their own."""

    role: str
    round: int
    columns: tuple[Column, ...]
    carried: tuple[str, ...]
    counts_self: bool

    @property
    def names(self) -> list[str]:
        """Names of the columns that it makes, in order."""
        return [column.name for column in self.columns]

    @cached_property
    def makes_lists(self) -> bool:
        """Whether it is there for the lists of neighbors alone."""
        return not self.columns

    @cached_property
    def motif(self) -> tuple[Ints, Ints, Ints]:
        """Statistic, width and column (F,) of its motifs."""
        found = [(index, column) for index, column in enumerate(self.columns) if column.kind == "motifs"]
        return (
            _ints(MOTIFS.index(column.statistic) for _, column in found),
            _ints(micros(str(column.window)) for _, column in found),
            _ints(index for index, _ in found),
        )

    @cached_property
    def has_money(self) -> bool:
        """Whether it has columns of amounts."""
        return len(self.plan.money.column) > 0

    @cached_property
    def flat_plan(self) -> FlatPlan:
        """The plan, array by array."""
        return flat(self.plan)

    @cached_property
    def plan(self) -> Plan:
        """What the kernel computes."""
        windows = _distinct(column.window for column in self.columns if column.kind in ("windows", "near"))
        label_windows = _distinct(column.window for column in self.columns if column.kind == "label_windows")
        half_lives = _distinct(column.window for column in self.columns if column.kind == "label_decays")

        def section(statistics: tuple[str, ...]) -> Section:
            found = []
            for index, column in enumerate(self.columns):
                if column.statistic not in statistics or column.kind == "motifs":
                    continue
                kinds = {"label_windows": label_windows, "label_decays": half_lives}
                window = kinds.get(column.kind, windows).index(column.window) if column.window else 0
                carried = self.carried.index(column.of) * len(windows) if column.of else 0
                found.append((window, carried + window, statistics.index(column.statistic), index))
            found.sort()  # a window's bounds are looked up once for all columns on it
            _, ats, kinds_of, columns = zip(*found, strict=True) if found else ((),) * 4
            return Section(_ints(kinds_of), _ints(ats), _ints(columns))

        return Plan(
            _ints(micros(width) for width in windows),
            _ints(micros(width) for width in label_windows),
            np.asarray([micros(width) for width in half_lives], np.float64),
            len(self.carried),
            int(self.counts_self),
            int(any(column.statistic == "count_ratio" for column in self.columns)),
            int(any(column.statistic in (MONEY[6], *MONEY[7:]) for column in self.columns)),
            int(any(column.statistic == "amount_to_median" for column in self.columns)),
            section(ACTIVITY),
            section(MONEY),
            section(LABELS),
        )

    @cached_property
    def has_labels(self) -> bool:
        """Whether it sees labels."""
        return len(self.plan.labels.column) > 0

    @cached_property
    def list_width(self) -> int:
        """Width of the lists that its rows bring along."""
        return 2 * motifs.LIST if len(self.motif[0]) else 0

    def values(self, rows: Rows, scale: Doubles) -> Floats:
        """(M, F) float32 of rows in order, nothing where none is scored; `scale` (codes,) minor units a major one."""
        out = np.zeros((len(rows), len(self.columns)), np.float32)
        starts = rows.starts
        plan = self.plan
        if len(plan.activity.column) + len(plan.money.column) + len(plan.labels.column):
            replay(
                plan,
                starts,
                rows.rank,
                rows.time,
                rows.amount,
                rows.currency,
                scale,
                rows.other,
                rows.flag,
                rows.carried,
                out,
            )
        if len(self.motif[0]):
            motifs.replay_motifs(*self.motif, starts, rows.a, rows.rank, rows.time, rows.other, rows.brought, out)
        return out

    def lists(self, rows: Rows) -> Ints:
        """(M, 2 LIST) the list of each scored row, rows in order."""
        found = np.full((len(rows), 2 * motifs.LIST), motifs.NOBODY, np.int64)
        motifs.replay_lists(rows.starts, rows.rank, rows.time, rows.other, found)
        return found


def streams_of(spec: FeatureSpec) -> tuple[Stream, ...]:
    """All streams of a spec: those of the first round, then those of the second. Motifs belong to what the source
    received (cycles) and to what the target received (scatter-gather), and need the lists of the first round."""
    found = []
    own = {
        role: family.counts_self
        for family in spec.families
        if family.kind in ("windows", "near")
        for role in family.roles
    }
    for number in (1, 2):
        columns = [column for column in spec.columns if column.kind != "event" and column.round == number]
        kinds = [(role_of(column), column.kind == "motifs") for column in columns]
        for role, is_motif in dict.fromkeys(kinds):
            chosen = tuple(column for column, kind in zip(columns, kinds, strict=True) if kind == (role, is_motif))
            carried = _distinct(column.of for column in chosen if column.of)
            found.append(
                Stream(role=role, round=number, columns=chosen, carried=carried, counts_self=own.get(role, True))
            )
        if number == 1 and spec.has_motifs:
            lists = [
                Stream(role=role, round=1, columns=(), carried=(), counts_self=False)
                for role in (SOURCE_IN, TARGET_OUT)
            ]
            found += lists
    return tuple(found)


def role_of(column: Column) -> str:
    """The stream's role that makes a column."""
    if column.role is not None:
        return column.role
    return TARGET_IN if column.statistic == "scatter_gather" else SOURCE_IN


def transaction_rows(
    stream: Stream,
    events: Events,
    roles: Sequence[str],
    *,
    carried: Doubles | None = None,
    in_of_source: Ints | None = None,
    out_of_target: Ints | None = None,
) -> Rows:
    """Rows of a stream that transactions give, in any order.

    Args:
        carried: (N, C) of the stream's carried features, for the second round.
        in_of_source, out_of_target: (N, 2 LIST) lists, for motifs.
    """
    source, target = events.entity[:, 0], events.entity[:, 1]
    num = len(source)
    carried = np.zeros((num, len(stream.carried))) if carried is None else carried
    nothing = np.zeros((num, 0), np.int64)
    has_motifs = stream.list_width > 0
    brought_in = in_of_source if has_motifs and in_of_source is not None else nothing
    zero = np.zeros(num, np.int64)

    def rows(a: Ints, b: Ints, other: Ints, rank: int, brought: Ints) -> Rows:
        made = Rows(
            a=a,
            b=b,
            available_at=events.available_at,
            order=2 * events.position + int(rank == PAST_ROW),
            rank=np.full(num, rank, np.int64),
            time=events.event_time,
            amount=events.amount_minor,
            currency=events.currency,
            other=other,
            flag=events.declined,
            carried=carried,
            brought=brought,
        )
        return made.take(a >= 0) if (a < 0).any() else made

    if stream.role == SOURCE_IN:
        ahead = out_of_target if has_motifs and out_of_target is not None else nothing
        return Rows.join(
            [rows(target, zero, source, PAST_ROW, brought_in), rows(source, zero, target, SCORED_ROW, ahead)]
        )
    if stream.role == TARGET_OUT:
        return Rows.join(
            [rows(source, zero, target, PAST_ROW, nothing), rows(target, zero, source, SCORED_ROW, nothing)]
        )
    if stream.role == TARGET_IN:
        return Rows.join(
            [rows(target, zero, source, PAST_ROW, brought_in), rows(target, zero, source, SCORED_ROW, brought_in)]
        )
    if stream.role == PAIR:
        return rows(source, target, target, TRANSACTION_ROW, nothing)
    other = source if stream.role != "source" else target
    return rows(events.entity[:, list(roles).index(stream.role)], zero, other, TRANSACTION_ROW, nothing)


def label_rows(stream: Stream, labels: LabelRows, roles: Sequence[str]) -> Rows:
    """Rows of a stream that labels give, in any order."""
    num = len(labels.position)
    zero = np.zeros(num, np.int64)
    b = labels.entity[:, 1] if stream.role == PAIR else zero
    a = labels.entity[:, 0 if stream.role == PAIR else list(roles).index(stream.role)]
    made = Rows(
        a=a,
        b=b,
        available_at=labels.known_at,
        order=np.full(num, _BEFORE_ALL, np.int64),
        rank=np.full(num, LABEL_ROW, np.int64),
        time=labels.known_at,
        amount=labels.is_fraud,
        currency=zero,
        other=zero,
        flag=labels.unusual if stream.round == 2 else zero,
        carried=np.zeros((num, len(stream.carried))),
        brought=np.zeros((num, stream.list_width), np.int64),
    )
    return made.take(a >= 0)


def table_features(
    spec: FeatureSpec, events: Events, labels: LabelRows, *, own: Floats, roles: Sequence[str], scale: Doubles
) -> Floats:
    """(N, F) float32 of a whole table whose positions are 0 … N - 1 in order; `own` (N, E) the event features."""
    num = len(events.position)
    place = {name: index for index, name in enumerate(spec.names)}
    matrix = np.full((num, len(spec.names)), np.nan, np.float32)
    matrix[:, : len(spec.event)] = own
    lists: dict[str, Ints] = {}
    for stream in streams_of(spec):
        carried = carried_values(matrix[:, [place[name] for name in stream.carried]])
        unusual = matrix[:, place[IS_UNUSUAL]] > 0 if IS_UNUSUAL in place else np.zeros(num, bool)
        parts = [
            transaction_rows(
                stream,
                events,
                roles,
                carried=carried,
                in_of_source=lists.get(SOURCE_IN),
                out_of_target=lists.get(TARGET_OUT),
            )
        ]
        if stream.has_labels:
            known = LabelRows(
                position=labels.position,
                known_at=labels.known_at,
                is_fraud=labels.is_fraud,
                unusual=unusual[labels.position].astype(np.int64),
                entity=labels.entity,
            )
            parts.append(label_rows(stream, known, roles))
        rows = Rows.join(parts).in_order()
        scored = rows.scored
        if stream.makes_lists:
            lists[stream.role] = np.full((num, 2 * motifs.LIST), motifs.NOBODY, np.int64)
            lists[stream.role][rows.position[scored]] = stream.lists(rows)[scored]
        else:
            columns = [place[name] for name in stream.names]
            matrix[rows.position[scored][:, None], columns] = stream.values(rows, scale)[scored]
    return matrix


def pair_code(a: Ints, b: Ints) -> Ints:
    """One number for two dense ids below 2^31."""
    return (a << 32) | b


def _stable_order(values: Ints) -> Ints:
    """(M,) stable order of integers >= 0. Small ones are sorted with their places in the low bits: ten times faster."""
    if len(values) == 0 or values.max() >> 31 or len(values) >> 32:
        return np.argsort(values, kind="stable")
    return np.sort((values << 32) | np.arange(len(values))) & 0xFFFF_FFFF


def carried_values(values: Floats) -> Doubles:
    """Features as carried values: what is missing counts as 0."""
    found: Doubles = values.astype(np.float64)
    found[np.isnan(found)] = 0.0
    return found


def event_features(
    spec: FeatureSpec,
    *,
    event_time: Ints,
    amount_minor: Ints,
    exponent: Ints,
    kind: NDArray[np.object_],
    outcome: NDArray[np.object_],
) -> Floats:
    """Features of the transactions alone, (N, E) float32; `exponent` (N,) minor-unit digits of each currency."""
    hour = (event_time // 3_600_000_000) % 24
    weekday = (event_time // MICROSECONDS_PER_DAY + 3) % 7  # 1970-01-01 was a Thursday; Monday is 0
    values = {
        "amount": amount_minor / (10.0**exponent),
        "is_weekend": weekday >= 5,
        "is_night": hour <= 6,
        "hour": hour,
        "is_declined": outcome == "declined",
        "is_transfer": kind == "transfer",
        "is_refund": (kind == "refund") | (kind == "reversal"),
        "is_authorisation": kind == "authorisation",
    }
    found = np.empty((len(event_time), len(spec.event)), np.float32)
    for column, name in enumerate(spec.event):
        found[:, column] = values[name]
    return found


def scales(exponents: Sequence[int]) -> Doubles:
    """(codes,) minor units of a major unit."""
    return np.asarray([10.0**digits for digits in exponents] or [100.0], np.float64)


def _ints(values: object) -> Ints:
    return np.asarray(list(values), np.int64)  # type: ignore[call-overload]  # an iterable of ints


def _distinct(values: object) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))  # type: ignore[call-overload]  # an iterable of texts
