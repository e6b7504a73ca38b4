"""A mapping says how a user's table becomes transactions and labels: one TOML file, every key checked.

name = "cards"
features = "default"            # a shipped feature spec, or a file
label_maturity_days = 7
attributes = ["country"]        # columns to keep as text

[fields]
transaction_id = "id"           # a column, in short
event_time = { column = "when", zone = "Europe/Paris", format = "%d/%m/%Y %H:%M:%S" }
amount = { column = "sum", unit = "decimal" }
currency = { constant = "EUR" }
kind = { column = "type", values = { "P" = "payment" }, default = "transfer" }

[source]
type = "account"                # one type, or { column = "party_type", allowed = ["account", "merchant"] }
key = "payer"

[target]
type = "merchant"
key = "shop"

[[parties]]
type = "device"
key = "device_id"

[personal]
types = ["account"]

[labels]
kind = "column"
column = "is_fraud"
delay_days = 7
"""

from __future__ import annotations

import codecs
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from ingestion.artifacts import short_hash
from ingestion.contracts import roles_of
from ingestion.errors import MappingError
from ingestion.expressions import hashed_away, parse_expression
from ingestion.features.spec import RESERVED_ROLES, load_spec
from ingestion.label_sources import LabelColumn, LabelFile, LabelSource, as_sources
from ingestion.mapping_fields import (
    AmountField,
    Filter,
    FurtherParty,
    Part,
    PartySource,
    PartyType,
    Text,
    TextField,
    Time,
    TypeColumn,
)
from ingestion.money import CURRENCY_EXPONENTS
from ingestion.numbers import NumberFormat
from ingestion.pan import scrub
from ingestion.resolution.rules import NO_RULES, Resolution

SHIPPED = Path(__file__).with_name("mappings")
#: Cards are always personal: their numbers are PANs (TRUST PCI).
ALWAYS_PERSONAL = frozenset({"card"})


class Fields(Part):
    """Where each field of the contract comes from."""

    transaction_id: Text
    event_time: Time
    known_at: Time | None = None
    amount: AmountField
    currency: Text = TextField(constant="XXX")
    kind: Text = TextField(constant="payment")
    outcome: Text = TextField(constant="approved")
    channel: Text = TextField(constant="unknown")
    refers_to: Text | None = None
    memo: Text | None = None


class Personal(Part):
    """What becomes tokens: party types and attributes."""

    types: tuple[PartyType, ...] = ()
    attributes: tuple[str, ...] = ()


class Rules(Part):
    """What makes a row bad, where tables differ."""

    allow_zero_amount: bool = True
    allow_self_transfer: bool = True
    max_amount_minor: int = Field(100_000_000_000, gt=0, description="Above it an amount is absurd")
    max_future_minutes: int = Field(5, ge=0, description="How far ahead of our clock a time may be")


class RateFile(Part):
    """A table (date, currency, rate, known_at) beside the transactions: what one unit is worth in `base`."""

    file: str
    base: str

    @model_validator(mode="after")
    def _known_currency(self) -> RateFile:
        if self.base not in CURRENCY_EXPONENTS or self.base == "XXX":
            raise ValueError(f"base {self.base!r} is no ISO 4217 code")
        return self


