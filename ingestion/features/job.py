"""The Spark feature job: point-in-time features over history, by the kernels that score one event online.

Two exchanges, whatever the number of roles: every role's stream of transactions and labels goes to the partition of
its party, in the order of the sequence, where the kernel replays whole parties; then the values of all roles meet
again by position, and become one float32 row for each transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from ingestion.features.batch import Floats, PartyStream, event_features, role_features, role_names
from ingestion.features.kernels import LABEL_ROW, TRANSACTION_ROW, Ints
from ingestion.features.spec import FeatureSpec
from ingestion.money import exponent

Batches = Iterator[pa.RecordBatch]

#: Rows of one partition of the wide matrix: it is held in memory.
ROWS_A_PART = 131_072
_EVENT = -1
#: What sorts a stream: the first column alone tells parties of a role apart, so that most comparisons end there.
_STREAM = ("group", "available_at", "place")
_LABEL_PLACE = -1
_VALUES = "role int, position bigint, values binary, transaction_id string"
_VALUES_ARROW = pa.schema(
    [("role", pa.int32()), ("position", pa.int64()), ("values", pa.binary()), ("transaction_id", pa.string())]
)


def features(
    transactions: DataFrame,
    labels: DataFrame,
    spec: FeatureSpec,
    *,
    currencies: Sequence[str],
    num_partitions: int,
    num_rows: int,
    first_part: int = 0,
) -> tuple[DataFrame, Callable[[Batches], Batches]]:
    """Values by position range, and the function that makes the wide rows of a partition from them.

    Args:
        transactions: position, transaction_id, event_time, available_at, amount_minor, currency, kind, outcome and
            entity_<role>.
        labels: position of the labelled transaction, known_at, label and entity_<role>.
        spec: with its roles spelled out.
        currencies: every code that occurs.
        num_rows: number of transactions; their positions are 0 … num_rows - 1.
        first_part: values are made from this part of ROWS_A_PART rows on; only the histories of parties that occur
            there are replayed.
    """
    codes = tuple(sorted(currencies))
    first = first_part * ROWS_A_PART
    streams = role_streams(transactions, labels, spec, codes)
    values = event_values(transactions.where(F.col("position") >= F.lit(first)), spec)
    if streams is not None:
        if first:
            wanted = streams.where(F.col("place") >= F.lit(first)).select("group").distinct()
            streams = streams.join(wanted, "group", "left_semi")
        of_roles = role_values(streams, spec, codes, num_partitions)
        values = values.unionByName(of_roles.where(F.col("position") >= F.lit(first)))
    parts = max(1, -(-num_rows // ROWS_A_PART) - first_part)
    part = (F.col("position") / F.lit(ROWS_A_PART)).cast("int") - F.lit(first_part)
    return values.repartitionById(parts, part), wide_rows(spec)


def role_streams(
    transactions: DataFrame, labels: DataFrame, spec: FeatureSpec, currencies: Sequence[str]
) -> DataFrame | None:
    """Rows (group, available_at, place, time, value, currency) of every role with windows.

    `group` is entity id x number of roles + index of the role in `spec.roles`; `place` is the position of a
    transaction, -1 for a label, which so comes first of what is available at one time. None for a spec without
    windows.
    """
    streams: DataFrame | None = None
    code = F.array_position(F.array(*[F.lit(name) for name in currencies]), F.col("currency")) - F.lit(1)
    for index, role in enumerate(spec.roles):
        party = F.col(f"entity_{role}")
        group = (party * F.lit(len(spec.roles)) + F.lit(index)).alias("group")
        transaction_rows = transactions.where(party.isNotNull()).select(
            group,
            F.unix_micros("available_at").alias("available_at"),
            F.col("position").alias("place"),
            F.unix_micros("event_time").alias("time"),
            F.col("amount_minor").alias("value"),
            code.cast("int").alias("currency"),
        )
        streams = transaction_rows if streams is None else streams.unionByName(transaction_rows)
        if spec.family(role)[1] is not None:
            streams = streams.unionByName(
                labels.where(party.isNotNull()).select(
                    group,
                    F.unix_micros("known_at").alias("available_at"),
                    F.lit(_LABEL_PLACE).cast("bigint").alias("place"),
                    F.unix_micros("known_at").alias("time"),
                    (F.col("label") == "fraud").cast("bigint").alias("value"),
                    F.lit(0).alias("currency"),
                )
            )
    return streams


def role_values(streams: DataFrame, spec: FeatureSpec, currencies: Sequence[str], num_partitions: int) -> DataFrame:
    """Feature values (role, position, values, transaction_id null) of each transaction in each role."""
    exponents = np.asarray([exponent(code) for code in currencies] or [2], np.int64)

    def replay(batches: Batches) -> Batches:
        for part in whole_parties(batches):
            yield from _values_of_parties(part, spec, exponents)

    return streams.repartition(num_partitions, "group").sortWithinPartitions(*_STREAM).mapInArrow(replay, _VALUES)


def event_values(transactions: DataFrame, spec: FeatureSpec) -> DataFrame:
    """Values of the features of the transaction alone, with its id (role -1)."""

    def compute(batches: Batches) -> Batches:
        for batch in batches:
            columns = {name: batch.column(name) for name in batch.schema.names}
            values = event_features(
                spec,
                event_time=_ints(columns["event_time"]),
                amount_minor=_ints(columns["amount_minor"]),
                exponent=np.asarray([exponent(code) for code in columns["currency"].to_pylist()], np.int64),
                kind=columns["kind"].to_numpy(zero_copy_only=False),
                outcome=columns["outcome"].to_numpy(zero_copy_only=False),
            )
            yield _values_batch(_EVENT, columns["position"], values, columns["transaction_id"])

    wanted = ["position", "transaction_id", "event_time", "amount_minor", "currency", "kind", "outcome"]
    return transactions.select(*wanted).mapInArrow(compute, _VALUES)


def whole_parties(batches: Batches) -> Iterator[pa.Table]:
    """Regroup batches sorted by group so that no party of a role is split."""
    rest: pa.Table | None = None
    for batch in batches:
        table = pa.Table.from_batches([batch])
        if rest is not None:
            table = pa.concat_tables([rest, table])
        last = _last_party_begin(table)
        if last:
            yield table.slice(0, last)
        rest = table.slice(last)
    if rest is not None and rest.num_rows:
        yield rest


def wide_rows(spec: FeatureSpec) -> Callable[[Batches], Batches]:
    """The function that turns a partition of values (any order) into wide rows by position."""
    columns = _columns_of_roles(spec)
    schema = wide_schema(spec)

    def assemble(batches: Batches) -> Batches:
        values = [batch for batch in batches if batch.num_rows]
        if not values:
            return
        table = pa.Table.from_batches(values)
        role, position = (_ints(table.column(name)) for name in ("role", "position"))
        events = np.flatnonzero(role == _EVENT)
        in_order = events[np.argsort(position[events])]
        base, num_rows = int(position[in_order[0]]), len(in_order)
        assert position[in_order[-1]] == base + num_rows - 1, "positions of a part have no gap"
        matrix = np.full((num_rows, len(spec.names)), np.nan, np.float32)
        for index, names in columns.items():
            rows = np.flatnonzero(role == index)
            if len(rows) and names:
                chosen = table.column("values").take(pa.array(rows))
                matrix[position[rows][:, None] - base, names] = _floats(chosen, len(names))
        ids = table.column("transaction_id").take(pa.array(in_order)).combine_chunks()
        yield pa.RecordBatch.from_arrays(
            [ids, *[pa.array(matrix[:, at]) for at in range(len(spec.names))]], schema=schema
        )

    return assemble


def wide_schema(spec: FeatureSpec) -> pa.Schema:
    """transaction_id, then one float32 column a feature."""
    return pa.schema(
        [pa.field("transaction_id", pa.string(), nullable=False)]
        + [pa.field(name, pa.float32()) for name in spec.names]
    )


def _columns_of_roles(spec: FeatureSpec) -> dict[int, list[int]]:
    """Columns of the matrix that each role's values fill."""
    place = {name: index for index, name in enumerate(spec.names)}
    columns = {_EVENT: list(range(len(spec.event)))}
    for index, role in enumerate(spec.roles):
        columns[index] = [place[name] for name in role_names(spec, role)]
    return columns


