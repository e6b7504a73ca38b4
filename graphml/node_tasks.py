"""Tasks whose seeds are no transactions: entities as of a time, and pairs of entities.

Legend: n seeds, R nodes of a seed, V entities.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphml.errors import TooLittleData
from graphml.graph import SOURCE, TARGET, Cuts, Ints, Seeds, TransactionGraph
from ingestion.contracts import moment
from ingestion.labels import EntityLabelEvents


@dataclass(frozen=True, kw_only=True)
class NodeTask:
    """`entity` (n, R): one entity a seed, or a pair (R = 2); `cuts` (n,): as of when each is looked at; `is_fraud` (n,)
    the outcome (of a pair: whether the first pays the second)."""

    entity: Ints
    cuts: Cuts
    is_fraud: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.is_fraud)

    def seeds(self, graph: TransactionGraph, rows: Ints) -> Seeds:
        """Some of the task's seeds; they have no features of their own."""
        cuts = Cuts(**{name: values[rows] for name, values in vars(self.cuts).items()})
        return Seeds(cuts=cuts, entity=self.entity[rows], features=np.zeros((len(rows), 0), np.float32))

    def seen(self, graph: TransactionGraph) -> Ints:
        """Positions before the last cut: what scalers are fitted on."""
        return np.arange(int(self.cuts.position.max()))


def entity_task(
    graph: TransactionGraph, labels: EntityLabelEvents, *, at: int, targets_at: int, name: str = "entity"
) -> NodeTask:
    """Entities with a transaction before `at` and an outcome known by `targets_at` (both µs), as of `at`.

    The latest label counts, the strongest of equals; labels that no model may train on are left out. Raises
    `TooLittleData` without both outcomes.
    """
    position = int(np.searchsorted(graph.available_at, at))
    known = (labels.known_at <= targets_at) & labels.for_training
    order = np.flatnonzero(known)[np.lexsort((-labels.origin[known], labels.known_at[known]))]
    outcome = np.full(graph.num_entities, -1, np.int64)
    outcome[labels.entity[order]] = labels.is_fraud[order]
    has_past = np.zeros(graph.num_entities, bool)
    parties = graph.entity[:position]
    has_past[parties[parties >= 0]] = True
    entities = np.flatnonzero(has_past & (outcome >= 0))
    is_fraud = outcome[entities] == 1
    if not is_fraud.any() or is_fraud.all():
        raise TooLittleData(
            f"As of {moment(at).date()} the {name} task has {len(entities)} entities with a known outcome, "
            f"{int(is_fraud.sum())} of them fraud: both outcomes are needed.",
            remedy="Ingest labels of entities, or look at a later time.",
        )
    cuts = Cuts(
        position=np.full(len(entities), position),
        label_time=np.full(len(entities), at),
        event_time=np.full(len(entities), at),
    )
    return NodeTask(entity=entities[:, None], cuts=cuts, is_fraud=is_fraud)


def pair_task(graph: TransactionGraph, *, start: int, end: int, negatives: int = 1, seed: int = 0) -> NodeTask:
    """Link prediction: who pays whom in [start, end) (µs), each pair as of its own transaction.

    To each payment come `negatives` pairs of the same source with a target drawn from the payments of the window of
    that target's type; a drawn pair that pays within the window is left out.
    """
    low, high = np.searchsorted(graph.available_at, [start, end])
    positions = np.arange(low, high)
    paid = graph.entity[positions][:, [SOURCE, TARGET]]
    drawn_at = np.repeat(positions, negatives)
    rng = np.random.default_rng(seed)
    kind = graph.entity_type[paid[:, 1]]
    targets = np.repeat(paid[:, 1], negatives)
    for code in np.unique(kind):
        rows = np.flatnonzero(np.repeat(kind, negatives) == code)
        targets[rows] = rng.choice(paid[kind == code, 1], len(rows))
    drawn = np.stack([np.repeat(paid[:, 0], negatives), targets], axis=1)
    keys = paid[:, 0] * graph.num_entities + paid[:, 1]
    kept = ~np.isin(drawn[:, 0] * graph.num_entities + drawn[:, 1], keys)
    return NodeTask(
        entity=np.concatenate([paid, drawn[kept]]),
        cuts=graph.cuts(np.concatenate([positions, drawn_at[kept]])),
        is_fraud=np.arange(len(paid) + int(kept.sum())) < len(paid),
    )
