"""Which entity had which identifier, and since when: from transactions at rest, for the job and for explaining."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from ingestion.contracts import TIMESTAMP
from ingestion.resolution.identifiers import part_values
from ingestion.resolution.rules import PLACEHOLDER, LinkRule

#: What of a transaction at rest is looked at.
COLUMNS = (
    *("source_type", "source_key", "target_type", "target_key", "entity_source", "entity_target"),
    *("parties", "attributes", "available_at"),
)
#: An identifier null says how many rows had a placeholder of the rule.
HOLDING = pa.schema(
    [
        ("rule", pa.string()),
        ("identifier", pa.string()),
        ("entity_id", pa.int64()),
        ("key", pa.string()),
        ("first_at", TIMESTAMP),
        ("num_rows", pa.int64()),
    ]
)


def holdings(table: pa.Table, rules: tuple[LinkRule, ...]) -> pa.Table:
    """Who of the rows (COLUMNS) holds which identifier, as HOLDING: once each, with the first `available_at`."""
    found = [_of_rule(table, rule) for rule in rules]
    rows = pa.concat_tables([_EACH.empty_table(), *found])
    counted = rows.group_by(_EACH.names[:4]).aggregate([("available_at", "min"), ("available_at", "count")])
    return counted.rename_columns(HOLDING.names).cast(HOLDING)


def holder_columns(table: pa.Table, rule: LinkRule) -> tuple[pa.Array, pa.Array, pa.Array]:
    """Identifier, dense id and key of the holder of each row (N,); the id is null where no end has the rule's type.

    The identifier is null where there is none, and `placeholder` where the row has one.
    """
    parties, attributes = (_flat(table, name) for name in ("parties", "attributes"))
    is_source, is_target = (pc.equal(_flat(table, f"{end}_type"), rule.entity) for end in ("source", "target"))
    is_source = pc.and_(is_source, rule.role != "target")
    is_target = pc.and_(is_target, rule.role != "source")
    entity, key = (
        pc.if_else(is_source, _flat(table, at_source), pc.if_else(is_target, _flat(table, at_target), None))
        for at_source, at_target in (("entity_source", "entity_target"), ("source_key", "target_key"))
    )
    derived = pc.map_lookup(attributes, rule.attribute, "first")
    if rule.is_derived:
        return derived, entity, key
    plain = part_values(parties, attributes, rule.by[0])
    named = pc.binary_join_element_wise(pa.scalar(rule.by[0]), plain, ":")
    return pc.coalesce(derived, named), entity, key


_EACH = pa.schema([*list(HOLDING)[:4], pa.field("available_at", TIMESTAMP)])


def _of_rule(table: pa.Table, rule: LinkRule) -> pa.Table:
    identifier, entity, key = holder_columns(table, rule)
    empty = pc.fill_null(pc.equal(identifier, PLACEHOLDER), False)
    identifier, entity, key = (pc.if_else(empty, None, column) for column in (identifier, entity, key))
    arrays = [pa.repeat(pa.scalar(rule.name), table.num_rows), identifier, entity, key, _flat(table, "available_at")]
    rows = pa.Table.from_arrays(arrays, schema=_EACH)
    return rows.filter(pc.or_(empty, pc.and_(pc.is_valid(identifier), pc.is_valid(entity))))


def _flat(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name).combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks else pa.array([], column.type)
    return column
