"""The canonical hash of logical rows: it does not depend on order, partitioning or batches.

A row is written as netstrings of its fields (`5:hello`, `-` for null), which no two different rows share, and
hashed with SHA-256; a set of rows is the sum of its rows' hashes modulo 2^256. Lists of parties and maps of
attributes are in order of type and name already.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.contracts import LABEL, LINK, TRANSACTION

#: 32 bytes each; Spark takes no binary of fixed size from Arrow.
HASH = pa.binary()
MODULUS = 2**256


def transaction_hashes(table: pa.Table) -> pa.Array:
    """(N,) 32-byte hashes of rows with the fields of `contracts.TRANSACTION`."""
    return _hashes("transaction", [table.column(name) for name in TRANSACTION.names], table.num_rows)


def label_hashes(table: pa.Table) -> pa.Array:
    """(N,) 32-byte hashes of rows with the fields of `contracts.LABEL`."""
    return _hashes("label", [table.column(name) for name in LABEL.names], table.num_rows)


def link_hashes(table: pa.Table) -> pa.Array:
    """(N,) 32-byte hashes of rows with the fields of `contracts.LINK`, dense ids left out."""
    names = [name for name in LINK.names if name not in ("a_id", "b_id")]
    return _hashes("link", [table.column(name) for name in names], table.num_rows)


def hash_sum(hashes: pa.Array) -> int:
    """The sum of 32-byte hashes modulo 2^256; 0 for none."""
    limbs = np.frombuffer(b"".join(hashes.to_pylist()), ">u4").reshape(-1, 8)
    total = 0
    for limb in limbs.sum(axis=0, dtype=np.uint64).tolist():
        total = (total << 32) + limb
    return total % MODULUS


def as_hex(total: int) -> str:
    """A sum as 64 hex digits."""
    return f"{total % MODULUS:064x}"


def _hashes(domain: str, columns: list[pa.ChunkedArray], num_rows: int) -> pa.Array:
    if num_rows == 0:
        return pa.array([], HASH)
    parts = [_encode(_flat(column)) for column in columns]
    texts = pc.binary_join_element_wise(*parts, pa.scalar(domain), "")
    return pa.array([hashlib.sha256(text).digest() for text in texts.cast(pa.binary()).to_pylist()], HASH)


def _encode(values: pa.Array) -> pa.Array:
    kind = values.type
    if pa.types.is_timestamp(kind):
        values = values.cast(pa.int64())
    elif pa.types.is_map(kind):
        values = _join(values.offsets, [values.keys, values.items])
    elif pa.types.is_list(kind):
        values = _join(_offsets(values), values.flatten().flatten())
    texts = values.cast(pa.string())
    lengths = pc.binary_length(texts).cast(pa.string())
    return pc.fill_null(pc.binary_join_element_wise(lengths, texts, ":"), "-")


def _join(offsets: pa.Array, fields: list[pa.Array]) -> pa.Array:
    """One text a list: the netstrings of its items' fields."""
    items = pc.binary_join_element_wise(*[_encode(field) for field in fields], "")
    return pc.binary_join(pa.ListArray.from_arrays(offsets, items), "")


def _offsets(lists: pa.ListArray) -> pa.Array:
    lengths = pc.fill_null(pc.list_value_length(lists), 0).cast(pa.int32())
    return pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths)])


def _flat(column: pa.ChunkedArray) -> pa.Array:
    flat = column.combine_chunks()
    return flat.chunk(0) if isinstance(flat, pa.ChunkedArray) else flat
