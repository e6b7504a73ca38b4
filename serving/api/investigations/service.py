"""Making an investigation: of an alert as of its own time, or of an entity as of a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ingestion.contracts import PartyRef
from retrieval.investigation import Investigation
from serving.alerts import Alert, read_alert
from serving.api.investigations.repository import investigation_id, read, save
from serving.api.investigations.schemas import InvestigateAlert, InvestigateEntity
from serving.api.problems import NOT_FOUND, ApiError
from serving.context import ServingContext
from serving.intake import wall_clock
from serving.times import rfc3339


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked: an alert, or an entity as of a time (µs)."""

    entity: PartyRef
    as_of: int
    alert: Alert | None

    @property
    def subject(self) -> str:
        """The alert's id, or `TYPE:KEY`."""
        return str(self.entity) if self.alert is None else self.alert.id


def create(context: ServingContext, request: InvestigateAlert | InvestigateEntity) -> tuple[dict[str, Any], bool]:
    """The investigation, and whether it was made now: the same question of the same release is answered once.

    One that was made while the graph server was away is made again once it is back.
    """
    question = _question(context, request)
    identifier = investigation_id(release_id=context.release_id, subject=question.subject, as_of=question.as_of)
    there = read(context.app, identifier)
    if there is not None and (context.store.is_stale or not there["stale"]):
        return there, False
    found = _answer(context, question)
    body = _body(context, identifier, question, found)
    save(context.app, body, as_of=question.as_of)
    return body, True


def _question(context: ServingContext, request: InvestigateAlert | InvestigateEntity) -> Question:
    if isinstance(request, InvestigateEntity):
        entity = context.resolve(PartyRef(type=request.entity.type, key=request.entity.key))
        return Question(entity=entity, as_of=context.as_of(request.as_of), alert=None)
    alert = read_alert(context.app, request.alert_id)
    if alert is None:
        raise ApiError(NOT_FOUND, f"There is no alert {request.alert_id}.")
    return Question(entity=alert.entity, as_of=alert.available_at, alert=alert)


def _answer(context: ServingContext, question: Question) -> Investigation:
    if question.alert is not None:
        return context.investigate_alert(question.alert)
    return context.investigate_entity(question.entity, as_of=question.as_of)


def _body(context: ServingContext, identifier: str, question: Question, found: Investigation) -> dict[str, Any]:
    return {
        "id": identifier,
        "release_id": context.release_id,
        "alert_id": None if question.alert is None else question.alert.id,
        "entity": {"type": question.entity.type, "key": question.entity.key},
        "as_of": rfc3339(question.as_of),
        "stale": found.neighborhood.stale,
        "created_at": rfc3339(wall_clock()),
        "findings": found.as_dict(),
    }
