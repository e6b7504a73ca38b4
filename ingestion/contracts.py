"""The data contracts: one Arrow schema for each artefact, from which Spark and pydantic models are derived.

Times are UTC with microseconds, money is int64 minor units with an ISO 4217 code, ids are strings. Importable
with pyarrow and pydantic alone.

The clock (DESIGN rule 1). Every transaction has `event_time` and `known_at`; `available_at` is the later of
the two. All events lie in one total order, the *sequence*: `(available_at, rank, event_time, id)`, rank 0 for
a label and 1 for a transaction, ids compared as UTF-8 bytes. What is computed for an event sees only events
with a smaller sequence. A label is therefore visible to a transaction e exactly when
`label.known_at <= e.available_at`. A read as of a timestamp t sees what has `available_at <= t`.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, create_model

MICROSECONDS_PER_DAY = 86_400_000_000
MICROSECONDS_PER_HOUR = 3_600_000_000

KINDS = ("payment", "authorisation", "capture", "transfer", "refund", "reversal")
OUTCOMES = ("approved", "declined")
LABELS = ("fraud", "legitimate")
#: From strongest to weakest: of two labels with one `known_at`, the earlier origin in this tuple wins.
LABEL_ORIGINS = ("analyst", "chargeback", "rule", "matured")

TIMESTAMP = pa.timestamp("us", tz="UTC")
PARTY = pa.struct([pa.field("type", pa.string(), nullable=False), pa.field("key", pa.string(), nullable=False)])


def _field(name: str, kind: pa.DataType, text: str, *, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"description": text})


TRANSACTION = pa.schema(
    [
        _field("transaction_id", pa.string(), "Unique id of the transaction"),
        _field("event_time", TIMESTAMP, "When it happened"),
        _field("known_at", TIMESTAMP, "When we could have known it: its arrival; event_time if never said"),
        _field("source_type", pa.string(), "Type of the paying party, lower case, e.g. account"),
        _field("source_key", pa.string(), "Key of the paying party; a token when it is personal"),
        _field("target_type", pa.string(), "Type of the paid party, e.g. merchant"),
        _field("target_key", pa.string(), "Key of the paid party; a token when it is personal"),
        _field("refers_to", pa.string(), "Original transaction of a refund, reversal or capture", nullable=True),
        _field("amount_minor", pa.int64(), "Amount in minor units of the currency, zero or more"),
        _field("currency", pa.string(), "ISO 4217 code; XXX when there is none"),
        _field("kind", pa.string(), "One of: " + ", ".join(KINDS)),
        _field("outcome", pa.string(), "One of: " + ", ".join(OUTCOMES)),
        _field("channel", pa.string(), "How it came in, e.g. card_present, online, transfer; unknown if not said"),
        _field("parties", pa.list_(PARTY), "More parties (device, ip, card, merchant, …), at most one a type"),
        _field("attributes", pa.map_(pa.string(), pa.string()), "More fields of the table, as text", nullable=True),
        _field("memo", pa.string(), "Free text of the payer; data, never instruction", nullable=True),
    ]
)

#: What the snapshot keeps beside the logical row. `entity_<role>` columns (dense int64 ids, null where the
#: transaction has no such party) follow, one for each of the manifest's `roles`.
TRANSACTION_AT_REST = TRANSACTION.append(_field("available_at", TIMESTAMP, "max(event_time, known_at)")).append(
    _field("amount_base_minor", pa.int64(), "Amount in the base currency by the rates known then", nullable=True)
)

LABEL = pa.schema(
    [
        _field("transaction_id", pa.string(), "The labelled transaction; null for a label of an entity", nullable=True),
        _field("entity_type", pa.string(), "Type of the labelled entity, else null", nullable=True),
        _field("entity_key", pa.string(), "Key of the labelled entity, else null", nullable=True),
        _field("label", pa.string(), "One of: " + ", ".join(LABELS)),
        _field("known_at", TIMESTAMP, "When the label could have been known; it is the label's event time too"),
        _field("origin", pa.string(), "One of: " + ", ".join(LABEL_ORIGINS)),
        _field("reviewer", pa.string(), "Who decided, where a person did", nullable=True),
        _field("reason", pa.string(), "Why, in words", nullable=True),
        _field("for_training", pa.bool_(), "false: no model may train on it, whatever its time", nullable=True),
    ]
)

ENTITY = pa.schema(
    [
        _field("entity_id", pa.int64(), "Dense id, append-only within a lineage"),
        _field("type", pa.string(), "Entity type, e.g. account"),
        _field("key", pa.string(), "Key; a token when the type is personal"),
        _field("first_known_at", TIMESTAMP, "available_at of the first transaction that names it"),
    ]
)

#: Two entities that share an identifier, one row for each period in which the link holds; `a` comes before `b` in
#: the order of `type:key`. The key of a row is (a_id, b_id, rule, identifier, known_at). A later snapshot of the
#: lineage may revoke a link, or replace one when late rows show an earlier holder: a projection replaces its links.
LINK = pa.schema(
    [
        _field("a_id", pa.int64(), "Dense id of the entity that comes first by type:key"),
        _field("b_id", pa.int64(), "Dense id of the other entity"),
        _field("a_type", pa.string(), "Type of a"),
        _field("a_key", pa.string(), "Key of a"),
        _field("b_type", pa.string(), "Type of b"),
        _field("b_key", pa.string(), "Key of b"),
        _field("rule", pa.string(), "Rule of the mapping that links them"),
        _field("identifier", pa.string(), "What they share: type:key of a party or attribute, or a token of the rule"),
        _field("known_at", TIMESTAMP, "The link holds as of t when known_at <= t …"),
        _field("revoked_at", TIMESTAMP, "… and this is null or > t", nullable=True),
        _field("reason", pa.string(), "Why it was revoked: hub, or the words of the person who did", nullable=True),
        _field("shared_at", TIMESTAMP, "When the later of the two was first known with the identifier"),
        _field("hub_at", TIMESTAMP, "When the identifier became a hub, which ends all its links", nullable=True),
    ]
)

#: Identifiers that more entities share than their rule allows.
HUB = pa.schema(
    [
        _field("rule", pa.string(), "Rule of the mapping"),
        _field("identifier", pa.string(), "What is shared, as in LINK"),
        _field("num_entities", pa.int64(), "How many entities share it, all of them"),
        _field("first_at", TIMESTAMP, "When its first holder was known"),
        _field("hub_at", TIMESTAMP, "When it had more than the rule's max_entities holders"),
    ]
)

#: Connected components of the links that hold; an entity that is not here is alone.
COMPONENT = pa.schema(
    [
        _field("entity_id", pa.int64(), "Dense id of an entity with a link"),
        _field("component_id", pa.int64(), "The smallest entity_id that it is connected with"),
    ]
)

QUARANTINE = pa.schema(
    [
        _field("source_file", pa.string(), "File name of the bad row"),
        _field("line", pa.int64(), "Line in a CSV file (the header is line 1), row number from 1 in Parquet"),
        _field("transaction_id", pa.string(), "Its id where it could be read", nullable=True),
        _field("reason", pa.string(), "Code of the reason, e.g. amount_negative"),
        _field("field", pa.string(), "Column of the user's table that is at fault", nullable=True),
        _field("value", pa.string(), "The value at fault, masked where personal", nullable=True),
        _field("remedy", pa.string(), "What to do about it"),
        _field("raw", pa.string(), "The whole row as JSON, personal values masked", nullable=True),
    ]
)


@dataclass(frozen=True, kw_only=True)
class PartyRef:
    """A party by type and key, as a user names it: `account:A-17`."""

    type: str
    key: str

    def __str__(self) -> str:
        return f"{self.type}:{self.key}"

    @classmethod
    def parse(cls, text: str) -> PartyRef:
        """Read `type:key`.

        >>> PartyRef.parse("account:A-17").key
        'A-17'
        """
        kind, separator, key = text.partition(":")
        if not separator or not kind or not key:
            raise ValueError(f"{text!r} does not name an entity: write TYPE:KEY, for example account:A-17")
        return cls(type=kind, key=key)


def roles_of(party_types: list[str]) -> tuple[str, ...]:
    """Roles of a snapshot: source, target, then the further party types in alphabetical order.

    >>> roles_of(["ip", "device"])
    ('source', 'target', 'device', 'ip')
    """
    return ("source", "target", *sorted(set(party_types)))


_PYTHON_TYPES: dict[str, Any] = {
    "string": str,
    "int64": int,
    "timestamp[us, tz=UTC]": dt.datetime,
    "map<string, string>": dict[str, str],
}
_ALLOWED = {"kind": KINDS, "outcome": OUTCOMES, "label": LABELS, "origin": LABEL_ORIGINS}


class Party(BaseModel):
    """A further party of a transaction."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    type: str = Field(description="Entity type, e.g. device", examples=["device"], min_length=1, max_length=64)
    key: str = Field(description="Key of the party", examples=["dev-9"], min_length=1, max_length=256)


