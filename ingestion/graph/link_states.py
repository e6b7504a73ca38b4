"""The states of SAME_AS links over the batches of a lineage: what each batch said of a link, and until which one."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from ingestion.snapshot import Snapshot

LINK_STATE = pa.schema(
    [
        pa.field("a", pa.int64()),
        pa.field("b", pa.int64()),
        pa.field("rule", pa.string()),
        pa.field("identifier", pa.string()),
        pa.field("known_at", pa.int64()),
        pa.field("revoked_at", pa.int64()),
        pa.field("reason", pa.string()),
        pa.field("batch", pa.int64()),
        pa.field("until_batch", pa.int64()),
    ]
)
_STATED = ("a_id", "b_id", "rule", "identifier", "known_at", "revoked_at", "reason")
Link = tuple[object, ...]


def link_states(snapshot: Snapshot, older: Sequence[Snapshot]) -> pa.Table:
    """Each state of each link (`LINK_STATE`, times in µs): `batch` brought it, `until_batch` (null: none so far) is the
    first batch that says otherwise. `older` are the ancestors, newest first; what the oldest of them says counts as
    brought by batch 1, as its transactions do; without any, all of the snapshot's own batch 1.
    """
    chain = [*reversed(older), snapshot]
    since: dict[Link, int] = {}
    ended: list[tuple[object, ...]] = []
    for index, one in enumerate(chain):
        batch = 1 if index == 0 else int(one.manifest["batch"])
        links = _links(one)
        ended += [(*link, since.pop(link), batch) for link in [*since] if link not in links]
        since |= {link: batch for link in links if link not in since}
    rows = [*ended, *((*link, batch, None) for link, batch in since.items())]
    columns = zip(*rows, strict=True) if rows else [()] * len(LINK_STATE)
    return pa.Table.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, LINK_STATE, strict=True)], schema=LINK_STATE
    )


def restated(states: pa.Table, batch: int) -> pa.Table:
    """The states that hold now, as if this batch had brought all of them."""
    now = states.filter(states.column("until_batch").is_null())
    index = now.schema.get_field_index("batch")
    return now.set_column(index, LINK_STATE.field("batch"), pa.array([batch] * now.num_rows, pa.int64()))


def _links(snapshot: Snapshot) -> dict[Link, None]:
    table = snapshot.links().select(_STATED)
    for name in ("known_at", "revoked_at"):
        table = table.set_column(table.schema.get_field_index(name), name, table.column(name).cast(pa.int64()))
    return dict.fromkeys(zip(*(column.to_pylist() for column in table.columns), strict=True))
