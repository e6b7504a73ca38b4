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

import re
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from ingestion.artifacts import short_hash
from ingestion.contracts import roles_of
from ingestion.errors import MappingError
from ingestion.features.spec import load_spec
from ingestion.resolution.rules import NO_RULES, Resolution

SHIPPED = Path(__file__).with_name("mappings")
#: Cards are always personal: their numbers are PANs (TRUST PCI).
ALWAYS_PERSONAL = frozenset({"card"})
#: Numeric forms of a time, as a count since 1970, and the µs in one unit.
EPOCH_UNITS = {"epoch_seconds": 1_000_000, "epoch_milliseconds": 1_000, "epoch_microseconds": 1}

_TYPE = re.compile(r"[a-z][a-z0-9_]{0,62}")


def _party_type(value: str) -> str:
    if not _TYPE.fullmatch(value):
        raise ValueError(f"{value!r} is no party type: lower-case letters, digits and _, a letter first")
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"{value!r} is no time zone: name one such as UTC or Europe/Paris") from error
    return value


def _column_in_short(value: Any) -> Any:
    return {"column": value} if isinstance(value, str) else value


PartyType = Annotated[str, AfterValidator(_party_type)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TextField(_Part):
    """A contract field of text: a column, a constant, or a column with values to translate."""

    column: str | None = None
    constant: str | None = None
    values: dict[str, str] = Field(default_factory=dict, description="What the column says -> what the contract says")
    default: str | None = Field(None, description="Taken where the column is empty, or says nothing that `values` has")

    @model_validator(mode="after")
    def _one_origin(self) -> TextField:
        if (self.column is None) == (self.constant is None):
            raise ValueError("give either `column` or `constant`")
        return self


class TimeField(_Part):
    """A time: its column, the zone of times that carry none, and its form."""

    column: str
    zone: Annotated[str, AfterValidator(_zone)] | None = Field(None, description="Zone of times without an offset")
    format: str = Field("iso", description="iso, epoch_seconds, epoch_milliseconds, epoch_microseconds or strptime's")


class AmountField(_Part):
    """An amount: int64 minor units, or decimal major units of its currency."""

    column: str
    unit: Literal["minor", "decimal"]
    rounding: Literal["refuse", "half_even"] = Field("refuse", description="For digits that the currency has not")


class TypeColumn(_Part):
    """A party type read from a column; what is not in `allowed` is a bad row."""

    column: str
    allowed: tuple[PartyType, ...] = Field(min_length=1)
    values: dict[str, str] = Field(default_factory=dict)


Text = Annotated[TextField, BeforeValidator(_column_in_short)]
Time = Annotated[TimeField, BeforeValidator(_column_in_short)]


class Fields(_Part):
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


class PartySource(_Part):
    """The source or the target: its type, and the column of its key."""

    type: PartyType | TypeColumn
    key: str

    @property
    def types(self) -> tuple[str, ...]:
        """All types that it may have."""
        return self.type.allowed if isinstance(self.type, TypeColumn) else (self.type,)


class FurtherParty(_Part):
    """One more party of the transaction; an empty key means that there is none."""

    type: PartyType
    key: str


class Personal(_Part):
    """What becomes tokens: party types and attributes."""

    types: tuple[PartyType, ...] = ()
    attributes: tuple[str, ...] = ()


class Rules(_Part):
    """What makes a row bad, where tables differ."""

    allow_zero_amount: bool = True
    allow_self_transfer: bool = True
    max_amount_minor: int = Field(100_000_000_000, gt=0, description="Above it an amount is absurd")
    max_future_minutes: int = Field(5, ge=0, description="How far ahead of our clock a time may be")


class LabelColumn(_Part):
    """A label in the table itself, known `delay_days` after the event for both classes alike."""

    kind: Literal["column"]
    column: str
    fraud: tuple[str, ...] = ("1", "true", "True")
    legitimate: tuple[str, ...] = ("0", "false", "False")
    delay_days: int = Field(ge=0)
    origin: Literal["analyst", "chargeback", "rule"] = "chargeback"


class LabelFile(_Part):
    """A file of labels beside the transactions, with a time of its own for each label."""

    kind: Literal["file"]
    file: str = Field(description="Name of the file in the folder of the transactions")
    optional: bool = True
    transaction_id: str = "transaction_id"
    label: Text = TextField(column="label")
    known_at: Time = TimeField(column="known_at")
    origin: Text = TextField(column="origin")
    reviewer: str | None = None
    reason: str | None = None


class Mapping(_Part):
    """A whole mapping. Read it with `load_mapping`; a snapshot's manifest holds `as_dict()`."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    features: str = "default"
    label_maturity_days: int = Field(7, ge=1)
    alert_party: str = "source"
    delimiter: str = Field(",", min_length=1, max_length=1, description="Of a CSV file")
    fields: Fields
    source: PartySource
    target: PartySource
    parties: tuple[FurtherParty, ...] = ()
    attributes: tuple[str, ...] = Field((), description="Columns to keep, as text")
    dropped: tuple[str, ...] = Field((), description="Columns that must not enter")
    personal: Personal = Personal()
    rules: Rules = Rules()
    labels: Annotated[LabelColumn | LabelFile, Field(discriminator="kind")] | None = None
    resolution: Resolution = NO_RULES

    @model_validator(mode="after")
    def _consistent(self) -> Mapping:
        types = [party.type for party in self.parties]
        if len(set(types)) != len(types) or {"source", "target"} & set(types):
            raise ValueError("each of `parties` needs a type of its own, other than source and target")
        if self.alert_party not in self.roles:
            raise ValueError(f"alert_party {self.alert_party!r} is none of the roles {', '.join(self.roles)}")
        for names, known, what in (
            (self.personal.types, self.party_types, "party type"),
            (self.personal.attributes, self.attributes, "attribute"),
        ):
            if odd := sorted(set(names) - set(known)):
                raise ValueError(f"{odd[0]!r} is no {what}")
        if kept_out := sorted(set(self.dropped) & set(self.columns.values())):
            raise ValueError(f"column {kept_out[0]!r} is `dropped`, and read all the same")
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

    @property
    def columns(self) -> dict[str, str]:
        """Field of the contract -> column of the transaction table that it is read from."""
        fields = {name: getattr(self.fields, name) for name in Fields.model_fields}
        found = {name: field.column for name, field in fields.items() if field is not None and field.column is not None}
        found["amount_minor"] = found.pop("amount")
        for role, party in (("source", self.source), ("target", self.target)):
            found[f"{role}_key"] = party.key
            if isinstance(party.type, TypeColumn):
                found[f"{role}_type"] = party.type.column
        found |= {f"parties.{party.type}": party.key for party in self.parties}
        found |= {f"attributes.{name}": name for name in self.attributes}
        if isinstance(self.labels, LabelColumn):
            found["label"] = self.labels.column
        return found

    @property
    def personal_columns(self) -> frozenset[str]:
        """Columns of the table whose values are masked in the quarantine."""
        personal = self.personal_types
        keys = {party.key for party in (self.source, self.target) if personal & set(party.types)}
        keys |= {party.key for party in self.parties if party.type in personal}
        return frozenset(keys | set(self.personal.attributes))

    def check_columns(self, available: Sequence[str], *, table: str) -> None:
        """Raise `MappingError` when a column that the mapping names is not in the table."""
        require_columns(self.name, self.columns.values(), available, table=table)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for a manifest; `Mapping.model_validate` reads it back."""
        return self.model_dump(mode="json")

    @property
    def digest(self) -> str:
        """Hash of the mapping: a lineage keeps to one."""
        return short_hash(self.as_dict())


def require_columns(mapping: str, wanted: Iterable[str], available: Sequence[str], *, table: str) -> None:
    """Raise `MappingError` naming the columns that a table lacks and those that it has."""
    if missing := sorted(set(wanted) - set(available)):
        raise MappingError(
            f"Mapping {mapping!r} names column{'s' if len(missing) > 1 else ''} {', '.join(missing)}, not in {table}.",
            remedy=f"Columns that exist: {', '.join(available)}. Mend the mapping, or name another.",
        )


def load_mapping(name_or_path: str | Path) -> Mapping:
    """A shipped mapping by name (`ringfence`, `fraud-handbook`) or a TOML file by path.

    Raises `MappingError` naming the key, the value and the remedy.
    """
    shipped = SHIPPED / f"{name_or_path}.toml"
    path = shipped if shipped.exists() else Path(name_or_path)
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.toml")))
        raise MappingError(f"There is no mapping {str(name_or_path)!r}.", remedy=f"Shipped: {known}; or give a file.")
    try:
        return Mapping.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise MappingError(f"{path.name} is not valid TOML: {error}.", remedy="Mend the file.") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the mapping"
        message = first["msg"].removeprefix("Value error, ")
        raise MappingError(f"{path.name}: {key} is refused: {message}.", remedy="Mend the mapping.") from error