def pydantic_model(
    name: str,
    schema: pa.Schema,
    *,
    defaults: dict[str, Any],
    strict_values: bool = True,
    types: dict[str, Any] | None = None,
) -> type[BaseModel]:
    """A pydantic model with the fields of an Arrow schema; unknown fields are refused.

    `defaults` gives the fields that a caller may leave out. With `strict_values` a field with a closed list of
    values (kind, outcome, label, origin) becomes a `Literal`. `types` names other Python types, by field or by
    Arrow type (an edge adds its limits there).
    """
    python_types = _PYTHON_TYPES | (types or {})
    fields: dict[str, Any] = {}
    for field in schema:
        kind: Any = python_types.get(field.name, python_types.get(str(field.type), list[Party]))
        if strict_values and field.name in _ALLOWED:
            kind = Literal[_ALLOWED[field.name]]
        if field.nullable:
            kind = kind | None
        description = field.metadata[b"description"].decode()
        default: Any = defaults.get(field.name, None if field.nullable else ...)
        if isinstance(default, list | dict):
            value = Field(default_factory=type(default), description=description)
        else:
            value = Field(default, description=description)
        fields[field.name] = (kind, value)
    return create_model(name, __config__=ConfigDict(extra="forbid"), **fields)


def micros(moment: dt.datetime) -> int:
    """Microseconds since 1970 of an aware datetime, exactly.

    >>> micros(dt.datetime(1970, 1, 2, tzinfo=dt.UTC))
    86400000000
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone: add one, for example +00:00")
    return (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)


def moment(microseconds: int) -> dt.datetime:
    """The aware datetime of microseconds since 1970.

    >>> moment(86400000000).isoformat()
    '1970-01-02T00:00:00+00:00'
    """
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=int(microseconds))
