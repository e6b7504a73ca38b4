"""Connected components of links, on one machine: `components_spark` gives the same answer on a cluster."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ingestion.contracts import COMPONENT, TIMESTAMP

Ints = NDArray[np.int64]


def components(a: Ints, b: Ints) -> tuple[Ints, Ints]:
    """Entities with an edge, sorted, and for each the smallest entity that it is connected with, both (V,).

    `a` and `b` (E,) are the ends of undirected edges; an edge may occur twice, or lead back to its start.

    >>> components(np.array([7, 5, 2]), np.array([5, 9, 3]))
    (array([2, 3, 5, 7, 9]), array([2, 2, 5, 5, 5]))
    """
    entities, ends = np.unique(np.concatenate([a, b]), return_inverse=True)
    if len(entities) == 0:
        return entities, entities
    ends_2E = ends.reshape(2, -1)
    shape = (len(entities), len(entities))
    graph = coo_array((np.ones(len(a), np.bool_), (ends_2E[0], ends_2E[1])), shape=shape)
    count, label = connected_components(graph, directed=False)
    smallest = np.full(count, len(entities), np.int64)
    np.minimum.at(smallest, label, np.arange(len(entities)))
    return entities, entities[smallest[label]]


def holding(links: pa.Table, as_of: int) -> pa.Table:
    """The links (`contracts.LINK`) that hold as of a time in µs: known by then and not revoked."""
    time = pa.scalar(as_of, pa.int64()).cast(TIMESTAMP)
    known = pc.less_equal(links.column("known_at"), time)
    still = pc.fill_null(pc.greater(links.column("revoked_at"), time), True)
    return links.filter(pc.and_(known, still))


def component_table(links: pa.Table) -> pa.Table:
    """The components of links that hold, as `contracts.COMPONENT`."""
    a, b = (links.column(name).to_numpy().astype(np.int64) for name in ("a_id", "b_id"))
    return pa.Table.from_arrays([pa.array(column) for column in components(a, b)], schema=COMPONENT)