class Mapping(Part):
    """A whole mapping. Read it with `load_mapping`; a snapshot's manifest holds `as_dict()`."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    features: str = "default"
    label_maturity_days: int = Field(7, ge=1)
    alert_party: str = "source"
    delimiter: str = Field(",", min_length=1, max_length=1, description="Of a CSV file")
    encoding: str = Field("utf-8", description="Of a CSV file")
    decimal: Literal[".", ","] = "."
    thousands: Literal["", ".", ",", " ", "'"] = ""
    fields: Fields
    source: PartySource
    target: PartySource
    parties: tuple[FurtherParty, ...] = ()
    attributes: tuple[str, ...] = Field((), description="Columns to keep, as text")
    dropped: tuple[str, ...] = Field((), description="Columns that must not enter")
    personal: Personal = Personal()
    rules: Rules = Rules()
    filters: tuple[Filter, ...] = Field((), description="Which rows are left out, and why")
    rates: RateFile | None = None
    labels: Annotated[tuple[LabelSource, ...], BeforeValidator(as_sources)] = ()
    resolution: Resolution = NO_RULES

    @model_validator(mode="after")
    def _consistent(self) -> Mapping:
        types = [party.type for party in self.parties]
        if len(set(types)) != len(types) or set(RESERVED_ROLES) & set(types):
            raise ValueError(f"each of `parties` needs a type of its own, other than {', '.join(RESERVED_ROLES)}")
        if self.alert_party not in self.roles:
            raise ValueError(f"alert_party {self.alert_party!r} is none of the roles {', '.join(self.roles)}")
        for names, known, what in (
            (self.personal.types, self.party_types, "party type"),
            (self.personal.attributes, self.attributes, "attribute"),
        ):
            if odd := sorted(set(names) - set(known)):
                raise ValueError(f"{odd[0]!r} is no {what}")
        if kept_out := sorted(set(self.dropped) & set(self.read_columns)):
            raise ValueError(f"column {kept_out[0]!r} is `dropped`, and read all the same")
        self._check_text()
        self._check_labels()
        self._check_personal()
        ends = {*self.source.types, *self.target.types}
        self.resolution.check(entities=ends, parties=set(types), attributes=set(self.attributes))
        load_spec(self.features)
        return self

    @property
    def roles(self) -> tuple[str, ...]:
        """source, target, then the further types in alphabetical order."""
        return roles_of([party.type for party in self.parties])

    @property
    def party_types(self) -> tuple[str, ...]:
        """Every entity type that may occur, sorted."""
        further = {party.type for party in self.parties}
        return tuple(sorted(further | set(self.source.types) | set(self.target.types)))

    @property
    def personal_types(self) -> frozenset[str]:
        """Types whose keys become tokens."""
        return frozenset(self.personal.types) | (ALWAYS_PERSONAL & set(self.party_types))

    def _check_text(self) -> None:
        if self.decimal == self.thousands:
            raise ValueError(f"`decimal` and `thousands` are both {self.decimal!r}")
        try:
            plain = codecs.encode(',"\n', self.encoding).decode("ascii") == ',"\n'
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"encoding {self.encoding!r} is not known: utf-8, cp1252 and latin-1 are usual") from error
        if not plain:
            raise ValueError(f"encoding {self.encoding!r} writes commas or line ends otherwise: convert to UTF-8")

    def _check_labels(self) -> None:
        own = [source.column for source in self.labels if isinstance(source, LabelColumn)]
        if len(set(own)) < len(own):
            raise ValueError("two label sources read one column: give each a column of its own")
        for source in self.labels:
            kind = source.entity.type if isinstance(source, LabelFile) and source.entity else None
            if kind is not None and kind not in self.party_types:
                raise ValueError(f"labels speak of {kind!r}, which is no party type of this mapping")

    def _check_personal(self) -> None:
        """A personal value must not leave by another field that is kept as it is, and no card number may be here."""
        if scrub(dumped := self.model_dump_json()) != dumped:
            raise ValueError("it holds a card number, and a mapping is kept: tell such rows by something else")
        personal = self.personal_columns
        for name, field in self._parts.items():
            if name in self._personal_parts:
                continue
            for column in personal.intersection(_read_columns(field)):
                expression = getattr(field, "expression", None)
                if expression is None or not hashed_away(expression, column):
                    raise ValueError(
                        f"{name} shows {column}, which is personal: use the expression hash({column}), or leave it out"
                    )
        for column in sorted(personal.intersection(self.attributes) - set(self.personal.attributes)):
            raise ValueError(f"attribute {column!r} is the key of a personal party: name it in personal.attributes too")

    @property
    def _parts(self) -> dict[str, Any]:
        """Contract field, as in faults -> where it comes from."""
        found: dict[str, Any] = {
            "amount_minor" if name == "amount" else name: field
            for name in Fields.model_fields
            if (field := getattr(self.fields, name)) is not None
        }
        for role, party in (("source", self.source), ("target", self.target)):
            found[f"{role}_key"] = party.key
            if isinstance(party.type, TypeColumn):
                found[f"{role}_type"] = party.type
        return found | {f"parties.{party.type}": party.key for party in self.parties}

    @property
    def _personal_parts(self) -> frozenset[str]:
        """Fields that become tokens."""
        personal = self.personal_types
        ends = {"source_key": self.source, "target_key": self.target}
        keys = {name for name, party in ends.items() if personal & set(party.types)}
        return frozenset(keys | {f"parties.{party.type}" for party in self.parties if party.type in personal})

    @property
    def personal_fields(self) -> frozenset[str]:
        """Fields whose value at fault is masked: something personal is among their columns."""
        personal = self.personal_columns
        return frozenset(name for name, field in self._parts.items() if personal.intersection(_read_columns(field)))

    @property
    def columns(self) -> dict[str, str]:
        """Field of the contract -> column of the transaction table that it is read from, the first of several."""
        read = {name: _read_columns(field) for name, field in self._parts.items()}
        found = {name: columns[0] for name, columns in read.items() if columns}
        found |= {f"attributes.{name}": name for name in self.attributes}
        for source in self.label_columns:
            found.setdefault("label", source.column)
        return found

    @property
    def read_columns(self) -> tuple[str, ...]:
        """Every column of the transaction table that is read, each once."""
        found = list(self.columns.values())
        for field in self._parts.values():
            found += _read_columns(field)
        for kept in self.filters:
            found += parse_expression(kept.keep).columns
        for source in self.label_columns:
            found += source.read_columns
        return tuple(dict.fromkeys(found))

    @property
    def label_columns(self) -> tuple[LabelColumn, ...]:
        """Label sources in the table itself."""
        return tuple(source for source in self.labels if isinstance(source, LabelColumn))

    @property
    def label_files(self) -> dict[str, tuple[LabelFile, ...]]:
        """Files of labels by name, each with its sources."""
        sources = [source for source in self.labels if isinstance(source, LabelFile)]
        return {source.file: tuple(s for s in sources if s.file == source.file) for source in sources}

    @property
    def labels_transactions(self) -> bool:
        """Whether any source labels transactions: only then do they mature."""
        return any(isinstance(source, LabelColumn) or source.entity is None for source in self.labels)

    @property
    def numbers(self) -> NumberFormat:
        """How numbers are written in texts."""
        return NumberFormat(decimal=self.decimal, thousands=self.thousands)

    @property
    def personal_columns(self) -> frozenset[str]:
        """Columns of the table whose values are masked in the quarantine."""
        personal = self.personal_types
        parties = [party for party in (self.source, self.target) if personal & set(party.types)]
        keys = {column for party in parties for column in party.key.columns}
        keys |= {column for party in self.parties if party.type in personal for column in party.key.columns}
        return frozenset(keys | set(self.personal.attributes))

    def check_columns(self, available: Sequence[str], *, table: str) -> None:
        """Raise `MappingError` when a column that the mapping names is not in the table."""
        require_columns(self.name, self.read_columns, available, table=table)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for a manifest; `Mapping.model_validate` reads it back."""
        return self.model_dump(mode="json")

    @property
    def digest(self) -> str:
        """Hash of the mapping: a lineage keeps to one."""
        return short_hash(self.as_dict())


