"""Tables for the inspection: one honest builder with real signal in it, and a plant for each fault.

The honest table has what fraud really leaves behind: bursts at one customer, compromised terminals, larger amounts,
a riskier channel, devices that only the thief uses, standing orders that come again each month, a fraction of
customers who live in another zone. None of it may be a finding.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ingestion.mapping import Mapping

DAY = 86_400_000_000
HOUR = DAY // 24
START = 1_735_689_600_000_000  # 2025-01-01
NUM_DAYS = 181

Columns = dict[str, np.ndarray]
Rng = np.random.Generator
MAPPING = {
    "name": "planted",
    "label_maturity_days": 7,
    "attributes": ["country"],
    "dropped": [],
    "fields": {
        "transaction_id": "id",
        "event_time": {"column": "when", "zone": "UTC"},
        "amount": {"column": "amount", "unit": "decimal"},
        "currency": {"constant": "EUR"},
        "channel": "channel",
    },
    "source": {"type": "customer", "key": "customer"},
    "target": {"type": "merchant", "key": "merchant"},
    "parties": [{"type": "device", "key": "device"}],
    "labels": {"kind": "column", "column": "fraud", "delay_days": 7},
}


def mapping(**changes: object) -> Mapping:
    """The mapping of the tables here."""
    return Mapping.model_validate(MAPPING | changes)


def honest(seed: int, *, num_rows: int = 30_000, rate: float = 0.015) -> Columns:
    """Columns in the order of time; about `rate` of the rows are fraud, in bursts."""
    rng = np.random.default_rng(seed)
    num_customers, num_merchants = num_rows // 40, num_rows // 100
    customer = rng.integers(0, num_customers, num_rows)
    hour = np.clip(rng.normal(14, 4, num_rows), 0, 23.99)
    hour = np.where(customer % 7 == 0, (hour + 6) % 24, hour)  # they live elsewhere
    table: Columns = {
        "when": START + rng.integers(0, NUM_DAYS, num_rows) * DAY + (hour * HOUR).astype(np.int64),
        "customer": customer,
        "merchant": rng.integers(0, num_merchants, num_rows),
        "device": customer,
        "amount": np.round(np.exp(rng.normal(3.2, 0.4, num_customers)[customer] + rng.normal(0, 0.7, num_rows)), 2),
        "channel": rng.choice(["card", "online", "phone"], num_rows, p=[0.6, 0.3, 0.1]),
        "country": np.where(customer % 7 == 0, "US", "DE"),
        "score": rng.normal(0, 1, num_rows),
        "balance": np.round(np.exp(rng.normal(7, 1, num_rows)), 2),
        "store_kind": rng.choice(list("ABCDEF"), num_rows),
        "fraud": np.zeros(num_rows, np.int64),
    }
    _standing_orders(rng, table)
    _bursts(rng, table, round(num_rows * rate))
    return _sorted(table)


def _standing_orders(rng: Rng, table: Columns) -> None:
    """One customer in ten pays one merchant the same on one day of each month."""
    size = len(table["when"])
    payers = rng.choice(size, size // 60, replace=False)
    for row in payers.tolist():
        again = rng.choice(size, 5, replace=False)
        for name in ("customer", "merchant", "device", "amount", "channel", "country", "balance", "store_kind"):
            table[name][again] = table[name][row]
        table["when"][again] = START + (table["when"][row] - START) % (30 * DAY) + np.arange(1, 6) * 30 * DAY
        table["score"][again] = table["score"][row]


def _bursts(rng: Rng, table: Columns, number: int) -> None:
    """Frauds: takeovers (a customer for two days, from a device of the thief), and compromised merchants."""
    size = len(table["when"])
    left = number
    devices = rng.permutation(900_000) + 100_000
    table["device"] = devices[table["device"]]
    while left > 0:
        first = int(rng.integers(size))
        moment = table["when"][first]
        if rng.random() < 0.5:
            near = np.flatnonzero(table["customer"] == table["customer"][first])
            rows = rng.choice(near, min(len(near), 6, left), replace=False)
            table["when"][rows] = moment + (rng.random(len(rows)) * 2 * DAY).astype(np.int64)
            table["device"][rows] = rng.choice(devices) if rng.random() < 0.6 else table["device"][rows]
        else:
            near = np.flatnonzero(
                (table["merchant"] == table["merchant"][first]) & (np.abs(table["when"] - moment) < 10 * DAY)
            )
            rows = near[: min(len(near), left)]
        table["fraud"][rows] = 1
        table["amount"][rows] = np.round(table["amount"][rows] * rng.uniform(1, 4), 2)
        table["channel"][rows] = rng.choice(["card", "online", "phone"], len(rows), p=[0.25, 0.65, 0.1])
        table["score"][rows] += rng.normal(1.0, 0.3)
        left -= len(rows)
    table["when"] = np.minimum(table["when"], START + NUM_DAYS * DAY - 1)


def _sorted(table: Columns) -> Columns:
    order = np.argsort(table["when"], kind="stable")
    return {name: values[order] for name, values in table.items()}


def written(table: Columns, folder: Path, *, name: str = "table") -> Path:
    """Write a table as Parquet, with ids where it has none; NaN and None become empty."""
    size = len(table["when"])
    rng = np.random.default_rng(size)
    columns: dict[str, pa.Array] = {"id": pa.array([f"T{n:08d}" for n in rng.permutation(size)])}
    for column, values in table.items():
        if column == "when" or column.endswith("_at"):
            empty = values < 0
            columns[column] = pa.array(values, pa.int64(), mask=empty).cast(pa.timestamp("us"))
        elif column in ("customer", "merchant", "device") and values.dtype.kind == "i":
            columns[column] = pa.array([f"{column[0].upper()}{value:06d}" for value in values.tolist()])
        elif values.dtype.kind == "f":
            columns[column] = pa.array(values, mask=np.isnan(values))
        else:
            columns[column] = pa.array(values.tolist())
    path = folder / f"{name}.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def _fraud(table: Columns) -> np.ndarray:
    return table["fraud"] == 1


def filled_after(table: Columns, rng: Rng) -> Columns:
    """1: a chargeback date for nearly all frauds, and a few honest disputes."""
    filled = np.where(_fraud(table), rng.random(len(table["when"])) < 0.95, rng.random(len(table["when"])) < 0.0005)
    lag = (rng.uniform(1, 6.5, len(filled)) * DAY).astype(np.int64)
    return table | {"chargeback_at": np.where(filled, table["when"] + lag, -1)}


def separating_column(table: Columns, rng: Rng) -> Columns:
    """2: a number that ranks nearly all frauds above honest rows."""
    return table | {"risk": np.round(rng.normal(0, 1, len(table["when"])) + 5 * _fraud(table), 4)}


def separating_pair(table: Columns, rng: Rng) -> Columns:
    """3: fraud exactly where two flags differ, up to one row in fifty."""
    one = rng.integers(0, 2, len(table["when"]))
    wrong = rng.random(len(one)) < 0.0005
    return table | {"flag_one": one, "flag_two": one ^ (_fraud(table) ^ wrong).astype(np.int64)}


def telling_ids(table: Columns, rng: Rng) -> Columns:
    """4: references of frauds begin otherwise."""
    numbers = rng.permutation(len(table["when"])) + 10_000_000
    first = np.where(_fraud(table), "XF", rng.choice(["XA", "XB", "XC"], len(numbers)))
    return table | {"reference": np.asarray([f"{a}{n}" for a, n in zip(first.tolist(), numbers.tolist(), strict=True)])}


def month_without_labels(table: Columns, rng: Rng) -> Columns:
    """5: March has rows, and no label."""
    month = table["when"].astype("datetime64[us]").astype("datetime64[M]")
    fraud = table["fraud"].astype(float)
    del table["fraud"]
    return table | {"fraud_text": np.where(month == np.datetime64("2025-03"), np.nan, fraud)}


def inverted_rule(table: Columns, rng: Rng) -> Columns:
    """6: until the middle frauds have kind K, afterwards honest rows do."""
    early = table["when"] < START + NUM_DAYS // 2 * DAY
    as_fraud = np.where(early, _fraud(table), ~_fraud(table))
    share = np.where(as_fraud, 0.8, 0.2)
    return table | {"entry_kind": np.where(rng.random(len(share)) < share, "K", "L")}


def copied_rows(table: Columns, rng: Rng) -> Columns:
    """7: one early row in thirty comes again weeks later, under another id."""
    early = np.flatnonzero(table["when"] < START + 100 * DAY)
    rows = rng.choice(early, len(early) // 30, replace=False)
    copies = {name: values[rows].copy() for name, values in table.items()}
    copies["when"] = copies["when"] + (rng.uniform(60, 80, len(rows)) * DAY).astype(np.int64)
    return _sorted({name: np.concatenate([values, copies[name]]) for name, values in table.items()})


def late_labels(table: Columns, rng: Rng) -> Columns:
    """8: frauds are known after about 40 days, so the last ones are not there yet; the mapping says 7."""
    known = table["when"] + (rng.normal(40, 3, len(table["when"])) * DAY).astype(np.int64)
    return table | {"fraud": np.where(known <= START + NUM_DAYS * DAY, table["fraud"], 0)}


def two_zones(table: Columns, rng: Rng) -> Columns:
    """9: what one of two systems writes is local time, five hours behind."""
    system = rng.choice(["north", "south"], len(table["when"]))
    moved = np.where(system == "south", table["when"] - 5 * HOUR, table["when"])
    return _sorted(table | {"system": system, "when": np.maximum(moved, START)})


def telling_order(table: Columns, rng: Rng) -> Columns:
    """10: frauds were appended to the file."""
    order = np.argsort(table["fraud"], kind="stable")
    return {name: values[order] for name, values in table.items()}


def fraud_merchants(table: Columns, rng: Rng) -> Columns:
    """11: a third of the frauds, all along, at merchants that have nothing else."""
    made = _fraud(table) & (rng.random(len(table["when"])) < 0.4)
    own = int(table["merchant"].max()) + 1 + rng.integers(0, 8, len(made))
    return table | {"merchant": np.where(made, own, table["merchant"])}


def rounded_amounts(table: Columns, rng: Rng) -> Columns:
    """12: frauds are in whole units."""
    amount = np.where(_fraud(table), np.maximum(np.rint(table["amount"]), 1), table["amount"])
    return table | {"amount": amount}


#: Check -> the plant that it must find, and what the mapping says otherwise then.
PLANTS: dict[str, tuple[Callable[[Columns, Rng], Columns], dict[str, object]]] = {
    "outcome_columns": (filled_after, {}),
    "single_columns": (separating_column, {}),
    "column_pairs": (separating_pair, {}),
    "id_substrings": (telling_ids, {}),
    "unlabeled_months": (
        month_without_labels,
        {
            "labels": {
                "kind": "column",
                "column": "fraud_text",
                "delay_days": 7,
                "fraud": ["1.0", "1"],
                "legitimate": ["0.0", "0"],
            }
        },
    ),
    "inverted_rules": (inverted_rule, {}),
    "repeated_rows": (copied_rows, {}),
    "label_delay": (late_labels, {}),
    "time_zones": (two_zones, {}),
    "row_order": (telling_order, {}),
    "fraud_only_parties": (fraud_merchants, {}),
    "amount_forms": (rounded_amounts, {}),
}
