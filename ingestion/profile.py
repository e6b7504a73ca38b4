"""The profile of a stretch of a snapshot: what its columns look like, so that two stretches can be compared.

Only the parts that hold the stretch are read, in the driver, and of more than SAMPLE rows an even choice: a profile
costs the same whatever the snapshot's size.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from ingestion.contracts import MICROSECONDS_PER_DAY
from ingestion.jobs.sharing import part_ends, part_files
from ingestion.snapshot import Snapshot

#: Rows of a stretch that are looked at; of a longer one every k-th.
SAMPLE = 200_000
_HOUR = MICROSECONDS_PER_DAY // 24
_TOP_CURRENCIES = 3
_QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)

Values = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Columns of the transactions and labels that came in (begin, end] (µs): name -> values.

    Float arrays are numbers (NaN: missing), object arrays are categories.
    """

    begin: int
    end: int
    num_transactions: int
    columns: dict[str, Values]

    def as_dict(self) -> dict[str, Any]:
        """A summary of each column: rows, missing, and quantiles or the shares of the most frequent values."""
        columns = {name: summary(values) for name, values in self.columns.items()}
        return {"begin": self.begin, "end": self.end, "transactions": self.num_transactions, "columns": columns}


def profile(snapshot: Snapshot, *, begin: int, end: int) -> Profile:
    """The profile of what a snapshot holds of (begin, end], by `available_at` and the labels' `known_at`."""
    first, table = _between(snapshot.path / "transactions", "available_at", begin, end)
    step = max(1, -(-table.num_rows // SAMPLE))
    columns = _of_days(table)
    chosen = table.take(pa.array(np.arange(0, table.num_rows, step)))
    columns |= _of_transactions(chosen) | _of_entities(chosen, snapshot, begin)
    columns |= _of_labels(snapshot, begin, end)
    names = list(snapshot.spec.names)
    features = _rows(snapshot.path / "features", names, first, first + table.num_rows)
    for name in names:
        columns[f"feature {name}"] = features.column(name).to_numpy()[::step].astype(float)
    return Profile(begin=begin, end=end, num_transactions=table.num_rows, columns=columns)


def summary(values: Values) -> dict[str, Any]:
    """What is kept of a column.

    >>> summary(np.array(["a", "b", "a"], object))["shares"]
    {'a': 0.6667, 'b': 0.3333}
    """
    if values.dtype == object:
        names, counts = np.unique(values.astype(str), return_counts=True)
        top = np.argsort(-counts, kind="stable")[:20]
        shares = {str(names[at]): round(float(counts[at] / len(values)), 4) for at in top}
        return {"rows": len(values), "missing": 0, "shares": shares}
    there = values[~np.isnan(values)]
    quantiles = [float(value) for value in np.quantile(there, _QUANTILES)] if len(there) else []
    return {"rows": len(values), "missing": int(len(values) - len(there)), "quantiles": quantiles}


def _of_days(table: pa.Table) -> dict[str, Values]:
    """Transactions and distinct parties of each UTC day of arrival."""
    day = _micros(table, "available_at") // MICROSECONDS_PER_DAY
    columns: dict[str, Values] = {}
    if table.num_rows == 0:
        return columns
    days, of_row = np.unique(day, return_inverse=True)
    columns["transactions a day"] = np.bincount(of_row, minlength=len(days)).astype(float)
    for end in ("source", "target"):
        pairs = np.unique(np.stack([of_row, table.column(f"entity_{end}").to_numpy()]), axis=1)
        columns[f"{end}s a day"] = np.bincount(pairs[0], minlength=len(days)).astype(float)
    return columns


def _of_transactions(table: pa.Table) -> dict[str, Values]:
    columns: dict[str, Values] = {}
    for name in ("kind", "outcome", "channel", "currency"):
        columns[name] = table.column(name).to_numpy().astype(object)
    amount = table.column("amount_minor").to_numpy().astype(float)
    codes, counts = np.unique(columns["currency"].astype(str), return_counts=True)
    for code in sorted(codes[np.argsort(-counts, kind="stable")][:_TOP_CURRENCIES]):
        columns[f"amount {code}"] = amount[columns["currency"] == code]
    event_time = _micros(table, "event_time")
    columns["hour"] = np.char.mod("%02d", event_time // _HOUR % 24).astype(object)
    columns["arrival delay, hours"] = (_micros(table, "known_at") - event_time) / _HOUR
    roles = [name for name in table.column_names if name.startswith("entity_")]
    for name in ("refers_to", "memo", *roles):
        columns[f"missing {name.removeprefix('entity_')}"] = _yes_no(table.column(name).is_null())
    return columns


def _of_entities(table: pa.Table, snapshot: Snapshot, begin: int) -> dict[str, Values]:
    """Whether each transaction's payer and payee were seen for the first time in the stretch."""
    entities = snapshot.entities()
    first = entities.column("first_known_at").cast(pa.int64()).to_numpy()
    return {
        f"new {end}": _yes_no(pa.array(first[table.column(f"entity_{end}").to_numpy()] > begin))
        for end in ("source", "target")
    }


def _of_labels(snapshot: Snapshot, begin: int, end: int) -> dict[str, Values]:
    """Label and delay of the explicit labels that became known in the stretch."""
    _, labels = _between(snapshot.path / "labels", "known_at", begin, end)
    explicit = pc.and_(pc.not_equal(labels.column("origin"), "matured"), labels.column("transaction_id").is_valid())
    labels = labels.filter(explicit)
    ids = labels.column("transaction_id").combine_chunks()
    place = pc.index_in(ids, value_set=snapshot.transaction_ids).to_numpy(zero_copy_only=False).astype(np.int64)
    arrived = snapshot.transactions(["available_at"]).column(0).cast(pa.int64()).to_numpy()
    delay = (_micros(labels, "known_at") - arrived[place]) / MICROSECONDS_PER_DAY
    return {
        "label": labels.column("label").to_numpy().astype(object),
        "label delay, days": delay,
    }


def _between(folder: Path, column: str, begin: int, end: int) -> tuple[int, pa.Table]:
    """The rows of a folder in the order of `column` with begin < column <= end, and the place of the first."""
    before = 0
    tables: list[pa.Table] = []
    files = part_files(folder)
    for path, last in zip(files, part_ends(folder, column), strict=True):
        if last is None or last <= begin:
            before += pq.read_metadata(path).num_rows
            continue
        table = pq.ParquetFile(path, page_checksum_verification=True).read()
        times = _micros(table, column)
        low, high = np.searchsorted(times, [begin, end], side="right").tolist()
        before += low if not tables else 0
        tables.append(table.slice(low, high - low))
    if not tables:
        return before, pq.read_schema(files[0]).empty_table()
    return before, pa.concat_tables(tables)


def _rows(folder: Path, names: list[str], first: int, last: int) -> pa.Table:
    """Rows first … last - 1 over the parts of a folder."""
    offset = 0
    tables: list[pa.Table] = []
    files = part_files(folder)
    for path in files:
        num_rows = pq.read_metadata(path).num_rows
        low, high = max(first - offset, 0), min(last - offset, num_rows)
        if low < high:
            tables.append(
                pq.ParquetFile(path, page_checksum_verification=True).read(columns=names).slice(low, high - low)
            )
        offset += num_rows
    return pa.concat_tables(tables) if tables else pq.read_schema(files[0]).empty_table().select(names)


def _micros(table: pa.Table, name: str) -> NDArray[np.int64]:
    values: NDArray[np.int64] = table.column(name).cast(pa.int64()).to_numpy()
    return values


def _yes_no(flags: pa.Array | pa.ChunkedArray) -> Values:
    return np.where(np.asarray(flags), "yes", "no").astype(object)
