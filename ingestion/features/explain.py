"""What a feature is, in words: its definition, where its window ends, and a worked example."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ingestion.errors import UsageError
from ingestion.features import kernels
from ingestion.features.batch import Events, LabelRows, event_features, scales, table_features
from ingestion.features.spec import PAIR, SOURCE_IN, TARGET_OUT, Column, FeatureSpec

_DAY = 86_400_000_000
_WHOSE = {
    PAIR: "this source with this target",
    SOURCE_IN: "what the source received",
    TARGET_OUT: "what the target sent",
}
#: Statistic -> what it says of {whose}, and its unit.
DEFINITIONS: dict[str, tuple[str, str]] = {
    "count": ("number of transactions of {whose}", "count"),
    "declined_count": ("number of declined transactions of {whose}", "count"),
    "distinct": (f"number of different counterparties of {{whose}}, of the {kernels.DEPTH} newest", "count"),
    "count_ratio": ("transactions of {whose}, against as many as the longest window would lead to expect", "ratio"),
    "gap_last": ("time since the transaction before of {whose}", "days"),
    "age": ("time since the first transaction of {whose}", "days"),
    "history_count": ("number of all earlier transactions of {whose}", "count"),
    "is_new": ("1 when there is no earlier transaction of {whose}", "0 or 1"),
    "near": ("mean of {of}, as it was then, over transactions of {whose}", "as {of}"),
    "amount_sum": ("sum of amounts of {whose}", "major units"),
    "amount_mean": ("mean amount of {whose}", "major units"),
    "amount_max": (f"largest amount of {{whose}}, of the {kernels.DEPTH} newest", "major units"),
    "amount_std": ("standard deviation of amounts of {whose}", "major units"),
    "amount_share": ("this amount over the sum of amounts of {whose}", "ratio"),
    "amount_ratio": ("this amount over the mean amount of {whose}", "ratio"),
    "unusual_share": ("share of unusual amounts among transactions of {whose}", "share"),
    "amount_to_mean": ("this amount over the mean of all earlier ones of {whose}", "ratio"),
    "amount_to_median": (
        f"this amount over the median of the {kernels.MEDIAN_DEPTH} newest earlier ones of {{whose}}",
        "ratio",
    ),
    "amount_to_max": (f"this amount over the largest of the {kernels.DEPTH} newest earlier ones of {{whose}}", "ratio"),
    "amount_z": ("standard deviations of this amount above the mean of all earlier ones of {whose}", "z-score"),
    "is_unusual": (
        f"1 when this amount is over {kernels.UNUSUAL_DEVIATIONS:g} standard deviations above the mean of at least "
        f"{kernels.USUAL_COUNT} earlier ones of {{whose}}",
        "0 or 1",
    ),
    "label_count": ("number of labels of {whose} that became known", "count"),
    "fraud_count": ("number of frauds of {whose} that became known", "count"),
    "fraud_rate": ("share of frauds among the labels of {whose} that became known", "share"),
    "unexplained_count": ("number of known frauds of {whose} whose amount was not unusual for their payer", "count"),
    "unexplained_rate": (
        "share of frauds whose amount was not unusual for their payer, among the labels of {whose} that became known",
        "share",
    ),
    "label_total": ("number of all labels known of {whose}", "count"),
    "fraud_total": ("number of all frauds known of {whose}", "count"),
    "fraud_rate_total": ("share of frauds among all labels known of {whose}", "share"),
    "unexplained_total": ("number of all known frauds of {whose} whose amount was not unusual", "count"),
    "last_fraud_age": ("time since the newest fraud of {whose} became known", "days"),
    "first_fraud_age": ("time since the first fraud of {whose} became known", "days"),
    "last_unexplained_age": ("time since the newest fraud of {whose} without an unusual amount became known", "days"),
    "fraud_streak": ("number of frauds of {whose} that became known since the last legitimate one", "count"),
    "legitimate_streak": ("number of legitimate labels of {whose} that became known since the last fraud", "count"),
    "label_decayed": ("labels of {whose}, each counted by half for every {window} since it became known", "count"),
    "fraud_decayed": ("frauds of {whose}, each counted by half for every {window} since it became known", "count"),
    "unexplained_decayed": ("frauds without an unusual amount of {whose}, halved for every {window}", "count"),
    "cycle_2": ("transfers from the target back to the source, closed by this one", "count"),
    "cycle_3": ("ways of money target -> X -> source, closed by this transaction", "count"),
    "cycle_4": ("ways of money target -> Y -> X -> source, closed by this transaction", "count"),
    "scatter_gather": ("other payers of the target who were paid by somebody who paid this source as well", "count"),
    "amount": ("amount", "major units"),
    "is_weekend": ("1 on Saturday or Sunday, UTC", "0 or 1"),
    "is_night": ("1 from 00:00 to 06:59, UTC", "0 or 1"),
    "hour": ("hour of the day, UTC", "0 to 23"),
    "is_declined": ("1 when the transaction was declined", "0 or 1"),
    "is_transfer": ("1 for a transfer", "0 or 1"),
    "is_refund": ("1 for a refund or a reversal", "0 or 1"),
    "is_authorisation": ("1 for an authorisation", "0 or 1"),
}
_LABEL_KINDS = ("label_windows", "label_history", "label_decays")


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """A feature in words. `example` holds the lines of a small timeline and the value of its last transaction."""

    name: str
    definition: str
    unit: str
    family: str
    window: str
    missing: str
    example: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def explain(spec: FeatureSpec, name: str) -> Explanation:
    """One feature of a spec whose roles are spelled out. Raises `UsageError` for a name that it has not."""
    if name not in spec.names:
        near = sorted(known for known in spec.names if name in known)[:8] or spec.names[:8]
        raise UsageError(f"Spec {spec.name!r} has no feature {name!r}.", remedy=f"For example: {', '.join(near)}.")
    column = spec.column(name)
    text, unit = DEFINITIONS[column.statistic]
    words = {"whose": _WHOSE.get(str(column.role), f"the {column.role}"), "of": column.of, "window": column.window}
    return Explanation(
        name=name,
        definition=text.format(**words),
        unit=unit.format(**words),
        family=column.kind,
        window=_window(column),
        missing=_missing(column),
        example=_example(spec, name),
    )


def _missing(column: Column) -> str:
    """What the feature is where there is nothing to say."""
    if column.kind in ("event", "motifs"):
        return "never missing"
    no_party = "NaN where the transaction has no such party"
    against_past = ("gap_last", "age", "amount_to_mean", "amount_to_median", "amount_to_max", "amount_z")
    if column.statistic in against_past:
        return f"{no_party}, and without an earlier transaction"
    return f"{no_party}, and before the first such label" if column.statistic.endswith("_age") else no_party


def _window(column: Column) -> str:
    """Where the feature begins and ends to look."""
    if column.kind == "event":
        return "the transaction alone"
    until = "t is the event time of the scored transaction; only what became available before it counts"
    if column.kind in _LABEL_KINDS:
        until = "t is the event time of the scored transaction; a label counts by its known_at"
    if column.kind in ("label_decays", "label_history"):
        return "every label known when the transaction became available, ages as of its event time"
    if column.kind == "history":
        return f"all of the past up to t: {until}"
    return f"(t - {column.window}, t], open at its begin: {until}"


#: Days before the last, payer, payee, amount; all between accounts A to D.
_TIMELINE = (
    (20.0, 0, 1, 10_000),
    (6.0, 0, 2, 8_000),
    (5.5, 3, 0, 7_000),
    (5.25, 3, 2, 7_000),
    (5.0, 2, 1, 5_000),
    (2.0, 1, 0, 6_000),
    (1.5, 0, 1, 9_000),
    (0.75, 1, 2, 3_000),
    (0.5, 2, 0, 4_000),
    (0.0, 0, 1, 50_000),
)
#: Row of the timeline, days before the last at which it became known, whether it is fraud.
_TOLD = ((0, 10.0, 1), (1, 1.0, 0), (4, 0.5, 1))
_END = 1_735_732_800_000_000  # 2025-01-01T12:00:00Z


def _example(spec: FeatureSpec, name: str) -> dict[str, Any]:
    """The timeline in words, and the feature of its last transaction, by the kernels themselves."""
    num = len(_TIMELINE)
    times = np.asarray([_END - int(days * _DAY) for days, *_ in _TIMELINE])
    amounts = np.asarray([amount for *_, amount in _TIMELINE])
    roles = ("source", "target", *sorted(set(spec.roles) - {"source", "target", *_WHOSE}))
    ends = np.asarray([[payer, payee] for _, payer, payee, _ in _TIMELINE])
    further = np.full((num, len(roles) - 2), 9)
    entity = np.concatenate([ends, further], axis=1)
    told = np.asarray([row for row, *_ in _TOLD])
    own = event_features(
        spec,
        event_time=times,
        amount_minor=amounts,
        exponent=np.full(num, 2),
        kind=np.full(num, "transfer", object),
        outcome=np.full(num, "approved", object),
    )
    nothing = np.zeros(num, np.int64)
    events = Events(
        position=np.arange(num),
        event_time=times,
        available_at=times,
        amount_minor=amounts,
        currency=nothing,
        declined=nothing,
        entity=entity,
    )
    labels = LabelRows(
        position=told,
        known_at=np.asarray([_END - int(days * _DAY) for _, days, _ in _TOLD]),
        is_fraud=np.asarray([fraud for *_, fraud in _TOLD]),
        unusual=np.zeros(len(told), np.int64),
        entity=entity[told],
    )
    matrix = table_features(spec, events, labels, own=own, roles=roles, scale=scales([2]))
    known = {row: f", {'fraud' if fraud else 'legitimate'} known at {_ago(days)}" for row, days, fraud in _TOLD}
    lines = [
        f"{_ago(days)}: {'ABCD'[payer]} pays {'ABCD'[payee]} {amount / 100:.2f}{known.get(row, '')}"
        for row, (days, payer, payee, amount) in enumerate(_TIMELINE)
    ]
    value = float(matrix[-1, spec.names.index(name)])
    return {"timeline": lines, "value": None if np.isnan(value) else value}


def _ago(days: float) -> str:
    return "t" if days == 0 else f"t - {days:g} d" if days >= 1 else f"t - {days * 24:g} h"
