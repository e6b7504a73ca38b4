"""Identifiers of a row where its originals are still visible: what `Tokenizer.protect` adds to the attributes.

A rule that normalizes or combines gets an attribute `link:<rule>` with a keyed hash of the normalized values. A rule
by one party type or attribute as it is needs none: the party itself is the identifier. Either way the attribute
says `placeholder` where a value says that there is none, for afterwards a token hides that.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.artifacts import canonical_json
from ingestion.resolution.normalize import NORMALIZERS, Placeholders
from ingestion.resolution.rules import PLACEHOLDER, LinkRule, Resolution

#: (type, value) -> token.
Token = Callable[[str, str], str]


def link_attributes(table: pa.Table, resolution: Resolution, token: Token) -> dict[str, pa.Array]:
    """Attribute -> its values (N,), null where a row has none; for rows of `contracts.TRANSACTION` in clear."""
    is_empty = Placeholders(resolution.placeholders)
    parties, attributes = (_array(table, name) for name in ("parties", "attributes"))
    found = {}
    for rule in resolution.rules:
        parts = [part_values(parties, attributes, part) for part in rule.by]
        found[rule.attribute] = _identifiers(rule, parts, is_empty, token)
    return found


def part_values(parties: pa.ListArray, attributes: pa.MapArray, part: str) -> pa.Array:
    """Values (N,) of a party type or an attribute of each row, null where it has none."""
    lengths = pc.fill_null(pc.list_value_length(parties), 0).to_numpy(zero_copy_only=False)
    types, keys = parties.flatten().flatten()
    chosen = np.flatnonzero(pc.equal(types, part).to_numpy(zero_copy_only=False))
    place = np.full(len(parties), -1, np.int64)
    place[np.repeat(np.arange(len(parties)), lengths)[chosen]] = chosen
    of_party = keys.take(pa.array(place, mask=place < 0))
    return pc.coalesce(of_party, pc.map_lookup(attributes, part, "first"))


def with_attributes(attributes: pa.MapArray, more: dict[str, pa.Array]) -> pa.MapArray:
    """Attributes of rows with more of them, in alphabetical order of name; a null value adds none."""
    if all(values.null_count == len(values) for values in more.values()):
        return attributes
    offsets = attributes.offsets.to_numpy()
    first, length = int(offsets[0]), int(offsets[-1] - offsets[0])
    rows = [np.repeat(np.arange(len(attributes)), np.diff(offsets))]
    names, values = [attributes.keys.slice(first, length)], [attributes.items.slice(first, length)]
    for name, column in more.items():
        there = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
        rows.append(there)
        names.append(pa.repeat(pa.scalar(name), len(there)))
        values.append(column.take(pa.array(there)))
    row, name, value = np.concatenate(rows), pa.concat_arrays(names), pa.concat_arrays(values)
    _, rank = np.unique(name.to_numpy(zero_copy_only=False).astype(str), return_inverse=True)
    order = pa.array(np.lexsort((rank, row)))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(attributes)))]).astype(np.int32)
    return pa.MapArray.from_arrays(pa.array(offsets), name.take(order), value.take(order))


def _identifiers(rule: LinkRule, parts: list[pa.Array], is_empty: Placeholders, token: Token) -> pa.Array:
    """The rule's attribute (N,): each distinct combination of values is looked at once."""
    encoded = [part.dictionary_encode() for part in parts]
    there = np.logical_and.reduce([part.is_valid().to_numpy(zero_copy_only=False) for part in parts])
    rows = np.flatnonzero(there)
    codes_RP = np.stack([column.indices.take(pa.array(rows)).to_numpy() for column in encoded], axis=1)
    distinct_DP, which = np.unique(codes_RP, axis=0, return_inverse=True)
    texts = [column.dictionary.to_pylist() for column in encoded]
    combined = [[words[code] for words, code in zip(texts, row, strict=True)] for row in distinct_DP.tolist()]
    values = pa.array([_identifier(rule, row, is_empty, token) for row in combined], pa.string())
    place = np.full(len(parts[0]), -1, np.int64)
    place[rows] = which.reshape(-1)
    return values.take(pa.array(place, mask=place < 0))


def _identifier(rule: LinkRule, values: list[str], is_empty: Placeholders, token: Token) -> str | None:
    if any(is_empty(value) for value in values):
        return PLACEHOLDER
    if not rule.is_derived:
        return None
    normal = [NORMALIZERS[rule.normal(part)](value) for part, value in zip(rule.by, values, strict=True)]
    if None in normal:  # no address, nothing but punctuation
        return PLACEHOLDER
    return token(f"link_{rule.name}", canonical_json(normal).decode())


def _array(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name).combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks else pa.array([], column.type)
    return column
