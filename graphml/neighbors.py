"""Causal neighbor aggregates for trees: what the sampled neighborhood of each party looked like by then.

Hop 1, for every role's party: over its most recent transactions before the seed. Hop 2, for source and target:
over the most recent transactions of the other ends of those. Same sampler as the graph network, one function for
history and for one event. Means run in float64 in the sampler's order, so batch and online agree bit for bit.

Legend: S seeds, R roles, N transactions, E sampled transactions, B averaged features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphml.graph import Floats, Ints, Seeds, SmallInts, TransactionGraph
from graphml.sampling import labels_known, recent_slots
from ingestion.compiled import jit
from ingestion.features.spec import FeatureSpec

_LABEL_COLUMNS = ("fraud_rate", "num_known")
_AMOUNT_COLUMNS = ("amount_above", "amount_ratio")
_PARTY_COLUMNS = ("num_recent", "num_distinct", "num_same_pair", "gap_mean", "gap_last")
_SEEDS_AT_ONCE = 4_096


@dataclass(frozen=True, kw_only=True)
class NeighborConfig:
    """`averaged`: feature columns to average; `amount`: which of `averaged` is compared with the seed's own, if any;
    `fanouts`: transactions a party, then an other end."""

    averaged: tuple[int, ...]
    amount: int | None = None
    fanouts: tuple[int, int] = (32, 8)

    @classmethod
    def for_spec(cls, spec: FeatureSpec) -> NeighborConfig:
        """Average the transactions' own features: means of window features are means of means, and cost trees
        more than they bring (0.69 against 0.71 of average precision on four weeks of the Handbook)."""
        columns = tuple(range(len(spec.event)))
        return cls(averaged=columns, amount=spec.event.index("amount") if "amount" in spec.event else None)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> NeighborConfig:
        """Read what `as_dict` gave."""
        first, second = data["fanouts"]
        return cls(averaged=tuple(data["averaged"]), amount=data["amount"], fanouts=(first, second))


def neighbor_names(config: NeighborConfig, feature_names: Sequence[str], roles: Sequence[str]) -> list[str]:
    """Names of the columns of `neighbor_aggregates`, e.g. `near_source_amount`, `beyond_target_fraud_rate`."""
    averaged = [feature_names[column] for column in config.averaged]
    names = []
    for role in roles:
        columns = [*averaged, *_LABEL_COLUMNS, *_PARTY_COLUMNS]
        columns += [] if config.amount is None else _AMOUNT_COLUMNS
        names += [f"near_{role}_{name}" for name in columns]
    for role in roles[:2]:
        names += [f"beyond_{role}_{name}" for name in [*averaged, *_LABEL_COLUMNS]]
    return names


def neighbor_aggregates(graph: TransactionGraph, seeds: Seeds, config: NeighborConfig) -> Floats:
    """(S, K) float32 in the order of `neighbor_names`; NaN where there is nothing to average."""
    parts = [
        _aggregate_part(graph, seeds, slice(start, start + _SEEDS_AT_ONCE), config)
        for start in range(0, max(len(seeds), 1), _SEEDS_AT_ONCE)
    ]
    return np.concatenate(parts)


def _aggregate_part(graph: TransactionGraph, seeds: Seeds, part: slice, config: NeighborConfig) -> Floats:
    entity_SR = seeds.entity[part]
    cut, label_time = seeds.cuts.position[part], seeds.cuts.label_time[part]
    event_time = seeds.cuts.event_time[part]
    near, beyond = [], []
    for role in range(entity_SR.shape[1]):
        offsets, slots = recent_slots(
            graph.starts, graph.stops, graph.incident, entity_SR[:, role].copy(), cut, config.fanouts[0]
        )
        ends = graph.incident_other[slots]
        means = _bag(graph, offsets, slots, label_time, config)
        near.append(means)
        partner = entity_SR[:, 1 if role == 0 else 0].copy()
        near.append(party_statistics(offsets, ends, partner, graph.event_time[graph.incident[slots]], event_time))
        if config.amount is not None:
            near.append(_amount_against(seeds.features[part, config.averaged[config.amount]], means[:, config.amount]))
        if role < 2:
            cut_of_end = np.repeat(cut, np.diff(offsets))
            offsets_of_end, far_slots = recent_slots(
                graph.starts, graph.stops, graph.incident, ends, cut_of_end, config.fanouts[1]
            )
            beyond.append(_bag(graph, offsets_of_end[offsets], far_slots, label_time, config))
    return np.concatenate([*near, *beyond], axis=1)


def _bag(graph: TransactionGraph, offsets: Ints, slots: Ints, label_time: Ints, config: NeighborConfig) -> Floats:
    """Means of features and known labels of each seed's slots, (S, B + 2)."""
    transaction = graph.incident[slots]
    label = labels_known(graph, transaction, np.repeat(label_time, np.diff(offsets)))
    return bag_means(offsets, transaction, label, graph.features, np.asarray(config.averaged, np.int64))


def _amount_against(amount: Floats, usual: Floats) -> Floats:
    """(S, 2): the seed's amount less the party's recent mean, and their ratio."""
    own, mean = amount.astype(np.float64), usual.astype(np.float64)
    return np.stack([own - mean, own / (mean + 1.0)], axis=1).astype(np.float32)


@jit
def bag_means(
    offsets: Ints, transaction: Ints, label: SmallInts, features_NF: Floats, averaged: Ints
) -> NDArray[np.float32]:
    """(S, B + 2): mean of each averaged column (absent values left out), fraud rate and number of known labels."""
    num, columns = offsets.shape[0] - 1, averaged.shape[0]
    result = np.full((num, columns + 2), np.nan, np.float32)
    sums = np.zeros(columns, np.float64)
    counts = np.zeros(columns, np.int64)
    for seed in range(num):
        sums[:] = 0.0
        counts[:] = 0
        known, frauds = 0, 0
        for edge in range(offsets[seed], offsets[seed + 1]):
            row = transaction[edge]
            for index in range(columns):
                value = features_NF[row, averaged[index]]
                if not np.isnan(value):
                    sums[index] += value
                    counts[index] += 1
            if label[edge] >= 0:
                known += 1
                frauds += label[edge]
        for index in range(columns):
            if counts[index] > 0:
                result[seed, index] = sums[index] / counts[index]
        if known > 0:
            result[seed, columns] = frauds / known
        result[seed, columns + 1] = known
    return result


@jit
def party_statistics(
    offsets: Ints, ends: Ints, partner: Ints, event_time: Ints, seed_time: Ints
) -> NDArray[np.float32]:
    """(S, 5): recent transactions, distinct other ends, those with the seed's own other end `partner` (S,), mean
    and last gap in log1p hours before `seed_time` (S,), µs; NaN without a recent transaction."""
    num = offsets.shape[0] - 1
    result = np.full((num, 5), np.nan, np.float32)
    for seed in range(num):
        low, high = offsets[seed], offsets[seed + 1]
        distinct, same, total = 0, 0, 0.0
        for edge in range(low, high):
            seen = False
            for earlier in range(low, edge):
                if ends[earlier] == ends[edge]:
                    seen = True
                    break
            if not seen:
                distinct += 1
            if ends[edge] == partner[seed]:
                same += 1
            total += max(0, seed_time[seed] - event_time[edge]) / 3_600_000_000
        result[seed, 0] = high - low
        result[seed, 1] = distinct
        result[seed, 2] = same
        if high > low:
            result[seed, 3] = np.log1p(total / (high - low))
            result[seed, 4] = np.log1p(max(0, seed_time[seed] - event_time[high - 1]) / 3_600_000_000)
    return result