def _read_columns(field: Any) -> tuple[str, ...]:
    columns: tuple[str, ...] = field.read_columns if hasattr(field, "read_columns") else field.columns
    return columns


def require_columns(mapping: str, wanted: Iterable[str], available: Sequence[str], *, table: str) -> None:
    """Raise `MappingError` naming the columns that a table lacks and those that it has."""
    if missing := sorted(set(wanted) - set(available)):
        raise MappingError(
            f"Mapping {mapping!r} names column{'s' if len(missing) > 1 else ''} {', '.join(missing)}, not in {table}.",
            remedy=f"Columns that exist: {scrub(', '.join(available))}. Mend the mapping, or name another.",
        )


def mapping_path(name_or_path: str | Path) -> Path:
    """The file of a mapping: a shipped one by name, else the path itself, which may not be there."""
    shipped = SHIPPED / f"{name_or_path}.toml"
    return shipped if shipped.exists() else Path(name_or_path)


def load_mapping(name_or_path: str | Path) -> Mapping:
    """A shipped mapping by name (`ringfence`, `fraud-handbook`) or a TOML file by path.

    Raises `MappingError` naming the key, the value and the remedy.
    """
    path = mapping_path(name_or_path)
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.toml")))
        raise MappingError(f"There is no mapping {str(name_or_path)!r}.", remedy=f"Shipped: {known}; or give a file.")
    try:
        return Mapping.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise MappingError(
            f"{scrub(path.name)} is not valid TOML: {scrub(str(error))}.", remedy="Mend the file."
        ) from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the mapping"
        message = scrub(first["msg"].removeprefix("Value error, "))
        raise MappingError(f"{scrub(path.name)}: {key} is refused: {message}.", remedy="Mend the mapping.") from None
