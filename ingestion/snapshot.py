"""A snapshot: the immutable, verified data that everything downstream reads.

snapshots/snap-<16 hex>/
  manifest.json      id, lineage, parent, batch, mapping, spec, roles, counts, time span, hashes, files
  transactions/      TRANSACTION_AT_REST + entity_<role>, sorted by the sequence over the files in name order
  features/          transaction_id + one float32 column a feature, row for row with transactions
  entities/          ENTITY by entity_id
  labels/            LABEL, explicit and matured, in sequence order; those of entities have no transaction_id
  rates/             RATE (ingestion/rates.py), where the mapping names rates
  quarantine/        QUARANTINE (may be absent)
  profile.json       what the last days look like, and the drift against the parent
  links/             LINK by (a_id, b_id, rule, identifier, known_at); absent, as the two below, without link rules
  hubs/              HUB
  components/        COMPONENT by entity_id, of the links that hold at the end of the data
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ingestion.artifacts import read_parquet, verify
from ingestion.contracts import COMPONENT, HUB, LABEL_ORIGINS, LINK
from ingestion.errors import DataContractError
from ingestion.features.spec import FeatureSpec
from ingestion.labels import EntityLabelEvents, LabelEvents
from ingestion.money import CURRENCY_EXPONENTS
from ingestion.rates import Rates
from ingestion.resolution.components import component_table, holding
from ingestion.workspace import Workspace

Ints = NDArray[np.int64]

PROFILE = "profile.json"


@dataclass(frozen=True, kw_only=True)
class TransactionArrays:
    """N transactions in the order of the sequence: a row's index is its position.

    `entity` (N, R) int64 dense ids by role, -1 where absent; `currency` (N,) codes into `currencies`;
    `kind`, `outcome` (N,) object arrays of short strings; times in µs.
    """

    event_time: Ints
    available_at: Ints
    amount_minor: Ints
    currency: Ints
    currencies: tuple[str, ...]
    kind: NDArray[np.object_]
    outcome: NDArray[np.object_]
    entity: Ints
    roles: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.event_time)

    @property
    def exponents(self) -> Ints:
        """Minor-unit digits of each of `currencies`, (C,)."""
        return np.asarray([CURRENCY_EXPONENTS[code] for code in self.currencies], np.int64)


@dataclass(frozen=True)
class Snapshot:
    """One published snapshot. Open it with `Snapshot.open`, which verifies every file first."""

    path: Path
    manifest: dict[str, Any]

    @classmethod
    def open(cls, workspace: Workspace, snapshot_id: str | None = None) -> Snapshot:
        """The named snapshot, or the newest. Raises `DataContractError` when there is none, `ArtifactError`
        when a file differs from its manifest."""
        wanted = snapshot_id or workspace.current_snapshot()
        if wanted is None:
            raise DataContractError(
                f"{workspace.root} has no snapshot yet.", remedy="Run `ringfence data ingest FILE --mapping NAME`."
            )
        return cls.at(workspace.snapshots / wanted)

    @classmethod
    def at(cls, path: Path) -> Snapshot:
        """The snapshot in a folder, verified."""
        return cls(path, verify(path))

    @property
    def id(self) -> str:
        return str(self.manifest["id"])

    @property
    def roles(self) -> tuple[str, ...]:
        return tuple(self.manifest["roles"])

    @property
    def spec(self) -> FeatureSpec:
        """The feature spec, its `*` already spelled out for `roles`."""
        return FeatureSpec.from_dict(self.manifest["feature_spec"])

    def transactions(self, columns: list[str] | None = None) -> pa.Table:
        """Transactions in sequence order."""
        return read_parquet(self.path / "transactions", columns)

    def entities(self) -> pa.Table:
        """Entities by dense id."""
        return read_parquet(self.path / "entities")

    def labels(self) -> pa.Table:
        """Labels, explicit and matured, in sequence order."""
        return read_parquet(self.path / "labels")

    @cached_property
    def rates(self) -> Rates | None:
        """Rates into the base currency, None when the mapping names none."""
        base = self.manifest.get("base_currency")
        return None if base is None else Rates.at(self.path / "rates", str(base))

    def quarantine(self) -> pa.Table | None:
        """Quarantined rows, None when there are none."""
        folder = self.path / "quarantine"
        return read_parquet(folder) if folder.exists() else None

    def links(self, as_of: int | None = None) -> pa.Table:
        """Links between entities (LINK); those that held as of a time in µs, or every period of all."""
        table = self._optional("links", LINK)
        return table if as_of is None else holding(table, as_of)

    def hubs(self) -> pa.Table:
        """Identifiers that too many entities share to link them (HUB)."""
        return self._optional("hubs", HUB)

    def components(self, as_of: int | None = None) -> pa.Table:
        """Connected components (COMPONENT) of the links as of a time in µs; by default at the end of the data."""
        if as_of is None or as_of == self.manifest["horizon"]:
            return self._optional("components", COMPONENT)
        return component_table(self.links(as_of))

    def _optional(self, name: str, schema: pa.Schema) -> pa.Table:
        folder = self.path / name
        return read_parquet(folder) if folder.exists() else schema.empty_table()

    def profile(self) -> dict[str, Any] | None:
        """The stored `profile` and `drift` (None without a parent); None for a snapshot that an older version made."""
        path = self.path / PROFILE
        return orjson.loads(path.read_bytes()) if path.exists() else None

    def features(self) -> NDArray[np.float32]:
        """(N, F) float32 in the order of `spec.names`."""
        table = read_parquet(self.path / "features", self.spec.names)
        matrix = np.empty((table.num_rows, len(self.spec.names)), np.float32)
        for index, name in enumerate(self.spec.names):
            matrix[:, index] = table.column(name).to_numpy()
        return matrix

    @cached_property
    def transaction_ids(self) -> pa.Array:
        """(N,) transaction ids in sequence order."""
        column = self.transactions(["transaction_id"]).column("transaction_id")
        return pa.concat_arrays(column.chunks) if column.num_chunks != 1 else column.chunk(0)

    @cached_property
    def arrays(self) -> TransactionArrays:
        """The numeric columns as arrays."""
        entity_columns = [f"entity_{role}" for role in self.roles]
        table = self.transactions(
            ["event_time", "available_at", "amount_minor", "currency", "kind", "outcome", *entity_columns]
        )
        currency = pc.dictionary_encode(table.column("currency").combine_chunks())
        if isinstance(currency, pa.ChunkedArray):
            currency = currency.combine_chunks()
        entity = np.stack(
            [pc.fill_null(table.column(name), -1).to_numpy().astype(np.int64) for name in entity_columns], axis=1
        )
        return TransactionArrays(
            event_time=_microseconds(table.column("event_time")),
            available_at=_microseconds(table.column("available_at")),
            amount_minor=table.column("amount_minor").to_numpy(),
            currency=currency.indices.to_numpy(zero_copy_only=False).astype(np.int64),
            currencies=tuple(currency.dictionary.to_pylist()),
            kind=table.column("kind").to_numpy(),
            outcome=table.column("outcome").to_numpy(),
            entity=entity,
            roles=self.roles,
        )

    @cached_property
    def feature_arrays(self) -> TransactionArrays:
        """The numeric columns as features see them: amounts in the base currency where a rate was known."""
        arrays, rates = self.arrays, self.rates
        if rates is None:
            return arrays
        base = self.transactions(["amount_base_minor"]).column("amount_base_minor")
        has_rate = pc.is_valid(base).to_numpy()
        currencies = tuple(sorted({*arrays.currencies, rates.base}))
        codes = np.asarray([currencies.index(code) for code in arrays.currencies], np.int64)[arrays.currency]
        return replace(
            arrays,
            amount_minor=np.where(has_rate, pc.fill_null(base, 0).to_numpy(), arrays.amount_minor),
            currency=np.where(has_rate, currencies.index(rates.base), codes),
            currencies=currencies,
        )

    @cached_property
    def entity_label_events(self) -> EntityLabelEvents:
        """Labels of entities in order of `known_at`, then type and key."""
        table = self.labels()
        table = table.filter(pc.is_valid(table.column("entity_key")))
        entities = self.entities()
        names = pc.binary_join_element_wise(entities.column("type"), entities.column("key"), ":").combine_chunks()
        wanted = pc.binary_join_element_wise(table.column("entity_type"), table.column("entity_key"), ":")
        entity = pc.index_in(wanted.combine_chunks(), value_set=names)
        origin = pc.index_in(table.column("origin").combine_chunks(), value_set=pa.array(LABEL_ORIGINS))
        return EntityLabelEvents(
            entity=entities.column("entity_id").take(entity).to_numpy().astype(np.int64),
            known_at=_microseconds(table.column("known_at")),
            is_fraud=pc.equal(table.column("label"), "fraud").to_numpy(),
            origin=origin.to_numpy(zero_copy_only=False).astype(np.int64),
            for_training=pc.fill_null(table.column("for_training"), True).to_numpy(),
        )

    @cached_property
    def label_events(self) -> LabelEvents:
        """Labels of transactions in sequence order."""
        table = self.labels()
        table = table.filter(pc.is_valid(table.column("transaction_id")))
        position = pc.index_in(table.column("transaction_id").combine_chunks(), value_set=self.transaction_ids)
        origin = pc.index_in(table.column("origin").combine_chunks(), value_set=pa.array(LABEL_ORIGINS))
        return LabelEvents(
            position=position.to_numpy(zero_copy_only=False).astype(np.int64),
            known_at=_microseconds(table.column("known_at")),
            is_fraud=pc.equal(table.column("label"), "fraud").to_numpy(),
            origin=origin.to_numpy(zero_copy_only=False).astype(np.int64),
        )

    @cached_property
    def not_for_training(self) -> Ints:
        """Positions of the transactions with a label that no model may train on, whatever else is said of them."""
        table = read_parquet(self.path / "labels", ["transaction_id", "for_training"])
        forbidden = table.filter(pc.invert(pc.fill_null(table.column("for_training"), True)))
        position = pc.index_in(forbidden.column("transaction_id").drop_null(), value_set=self.transaction_ids)
        return np.unique(position.to_numpy().astype(np.int64))


def _microseconds(column: pa.ChunkedArray) -> Ints:
    values: Ints = column.cast(pa.int64()).to_numpy()
    return values
