"""Snapshots for tests, built without Spark from logical rows by the array path of the feature kernels.

    rows, labels = random_rows(2_000, seed=1)
    snapshot = build_snapshot(Workspace.open(tmp_path), rows, labels=labels)

Times are µs since 1970. A row is a dictionary with the fields of `contracts.TRANSACTION`; `transaction(...)` and
`label(...)` fill in what a test does not care about.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ingestion.artifacts import canonical_json, publish, short_hash, staging, write_parquet
from ingestion.contracts import (
    ENTITY,
    LABEL,
    LABEL_ORIGINS,
    LINK,
    MICROSECONDS_PER_DAY,
    TIMESTAMP,
    TRANSACTION,
    PartyRef,
    roles_of,
)
from ingestion.features.batch import Events, LabelRows, event_features, scales, table_features
from ingestion.features.spec import FeatureSpec, load_spec
from ingestion.labels import LabelEvents, matured_labels
from ingestion.money import exponent
from ingestion.snapshot import Snapshot
from ingestion.workspace import Workspace

Row = dict[str, Any]
Ints = NDArray[np.int64]

DAY = MICROSECONDS_PER_DAY
HOUR = DAY // 24
#: 2025-01-06 00:00 UTC, a Monday: where `transaction` and `random_rows` begin.
START = 1_736_121_600_000_000


def transaction(
    transaction_id: str,
    event_time: int,
    source: str,
    target: str,
    amount_minor: int = 1_000,
    *,
    known_at: int | None = None,
    parties: Iterable[str] = (),
    **fields: Any,
) -> Row:
    """A logical row; parties as `type:key`, e.g. `transaction("t1", START, "account:A", "merchant:M")`."""
    payer, payee = PartyRef.parse(source), PartyRef.parse(target)
    return {
        "transaction_id": transaction_id,
        "event_time": event_time,
        "known_at": event_time if known_at is None else known_at,
        "source_type": payer.type,
        "source_key": payer.key,
        "target_type": payee.type,
        "target_key": payee.key,
        "refers_to": None,
        "amount_minor": amount_minor,
        "currency": "EUR",
        "kind": "payment",
        "outcome": "approved",
        "channel": "online",
        "parties": [vars(PartyRef.parse(party)) for party in parties],
        "attributes": {},
        "memo": None,
    } | fields


def label(transaction_id: str, known_at: int, value: str = "fraud", *, origin: str = "chargeback") -> Row:
    """A logical label row."""
    return {
        "transaction_id": transaction_id,
        "entity_type": None,
        "entity_key": None,
        "label": value,
        "known_at": known_at,
        "origin": origin,
        "reviewer": None,
        "reason": None,
    }


def link(
    a: str, b: str, known_at: int, *, rule: str = "same-device", identifier: str = "device:d", **fields: Any
) -> Row:
    """A logical link row; `revoked_at` and `reason` as fields."""
    ends = sorted((a, b), key=str.encode)
    row = {"rule": rule, "identifier": identifier, "known_at": known_at, "shared_at": known_at}
    return row | {"a": ends[0], "b": ends[1], "revoked_at": None, "reason": None, "hub_at": None} | fields


def build_snapshot(
    workspace: Workspace,
    rows: Sequence[Row] | pa.Table,
    *,
    labels: Sequence[Row] | pa.Table = (),
    parent: Snapshot | None = None,
    roles: tuple[str, ...] | None = None,
    spec: FeatureSpec | str = "default",
    maturity_days: int = 7,
    lineage: str = "lineage-test",
    alert_party: str = "source",
    mapping: Row | None = None,
    unreviewed_alerts: Collection[str] = (),
    links: Sequence[Row] = (),
    two_way: bool | None = None,
    set_current: bool = True,
) -> Snapshot:
    """Publish a snapshot of the rows and labels, after the parent's when there is one, as an ingest would.

    Entities keep the parent's ids; `batch` is 1, or the parent's plus one. Labels mature after `maturity_days`.
    `links` (see `link`) are all that it has, its parent's are not kept.
    `two_way` is whether a type may be on both ends; unset, whether one is.
    `mapping` is what the manifest holds (`Mapping.as_dict()`), for code that reads it.
    """
    before = parent.transactions(TRANSACTION.names) if parent else TRANSACTION.empty_table()
    table = _in_sequence(pa.concat_tables([before, _table(rows, TRANSACTION)]))
    if roles is None:
        roles = roles_of([party["type"] for parties in table.column("parties").to_pylist() for party in parties])
    both_ends = _is_two_way(table) if two_way is None else two_way
    wide_spec = (load_spec(spec) if isinstance(spec, str) else spec).for_roles(roles, two_way=both_ends)
    entities, entity_NR = _entities(table, roles, parent)
    explicit = _table(labels, LABEL)
    if parent:
        old = parent.labels()
        explicit = pa.concat_tables([old.filter(pc.not_equal(old.column("origin"), "matured")), explicit])
    all_labels = _with_matured(table, explicit, maturity_days, unreviewed_alerts)
    features = _features(table, wide_spec, roles, entity_NR, all_labels)
    for index, role in enumerate(roles):
        dense = pa.array(entity_NR[:, index], mask=entity_NR[:, index] < 0)
        table = table.append_column(pa.field(f"entity_{role}", pa.int64()), dense)
    rows_hash = _rows_hash(table.select(TRANSACTION.names))
    parent_id = parent.id if parent else None
    labels_hash = _rows_hash(all_labels)
    snapshot_id = "snap-" + short_hash(
        [rows_hash, labels_hash, wide_spec.as_dict(), parent_id, lineage, *links], length=16
    )
    manifest = {
        "id": snapshot_id,
        "lineage": lineage,
        "parent": parent_id,
        "batch": parent.manifest["batch"] + 1 if parent else 1,
        "mapping": mapping or {"name": "builder"},
        "alert_party": alert_party,
        "label_maturity_days": maturity_days,
        "feature_spec": wide_spec.as_dict(),
        "roles": list(roles),
        "num_transactions": table.num_rows,
        "num_entities": {row["values"]: row["counts"] for row in pc.value_counts(entities.column("type")).to_pylist()},
        "num_labels": all_labels.num_rows,
        "num_quarantined": 0,
        "num_duplicates": 0,
        "first_event_time": _extreme(table, "event_time", "min"),
        "last_event_time": _extreme(table, "event_time", "max"),
        "horizon": _extreme(table, "available_at", "max"),
        "rows_hash": rows_hash,
        "sources": [],
        "code_version": "test",
        "schema": {field.name: str(field.type) for field in table.schema},
    }
    with staging(workspace.snapshots, prefix="snapshot") as folder:
        write_parquet(table, folder / "transactions" / "part-0.parquet")
        write_parquet(features, folder / "features" / "part-0.parquet")
        write_parquet(entities, folder / "entities" / "part-0.parquet")
        write_parquet(all_labels, folder / "labels" / "part-0.parquet")
        if links:
            write_parquet(_links(links, entities), folder / "links" / "part-0.parquet")
        path = publish(folder, workspace.snapshots / snapshot_id, manifest, fail_point="snapshot")
    if set_current:
        workspace.set_current_snapshot(snapshot_id)
    return Snapshot.at(path)


def random_rows(
    num: int,
    seed: int = 0,
    *,
    days: int = 70,
    num_accounts: int | None = None,
    num_merchants: int | None = None,
    fraud_rate: float = 0.02,
    late_share: float = 0.02,
    self_transfers: float = 0.002,
) -> tuple[list[Row], list[Row]]:
    """Random logical rows and explicit labels, the same for the same arguments.

    In them: two currencies, late arrivals (up to 3 days), payments, transfers (a few to the payer itself),
    refunds of earlier payments, declines, zero amounts, equal times, devices, ips and cards as further parties.
    A tenth of the merchants is compromised in some weeks, where most fraud happens (so it can be learned); its
    labels come some days later, a few say legitimate.
    """
    rng = np.random.default_rng(seed)
    accounts, merchants = num_accounts or max(4, num // 25), num_merchants or max(3, num // 100)
    times = np.sort(rng.integers(0, days * DAY // HOUR * 4, num)) * (HOUR // 4) + START  # quarter hours: ties happen
    bad_week = rng.random((merchants, days // 7 + 1)) < np.where(rng.random(merchants) < 0.1, 0.6, 0.0)[:, None]
    popularity = 1 / np.arange(1, merchants + 1)
    merchant_of = rng.choice(merchants, num, p=popularity / popularity.sum())
    account_of = rng.integers(0, accounts, num)
    dice, other = rng.random((num, 7)), rng.integers(0, accounts, num)
    amounts = np.exp(rng.normal(7.5, 1.0, num)).astype(np.int64)
    delay = rng.integers(0, 3 * DAY, num)
    rows: list[Row] = []
    labels: list[Row] = []
    payments: list[Row] = []
    for i in range(num):
        time, account, merchant = int(times[i]), int(account_of[i]), int(merchant_of[i])
        bad = bool(bad_week[merchant, (time - START) // (7 * DAY)])
        is_fraud = dice[i, 0] < (min(0.8, fraud_rate * 20) if bad else fraud_rate / 4)
        row = transaction(
            f"t{seed}-{rng.integers(1 << 40):010x}-{i}", time, f"account:a{account}", f"merchant:m{merchant}"
        )
        row["amount_minor"] = int(amounts[i]) * (3 if is_fraud else 1)
        row["currency"] = "USD" if account % 3 == 0 else "EUR"
        if dice[i, 1] < late_share:
            row["known_at"] = time + int(delay[i])
        if dice[i, 2] < 0.15 and not bad:
            payee = account if dice[i, 3] < self_transfers / 0.15 else int(other[i])
            row |= {"kind": "transfer", "channel": "transfer", "target_type": "account", "target_key": f"a{payee}"}
        elif dice[i, 2] > 0.97 and payments:
            paid = payments[int(dice[i, 3] * len(payments))]
            row |= {"kind": "refund", "refers_to": paid["transaction_id"], "currency": paid["currency"]}
            row |= {"source_type": paid["target_type"], "source_key": paid["target_key"]}
            row |= {"target_type": paid["source_type"], "target_key": paid["source_key"]}
            row["amount_minor"] = paid["amount_minor"]
            is_fraud = False
        else:
            row["parties"] = _random_parties(account, dice[i, 4:], accounts)
            payments.append(row)
        if dice[i, 5] > 0.95:
            row["outcome"] = "declined"
        if dice[i, 6] > 0.98:
            row |= {"amount_minor": 0, "kind": "authorisation"} if row["kind"] == "payment" else {}
        rows.append(row)
        if is_fraud or dice[i, 3] > 0.995:
            origin = "chargeback" if is_fraud else "analyst"
            value = "fraud" if is_fraud else "legitimate"
            known_at = max(time, row["known_at"]) + int(DAY * (0.5 + 9 * dice[i, 1]))
            labels.append(label(row["transaction_id"], known_at, value, origin=origin))
    return rows, labels


def _random_parties(account: int, dice: NDArray[np.float64], accounts: int) -> list[dict[str, str]]:
    """A card always; a device and an ip mostly the account's own, sometimes a shared one; none in a shop."""
    parties = [{"type": "card", "key": f"c{account}"}]
    if dice[0] < 0.6:
        shared = dice[1] < 0.1
        home = int(dice[2] * max(1, accounts // 20)) if shared else account
        kind = "s" if shared else "h"
        parties += [{"type": "device", "key": f"d{kind}{home}"}, {"type": "ip", "key": f"10.{kind}.{home // 2}"}]
    return parties


def _table(rows: Sequence[Row] | pa.Table, schema: pa.Schema) -> pa.Table:
    if isinstance(rows, pa.Table):
        return rows.select(schema.names).cast(schema)
    plain = [
        row | {"attributes": list((row.get("attributes") or {}).items())} if "attributes" in schema.names else row
        for row in rows
    ]
    return pa.Table.from_pylist(plain, schema=schema)


def _in_sequence(table: pa.Table) -> pa.Table:
    """Transactions by (available_at, event_time, id as bytes), with their `available_at`."""
    event_time, known_at = _ints(table, "event_time"), _ints(table, "known_at")
    available_at = np.maximum(event_time, known_at)
    ids = np.asarray([text.encode() for text in table.column("transaction_id").to_pylist()], dtype="S")
    assert len(set(ids.tolist())) == len(ids), "transaction ids must be unique"
    field = pa.field("available_at", TIMESTAMP, nullable=False)
    table = table.append_column(field, pa.array(available_at).cast(TIMESTAMP))
    return table.take(np.lexsort((ids, event_time, available_at)))


def _entities(table: pa.Table, roles: tuple[str, ...], parent: Snapshot | None) -> tuple[pa.Table, Ints]:
    """Entities by dense id (the parent's first, then by first appearance), and (N, R) ids, -1 where absent."""
    old = parent.entities().to_pylist() if parent else []
    known: dict[tuple[str, str], int] = {(row["type"], row["key"]): row["entity_id"] for row in old}
    first: dict[int, int] = {}
    entity_NR = np.full((table.num_rows, len(roles)), -1, np.int64)
    available = _ints(table, "available_at")
    columns = ["source_type", "source_key", "target_type", "target_key", "parties"]
    for position, row in enumerate(zip(*(table.column(name).to_pylist() for name in columns), strict=True)):
        parties = {"source": row[0:2], "target": row[2:4]} | {p["type"]: (p["type"], p["key"]) for p in row[4]}
        for index, role in enumerate(roles):
            if role in parties:
                dense = known.setdefault(parties[role], len(known))
                entity_NR[position, index] = dense
                first.setdefault(dense, int(available[position]))
    rows = [
        {"entity_id": dense, "type": kind, "key": key, "first_known_at": first[dense]}
        for (kind, key), dense in known.items()
    ]
    return pa.Table.from_pylist(rows, schema=ENTITY), entity_NR


def _links(links: Sequence[Row], entities: pa.Table) -> pa.Table:
    dense = {f"{row['type']}:{row['key']}": row["entity_id"] for row in entities.to_pylist()}
    rows = []
    for one in links:
        ends = {}
        for name in ("a", "b"):
            ref = PartyRef.parse(one[name])
            ends |= {f"{name}_id": dense[one[name]], f"{name}_type": ref.type, f"{name}_key": ref.key}
        rows.append({key: value for key, value in one.items() if key not in ("a", "b")} | ends)
    rows.sort(key=lambda row: (row["a_id"], row["b_id"], row["rule"], row["identifier"], row["known_at"]))
    return pa.Table.from_pylist(rows, schema=LINK)


def _with_matured(table: pa.Table, explicit: pa.Table, maturity_days: int, unreviewed: Collection[str]) -> pa.Table:
    """Explicit and matured labels in sequence order."""
    event_time, available_at = _ints(table, "event_time"), _ints(table, "available_at")
    ids = table.column("transaction_id").to_pylist()
    approved = pc.equal(table.column("outcome"), "approved").to_numpy()
    matured = matured_labels(
        event_time=event_time,
        available_at=available_at,
        can_mature=approved & np.asarray([name not in unreviewed for name in ids], bool),
        labels=_label_events(table, explicit),
        maturity=maturity_days * DAY,
        horizon=int(available_at.max(initial=0)),
    )
    rows = [
        label(ids[position], int(known_at), "legitimate", origin="matured")
        for position, known_at in zip(matured.position, matured.known_at, strict=True)
    ]
    every = pa.concat_tables([explicit, pa.Table.from_pylist(rows, schema=LABEL)])
    names = np.asarray([(text or "").encode() for text in every.column("transaction_id").to_pylist()], dtype="S")
    strength = _codes(every, "origin", LABEL_ORIGINS)
    return every.take(np.lexsort((strength, names, _ints(every, "known_at"))))


def _label_events(table: pa.Table, labels: pa.Table) -> LabelEvents:
    ids = table.column("transaction_id").combine_chunks()
    position = pc.index_in(labels.column("transaction_id").combine_chunks(), value_set=ids)
    assert position.null_count == 0, "a label names a transaction that is not there"
    return LabelEvents(
        position=position.to_numpy(zero_copy_only=False).astype(np.int64),
        known_at=_ints(labels, "known_at"),
        is_fraud=pc.equal(labels.column("label"), "fraud").to_numpy(),
        origin=_codes(labels, "origin", LABEL_ORIGINS),
    )


def _is_two_way(table: pa.Table) -> bool:
    """Whether some type of party is both source and target."""
    return bool(set(table.column("source_type").to_pylist()) & set(table.column("target_type").to_pylist()))


def _features(
    table: pa.Table, spec: FeatureSpec, roles: tuple[str, ...], entity_NR: Ints, labels: pa.Table
) -> pa.Table:
    """The features folder's table, through the same kernels as the Spark job."""
    currencies = sorted(set(table.column("currency").to_pylist()))
    exponents = np.asarray([exponent(code) for code in currencies] or [2], np.int64)
    currency = _codes(table, "currency", currencies)
    events = _label_events(table, labels)
    event_time, amount_minor = _ints(table, "event_time"), _ints(table, "amount_minor")
    columns: dict[str, Any] = {"transaction_id": table.column("transaction_id")}
    own = event_features(
        spec,
        event_time=event_time,
        amount_minor=amount_minor,
        exponent=exponents[currency],
        kind=table.column("kind").to_numpy(),
        outcome=table.column("outcome").to_numpy(),
    )
    transactions = Events(
        position=np.arange(table.num_rows),
        event_time=event_time,
        available_at=_ints(table, "available_at"),
        amount_minor=amount_minor,
        currency=currency,
        declined=(table.column("outcome").to_numpy() == "declined").astype(np.int64),
        entity=entity_NR,
    )
    known = LabelRows(
        position=events.position,
        known_at=events.known_at,
        is_fraud=events.is_fraud.astype(np.int64),
        unusual=np.zeros(len(events.position), np.int64),
        entity=entity_NR[events.position],
    )
    matrix = table_features(spec, transactions, known, own=own, roles=roles, scale=scales(exponents.tolist()))
    columns |= {name: matrix[:, index] for index, name in enumerate(spec.names)}
    return pa.table({name: columns[name] for name in ["transaction_id", *spec.names]})


def _rows_hash(table: pa.Table) -> str:
    """Sum of the rows' SHA-256 modulo 2^256, in hex: no order in it."""
    times = [field.name for field in table.schema if pa.types.is_timestamp(field.type)]
    for name in times:
        at = table.schema.get_field_index(name)
        table = table.set_column(at, name, table.column(name).cast(pa.int64()))
    digests = (hashlib.sha256(canonical_json(row)).digest() for row in table.to_pylist())
    return f"{sum(int.from_bytes(digest) for digest in digests) % (1 << 256):064x}"


def _ints(table: pa.Table, name: str) -> Ints:
    return table.column(name).cast(pa.int64()).to_numpy()


def _codes(table: pa.Table, name: str, values: Sequence[str]) -> Ints:
    found = pc.index_in(table.column(name).combine_chunks(), value_set=pa.array(list(values), pa.string()))
    return found.to_numpy(zero_copy_only=False).astype(np.int64)


def _extreme(table: pa.Table, name: str, function: str) -> int | None:
    return None if table.num_rows == 0 else int(getattr(_ints(table, name), function)())
