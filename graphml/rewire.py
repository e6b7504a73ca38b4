"""The edge shuffle: the same graph with its links broken and its degrees kept, the control of every graph row.

For each role but the source, the parties of one entity type are dealt out again among the transactions of the
same UTC day. So every entity keeps its number of transactions a day in every role, every transaction keeps its
features, label and source, and what is lost is who met whom. Dealing inside a day keeps it safe for training: no
entity's activity moves between windows.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from graphml.graph import TransactionGraph, incidence
from ingestion.contracts import MICROSECONDS_PER_DAY


def rewire(graph: TransactionGraph, *, seed: int) -> TransactionGraph:
    """The shuffled graph; the same seed gives the same one."""
    rng = np.random.default_rng(seed)
    day = graph.available_at // MICROSECONDS_PER_DAY
    entity = graph.entity.copy()
    for role in range(1, entity.shape[1]):
        present = np.flatnonzero(entity[:, role] >= 0)
        group = day[present] * len(graph.types) + graph.entity_type[entity[present, role]]
        in_order = present[np.argsort(group, kind="stable")]
        dealt = present[np.lexsort((rng.random(len(present)), group))]
        entity[dealt, role] = graph.entity[in_order, role]
    slots = incidence(entity, graph.num_entities)
    return replace(
        graph,
        entity=entity,
        starts=slots.starts,
        stops=slots.stops,
        incident=slots.transaction,
        incident_role=slots.role,
        incident_other=slots.other,
    )
