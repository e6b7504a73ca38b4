"""Transactions at rest for the resolution tests, and the links as a person would find them, by brute force."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networkx as nx
import pyarrow as pa

from ingestion.artifacts import write_parquet
from ingestion.contracts import PARTY, moment
from ingestion.resolution.rules import LinkRule

SCHEMA = pa.schema(
    [
        ("source_type", pa.string()),
        ("source_key", pa.string()),
        ("target_type", pa.string()),
        ("target_key", pa.string()),
        ("parties", pa.list_(PARTY)),
        ("attributes", pa.map_(pa.string(), pa.string())),
        ("available_at", pa.timestamp("us", tz="UTC")),
        ("entity_source", pa.int64()),
        ("entity_target", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Seen:
    """Account number `entity` was seen with `identifier` at `at` (µs)."""

    entity: int
    identifier: str
    at: int

    @property
    def key(self) -> str:
        """Keys in another order than the dense ids."""
        return f"A{(self.entity * 7) % 97:02d}"


def row(seen: Seen) -> dict[str, Any]:
    return {
        "source_type": "account",
        "source_key": seen.key,
        "target_type": "merchant",
        "target_key": "m",
        "parties": [{"type": "device", "key": seen.identifier}],
        "attributes": [],
        "available_at": moment(seen.at),
        "entity_source": seen.entity,
        "entity_target": 1_000,
    }


def write_transactions(folder: Path, seen: Sequence[Seen], *, files: int = 1) -> None:
    """`folder/transactions`, in the order that the rows have."""
    table = pa.Table.from_pylist([row(item) for item in seen], schema=SCHEMA)
    size = -(-len(seen) // files)
    for number in range(files):
        write_parquet(table.slice(number * size, size), folder / "transactions" / f"part-{number:05d}.parquet")


def connected_as_of(seen: Iterable[Seen], rule: LinkRule, time: int) -> dict[int, int]:
    """Entity -> smallest entity of its component, from what was seen by `time` alone: no stars, no hubs' past."""
    holders: dict[str, set[int]] = {}
    for item in seen:
        if item.at <= time:
            holders.setdefault(item.identifier, set()).add(item.entity)
    graph: nx.Graph = nx.Graph()
    for group in holders.values():
        if 2 <= len(group) <= rule.max_entities:
            nx.add_path(graph, sorted(group))
    return {member: min(part) for part in nx.connected_components(graph) for member in part}
