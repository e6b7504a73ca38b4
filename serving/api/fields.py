"""Types of fields that several resources share."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import BaseModel, BeforeValidator, Field, PlainSerializer, StringConstraints, WithJsonSchema

from ingestion.contracts import PartyRef
from serving.times import parse_rfc3339, rfc3339

#: Integers that every JSON reader keeps exactly (RFC 8259, 6).
_EXACT = (1 << 53) - 1
#: No control characters: they hide in logs and pages.
_PLAIN = r"^[^\x00-\x1f\x7f]+$"
TYPE_PATTERN = r"^[a-z][a-z0-9_]{0,62}$"


def _parse_time(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("an RFC 3339 time is a string, for example 2025-01-06T08:30:00Z")
    return parse_rfc3339(value)


def _whole(value: Any) -> Any:
    """5.0 is the integer 5 in JSON (RFC 8259 has one kind of number)."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


#: µs inside, RFC 3339 outside, in both directions.
Time = Annotated[
    int,
    BeforeValidator(_parse_time),
    PlainSerializer(rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
#: A time that is RFC 3339 text already (an answer that was stored).
TimeText = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
Key = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=256, pattern=_PLAIN)]
TypeName = Annotated[str, StringConstraints(strict=True, pattern=TYPE_PATTERN)]
ExactInt = Annotated[int, Field(strict=True, ge=-_EXACT, le=_EXACT), BeforeValidator(_whole)]

EntityTypeParameter = Annotated[
    str, Path(description="Entity type, e.g. account", pattern=TYPE_PATTERN, examples=["account"])
]
EntityKeyParameter = Annotated[
    str,
    Path(
        description="Its key: a token, or the original of a personal type",
        min_length=1,
        max_length=256,
        pattern=_PLAIN,
        examples=["A-17"],
    ),
]
AsOfParameter = Annotated[
    Time | None,
    Query(description="Only what was available by then is seen; default: the end of the release's data"),
]
LimitParameter = Annotated[int, Query(description="Items a page", ge=1, le=200)]


class PartyBody(BaseModel):
    """A party by type and key; a key of a personal type is a token."""

    type: str = Field(examples=["account"])
    key: str = Field(examples=["account_5f0c…"])

    @classmethod
    def of(cls, ref: PartyRef) -> PartyBody:
        """From a reference."""
        return cls(type=ref.type, key=ref.key)


class Answer(BaseModel):
    """Every answer under /v1 names the release that it comes from."""

    release_id: str = Field(description="Release in force when this was answered", examples=["release-4be1c7a90d52"])
