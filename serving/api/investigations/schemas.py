"""Bodies of the investigation operations."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from serving.api.fields import Answer, Key, PartyBody, Time, TimeText, TypeName


class EntityIn(BaseModel):
    """An entity by type and key."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    type: TypeName
    key: Key = Field(description="A token, or the original of a personal type")


class InvestigateAlert(BaseModel):
    """Investigate an alert, as of its own time."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    alert_id: Annotated[str, Field(strict=True, pattern=r"^alert-[0-9a-f]{12}$")]


class InvestigateEntity(BaseModel):
    """Investigate an entity as of a time (default: the end of the release's data)."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    entity: EntityIn
    as_of: Time | None = None


class InvestigationBody(BaseModel):
    """A finished investigation."""

    id: str
    release_id: str = Field(description="Release that it was made from")
    alert_id: str | None
    entity: PartyBody = Field(description="The party in the middle")
    as_of: TimeText
    stale: bool = Field(description="The graph server was away: read from the release's snapshot")
    created_at: TimeText
    findings: dict[str, Any] = Field(
        description="Evidence, neighborhood, narrative (each sentence cites evidence), similar parties, what is missing"
    )


class InvestigationAnswer(Answer):
    """One investigation."""

    investigation: InvestigationBody
