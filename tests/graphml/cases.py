"""Small graphs for tests: from hand-made rows, and random ones."""

from __future__ import annotations

import numpy as np

from graphml.graph import TransactionGraph
from ingestion.labels import LabelEvents

HOUR = 3_600_000_000


def labels(*rows: tuple[int, int, bool]) -> LabelEvents:
    """Label events from (position, known_at, is_fraud), in sequence order, all of origin chargeback."""
    ordered = sorted(rows, key=lambda row: row[1])
    return LabelEvents(
        position=np.asarray([row[0] for row in ordered], np.int64),
        known_at=np.asarray([row[1] for row in ordered], np.int64),
        is_fraud=np.asarray([row[2] for row in ordered], bool),
        origin=np.ones(len(ordered), np.int64),
    )


def graph_of(
    parties: list[list[int]],
    times: list[int],
    *,
    known: LabelEvents | None = None,
    num_entities: int | None = None,
    features: np.ndarray | None = None,
    entity_type: list[int] | None = None,
) -> TransactionGraph:
    """A graph of transactions with these parties (source, target, …; -1 absent), available when they happen."""
    entity = np.asarray(parties, np.int64)
    num = num_entities or int(entity.max()) + 1
    time = np.asarray(times, np.int64)
    roles = ("source", "target", "device", "ip")[: entity.shape[1]]
    return TransactionGraph.build(
        roles=roles,
        types=("account", "device"),
        entity=entity,
        entity_type=np.asarray(entity_type if entity_type is not None else [0] * num, np.int64),
        event_time=time,
        available_at=time,
        features=np.arange(len(time), dtype=np.float32)[:, None] if features is None else features,
        labels=known or labels(),
    )


def random_graph(seed: int, *, num: int = 60, entities: int = 7, roles: int = 3, width: int = 4) -> TransactionGraph:
    """Random transactions with equal times, late arrivals, self-transfers, absent parties, labels that change."""
    rng = np.random.default_rng(seed)
    available = np.sort(rng.integers(0, 50, num)) * HOUR
    entity = rng.integers(0, entities, (num, roles))
    entity[:, 2:][rng.random((num, roles - 2)) < 0.4] = -1
    count = num // 2
    position = rng.integers(0, num, count)
    known_at = available[position] + rng.integers(0, 30, count) * HOUR
    order = np.argsort(known_at, kind="stable")
    features = rng.normal(size=(num, width)).astype(np.float32)
    features[rng.random((num, width)) < 0.1] = np.nan
    return TransactionGraph.build(
        roles=("source", "target", "device", "ip")[:roles],
        types=("account", "device"),
        entity=entity,
        entity_type=rng.integers(0, 2, entities),
        event_time=available - rng.integers(0, 3, num) * HOUR,
        available_at=available,
        features=features,
        labels=LabelEvents(
            position=position[order],
            known_at=known_at[order],
            is_fraud=rng.random(count) < 0.5,
            origin=rng.integers(0, 4, count),
        ),
    )
