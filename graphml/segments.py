"""A row judged part by part: whom does it work for, and where do its alerts come from.

A segment is a column with a value for every judged transaction (its amount band, kind, channel, whether its party is
new, …). Alerts are those of the whole window's budget: a segment's recall says what one threshold for all finds in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphml.evaluation import Doubles, Interval, Ranking, block_bootstrap, intervals
from graphml.graph import TARGET, Ints, TransactionGraph
from graphml.ladder import TestWindow
from graphml.sampling import recent_slots
from ingestion.contracts import MICROSECONDS_PER_DAY, moment

#: With fewer frauds a segment's figures say little: it is marked.
MIN_FRAUDS = 30
#: A column with more values than this is cut to its largest; the others become one.
MAX_VALUES = 12
OTHER, NONE = "(other)", "(none)"


@dataclass(frozen=True, kw_only=True)
class Parts:
    """A column as parts: `code` (n,) into `names`, which stand in the order of a report."""

    code: Ints
    names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class SegmentRow:
    """One value of one segment. `average_precision` inside the segment and `recall` at the window's budget are None
    where it has no fraud (or nothing else); `alert_share` of its transactions are alerts; `is_small`: too few
    frauds to conclude from."""

    segment: str
    value: str
    num_transactions: int
    num_frauds: int
    base_rate: float
    average_precision: Interval | None
    recall: Interval | None
    alert_share: float
    is_small: bool

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def segment_table(
    window: TestWindow,
    scores: Doubles,
    segments: Mapping[str, Parts],
    *,
    alert_budget: float,
    num: int = 200,
) -> tuple[SegmentRow, ...]:
    """A row for each part that is there of each of the segments, given by name."""
    alerted = Ranking(window.is_fraud, scores).alert_share(alert_budget)
    blocks = window.blocks
    rows = []
    for name, parts in segments.items():
        for code in np.unique(parts.code):
            inside = parts.code == code
            rows.append(_row(window, scores, blocks, alerted, name, parts.names[code], inside, num))
    return tuple(rows)


def _row(
    window: TestWindow,
    scores: Doubles,
    blocks: Ints,
    alerted: Doubles,
    name: str,
    value: str,
    inside: NDArray[np.bool_],
    num: int,
) -> SegmentRow:
    is_fraud, frauds = window.is_fraud[inside], int(window.is_fraud[inside].sum())
    precision = recall = None
    if 0 < frauds < len(is_fraud):
        ranking = Ranking(is_fraud, scores[inside])
        precision = block_bootstrap(ranking, Ranking.average_precision, blocks[inside], num=num)
    if frauds:
        recall = _share(alerted[inside] * is_fraud, is_fraud.astype(np.float64), blocks[inside], num)
    return SegmentRow(
        segment=name,
        value=value,
        num_transactions=int(inside.sum()),
        num_frauds=frauds,
        base_rate=frauds / max(int(inside.sum()), 1),
        average_precision=precision,
        recall=recall,
        alert_share=float(alerted[inside].mean()),
        is_small=frauds < MIN_FRAUDS,
    )


def _share(part: Doubles, whole: Doubles, blocks: Ints, num: int) -> Interval:
    """Sum of `part` over sum of `whole`, with the interval from drawing blocks."""

    def share(weight: Doubles | None) -> Doubles:
        drawn = np.ones(len(part)) if weight is None else weight
        total = drawn @ whole
        return np.asarray([drawn @ part / total if total > 0 else np.nan])

    return intervals(share, blocks, num=num)[0]


def amount_bands(amount: Doubles, *, num: int = 5) -> Parts:
    """`num` bands of about equally many amounts (n,), named by their bounds, rising."""
    edges = np.unique(np.quantile(amount, np.linspace(0, 1, num + 1)[1:-1]))
    between = [f"{low:,.2f} to {high:,.2f}" for low, high in pairwise(edges)]
    names = (f"below {edges[0]:,.2f}", *between, f"from {edges[-1]:,.2f}")
    return Parts(code=np.searchsorted(edges, amount, side="right"), names=names)


def party_novelty(graph: TransactionGraph, positions: Ints, *, role: int) -> Parts:
    """How much was known of the party in a role before each transaction: new, 1 to 9, or 10 earlier ones."""
    party = graph.entity[positions, role].copy()
    offsets, _ = recent_slots(graph.starts, graph.stops, graph.incident, party, positions, 10)
    seen = np.diff(offsets)
    code = (seen > 0).astype(np.int64) + (seen >= 10)
    return Parts(code=code, names=("new", "1 to 9 earlier", "10 or more earlier"))


def party_type(graph: TransactionGraph, positions: Ints, *, role: int = TARGET) -> Parts:
    """The entity type of the party in a role."""
    entity = graph.entity[positions, role]
    code = np.where(entity >= 0, graph.entity_type[entity], len(graph.types))
    return Parts(code=code, names=(*graph.types, NONE))


def months(graph: TransactionGraph, positions: Ints) -> Parts:
    """The UTC month of each transaction, `2018-08`, in their order."""
    days, member = np.unique(graph.event_time[positions] // MICROSECONDS_PER_DAY, return_inverse=True)
    names, month_of_day = np.unique(
        [moment(int(day) * MICROSECONDS_PER_DAY).strftime("%Y-%m") for day in days], return_inverse=True
    )
    return Parts(code=month_of_day[member], names=tuple(names.tolist()))


def column_values(values: Sequence[Any]) -> Parts:
    """The values of a column of the transaction table, the most frequent first; the rarest become one part."""
    text = np.asarray([NONE if value is None else str(value) for value in values])
    names, member, counts = np.unique(text, return_inverse=True, return_counts=True)
    by_size = np.argsort(-counts, kind="stable")
    place = np.empty(len(names), np.int64)
    place[by_size] = np.arange(len(names))
    ordered = tuple(str(name) for name in names[by_size])
    if len(ordered) <= MAX_VALUES:
        return Parts(code=place[member], names=ordered)
    return Parts(code=np.minimum(place[member], MAX_VALUES - 1), names=(*ordered[: MAX_VALUES - 1], OTHER))