def _values_of_parties(part: pa.Table, spec: FeatureSpec, exponents: Ints) -> Batches:
    """Values of whole parties; `part` holds those of all roles, mixed."""
    party, role = np.divmod(_ints(part.column("group")), len(spec.roles))
    place = _ints(part.column("place"))
    rank = np.where(place == _LABEL_PLACE, LABEL_ROW, TRANSACTION_ROW)
    time, value, currency = (_ints(part.column(name)) for name in ("time", "value", "currency"))
    for index, name in enumerate(spec.roles):
        rows = np.flatnonzero(role == index)
        if len(rows) == 0:
            continue
        stream = PartyStream(
            party=party[rows],
            rank=rank[rows],
            time=time[rows],
            value=value[rows],
            currency=currency[rows],
            exponents=exponents,
        )
        values = role_features(spec, name, stream)
        scored = np.flatnonzero(stream.rank == TRANSACTION_ROW)
        ids = pa.nulls(len(scored), pa.string())
        yield _values_batch(index, pa.array(place[rows][scored]), values[scored], ids)


def _values_batch(role: int, position: pa.Array, values: Floats, ids: pa.Array) -> pa.RecordBatch:
    """One batch of values; each row's floats as bytes."""
    num_rows, width = values.shape
    offsets = np.arange(num_rows + 1, dtype=np.int32) * (4 * width)
    data = pa.py_buffer(np.ascontiguousarray(values, "<f4").tobytes())
    packed = pa.Array.from_buffers(pa.binary(), num_rows, [None, pa.py_buffer(offsets), data])
    roles = pa.repeat(pa.scalar(role, pa.int32()), num_rows)
    return pa.RecordBatch.from_arrays([roles, position, packed, ids], schema=_VALUES_ARROW)


def _floats(packed: pa.ChunkedArray, width: int) -> Floats:
    """Bytes back to (M, width) float32."""
    return np.frombuffer(b"".join(packed.to_pylist()), "<f4").reshape(-1, width)


def _last_party_begin(table: pa.Table) -> int:
    """Where the last party of a table sorted by group begins."""
    groups = _ints(table.column("group"))
    return int(np.searchsorted(groups, groups[-1]))


def _ints(values: pa.Array | pa.ChunkedArray) -> Ints:
    integers: Ints = values.cast(pa.int64()).to_numpy()
    return integers
