"""Bodies of the alert operations."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from serving.alerts import Alert
from serving.api.fields import Answer, PartyBody, TimeText
from serving.times import rfc3339


class AlertBody(BaseModel):
    """A transaction that a model scored at or above its threshold; the score is the one given then."""

    id: str
    transaction_id: str
    model_id: str
    release_id: str = Field(description="Release that raised the alert")
    entity: PartyBody = Field(description="The party that the alert is about")
    available_at: TimeText = Field(description="Time of the alert: when its transaction became available")
    event_time: TimeText
    amount_minor: int
    currency: str
    score: float
    threshold: float
    origin: Literal["nightly", "api"]

    @classmethod
    def of(cls, alert: Alert) -> AlertBody:
        """From the stored alert."""
        return cls(
            id=alert.id,
            transaction_id=alert.transaction_id,
            model_id=alert.model_id,
            release_id=alert.release_id,
            entity=PartyBody.of(alert.entity),
            available_at=rfc3339(alert.available_at),
            event_time=rfc3339(alert.event_time),
            amount_minor=alert.amount_minor,
            currency=alert.currency,
            score=alert.score,
            threshold=alert.threshold,
            origin=alert.origin,
        )


class AlertPage(Answer):
    """A page of alerts, newest first; `next_cursor` is null on the last one."""

    alerts: list[AlertBody]
    next_cursor: str | None


class AlertAnswer(Answer):
    """One alert."""

    alert: AlertBody
