"""The label table of a graph, and graphs under another one: as of a time, altered, dealt out anew.

The label shuffle (DESIGN section 2) permutes the table *before* features are computed: whole histories of labels
change hands, each keeping its delays, so how many frauds there are and how late they become known stays what it was.
"""

from __future__ import annotations

import numpy as np

from graphml.graph import Floats, Ints, TransactionGraph
from ingestion.features.batch import Events, LabelRows, event_features, scales, table_features
from ingestion.labels import LabelEvents
from ingestion.snapshot import Snapshot


def labels_of(graph: TransactionGraph) -> LabelEvents:
    """The graph's label events, by `known_at`; among equal times of a transaction the one that wins comes last.

    Their `origin` only keeps that order (a graph holds no origins), so `rebuilt` gives the same graph again.
    """
    num_of = graph.label_stops - graph.label_starts
    position = np.repeat(np.arange(len(graph)), num_of)
    source = (
        np.arange(len(position)) - np.repeat(np.cumsum(num_of) - num_of, num_of) + np.repeat(graph.label_starts, num_of)
    )
    place = source - graph.label_starts[position]
    order = np.argsort(graph.label_known_at[source], kind="stable")
    return LabelEvents(
        position=position[order],
        known_at=graph.label_known_at[source][order],
        is_fraud=graph.label_state[source][order] == 1,
        origin=int(num_of.max(initial=0)) - place[order],  # the strongest origin, the smallest number, wins
    )


def rebuilt(graph: TransactionGraph, labels: LabelEvents, **changed: np.ndarray) -> TransactionGraph:
    """The same rows under a label table, some columns (`entity`, `event_time`, `features`, …) changed."""
    columns = {
        name: changed.get(name, getattr(graph, name))
        for name in ("entity", "entity_type", "event_time", "available_at", "features")
    }
    return type(graph).build(roles=graph.roles, types=graph.types, labels=labels, **columns)


def as_of(graph: TransactionGraph, num: int, label_time: int) -> TransactionGraph:
    """The first `num` transactions, under the labels known at `label_time` (µs, closed): all else is gone.

    The arrays are copies: nothing leads from them to what lies behind, and who changes them changes nothing else.
    """
    labels = labels_of(graph)
    kept = (labels.known_at <= label_time) & (labels.position < num)
    labels = LabelEvents(**{name: column[kept] for name, column in vars(labels).items()})
    columns = {name: getattr(graph, name)[:num].copy() for name in ("entity", "event_time", "available_at", "features")}
    return rebuilt(graph, labels, entity_type=graph.entity_type.copy(), **columns)


def dealt_out(labels: LabelEvents, available_at: Ints, *, seed: int) -> LabelEvents:
    """The label histories dealt out anew among the labelled transactions, each label as long after the arrival
    `available_at` (N,) of its new transaction as it was after that of its old one."""
    rng = np.random.default_rng(seed)
    labelled = np.unique(labels.position)
    new_owner = np.zeros(int(labelled.max(initial=-1)) + 1, np.int64)
    new_owner[labelled] = rng.permutation(labelled)
    position = new_owner[labels.position]
    known_at = available_at[position] + labels.known_at - available_at[labels.position]
    order = np.lexsort((position, known_at))
    return LabelEvents(
        position=position[order],
        known_at=known_at[order],
        is_fraud=labels.is_fraud[order],
        origin=labels.origin[order],
    )


def features_under(snapshot: Snapshot, labels: LabelEvents) -> Floats:
    """(N, F) float32: the snapshot's features as they are when `labels` are its label table."""
    arrays, spec = snapshot.feature_arrays, snapshot.spec
    own = event_features(
        spec,
        event_time=arrays.event_time,
        amount_minor=arrays.amount_minor,
        exponent=arrays.exponents[arrays.currency],
        kind=arrays.kind,
        outcome=arrays.outcome,
    )
    events = Events(
        position=np.arange(len(arrays)),
        event_time=arrays.event_time,
        available_at=arrays.available_at,
        amount_minor=arrays.amount_minor,
        currency=arrays.currency,
        declined=(arrays.outcome == "declined").astype(np.int64),
        entity=arrays.entity,
    )
    known = LabelRows(
        position=labels.position,
        known_at=labels.known_at,
        is_fraud=labels.is_fraud.astype(np.int64),
        unusual=np.zeros(len(labels.position), np.int64),
        entity=arrays.entity[labels.position],
    )
    return table_features(
        spec, events, known, own=own, roles=arrays.roles, scale=scales([int(digits) for digits in arrays.exponents])
    )
